//! `stagex image uki`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::ValueHint;
use stagex_image::uki::Uki;

use super::{
    Output,
    compression::How,
    output,
    signing::Signing,
    source::{self, Options},
};
use crate::{args::Global, failure::Failure};

/// What a unified kernel image is made from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The EFI stub is /usr/lib/stagex/stub.elf of the package firmware-stub. Its machine and the kernel's
are the image's: x86_64, arm64 or riscv64.

Examples:
  stagex image uki --stub stub.elf --kernel vmlinuz --initrd initramfs.cpio.zst \\
      --cmdline 'console=ttyS0 quiet' -o linux.efi
  stagex image uki --stub stub.elf --kernel vmlinuz --from rootfs --owner 0:0 --epoch 0 \\
      --key db.key --certificate db.pem -o linux.efi")]
pub(crate) struct Args {
    /// The EFI stub, an ELF file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    stub: PathBuf,
    /// The kernel, with an EFI stub of its own: bzImage, Image or vmlinuz.efi
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    kernel: PathBuf,
    /// The initramfs
    #[arg(long, value_name = "FILE", conflicts_with = "from", value_hint = ValueHint::FilePath)]
    initrd: Option<PathBuf>,
    /// A folder, a tar or an OCI image layout to make the initramfs of
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    from: Option<PathBuf>,
    /// How that initramfs is compressed: none, zstd, xz, gzip or lz4, with a level if you like
    #[arg(long, value_name = "HOW", default_value = "zstd", value_parser = How::parse)]
    compress: How,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    output: Output,
    /// The kernel's command line
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    cmdline: String,
    /// The text of /etc/os-release, which boot menus show
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    os_release: Option<PathBuf>,
    /// The kernel's release [default: what an x86 kernel says itself]
    #[arg(long, value_name = "TEXT")]
    uname: Option<String>,
    /// The SBAT table (CSV), which shim wants to see
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    sbat: Option<PathBuf>,
    /// Microcode for x86 processors, an uncompressed cpio archive
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ucode: Option<PathBuf>,
    /// The device tree for the kernel, a dtb of an arm64 or riscv64 machine
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    dtb: Option<PathBuf>,
    #[command(flatten)]
    signing: Signing,
}

impl Args {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        let signer = self.signing.load()?;
        let optional = |path: &Option<PathBuf>| path.as_deref().map(source::file).transpose();
        let packed = output::beside(self.output.path(), "initrd");
        let packed = source::Temporary::new(packed);
        let initrd = match &self.from {
            Some(from) => {
                let compress = self.compress.with(global);
                Some(self.options.pack(from, self.output.path(), packed.path(), compress)?)
            }
            None => optional(&self.initrd)?,
        };
        let uki = Uki {
            stub: source::file(&self.stub)?,
            kernel: source::file(&self.kernel)?,
            initrd,
            cmdline: self.cmdline.clone(),
            os_release: self.os_release.as_deref().map(text).transpose()?,
            uname: self.uname.clone(),
            sbat: self.sbat.as_deref().map(text).transpose()?,
            ucode: optional(&self.ucode)?,
            dtb: optional(&self.dtb)?,
        };
        let plan = uki.plan().map_err(Failure::failed)?;
        super::signing::write(plan, signer.as_ref(), &self.output)
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::at(path))
}
