//! Identifiers derived from what they name.

use std::fmt;

use stagex_tree::Digest;

/// A GUID (RFC 9562), in the order in which it is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// Wraps the number that the 32 hexadecimal digits of a GUID make.
    pub const fn from_u128(value: u128) -> Self {
        Self(value.to_be_bytes())
    }

    /// The GUID of version 8 that names `role` within `seed`.
    pub fn derive(seed: &Digest, role: &str) -> Self {
        let digest = derive(seed, role);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The GUID that a text of the usual form means, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let dashes = [8, 13, 18, 23];
        let is_right = |(at, byte): (usize, u8)| match dashes.contains(&at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        };
        if text.len() != 36 || !text.bytes().enumerate().all(is_right) {
            return None;
        }
        u128::from_str_radix(&text.replace('-', ""), 16).ok().map(Self::from_u128)
    }

    /// The bytes as GPT and EFI store them: the first three fields little-endian.
    pub fn mixed_endian(&self) -> [u8; 16] {
        let mut bytes = self.0;
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        bytes
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The digest that names `role` within `seed`.
pub fn derive(seed: &Digest, role: &str) -> Digest {
    let mut bytes = b"stagex identity\0".to_vec();
    bytes.extend_from_slice(role.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(seed.as_bytes());
    Digest::of(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_are_written_and_stored_as_usual() {
        let esp = Guid::from_u128(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b);
        assert_eq!(esp.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert_eq!(esp.mixed_endian()[..8], [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11]);
        assert_eq!(Guid::parse("C12A7328-F81F-11D2-BA4B-00A0C93EC93B"), Some(esp));
        for wrong in
            ["", "c12a7328f81f11d2ba4b00a0c93ec93b", "+12a7328-f81f-11d2-ba4b-00a0c93ec93b"]
        {
            assert_eq!(Guid::parse(wrong), None, "{wrong}");
        }
        let seed = Digest::of(b"x");
        let text = Guid::derive(&seed, "disk").to_string();
        assert_eq!(&text[14..15], "8", "{text}");
        assert_ne!(Guid::derive(&seed, "disk"), Guid::derive(&seed, "dis"));
    }
}
