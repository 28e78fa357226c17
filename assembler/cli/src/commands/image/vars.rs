//! `stagex image vars`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::ValueHint;
use stagex_image::{
    identity::Guid,
    uki::{Certificate, Certificates},
    variables::{Keys, enrol},
};
use stagex_tree::{Content, Digest};

use super::Output;
use crate::failure::Failure;

/// Whose signatures firmware is to take.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The store is the _VARS.fd that belongs to the firmware, as it was built; what is written takes its
place, and firmware built with Secure Boot starts nothing then but what is signed. Certificates
alone are needed: the keys stay where they are.

Examples:
  stagex image vars OVMF_SECURE_VARS.fd --certificate db.pem -o vars.fd
  stagex image vars OVMF_SECURE_VARS.fd --certificate db.pem --certificate vendor.pem \\
      --exchange kek.pem --platform pk.pem -o vars.fd")]
pub(crate) struct Args {
    /// The empty store
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    store: PathBuf,
    #[command(flatten)]
    output: Output,
    /// The certificate (X.509, PEM or DER) of a key whose signatures start a program; several may
    /// be given
    #[arg(long, value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    certificate: Vec<PathBuf>,
    /// That of a key that may change those later [default: the same as --certificate]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    exchange: Vec<PathBuf>,
    /// That of the platform's owner, who may change all of them [default: the first of those that
    /// may change]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    platform: Option<PathBuf>,
}

impl Args {
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let all = |paths: &[PathBuf]| -> Result<Vec<Certificate>, Failure> {
            paths.iter().map(|path| certificate(path)).collect()
        };
        let db = all(&self.certificate)?;
        let exchange = if self.exchange.is_empty() { db.clone() } else { all(&self.exchange)? };
        let platform = match &self.platform {
            Some(path) => certificate(path)?,
            None => exchange[0].clone(),
        };
        let empty = fs::read(&self.store).map_err(Failure::at(&self.store))?;
        let keys = Keys { platform: &platform, exchange: &exchange, db: &db };
        let owner = Guid::derive(&Digest::of(platform.der()), "owner of Secure Boot's keys");
        let store = enrol(&empty, &keys, owner)
            .map_err(|error| Failure::failed(format!("{}: {error}", self.store.display())))?;
        self.output.image(&Content::from_bytes(store), &[("owner", owner.to_string())])
    }
}

fn certificate(path: &Path) -> Result<Certificate, Failure> {
    let bytes = fs::read(path).map_err(Failure::at(path))?;
    let found = Certificates::parse(&bytes)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    Ok(found.signer().clone())
}
