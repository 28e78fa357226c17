//! The signature of PCR0 by a certificate's key.

use p384::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    elliptic_curve::{pkcs8::DecodePrivateKey as _, sec1::ToEncodedPoint as _},
    pkcs8::der::pem,
};
use sha2::{Digest as _, Sha384};

use super::{Pcr, SignError, cbor::Cbor};

/// ECDSA with SHA-384, in COSE's registry of algorithms (-35, written as 34).
const ES384: u64 = 34;

/// A private key of the curve P-384 and its certificate.
///
/// Signatures are deterministic (RFC 6979), so the same key signs the same image with the same
/// bytes.
pub struct Signer {
    key: SigningKey,
    /// The certificate's text, as it was given: it goes into the image so.
    certificate: Vec<u8>,
    /// The same in DER.
    der: Vec<u8>,
}

impl Signer {
    /// Reads a key (SEC1 or PKCS#8) and its X.509 certificate, both in PEM.
    ///
    /// Text around the PEM blocks and other blocks before the key, such as `EC PARAMETERS`, are
    /// passed over. Of several certificates the first is the key's.
    pub fn from_pem(key: &str, certificate: &str) -> Result<Self, SignError> {
        let secret = secret(key)?;
        let block = block(certificate, "CERTIFICATE").ok_or(SignError::NoCertificate)?;
        let (_, der) = pem::decode_vec(block.as_bytes()).map_err(|_| SignError::Certificate)?;
        let certified = public_key(&der).ok_or(SignError::Certificate)?;
        if certified != secret.public_key().to_encoded_point(false).as_bytes()
            && certified != secret.public_key().to_encoded_point(true).as_bytes()
        {
            return Err(SignError::OtherKey);
        }
        Ok(Self { key: secret.into(), certificate: certificate.into(), der })
    }

    /// The register that measures the certificate.
    pub fn pcr8(&self) -> Pcr {
        Pcr::extend(Sha384::new().chain_update(&self.der))
    }

    /// The signature section: of one register, the certificate and a COSE_Sign1 (RFC 9052).
    pub(super) fn section(&self, pcr0: &Pcr) -> Vec<u8> {
        let mut payload = Cbor::default();
        payload.map(2).text("register_index").unsigned(0);
        payload.text("register_value").numbers(&pcr0.0);
        let mut section = Cbor::default();
        section.array(1).map(2).text("signing_certificate").numbers(&self.certificate);
        section.text("signature").numbers(&self.sign(&payload.0));
        section.0
    }

    fn sign(&self, payload: &[u8]) -> Vec<u8> {
        let mut protected = Cbor::default();
        protected.map(1).unsigned(1).negative(ES384);
        let mut signed = Cbor::default();
        signed.array(4).text("Signature1").bytes(&protected.0).bytes(&[]).bytes(payload);
        let signature: Signature = self.key.sign(&signed.0);
        let mut cose = Cbor::default();
        cose.array(4).bytes(&protected.0).map(0).bytes(payload).bytes(&signature.to_bytes());
        cose.0
    }
}

fn secret(text: &str) -> Result<SecretKey, SignError> {
    if block(text, "ENCRYPTED PRIVATE KEY").is_some() || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(SignError::EncryptedKey);
    }
    if let Some(block) = block(text, "EC PRIVATE KEY") {
        return SecretKey::from_sec1_pem(block).map_err(|_| SignError::Key);
    }
    let block = block(text, "PRIVATE KEY").ok_or(SignError::NoKey)?;
    SecretKey::from_pkcs8_pem(block).map_err(|_| SignError::Key)
}

/// The first PEM block with a label, from its first line to its last.
fn block<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    let start = text.find(&format!("-----BEGIN {label}-----"))?;
    let end = format!("-----END {label}-----");
    let len = text[start..].find(&end)? + end.len();
    Some(&text[start..start + len])
}

/// The key that a certificate (RFC 5280) is for: the bits of its subjectPublicKey.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    const BIT_STRING: u8 = 0x03;
    let (tag, body, rest) = element(certificate)?;
    if tag != SEQUENCE || !rest.is_empty() {
        return None;
    }
    let (_, mut fields, _) = element(body).filter(|&(tag, ..)| tag == SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // The serial number, algorithm, issuer, validity and subject stand before it.
    for _ in 0..5 {
        fields = element(fields)?.2;
    }
    let (_, info, _) = element(fields).filter(|&(tag, ..)| tag == SEQUENCE)?;
    let (_, bits, _) = element(element(info)?.2).filter(|&(tag, ..)| tag == BIT_STRING)?;
    bits.strip_prefix(&[0])
}

/// An element of DER: its tag, its body, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let len = digits.iter().fold(0u64, |len, &digit| len << 8 | u64::from(digit));
            (usize::try_from(len).ok()?, rest)
        }
        _ => return None,
    };
    let (body, rest) = rest.split_at_checked(len)?;
    Some((tag, body, rest))
}
