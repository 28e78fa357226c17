//! The little CBOR (RFC 8949) that a signature needs.

/// Appends to a CBOR text.
#[derive(Default)]
pub(super) struct Cbor(pub(super) Vec<u8>);

impl Cbor {
    /// The head of an item: its major type and its number, in the shortest form.
    fn head(&mut self, major: u8, number: u64) -> &mut Self {
        let bytes = number.to_be_bytes();
        let (info, len) = match number {
            0..24 => (number as u8, 0),
            24..0x100 => (24, 1),
            0x100..0x1_0000 => (25, 2),
            0x1_0000..0x1_0000_0000 => (26, 4),
            _ => (27, 8),
        };
        self.0.push(major << 5 | info);
        self.0.extend_from_slice(&bytes[8 - len..]);
        self
    }

    /// A number that is not negative.
    pub(super) fn unsigned(&mut self, number: u64) -> &mut Self {
        self.head(0, number)
    }

    /// The number `-1 - number`.
    pub(super) fn negative(&mut self, number: u64) -> &mut Self {
        self.head(1, number)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(2, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.head(3, text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Begins an array of `len` items.
    pub(super) fn array(&mut self, len: usize) -> &mut Self {
        self.head(4, len as u64)
    }

    /// Begins a map of `len` pairs.
    pub(super) fn map(&mut self, len: usize) -> &mut Self {
        self.head(5, len as u64)
    }

    /// An array of the bytes as numbers, as serde writes a `Vec<u8>`.
    pub(super) fn numbers(&mut self, bytes: &[u8]) -> &mut Self {
        self.array(bytes.len());
        bytes.iter().for_each(|&byte| {
            self.unsigned(byte.into());
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of RFC 8949, appendix A.
    #[test]
    fn heads_are_the_shortest() {
        let shown = |number| {
            let mut cbor = Cbor::default();
            cbor.unsigned(number);
            cbor.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(shown(23), "17");
        assert_eq!(shown(24), "1818");
        assert_eq!(shown(100), "1864");
        assert_eq!(shown(1000), "1903e8");
        assert_eq!(shown(1_000_000), "1a000f4240");
        assert_eq!(shown(1_000_000_000_000), "1b000000e8d4a51000");
        let mut cbor = Cbor::default();
        cbor.negative(99).bytes(&[1, 2, 3, 4]).text("ü").array(2).map(1);
        assert_eq!(cbor.0, [0x38, 0x63, 0x44, 1, 2, 3, 4, 0x62, 0xc3, 0xbc, 0x82, 0xa1]);
    }
}
