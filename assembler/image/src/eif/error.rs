use std::io;

/// Why there is no such enclave image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line holds a NUL.
    #[error("the command line holds a NUL at byte {offset}")]
    CmdlineNul {
        /// Bytes before it.
        offset: usize,
    },
    /// The kernel would cut the command line off.
    #[error("the command line has {len} bytes, and the kernel reads no more than {max}")]
    CmdlineTooLong {
        /// Its length in bytes.
        len: usize,
        /// The most in bytes.
        max: usize,
    },
    /// An enclave cannot boot without a ramdisk.
    #[error("an enclave image needs a ramdisk")]
    NoRamdisk,
    /// A ramdisk that holds nothing.
    #[error("ramdisk {number} is empty")]
    EmptyRamdisk {
        /// Its number, from 0.
        number: usize,
    },
    /// The header has no room for so many sections.
    #[error("{count} ramdisks are too many: at most {max} fit beside the other sections")]
    TooManyRamdisks {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A kernel that Nitro does not boot.
    #[error("the kernel is not {expected}, as the enclave needs it")]
    Kernel {
        /// What it must be.
        expected: &'static str,
    },
    /// More than 64 bits can count.
    #[error("the parts are too large together")]
    TooLarge,
    /// The time of building has no four-digit year.
    #[error("the time of building, {seconds} seconds after 1970, is not in the years 0 to 9999")]
    BuildTime {
        /// Seconds since 1970.
        seconds: i64,
    },
    /// The metadata of one's own is not JSON.
    #[error("the custom metadata is not JSON")]
    CustomMetadata {
        /// Why not.
        source: serde_json::Error,
    },
    /// AWS's tools refuse metadata of one's own that is larger.
    #[error("the custom metadata has {len} bytes, of which at most {max} are allowed")]
    CustomMetadataTooLarge {
        /// Its length in bytes.
        len: usize,
        /// The most in bytes.
        max: usize,
    },
    /// A part could not be read.
    #[error("cannot read the {part}")]
    Read {
        /// Which part.
        part: String,
        /// Why not.
        source: io::Error,
    },
}

/// Why a key and a certificate cannot sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The text holds no private key.
    #[error(
        "no private key was found: a PEM block \"EC PRIVATE KEY\" or \"PRIVATE KEY\" is expected"
    )]
    NoKey,
    /// The private key is protected by a passphrase.
    #[error("the private key is encrypted; decrypt it first, as with `openssl pkey`")]
    EncryptedKey,
    /// The private key is not one of the curve P-384.
    #[error(
        "the private key is not one of the curve P-384 (secp384r1), which signs enclave images"
    )]
    Key,
    /// The text holds no certificate.
    #[error("no certificate was found: a PEM block \"CERTIFICATE\" is expected")]
    NoCertificate,
    /// The certificate is damaged.
    #[error("the certificate cannot be read: it is not X.509 in PEM")]
    Certificate,
    /// The certificate is for another key.
    #[error("the certificate is not one of this private key")]
    OtherKey,
}
