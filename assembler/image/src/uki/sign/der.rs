//! The little of DER (X.690) that signatures need: values written, and values walked over.

/// The bytes of an object identifier.
pub(super) type Oid = &'static [u8];

/// Identifier octets.
pub(super) struct Tag;

impl Tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const BIT_STRING: u8 = 0x03;
    pub(super) const OCTET_STRING: u8 = 0x04;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const OID: u8 = 0x06;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
    pub(super) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
    pub(super) const CONTEXT_0: u8 = 0xa0;
    pub(super) const CONTEXT_2: u8 = 0xa2;
}

/// A value with its tag and length.
pub(super) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match value.len() {
        len @ 0..=127 => out.push(len as u8),
        len => {
            let bytes = len.to_be_bytes();
            let digits = &bytes[bytes.iter().take_while(|&&byte| byte == 0).count()..];
            out.push(0x80 | digits.len() as u8);
            out.extend(digits);
        }
    }
    out.extend(value);
    out
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(Tag::SEQUENCE, &parts.concat())
}

pub(super) fn oid(name: Oid) -> Vec<u8> {
    tlv(Tag::OID, name)
}

pub(super) fn octets(bytes: &[u8]) -> Vec<u8> {
    tlv(Tag::OCTET_STRING, bytes)
}

/// A number from 0 to 127.
pub(super) fn small_integer(value: u8) -> Vec<u8> {
    tlv(Tag::INTEGER, &[value & 0x7f])
}

/// A value that was met: its tag, its bytes with tag and length, and without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) whole: &'a [u8],
    pub(super) inner: &'a [u8],
}

/// Walks over values that stand one behind another.
pub(super) struct Walk<'a>(pub(super) &'a [u8]);

impl<'a> Walk<'a> {
    /// The next value, if a whole one is left. Lengths are those of DER: definite and shortest.
    pub(super) fn next(&mut self) -> Option<Value<'a>> {
        let bytes = self.0;
        let (&tag, rest) = bytes.split_first()?;
        // Tags of several bytes occur in nothing that is read here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (len, head) = match first {
            0..=127 => (usize::from(first), 2),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let digits = rest.get(..count)?;
                let len = digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit));
                let shortest = digits[0] != 0 && len > 127;
                if !shortest {
                    return None;
                }
                (len, 2 + count)
            }
            _ => return None,
        };
        let end = head.checked_add(len)?;
        let whole = bytes.get(..end)?;
        self.0 = &bytes[end..];
        Some(Value { tag, whole, inner: &whole[head..] })
    }

    /// The next value, if it has this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Value<'a>> {
        self.next().filter(|value| value.tag == tag)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_walked_over() {
        for len in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let inner = vec![7; len];
            let whole = [tlv(Tag::OCTET_STRING, &inner), small_integer(5)].concat();
            let mut walk = Walk(&whole);
            let first = walk.expect(Tag::OCTET_STRING).unwrap();
            assert!(first.inner == inner && first.whole == tlv(Tag::OCTET_STRING, &inner));
            assert_eq!(walk.next().map(|value| value.inner), Some(&[5][..]));
            assert_eq!(walk.next(), None);
        }
        assert_eq!(tlv(Tag::SET, &[0; 200])[..3], [0x31, 0x81, 200]);
    }

    #[test]
    fn what_is_not_der_is_not_walked_over() {
        for bytes in
            [&[0x30][..], &[0x30, 0x80, 0, 0], &[0x30, 0x81, 5, 1, 2, 3, 4, 5], &[0x30, 2, 1]]
        {
            assert_eq!(Walk(bytes).next(), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut walk = Walk(&bytes);
            while walk.next().is_some() {}
        }
    }
}
