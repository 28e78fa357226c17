//! What the fuzz targets of `stagex-inspect` share.

use stagex_inspect::{Bytes, Context, DiffOptions, Limits, Node, Options, diff, find, json, tree};

fn context() -> Context {
    let limits =
        Limits { spool: 4 << 20, entries: 2000, walk: 5000, depth: 64, nested: 4 };
    Context::new(limits, tempfile::tempfile)
}

/// Reads bytes in every way there is: as a tree, as JSON, all that can be extracted, and compared
/// with themselves changed in one place.
pub fn read(bytes: Vec<u8>) {
    let mut other = bytes.clone();
    let at = other.len() / 2;
    if let Some(byte) = other.get_mut(at) {
        *byte ^= 1;
    }
    let root = |bytes| Node::file("image", Bytes::from_vec(bytes));
    let (root, other) = (root(bytes), root(other));
    let options = Options { all: true, ..Options::default() };
    let mut text = Vec::new();
    let listed = tree(&context(), &root, options, &mut text);
    if json(&context(), &root, options, &mut Vec::new()).is_ok() != listed.is_ok() {
        panic!("listed in one form alone");
    }
    let _ = find(&context(), &root, "files/boot > a");
    let same = diff(&context(), &root, &root, &DiffOptions::default(), &mut |_| Ok(()));
    if let Ok(same) = same {
        assert_eq!(same.count, 0, "not the same as itself");
    }
    let _ = diff(&context(), &root, &other, &DiffOptions::default(), &mut |_| Ok(()));
}

/// The same with a magic number in its place, so that what is fuzzed is the reader behind it.
pub fn read_with(bytes: &[u8], at: usize, magic: &[u8]) {
    let mut bytes = bytes.to_vec();
    let end = at + magic.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(magic);
    read(bytes);
}
