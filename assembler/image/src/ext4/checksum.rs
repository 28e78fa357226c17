//! CRC-32C (Castagnoli), as `metadata_csum` uses it: no inversion at the end.

/// The polynomial 0x1edc6f41, its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// For each byte, and each number of zero bytes after it, what it adds: eight bytes go in one step.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// Continues the checksum `crc` over `bytes`.
pub(super) fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    let t = &TABLES;
    let at = |word: u32, byte: u32| (word >> (8 * byte) & 0xff) as usize;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let low = crc ^ u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        let high = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
        crc = t[7][at(low, 0)]
            ^ t[6][at(low, 1)]
            ^ t[5][at(low, 2)]
            ^ t[4][at(low, 3)]
            ^ t[3][at(high, 0)]
            ^ t[2][at(high, 1)]
            ^ t[1][at(high, 2)]
            ^ t[0][at(high, 3)];
    }
    for &byte in chunks.remainder() {
        crc = crc >> 8 ^ t[0][at(crc ^ u32::from(byte), 0)];
    }
    crc
}

/// Where a volume's checksums begin: with its UUID.
pub(super) fn volume_seed(uuid: &[u8; 16]) -> u32 {
    crc32c(!0, uuid)
}

/// Where the checksums of an inode and of its blocks begin: its generation is 0.
pub(super) fn inode_seed(volume: u32, inode: u32) -> u32 {
    crc32c(crc32c(volume, &inode.to_le_bytes()), &[0; 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_in_pieces_of_every_length() {
        // RFC 3720, B.4; inverted at the end there.
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(!crc32c(!0, &[0; 32]), 0x8a91_36aa);
        let bytes: Vec<u8> = (0..32).collect();
        assert_eq!(!crc32c(!0, &bytes), 0x46dd_794e);
        for cut in 0..=bytes.len() {
            assert_eq!(!crc32c(crc32c(!0, &bytes[..cut]), &bytes[cut..]), 0x46dd_794e);
        }
    }
}
