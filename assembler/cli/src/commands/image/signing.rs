//! Keys for Secure Boot: `--key`, `--certificate`, `--sign-with`.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use clap::{Args, ValueHint};
use stagex_image::uki::{Certificates, Plan, RsaKey, SignError, Signer, digest_info};
use stagex_tree::Digest;

use super::Output;
use crate::failure::Failure;

/// The longest signature that is read of a command, in bytes.
const SIGNATURE_MAX: usize = 1024;

/// What to sign with, if at all.
#[derive(Debug, Args)]
#[command(next_help_heading = "Secure Boot signature")]
pub(crate) struct Signing {
    /// Sign with this key: RSA of 2048 to 4096 bits in PEM, PKCS#8 or PKCS#1
    #[arg(long, value_name = "FILE", requires = "certificate", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
    /// The key's certificate, X.509 in PEM or DER; in PEM others may follow, which lead to one that
    /// the firmware knows
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    certificate: Option<PathBuf>,
    /// Sign with a key that lies elsewhere, such as in a PKCS#11 token: a shell command that reads
    /// a DigestInfo (51 bytes) and writes its PKCS#1 v1.5 signature. The SHA-256 alone stands in
    /// $STAGEX_SHA256, in hexadecimal. With OpenSSL: openssl pkeyutl -sign -inkey KEY; with a
    /// token: pkcs11-tool --module MODULE --login --label KEY --sign --mechanism RSA-PKCS
    #[arg(long, value_name = "COMMAND", requires = "certificate", conflicts_with = "key", value_hint = ValueHint::CommandString)]
    sign_with: Option<String>,
}

/// A signer with its certificates.
pub(crate) struct Loaded {
    certificates: Certificates,
    signer: Box<dyn Signer>,
}

impl Signing {
    /// Reads key and certificate, if there are any.
    pub(crate) fn load(&self) -> Result<Option<Loaded>, Failure> {
        let Some(certificate) = &self.certificate else { return Ok(None) };
        let at = |path: &PathBuf| {
            let path = path.display().to_string();
            move |error: SignError| Failure::failed(format!("{path}: {error}"))
        };
        let signer: Box<dyn Signer> = match (&self.key, &self.sign_with) {
            (Some(key), _) => {
                let pem = fs::read(key).map_err(Failure::at(key))?;
                Box::new(RsaKey::from_pem(&pem).map_err(at(key))?)
            }
            (None, Some(command)) => Box::new(External { command: command.clone() }),
            (None, None) => {
                return Err(Failure::wrong(
                    "--certificate alone does not sign\nhelp: give the key with --key, or a \
                     command that reaches it with --sign-with",
                ));
            }
        };
        let bytes = fs::read(certificate).map_err(Failure::at(certificate))?;
        let certificates = Certificates::parse(&bytes).map_err(at(certificate))?;
        Ok(Some(Loaded { certificates, signer }))
    }
}

/// Writes an image, signed if there is a signer.
pub(crate) fn write(plan: Plan, signer: Option<&Loaded>, output: &Output) -> Result<(), Failure> {
    let hash = plan.hash().map_err(Failure::failed)?;
    let plan = match signer {
        Some(Loaded { certificates, signer }) => {
            plan.sign(certificates, &**signer).map_err(Failure::failed)?
        }
        None => plan,
    };
    let signed = if plan.is_signed() { "yes" } else { "no" };
    // What a signature names, and what firmware lists that knows images and not keys.
    output.image(&plan, &[("image", hash.to_string()), ("signed", signed.to_owned())])
}

/// A command that signs.
struct External {
    command: String,
}

impl Signer for External {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed =
            |error: std::io::Error| SignError::Signer(format!("{}: {error}", self.command));
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .env("STAGEX_SHA256", Digest::of(message).hex())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that takes the environment's digest need not read.
            let _ = stdin.write_all(&digest_info(message));
        }
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            let text = format!("{} ended with {}", self.command, output.status);
            return Err(SignError::Signer(text));
        }
        if output.stdout.is_empty() || output.stdout.len() > SIGNATURE_MAX {
            let text =
                format!("{} wrote {} bytes, no signature", self.command, output.stdout.len());
            return Err(SignError::Signer(text));
        }
        Ok(output.stdout)
    }
}
