//! Trees that are hard for one format or another, written in each, and what Linux shows of them.

use stagex_image::{
    Image, cpio,
    erofs::{self, Packing},
    ext4, fat, iso,
    squashfs::{self, Compression},
};
use stagex_tree::{Content, Entry, Tree, TreePath};

use super::{xattrs::Xattrs, *};

/// Trees that are hard for one format or another.
pub fn shapes() -> Vec<(&'static str, Tree)> {
    let mut shapes = vec![("empty", empty())];

    let mut deep = empty();
    let mut at = TreePath::root();
    for level in 0..60 {
        at = at.join(format!("d{level}")).unwrap();
        deep.insert(at.clone(), directory()).unwrap();
        deep.insert(at.join("file").unwrap(), file(format!("{level}").into_bytes())).unwrap();
    }
    shapes.push(("deep", deep));

    let mut wide = empty();
    wide.insert(path("wide"), directory()).unwrap();
    for number in 0..4000_u32 {
        let name = format!("wide/{number}-{}", "n".repeat(number as usize * 7 % 90));
        wide.insert(path(name), file(number.to_le_bytes())).unwrap();
    }
    shapes.push(("wide", wide));

    let mut names = empty();
    for byte in (1..=255_u8).filter(|byte| !b"./".contains(byte)) {
        names.insert(path([byte]), file([byte])).unwrap();
        names.insert(path([b"name ", &[byte][..], b"."].concat()), directory()).unwrap();
    }
    for (salt, part) in [&b"n"[..], b"\xff\xfe", "ü€".as_bytes()].into_iter().enumerate() {
        let mut name = part.repeat(255);
        name.truncate(255);
        names.insert(path(&name), directory()).unwrap();
        names.insert(path([&name[..], b"/", &name].concat()), file([salt as u8])).unwrap();
    }
    shapes.push(("names", names));

    let mut links = empty();
    links.insert(path("first"), file(filling(5000, 1))).unwrap();
    for folder in 0..40 {
        links.insert(path(format!("{folder}")), directory()).unwrap();
        for name in 0..75 {
            links.link(path(format!("{folder}/{name}")), &path("first")).unwrap();
        }
    }
    shapes.push(("links", links));

    let mut borders = empty();
    for log in 9..=20 {
        for len in [(1_usize << log) - 1, 1 << log, (1 << log) + 1] {
            borders.insert(path(format!("{len}")), file(filling(len, log as u8))).unwrap();
        }
    }
    borders.insert(path("0"), file([])).unwrap();
    borders.insert(path("1"), file([7])).unwrap();
    shapes.push(("borders", borders));

    let mut holes = empty();
    for (name, pieces) in [
        ("all", &[(false, 1 << 20)][..]),
        ("first", &[(false, 300_000), (true, 10)]),
        ("last", &[(true, 5000), (false, 300_000)]),
        ("middle", &[(true, 4096), (false, 1 << 18), (true, 4096)]),
        ("many", &[(true, 4096), (false, 1 << 17)].repeat(30)),
    ] {
        let bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|&(data, len)| if data { filling(len, 3) } else { vec![0; len] })
            .collect();
        holes.insert(path(name), file(bytes)).unwrap();
    }
    shapes.push(("holes", holes));

    let mut xattrs = empty();
    for number in 0..50_usize {
        let mut inode = if number % 3 == 0 { directory() } else { file(filling(number * 100, 5)) };
        for name in 0..number {
            let value = filling(name * 3 % 60, if name % 2 == 0 { 0 } else { number as u8 });
            let space = ["user", "trusted", "security"][name % 3];
            inode
                .metadata
                .xattrs
                .insert(format!("{space}.n{name}").into_bytes().into(), value.into());
        }
        xattrs.insert(path(format!("{number}")), inode).unwrap();
    }
    shapes.push(("xattrs", xattrs));

    shapes.push(("lists", with_lists()));
    shapes
}

