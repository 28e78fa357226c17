//! `stagex image eif`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::ValueHint;
use stagex_boxes::write_aside;
use stagex_image::{
    Image,
    eif::{Architecture as Machine, Eif, Metadata, Signer},
};
use stagex_recipe::boxes::Architecture;
use stagex_tree::Content;

use super::{
    Output,
    compression::How,
    size,
    source::{self, Options},
};
use crate::{args::Global, failure::Failure};

/// What an enclave image is made from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The registers that Nitro measures are printed, and written beside the image as FILE.pcrs.json.

Examples:
  stagex image eif --kernel bzImage --ramdisk init.cpio.gz --ramdisk app.cpio.gz \\
      --cmdline 'reboot=k panic=1 console=ttyS0' -o app.eif
  stagex image eif --kernel bzImage --from rootfs --owner 0:0 --epoch 0 \\
      --key p384.key --certificate p384.pem -o app.eif")]
pub(crate) struct Args {
    /// The kernel: a bzImage for x86_64, an uncompressed Image for arm64 (--arch arm64)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    kernel: PathBuf,
    /// A ramdisk; may be repeated: the first is measured in PCR1, the others in PCR2
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ramdisk: Vec<PathBuf>,
    /// A folder, a tar or an OCI image layout to make the last ramdisk of
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    from: Option<PathBuf>,
    /// How that ramdisk is compressed: none, zstd, xz, gzip or lz4, with a level if you like
    #[arg(long, value_name = "HOW", default_value = "gzip", value_parser = How::parse)]
    compress: How,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    output: Output,
    /// The kernel's command line
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    cmdline: String,
    /// The image's name
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    /// The image's version
    #[arg(long, value_name = "TEXT", default_value = "")]
    image_version: String,
    /// The kernel's release
    #[arg(long, value_name = "TEXT", default_value = "")]
    uname: String,
    /// More metadata: a file of JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    metadata: Option<PathBuf>,
    /// Memory of the enclave where its starter does not say
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    memory: u64,
    /// Processors of the enclave where its starter does not say
    #[arg(long, value_name = "N", default_value = "2")]
    cpus: u64,
    /// Sign with this key: of the curve P-384, in PEM
    #[arg(long, value_name = "FILE", requires = "certificate", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
    /// The key's certificate, X.509 in PEM
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    certificate: Option<PathBuf>,
}

impl Args {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        let text = |path: &Path| fs::read_to_string(path).map_err(Failure::at(path));
        let signer = match (&self.key, &self.certificate) {
            (Some(key), Some(certificate)) => {
                let signer = Signer::from_pem(&text(key)?, &text(certificate)?);
                Some(
                    signer
                        .map_err(|error| Failure::failed(format!("{}: {error}", key.display())))?,
                )
            }
            _ => None,
        };
        let path = self.output.path();
        let kernel = source::file(&self.kernel)?;
        let mut ramdisks: Vec<Content> =
            self.ramdisk.iter().map(|path| source::file(path)).collect::<Result<_, _>>()?;
        let packed = source::Temporary::new(super::output::beside(path, "initrd"));
        let compress = self.compress.with(global);
        if let Some(from) = &self.from {
            ramdisks.push(self.options.pack(from, path, packed.path(), compress)?);
        }
        let metadata = Metadata {
            name: self.name.clone(),
            version: self.image_version.clone(),
            build_time: self.options.epoch().unwrap_or(0),
            build_tool: "stagex".to_owned(),
            build_tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            operating_system: "Linux".to_owned(),
            kernel_version: self.uname.clone(),
            custom: self.metadata.as_deref().map(text).transpose()?,
        };
        let machine = match self.options.architecture() {
            None | Some(Architecture::X86_64) => Machine::X86_64,
            Some(Architecture::Arm64) => Machine::Aarch64,
            Some(Architecture::Riscv64) => {
                return Err(Failure::wrong("there are no enclaves for riscv64"));
            }
        };
        let ramdisks: Vec<&dyn Image> = ramdisks.iter().map(|disk| disk as &dyn Image).collect();
        let mut eif = Eif::new(machine, &kernel, &self.cmdline, ramdisks, metadata);
        (eif.memory, eif.cpus, eif.signer) = (self.memory, self.cpus, signer.as_ref());
        let plan = eif.plan().map_err(Failure::failed)?;
        let pcrs = plan.pcrs();
        let mut notes = vec![
            ("PCR0", pcrs.pcr0.to_string()),
            ("PCR1", pcrs.pcr1.to_string()),
            ("PCR2", pcrs.pcr2.to_string()),
        ];
        notes.extend(pcrs.pcr8.map(|pcr8| ("PCR8", pcr8.to_string())));
        self.output.image(&plan, &notes)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".pcrs.json");
        write_aside(Path::new(&beside), |out| out.write_all(pcrs.to_json().as_bytes()))
            .map_err(Failure::failed)?;
        Ok(())
    }
}
