//! `stagex image sign`.

use std::path::PathBuf;

use clap::ValueHint;
use stagex_image::uki::Plan;

use super::{Output, signing::Signing, source};
use crate::failure::Failure;

/// What is signed, or has its signature taken off.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The signed image differs from the unsigned one in nothing but the signature, the place where it
says that one is there, and the checksum. It can be made on a machine that has the key and nothing
else; the same key gives the same bytes.

Examples:
  stagex image sign linux.efi --key db.key --certificate db.pem -o linux-signed.efi
  stagex image sign linux.efi --certificate db.pem -o linux-signed.efi --sign-with \\
      'pkcs11-tool --sign --mechanism RSA-PKCS --id 01 -i /dev/stdin -o /dev/stdout'
  stagex image sign linux-signed.efi -o linux.efi       take the signature off")]
pub(crate) struct Args {
    /// The image: a unified kernel image, or any EFI program
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    image: PathBuf,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    signing: Signing,
}

impl Args {
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let signer = self.signing.load()?;
        let image = source::file(&self.image)?;
        let plan = Plan::read(&image)
            .map_err(|error| Failure::failed(format!("{}: {error}", self.image.display())))?;
        super::signing::write(plan, signer.as_ref(), &self.output)
    }
}
