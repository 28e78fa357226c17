//! RSA keys in memory.

use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use stagex_tree::Digest;

use super::{SHA256, SignError, Signer, algorithm, der::octets, der::sequence};

/// An RSA key of 2,048 to 4,096 bits.
pub struct RsaKey(RsaKeyPair);

impl RsaKey {
    /// Reads a private key in PEM: PKCS#8 (`BEGIN PRIVATE KEY`) or PKCS#1 (`BEGIN RSA PRIVATE
    /// KEY`), not encrypted.
    pub fn from_pem(pem: &[u8]) -> Result<Self, SignError> {
        let key = match PrivateKeyDer::from_pem_slice(pem).map_err(|_| SignError::NoKey)? {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(SignError::NoKey),
        };
        key.map(Self).map_err(|error| SignError::Key { why: error.to_string() })
    }
}

impl Signer for RsaKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        // The random numbers would hide the computation from who watches it; the signature is the
        // same whatever they are.
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| SignError::Key { why: "it does not sign".to_owned() })?;
        Ok(signature)
    }
}

/// The DigestInfo of `message` (RFC 8017, 9.2): what a token pads and encrypts for a signature with
/// SHA-256, 51 bytes.
pub fn digest_info(message: &[u8]) -> Vec<u8> {
    sequence(&[&algorithm(SHA256), &octets(Digest::of(message).as_bytes())])
}
