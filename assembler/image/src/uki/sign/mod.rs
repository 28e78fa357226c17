//! Secure Boot signatures: Authenticode in a PE image's certificate table.
//!
//! Follows Microsoft's "Windows Authenticode Portable Executable Signature Format" and the UEFI
//! Specification 2.10, 32.2: a PKCS#7 SignedData (RFC 2315) whose content names the image's SHA-256
//! with checksum, certificate table and its place left out. There is no time of signing in it, and
//! RSA's PKCS#1 v1.5 is deterministic: the same key gives the same bytes. What is signed is the
//! unsigned image with nothing changed but the header's checksum and the place of the table.
//!
//! RSA itself is `ring`'s, which is constant-time and built in already for downloads; `rsa`, in pure
//! Rust, is not (RUSTSEC-2023-0071). A [`Signer`] of one's own reaches keys in tokens.

mod certificate;
mod der;
mod key;

pub use certificate::{Certificate, Certificates};
pub use key::{RsaKey, digest_info};

use std::io;

use stagex_tree::Digest;

use self::der::{Oid, Tag, octets, oid, sequence, tlv};

/// What can sign: a key in memory, or whatever reaches one elsewhere.
pub trait Signer {
    /// The signature of `message` by RSA with SHA-256, PKCS#1 v1.5 (RFC 8017, 8.2).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file that holds no certificate.
    #[error("there is no X.509 certificate in it: PEM or DER is expected")]
    NoCertificate,
    /// A certificate that cannot be read.
    #[error("the certificate is malformed: {what}")]
    Certificate {
        /// What about it.
        what: &'static str,
    },
    /// A certificate of a key that firmware does not take.
    #[error("the certificate's key is not RSA of at least 2048 bits, which firmware expects")]
    Algorithm,
    /// A file that holds no key.
    #[error(
        "there is no RSA private key in it: PEM is expected, PKCS#8 or PKCS#1, not encrypted \
         (openssl pkey -in FILE takes a passphrase off)"
    )]
    NoKey,
    /// A key that cannot be used.
    #[error("the key cannot be used: {why} (RSA of 2048 to 4096 bits can be)")]
    Key {
        /// Why not.
        why: String,
    },
    /// The signature is not one of the certificate's key.
    #[error("the signature is not the certificate's: the key does not belong to it")]
    Mismatch,
    /// A signer of one's own failed.
    #[error("{0}")]
    Signer(String),
    /// The image could not be read.
    #[error("the image cannot be read: {0}")]
    Read(#[from] io::Error),
    /// An image whose hash is not the same for all who compute it.
    #[error("the image cannot be signed: {0}")]
    Image(#[from] super::PeError),
}

const SIGNED_DATA: Oid = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const CONTENT_TYPE: Oid = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: Oid = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const RSA_ENCRYPTION: Oid = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const SHA256: Oid = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SPC_INDIRECT_DATA: Oid = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x04];
const SPC_PE_IMAGE_DATA: Oid = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f];

/// WIN_CERT_REVISION_2_0 and WIN_CERT_TYPE_PKCS_SIGNED_DATA.
const TABLE_HEAD: [u8; 4] = [0x00, 0x02, 0x02, 0x00];
/// Entries of a certificate table begin on multiples of this.
pub(super) const TABLE_ALIGN: usize = 8;

/// The certificate table of an image with the Authenticode hash `hash`.
pub(super) fn table(
    hash: &Digest,
    certificates: &Certificates,
    signer: &dyn Signer,
) -> Result<Vec<u8>, SignError> {
    let signed = signed_data(hash, certificates, signer)?;
    let len = (8 + signed.len()).next_multiple_of(TABLE_ALIGN);
    let mut table = Vec::with_capacity(len);
    table.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    table.extend(TABLE_HEAD);
    table.extend(signed);
    table.resize(len, 0);
    Ok(table)
}

/// The ContentInfo of a SignedData that names `hash`.
fn signed_data(
    hash: &Digest,
    certificates: &Certificates,
    signer: &dyn Signer,
) -> Result<Vec<u8>, SignError> {
    let certificate = certificates.signer();
    let content = indirect_data(hash);
    // What is hashed of the content is its value, without tag and length.
    let content_hash = Digest::of(content.concat());
    let mut attributes = [
        attribute(CONTENT_TYPE, &oid(SPC_INDIRECT_DATA)),
        attribute(MESSAGE_DIGEST, &octets(content_hash.as_bytes())),
    ];
    // The order of a SET OF in DER.
    attributes.sort();
    let attributes = attributes.concat();
    // They are signed as the set that they are, though they stand there under another tag.
    let message = tlv(Tag::SET, &attributes);
    let signature = signer.sign(&message)?;
    certificate.verify(&message, &signature)?;

    let signer_info = sequence(&[
        &der::small_integer(1),
        &sequence(&[certificate.issuer(), certificate.serial()]),
        &algorithm(SHA256),
        &tlv(Tag::CONTEXT_0, &attributes),
        &algorithm(RSA_ENCRYPTION),
        &octets(&signature),
    ]);
    let signed_data = sequence(&[
        &der::small_integer(1),
        &tlv(Tag::SET, &algorithm(SHA256)),
        &sequence(&[
            &oid(SPC_INDIRECT_DATA),
            &tlv(Tag::CONTEXT_0, &sequence(&[&content[0], &content[1]])),
        ]),
        &tlv(Tag::CONTEXT_0, &certificates.all()),
        &tlv(Tag::SET, &signer_info),
    ]);
    Ok(sequence(&[&oid(SIGNED_DATA), &tlv(Tag::CONTEXT_0, &signed_data)]))
}

/// The two parts of an SpcIndirectDataContent: what kind of thing is signed, and its hash.
fn indirect_data(hash: &Digest) -> [Vec<u8>; 2] {
    // SpcPeImageData: no flags, and as its file an SpcLink to a name that was never used.
    let no_flags = tlv(Tag::BIT_STRING, &[0]);
    let nameless = tlv(Tag::CONTEXT_2, &tlv(Tag::CONTEXT_0_PRIMITIVE, b""));
    let image_data = sequence(&[&no_flags, &tlv(Tag::CONTEXT_0, &nameless)]);
    [
        sequence(&[&oid(SPC_PE_IMAGE_DATA), &image_data]),
        sequence(&[&algorithm(SHA256), &octets(hash.as_bytes())]),
    ]
}

fn algorithm(name: Oid) -> Vec<u8> {
    sequence(&[&oid(name), &tlv(Tag::NULL, b"")])
}

fn attribute(name: Oid, value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(name), &tlv(Tag::SET, value)])
}
