//! Machines with Secure Boot: a key of the test's own, in the firmware and on what it starts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use stagex_boot::{Uefi, scenario::SecureBoot};
use stagex_image::{
    Image as _,
    identity::Guid,
    uki::{Certificates, Plan, RsaKey, SignError},
    variables::{Keys, enrol},
};
use stagex_tree::{Content, Digest};

use crate::failure::Failure;

/// Firmware with a key in it, and an image that the key has signed or not.
pub(crate) struct Prepared {
    pub(crate) image: PathBuf,
    pub(crate) uefi: Uefi,
}

/// Makes a key in `folder`, puts it into the variables of `firmware`, and signs `image` with it
/// where it is to be signed.
pub(crate) fn prepare(
    firmware: &Uefi,
    image: &Path,
    how: SecureBoot,
    folder: &Path,
) -> Result<Prepared, Failure> {
    let [key, certificate] = ["db.key", "db.pem"].map(|name| folder.join(name));
    make_key(&key, &certificate)?;
    let wrong = |error: &dyn std::fmt::Display| Failure::failed(format!("Secure Boot: {error}"));
    let pem = fs::read(&certificate).map_err(Failure::at(&certificate))?;
    let certificates = Certificates::parse(&pem).map_err(|error| wrong(&error))?;
    let owner = certificates.signer();
    let all = std::slice::from_ref(owner);
    let empty = fs::read(&firmware.vars).map_err(Failure::at(&firmware.vars))?;
    let keys = Keys { platform: owner, exchange: all, db: all };
    let guid = Guid::derive(&Digest::of(owner.der()), "owner");
    let store = enrol(&empty, &keys, guid).map_err(|error| wrong(&error))?;
    let vars = folder.join("secure-vars.fd");
    fs::write(&vars, store).map_err(Failure::at(&vars))?;
    let uefi = Uefi { vars, ..firmware.clone() };
    if how == SecureBoot::Unsigned {
        return Ok(Prepared { image: image.to_owned(), uefi });
    }
    let pem = fs::read(&key).map_err(Failure::at(&key))?;
    let key = RsaKey::from_pem(&pem).map_err(|error| wrong(&error))?;
    let len = fs::metadata(image).map_err(Failure::at(image))?.len();
    let plan = Plan::read(&Content::from_file(image, 0, len))
        .map_err(SignError::from)
        .and_then(|plan| plan.sign(&certificates, &key))
        .map_err(|error| wrong(&error))?;
    let signed = folder.join("signed.efi");
    stagex_boxes::write_aside(&signed, |out| plan.write(out)).map_err(Failure::failed)?;
    Ok(Prepared { image: signed, uefi })
}

/// A key that is used once, and a certificate of its own.
fn make_key(key: &Path, certificate: &Path) -> Result<(), Failure> {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"]);
    command.args(["-subj", "/CN=test", "-keyout"]).arg(key).arg("-out").arg(certificate);
    let output = command.output().map_err(|error| {
        Failure::wrong(format!("openssl: {error}: on Debian, install the package openssl"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Failure::failed(format!("openssl makes no key ({}): {}", output.status, text.trim())))
}
