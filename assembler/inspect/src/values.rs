//! Numbers and text as formats write them.

/// A little-endian number of up to eight bytes; 0 where there are none.
pub(crate) fn le(bytes: &[u8], offset: usize, size: usize) -> u64 {
    let end = offset.saturating_add(size);
    let bytes = bytes.get(offset..end).unwrap_or(&[]);
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A big-endian number of up to eight bytes; 0 where there are none.
pub(crate) fn be(bytes: &[u8], offset: usize, size: usize) -> u64 {
    let end = offset.saturating_add(size);
    let bytes = bytes.get(offset..end).unwrap_or(&[]);
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Text of UTF-16 in little-endian order up to a NUL.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

/// Text up to a NUL, without spaces behind it.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
}

/// A GUID as it is written, from the mixed order of bytes of EFI.
pub(crate) fn guid(bytes: &[u8]) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        le(bytes, 0, 4),
        le(bytes, 4, 2),
        le(bytes, 6, 2),
        be(bytes, 8, 2),
        be(bytes, 10, 6)
    )
}

/// A UUID as it is written, from its plain order of bytes.
pub(crate) fn uuid(bytes: &[u8]) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        be(bytes, 0, 4),
        be(bytes, 4, 2),
        be(bytes, 6, 2),
        be(bytes, 8, 2),
        be(bytes, 10, 6)
    )
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// CRC-32C (Castagnoli) as file systems use it: without the final inversion.
pub(crate) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    bytes.iter().fold(crc, |crc, byte| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

/// A device's numbers from the 32 bits in which Linux packs them.
pub(crate) fn device(packed: u64) -> (u32, u32) {
    let packed = packed as u32;
    (packed >> 8 & 0xfff, packed & 0xff | packed >> 12 & 0xf_ff00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // RFC 3720, B.4; inverted at the end there.
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(device(0x501), (5, 1));
        assert_eq!(device(0xffff_ffff), (0xfff, 0xf_ffff));
    }
}
