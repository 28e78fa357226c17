//! The registers that measure an enclave.

use std::fmt;

use sha2::{Digest as _, Sha384};

/// What a platform configuration register holds: a SHA-384.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pcr(pub [u8; 48]);

impl Pcr {
    /// A register of zeros, extended by what was hashed.
    pub(super) fn extend(hash: Sha384) -> Self {
        Self(Sha384::new().chain_update([0; 48]).chain_update(hash.finalize()).finalize().into())
    }
}

impl fmt::Display for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The registers of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcrs {
    /// Kernel, command line and all ramdisks.
    pub pcr0: Pcr,
    /// Kernel, command line and the first ramdisk.
    pub pcr1: Pcr,
    /// All ramdisks but the first.
    pub pcr2: Pcr,
    /// The signing certificate, if there is one.
    pub pcr8: Option<Pcr>,
}

impl Pcrs {
    /// The registers as JSON text, in the form in which `nitro-cli` prints them.
    pub fn to_json(&self) -> String {
        let mut lines = vec![
            "    \"HashAlgorithm\": \"Sha384 { ... }\"".to_owned(),
            format!("    \"PCR0\": \"{}\"", self.pcr0),
            format!("    \"PCR1\": \"{}\"", self.pcr1),
            format!("    \"PCR2\": \"{}\"", self.pcr2),
        ];
        lines.extend(self.pcr8.map(|pcr8| format!("    \"PCR8\": \"{pcr8}\"")));
        format!("{{\n  \"Measurements\": {{\n{}\n  }}\n}}\n", lines.join(",\n"))
    }
}
