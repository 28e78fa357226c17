//! Tars that mean harm, or were cut off: each is refused with its own error, or made harmless.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, io::Read};

use common::*;
use proptest::prelude::*;
use stagex_oci::{
    LayerError, StoreError,
    tar::{Limits, TarError, read_layer_in_memory},
};
use stagex_tree::{Kind, PathError};

/// Builds tars that no honest writer would write.
#[derive(Default)]
struct Evil(Vec<u8>);

impl Evil {
    fn header(mut self, kind: u8, name: &[u8], link: &[u8], size: &[u8]) -> Self {
        let mut block = [0_u8; 512];
        block[..name.len()].copy_from_slice(name);
        block[100..107].copy_from_slice(b"0000755");
        block[108..115].copy_from_slice(b"0000000");
        block[116..123].copy_from_slice(b"0000000");
        block[124..124 + size.len()].copy_from_slice(size);
        block[136..147].copy_from_slice(b"00000000000");
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[329..336].copy_from_slice(b"0000001");
        block[337..344].copy_from_slice(b"0000003");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    fn entry(self, kind: u8, name: &[u8], link: &[u8], bytes: &[u8]) -> Self {
        let mut this = self.header(kind, name, link, format!("{:011o}", bytes.len()).as_bytes());
        this.0.extend_from_slice(bytes);
        this.0.resize(this.0.len().next_multiple_of(512), 0);
        this
    }

    fn file(self, name: &[u8], bytes: &[u8]) -> Self {
        self.entry(b'0', name, b"", bytes)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

fn read(tar: &[u8]) -> Result<stagex_oci::LayerTree, TarError> {
    read_layer_in_memory(tar, Limits { bytes: 1 << 20, entries: 1000 }, EPOCH)
}

macro_rules! refused {
    ($tar:expr, $pattern:pat) => {
        match read(&$tar) {
            Err($pattern) => {}
            other => panic!("{other:?}"),
        }
    };
}

#[test]
fn paths_that_would_leave() {
    refused!(Evil::default().file(b"../out", b"x").end(), TarError::Path(PathError::Parent { .. }));
    refused!(Evil::default().file(b"a/../../out", b"").end(), TarError::Path(_));
    refused!(Evil::default().entry(b'1', b"l", b"../out", b"").end(), TarError::Path(_));
    refused!(Evil::default().file(b"a/.wh...", b"").end(), TarError::Path(_));
    refused!(Evil::default().file(b".wh.", b"").end(), TarError::Layer(_));
    let layer = read(&Evil::default().file(b"//etc//./passwd", b"x").end()).unwrap();
    assert!(layer.tree.get(&path("etc/passwd")).is_some());
}

#[test]
fn writing_through_links() {
    let through = Evil::default().entry(b'2', b"a", b"/etc", b"").file(b"a/passwd", b"x").end();
    match read(&through) {
        Err(error @ TarError::NotBelowDirectory { .. }) => {
            assert_eq!(
                error.to_string(),
                "/a/passwd lies below /a, which is a symbolic link and no directory"
            );
        }
        other => panic!("{other:?}"),
    }
    let tar = Evil::default().entry(b'2', b"a", b"..", b"").entry(b'5', b"a/b/c", b"", b"").end();
    refused!(tar, TarError::NotBelowDirectory { .. });
    let tar = Evil::default().file(b"a", b"").file(b"a/b", b"").end();
    refused!(tar, TarError::NotBelowDirectory { what: "a file", .. });
    let tar = Evil::default().entry(b'2', b"a", b"/etc", b"").file(b"b", b"");
    let tar = tar.entry(b'1', b"a/c", b"b", b"").end();
    refused!(tar, TarError::NotBelowDirectory { .. });
    // As data they are nobody's harm, wherever they point.
    let tar = Evil::default().entry(b'2', b"a", b"../../../etc/shadow", b"").end();
    assert!(read(&tar).unwrap().tree.get(&path("a")).is_some());
    // A directory in a link's place takes it away.
    let tar = Evil::default().entry(b'2', b"a", b"/etc", b"").entry(b'5', b"a/", b"", b"");
    let layer = read(&tar.file(b"a/f", b"x").end()).unwrap();
    assert!(layer.tree.get(&path("a")).unwrap().inode.is_directory());
}

#[test]
fn links_to_nowhere() {
    refused!(Evil::default().entry(b'1', b"l", b"gone", b"").end(), TarError::LinkToNowhere { .. });
    refused!(
        Evil::default().entry(b'1', b"l", b"later", b"").file(b"later", b"").end(),
        TarError::LinkToNowhere { .. }
    );
    refused!(
        Evil::default().entry(b'5', b"d", b"", b"").entry(b'1', b"l", b"d", b"").end(),
        TarError::LinkToDirectory { .. }
    );
    refused!(Evil::default().entry(b'1', b"l", b"l", b"").end(), TarError::LinkToNowhere { .. });
    refused!(Evil::default().entry(b'1', b"l", b"", b"").end(), TarError::LinkToDirectory { .. });
    refused!(Evil::default().entry(b'2', b"l", b"", b"").end(), TarError::Layer(_));
    refused!(Evil::default().file(b"/", b"").file(b".", b"x").end(), TarError::Root);
    refused!(Evil::default().entry(b'2', b".", b"/etc", b"").end(), TarError::Root);
    // A link in the place of the directory that holds its target keeps the target alive.
    let tar = Evil::default().file(b"d/f", b"x").entry(b'1', b"d", b"d/f", b"").end();
    let layer = read(&tar).unwrap();
    assert_eq!(layer.tree.get(&path("d")).unwrap().inode.content().unwrap().read().unwrap(), b"x");
}

#[test]
fn the_last_of_several_entries_counts() {
    let tar = Evil::default().file(b"f", b"one").file(b"./f", b"two").file(b"/f", b"three").end();
    let layer = read(&tar).unwrap();
    let read_back = layer.tree.get(&path("f")).unwrap().inode.content().unwrap().read().unwrap();
    assert_eq!(read_back, b"three");
    let tar = Evil::default().file(b"d/f", b"x").file(b"d", b"now a file").end();
    let layer = read(&tar).unwrap();
    assert!(!layer.tree.get(&path("d")).unwrap().inode.is_directory());
    assert!(!layer.implied.contains(&path("d")));
    let tar = Evil::default().file(b".wh.x", b"").file(b"x", b"back").end();
    let layer = read(&tar).unwrap();
    assert!(layer.whiteouts.is_empty() && layer.tree.get(&path("x")).is_some());
    let tar = Evil::default().file(b"x/f", b"").file(b".wh.x", b"").end();
    assert!(read(&tar).unwrap().opaque.contains(&path("x")));
}

#[test]
fn devices_and_markers() {
    let layer = read(&Evil::default().entry(b'3', b"null", b"", b"").end()).unwrap();
    assert!(matches!(layer.tree.get(&path("null")).unwrap().inode.kind, Kind::CharDevice(_)));
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path().join("s").as_path());
    let added = store.add(&layer).unwrap();
    assert_eq!(fs::read_dir(&added.root).unwrap().count(), 0);
    // Device 0:0 would be a removal to the kernel that mounts it.
    let mut tar = Evil::default().entry(b'3', b"w", b"", b"").end();
    for at in [335, 343] {
        tar[at] = b'0';
    }
    let sum: u32 = tar[..512]
        .iter()
        .enumerate()
        .map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { u32::from(byte) })
        .sum();
    tar[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    refused!(tar, TarError::Layer(LayerError::WhiteoutDevice { .. }));
    refused!(
        Evil::default().file(b".wh.d/f", b"").end(),
        TarError::Layer(LayerError::ReservedName { .. })
    );
    // Orders to overlayfs are not taken from a tar.
    let records = b"41 SCHILY.xattr.user.overlay.redirect=/x\n";
    let tar = Evil::default().entry(b'x', b"p", b"", records).entry(b'5', b"d/", b"", b"").end();
    let layer = read(&tar).unwrap();
    assert!(layer.tree.get(&path("d")).unwrap().inode.metadata.xattrs.is_empty());
}

#[test]
fn sizes_that_lie() {
    let limit = |tar: &[u8]| matches!(read(tar), Err(TarError::TooLarge { .. }));
    assert!(limit(&Evil::default().header(b'0', b"f", b"", b"77777777777").0));
    let mut huge = vec![0x80; 1];
    huge.extend_from_slice(&[0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert!(limit(&Evil::default().header(b'0', b"f", b"", &huge).0));
    huge[1] = 1;
    refused!(Evil::default().header(b'0', b"f", b"", &huge).0, TarError::Number { .. });
    refused!(Evil::default().header(b'0', b"f", b"", &[0xff; 12]).0, TarError::Number { .. });
    refused!(Evil::default().header(b'0', b"f", b"", b"12345679").0, TarError::Number { .. });
    refused!(
        Evil::default().header(b'L', b"f", b"", b"77777777777").0,
        TarError::HeaderTooLong { .. }
    );
    refused!(
        Evil::default().header(b'x', b"f", b"", b"77777777777").0,
        TarError::HeaderTooLong { .. }
    );
    let records = b"24 size=9999999999999999\n";
    let tar = Evil::default().entry(b'x', b"p", b"", &records[..24]).file(b"f", b"").end();
    refused!(tar, TarError::Pax { .. });
    let records = b"25 size=9999999999999999\n";
    assert!(limit(&Evil::default().entry(b'x', b"p", b"", records).file(b"f", b"").end()));
    let mut many = Evil::default();
    for number in 0..1001 {
        many = many.file(format!("f{number}").as_bytes(), b"");
    }
    refused!(many.end(), TarError::TooMany { .. });
    let mut bomb = Evil::default();
    for number in 0..9 {
        bomb = bomb.file(format!("f{number}").as_bytes(), &[0; 1 << 17]);
    }
    assert!(limit(&bomb.end()));
}

#[test]
fn pax_headers_that_lie() {
    for records in [
        &b"5"[..],
        b"0 a=b\n",
        b"3 a=b\n",
        b"99 path=x\n",
        b"6 a=b\n\n",
        b"6 abcd\n",
        b"-6 a=b\n",
        b"99999999999999999999999 a=b\n",
        b"10 uid=-1\n",
        b"11 uid=1.5\n",
        b"19 uid=99999999999\n",
        b"22 GNU.sparse.major=1\n",
    ] {
        let tar = Evil::default().entry(b'x', b"p", b"", records).file(b"f", b"").end();
        assert!(read(&tar).is_err(), "{}", String::from_utf8_lossy(records));
    }
    let tar = Evil::default().entry(b'x', b"p", b"", b"13 path=a\0/b\n").file(b"f", b"").end();
    refused!(tar, TarError::Path(PathError::Nul { .. }));
    let long = format!("{:04} path={}\n", 5 + 5 + 300 + 1, "n".repeat(300));
    let tar = Evil::default().entry(b'x', b"p", b"", long.as_bytes()).file(b"f", b"").end();
    refused!(tar, TarError::Path(PathError::TooLong { .. }));
    refused!(Evil::default().entry(b'S', b"f", b"", b"").end(), TarError::Unsupported { .. });
    refused!(Evil::default().entry(b'Z', b"f", b"", b"").end(), TarError::Unsupported { .. });
}

#[test]
fn names_that_are_not_utf8_are_kept() {
    let layer = read(&Evil::default().file(b"\xff\xfe/\x80", b"x").end()).unwrap();
    assert!(layer.tree.get(&path(b"\xff\xfe/\x80")).is_some());
    assert_eq!(read(&tar_of(&layer)).unwrap(), layer);
}

/// Every cut of a tar is an error, and leaves nothing in the store.
#[test]
fn cut_off_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let tar = tar_of(&everything());
    // Less than one block of zeros after the last entry is no end marker.
    for length in (0..tar.len() - 1024 + 512).step_by(97) {
        match store.import_tar(&tar[..length], Limits::default()) {
            Err(StoreError::Tar(TarError::Truncated { .. })) => {}
            other => panic!("{length}: {other:?}"),
        }
    }
    assert_eq!(store.du().unwrap().layers, 0);
    assert!(read_layer_in_memory(&tar[..], Limits::default(), EPOCH).is_ok());
    for at in [0, 200, 600] {
        let mut bad = tar.clone();
        bad[at] ^= 1;
        assert!(matches!(
            store.import_tar(&bad[..], Limits::default()),
            Err(StoreError::Tar(TarError::Checksum { .. }))
        ));
    }
}

/// A source that fails is reported as such.
#[test]
fn a_source_that_breaks() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the line is dead"))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let tar = tar_of(&everything());
    for length in [0, 700, 3000] {
        let error = store.import_tar((&tar[..length]).chain(Broken), Limits::default());
        let error = error.unwrap_err();
        assert!(error.to_string().contains("the line is dead"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes, there is an answer and no panic.
    #[test]
    fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let _ = read(&bytes);
        bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
        let _ = read(&bytes);
        let _ = stagex_oci::index::decode(&bytes, "/r".as_ref(), "/h".as_ref());
    }

    /// A real tar with some bytes changed, checksums made right again, gives an error or a layer
    /// that can be written.
    #[test]
    fn changed_bytes(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut tar = tar_of(&everything());
        for (at, byte) in changes {
            let at = at.index(tar.len());
            tar[at] = byte;
            let start = at - at % 512;
            let block = &mut tar[start..start + 512];
            if &block[257..262] == b"ustar" {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        if let Ok(layer) = read(&tar) {
            let again = tar_of(&layer);
            prop_assert_eq!(read(&again).unwrap(), layer);
        }
    }
}