/// Writes a tree in a format; why not, where the format cannot hold it.
pub fn image(format: &str, tree: &Tree) -> Result<Vec<u8>, String> {
    fn done<E: std::fmt::Display>(laid: Result<impl Image, E>) -> Result<Vec<u8>, String> {
        laid.map(|image| bytes(&image)).map_err(|error| error.to_string())
    }
    let squashfs = |compression| {
        let params = squashfs::Params::new(EPOCH, std::env::temp_dir());
        let tail_ends = format == "squashfs-ends";
        done(squashfs::layout(tree, &squashfs::Params { compression, tail_ends, ..params }))
    };
    let erofs = |packing: Option<Packing>| {
        let params = erofs::Params { packing, ..erofs::Params::new(EPOCH) };
        done(erofs::layout(tree, &params))
    };
    let packing = |compression| Packing::new(compression, std::env::temp_dir());
    let fat =
        |width| done(fat::layout(tree, &fat::Params { epoch: EPOCH, width, ..Default::default() }));
    match format {
        "cpio" => done(cpio::layout(tree, &cpio::Params::default())),
        "ext4" => done(ext4::layout(tree, &ext4::Params::new("shapes", EPOCH))),
        "ext4-1k" => {
            let params = ext4::Params { block: 1024, ..ext4::Params::new("shapes", EPOCH) };
            done(ext4::layout(tree, &params))
        }
        "erofs" => erofs(None),
        "erofs-lz4" => erofs(Some(packing(erofs::Compression::Lz4))),
        "erofs-zstd" => {
            let packing = packing(erofs::Compression::Zstd { level: 3 });
            erofs(Some(Packing { cluster: 1 << 16, ..packing }))
        }
        "squashfs" | "squashfs-ends" => squashfs(Compression::Zstd { level: 3 }),
        "squashfs-gzip" => squashfs(Compression::Gzip { level: 9 }),
        "squashfs-lz4" => squashfs(Compression::Lz4),
        "squashfs-xz" => squashfs(Compression::Xz { preset: 1 }),
        "iso" => done(iso::layout(tree, &iso::Params::new("SHAPES", EPOCH))),
        "iso-joliet" => {
            let params = iso::Params { joliet: true, ..iso::Params::new("SHAPES", EPOCH) };
            done(iso::layout(tree, &params))
        }
        "fat12" => fat(fat::Width::Fat12),
        "fat16" => fat(fat::Width::Fat16),
        "fat32" => fat(fat::Width::Fat32),
        other => panic!("{other} is no format"),
    }
}

/// An access control list as Linux shows it: tag, permissions and whom it is about, by entry.
pub fn access_list(entries: &[(u16, u16, u32)]) -> Box<[u8]> {
    let mut out = vec![2, 0, 0, 0];
    for (tag, permissions, id) in entries {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&permissions.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    out.into()
}

/// Whom an entry is about that is about nobody in particular.
pub const NOBODY: u32 = u32::MAX;

/// A tree with access control lists, of files, and of directories for what will be made in them.
fn with_lists() -> Tree {
    let mut tree = empty();
    for number in 0..20_u32 {
        let mut list = vec![(1, 6, NOBODY)];
        list.extend((0..number).map(|user| (2, 4, 1000 + user)));
        list.push((4, 4, NOBODY));
        list.extend((0..number % 5).map(|group| (8, 6, 70_000 + group)));
        // The mask of the list is what the mode shows of the group.
        list.extend([(0x10, 6, NOBODY), (0x20, 0, NOBODY)]);
        let list = access_list(&list);
        let mut inode = if number % 2 == 0 { directory() } else { file(filling(100, 1)) };
        inode.metadata.mode = 0o660;
        let xattrs = &mut inode.metadata.xattrs;
        if number % 4 == 0 {
            xattrs.insert((*b"system.posix_acl_default").into(), list.clone());
        }
        xattrs.insert((*b"system.posix_acl_access").into(), list);
        tree.insert(path(format!("{number}")), inode).unwrap();
    }
    tree
}

/// The type by which Linux mounts a format, and with what options.
pub fn mounted_as(format: &str) -> Option<(&'static str, &'static str)> {
    Some(match format.split('-').next().unwrap() {
        "ext4" => ("ext4", "ro"),
        "erofs" => ("erofs", "ro"),
        "squashfs" => ("squashfs", "ro"),
        "iso" => ("iso9660", "ro"),
        "fat12" | "fat16" | "fat32" => ("vfat", "ro,utf8,tz=UTC"),
        _ => return None,
    })
}

/// Compares a tree that Linux shows, with its extended attributes, with the one that was written.
pub fn assert_shown(what: &str, kind: &str, mut found: Tree, tree: &Tree) {
    match kind {
        "ext4" => found.remove(&path("lost+found")).unwrap(),
        "vfat" => {
            // Neither owners nor modes, and times in steps of two seconds; none of the root.
            type Held = (TreePath, Option<Content>, i64);
            let held = |entry: Entry<'_>| -> Held {
                let at_root = entry.path.is_root();
                let mtime = if at_root { 0 } else { entry.inode.metadata.mtime & !1 };
                (entry.path.clone(), entry.inode.content().cloned(), mtime)
            };
            let held = |tree: &Tree| -> Vec<Held> { tree.iter().map(held).collect() };
            return assert!(held(&found) == held(tree), "{what}");
        }
        // Linux gives each name of a hard-linked file of an ISO an inode of its own.
        "iso9660" => return assert_same(&found, &unlinked(tree)),
        _ => {}
    }
    assert_same(&found, tree);
    let xattrs = |tree: &Tree| -> Vec<(TreePath, Xattrs)> {
        tree.iter().map(|e| (e.path.clone(), e.inode.metadata.xattrs.clone())).collect()
    };
    assert!(xattrs(&found) == xattrs(tree), "{what}: the extended attributes");
}

/// The tree without hard links: each name a file of its own.
fn unlinked(tree: &Tree) -> Tree {
    let mut out = Tree::new();
    for entry in tree.iter() {
        if entry.path.is_root() {
            *out.metadata_mut(entry.path).unwrap() = entry.inode.metadata.clone();
        } else {
            out.insert(entry.path.clone(), entry.inode.clone()).unwrap();
        }
    }
    out
}
