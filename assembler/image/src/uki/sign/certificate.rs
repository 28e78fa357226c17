//! X.509 certificates (RFC 5280), as far as a signature names them.

use std::ops::Range;

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    RSA_ENCRYPTION, SignError,
    der::{Tag, Value, Walk},
};

/// The fewest bits of an RSA key that Secure Boot takes.
const BITS_MIN: usize = 2048;

/// A certificate of an RSA key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    serial: Range<usize>,
    issuer: Range<usize>,
    public_key: Range<usize>,
}

impl Certificate {
    /// Reads a certificate in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, SignError> {
        let bad = |what| SignError::Certificate { what };
        let mut walk = Walk(der);
        let whole = walk.expect(Tag::SEQUENCE).ok_or(bad("it is not DER"))?;
        if !walk.0.is_empty() {
            return Err(bad("bytes follow it"));
        }
        let signed = Walk(whole.inner).expect(Tag::SEQUENCE).ok_or(bad("it has no body"))?;
        let mut walk = Walk(signed.inner);
        let mut field = |what| walk.next().ok_or(bad(what));
        let mut first = field("it has no serial number")?;
        // The version comes first, if it is not the oldest.
        if first.tag == Tag::CONTEXT_0 {
            first = field("it has no serial number")?;
        }
        let serial = first;
        field("it has no signature algorithm")?;
        let issuer = field("it has no issuer")?;
        field("it has no validity")?;
        field("it has no subject")?;
        let key = field("it has no public key")?;
        if serial.tag != Tag::INTEGER || issuer.tag != Tag::SEQUENCE || key.tag != Tag::SEQUENCE {
            return Err(bad("its fields are not in order"));
        }
        let public_key = rsa_key(key).ok_or(SignError::Algorithm)?;
        let place = |part: &[u8]| {
            let start = part.as_ptr() as usize - der.as_ptr() as usize;
            start..start + part.len()
        };
        Ok(Self {
            der: der.to_vec(),
            serial: place(serial.whole),
            issuer: place(issuer.whole),
            public_key: place(public_key),
        })
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) fn serial(&self) -> &[u8] {
        &self.der[self.serial.clone()]
    }

    pub(super) fn issuer(&self) -> &[u8] {
        &self.der[self.issuer.clone()]
    }

    /// Checks that `signature` of `message` is one of its key.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignError> {
        let key = &self.der[self.public_key.clone()];
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(message, signature)
            .map_err(|_| SignError::Mismatch)
    }
}

/// The RSAPublicKey (RFC 8017, A.1.1) of a SubjectPublicKeyInfo, if it is one of enough bits.
fn rsa_key<'a>(info: Value<'a>) -> Option<&'a [u8]> {
    let mut walk = Walk(info.inner);
    let algorithm = walk.expect(Tag::SEQUENCE)?;
    let name = Walk(algorithm.inner).expect(Tag::OID)?;
    let (unused, key) = walk.expect(Tag::BIT_STRING)?.inner.split_first()?;
    let modulus = Walk(Walk(key).expect(Tag::SEQUENCE)?.inner).expect(Tag::INTEGER)?;
    let zeros = modulus.inner.iter().take_while(|&&byte| byte == 0).count();
    let digits = &modulus.inner[zeros..];
    let bits = digits.len() * 8 - digits.first()?.leading_zeros() as usize;
    (name.inner == RSA_ENCRYPTION && *unused == 0 && bits >= BITS_MIN).then_some(key)
}

/// The certificate of the key that signs, and others that lead from it to one that firmware knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates(Vec<Certificate>);

impl Certificates {
    /// Reads one certificate in DER, or one or more in PEM, the signer's first.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignError> {
        if bytes.first() == Some(&Tag::SEQUENCE) {
            return Ok(Self(vec![Certificate::from_der(bytes)?]));
        }
        let mut all = Vec::new();
        for found in CertificateDer::pem_slice_iter(bytes) {
            let der = found.map_err(|_| SignError::Certificate { what: "its PEM is damaged" })?;
            all.push(Certificate::from_der(&der)?);
        }
        if all.is_empty() {
            return Err(SignError::NoCertificate);
        }
        Ok(Self(all))
    }

    /// The certificate of the key that signs.
    pub fn signer(&self) -> &Certificate {
        // There is at least one.
        &self.0[0]
    }

    /// All of them, one behind another.
    pub(super) fn all(&self) -> Vec<u8> {
        self.0.iter().flat_map(|certificate| certificate.der.iter().copied()).collect()
    }
}
