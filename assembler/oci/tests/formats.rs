//! Others read what we write, and we read what others write.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use common::*;
use stagex_oci::{
    Image, ImageConfig, LayerTree, LayoutError, Select, Store, read_layout,
    tar::{Limits, read_layer_in_memory},
    write_archive, write_layout,
};
use stagex_tree::{Digest, Inode, Kind, Metadata};

/// What a layer's tar says, a line for each entry, in the words of Python's tarfile.
fn lines(layer: &LayerTree) -> Vec<String> {
    let mut first = BTreeMap::new();
    let mut lines = Vec::new();
    for entry in layer.tree.iter() {
        if !layer.implied.contains(entry.path) {
            let target = first.entry(entry.id).or_insert(entry.path);
            let metadata = &entry.inode.metadata;
            let mut xattrs = metadata.xattrs.clone();
            let (kind, size, link) = match &entry.inode.kind {
                _ if *target != entry.path => {
                    xattrs.clear();
                    ("1", 0, target.as_bytes())
                }
                Kind::File(content) => ("0", content.len(), &b""[..]),
                Kind::Symlink(target) => ("2", 0, &**target),
                Kind::CharDevice(_) => ("3", 0, &b""[..]),
                Kind::BlockDevice(_) => ("4", 0, &b""[..]),
                Kind::Directory => ("5", 0, &b""[..]),
                Kind::Fifo => ("6", 0, &b""[..]),
                Kind::Socket => unreachable!(),
            };
            let digest = match &entry.inode.kind {
                Kind::File(content) if kind == "0" => content.digest().unwrap().hex(),
                _ => String::new(),
            };
            let device = match &entry.inode.kind {
                Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                    format!("{}:{}", device.major, device.minor)
                }
                _ => "0:0".into(),
            };
            let xattrs: Vec<String> = xattrs
                .iter()
                .map(|(name, value)| format!("{}={}", hex(name), hex(value)))
                .collect();
            lines.push(format!(
                "{} {kind} {:o} {} {} {size} {EPOCH} {} {device} {digest} {}",
                hex(entry.path.as_bytes()),
                metadata.mode,
                metadata.uid,
                metadata.gid,
                hex(link),
                xattrs.join(",")
            ));
        }
        let mut marker = |name: &[u8]| {
            let separator: &[u8] = if entry.path.is_root() { b"" } else { b"/" };
            let name = [entry.path.as_bytes(), separator, name].concat();
            let empty = Digest::of("").hex();
            lines.push(format!("{} 0 644 0 0 0 {EPOCH}  0:0 {empty} ", hex(&name)));
        };
        if layer.opaque.contains(entry.path) {
            marker(b".wh..wh..opq");
        }
        for gone in layer.whiteouts.iter().filter(|gone| gone.parent().as_ref() == Some(entry.path))
        {
            marker(&[b".wh.", gone.name()].concat());
        }
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const READ_WITH_PYTHON: &str = r#"
import hashlib, sys, tarfile
h = lambda text: text.encode("utf-8", "surrogateescape").hex()
with tarfile.open(sys.argv[1], "r:", encoding="utf-8", errors="surrogateescape") as tar:
    for m in tar:
        digest = hashlib.sha256(tar.extractfile(m).read()).hexdigest() if m.type == b"0" else ""
        prefix = "SCHILY.xattr."
        x = [(k[len(prefix):], v) for k, v in m.pax_headers.items() if k.startswith(prefix)]
        x = ",".join(f"{h(k)}={h(v)}" for k, v in sorted(x))
        assert m.uname == "" and m.gname == ""
        print(h(m.name), m.type.decode(), f"{m.mode:o}", m.uid, m.gid, m.size, int(m.mtime),
              h(m.linkname), f"{m.devmajor}:{m.devminor}", digest, x)
"#;

#[test]
fn python_reads_every_entry_as_it_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let tar = folder.path().join("t.tar");
    let mut layer = everything();
    layer.settle(EPOCH).unwrap();
    fs::write(&tar, tar_of(&layer)).unwrap();
    let output = run("python3", &["-c", READ_WITH_PYTHON, tar.to_str().unwrap()]);
    let found: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(found, lines(&layer));
}

/// Anybody with GNU tar can check a layer's name: where ustar can hold all, the bytes are the same.
#[test]
fn gnu_tar_writes_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let mut layer = LayerTree::new();
    for (name, inode) in [
        ("a-", file(0o644, "x")),
        ("a", directory(0o755)),
        ("a/b", file(0o4711, vec![9; 5000])),
        ("b", directory(0o1777)),
        ("b/fifo", Inode { kind: Kind::Fifo, metadata: Metadata::new(0o600) }),
        ("link", symlink("a/b")),
        ("namé", file(0o600, "")),
    ] {
        layer.insert(path(name), inode).unwrap();
    }
    layer.link(path("c"), &path("a/b")).unwrap();
    let long = path(["l".repeat(99), "m".repeat(55), "n".repeat(99)].join("/"));
    for above in std::iter::successors(long.parent(), |path| path.parent()) {
        layer.insert(above, directory(0o755)).unwrap();
    }
    layer.implied.insert(path(""));
    layer.insert(long, file(0o644, "long")).unwrap();
    let added = store.add(&layer).unwrap();
    let mtime = format!("--mtime=@{EPOCH}");
    let names = ["a", "a-", "b", "c", "link", &"l".repeat(99), "namé"];
    let mut all = vec!["--format=ustar", "--sort=name", "-b1", "--numeric-owner", &mtime];
    all.extend(["--owner=0", "--group=0", "-c", "-C", added.root.to_str().unwrap()]);
    let mut sorted = names;
    sorted.sort_unstable();
    all.extend(sorted);
    let output = run("tar", &all);
    let ours = store.write_tar(&added.digest, Vec::new()).unwrap();
    let differing = ours.iter().zip(&output.stdout).position(|(a, b)| a != b);
    assert_eq!(differing, None);
    assert_eq!(Digest::of(output.stdout), added.digest);
}

/// What a program unpacked, packed by ourselves, is what we packed before.
fn unpacked_again(program: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut layer = everything();
    // What takes privileges to unpack, or is no file, is for the other tests.
    for name in ["dev", "capable", "a/big-ids", "a/setuid"] {
        layer.tree.remove(&path(name)).unwrap();
    }
    layer.whiteouts.clear();
    layer.opaque.clear();
    layer.settle(EPOCH).unwrap();
    let tar = folder.path().join("t.tar");
    fs::write(&tar, tar_of(&layer)).unwrap();
    let store = open(&folder.path().join("store"));
    let scratch = store.scratch().unwrap();
    let out = scratch.path().join("out");
    fs::create_dir(&out).unwrap();
    let mut all = vec!["-x", "-f", tar.to_str().unwrap(), "-C", out.to_str().unwrap()];
    all.extend(arguments);
    run(program, &all);
    let adopt = stagex_oci::Adopt { owner: stagex_oci::Owner::ROOT, lower: &[] };
    let adopted = store.adopt(&out, adopt).unwrap();
    let mut found = store.load(&adopted.digest).unwrap();
    // They made the directories that the tar only implied.
    found.implied = layer.implied.clone();
    found.settle(EPOCH).unwrap();
    assert_eq!(lines(&found), lines(&layer));
}

#[test]
fn gnu_tar_unpacks_what_was_packed() {
    unpacked_again("tar", &["-p", "--xattrs", "--xattrs-include=*", "--numeric-owner"]);
}

#[test]
fn bsdtar_unpacks_what_was_packed() {
    unpacked_again("bsdtar", &["-p", "--xattrs", "--numeric-owner"]);
}

/// Every dialect that GNU tar, bsdtar and Python write gives the same layer.
#[test]
fn dialects_of_others_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let mut layer = LayerTree::new();
    let long = [&b"long"[..], &[b'n'; 140], &[b'm'; 150]].join(&b'/');
    layer.insert(path(&long), file(0o600, "long")).unwrap();
    layer.insert(path("d"), directory(0o750)).unwrap();
    layer.insert(path("d/f"), file(0o640, "f")).unwrap();
    layer.insert(path("d/l"), symlink(&"t".repeat(140))).unwrap();
    layer.insert(path("big"), file(0o644, vec![7; 100_000])).unwrap();
    layer.link(path("also"), &path("big")).unwrap();
    for above in ["long".into(), format!("long/{}", "n".repeat(140))] {
        layer.insert(path(above), directory(0o755)).unwrap();
    }
    let added = store.add(&layer).unwrap();
    let out = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let root = added.root.to_str().unwrap();
    let (gnu, pax) = (out("gnu.tar"), out("pax.tar"));
    let owner = ["--owner=0", "--group=0", "--numeric-owner"];
    for (format, name) in [("--format=gnu", &gnu), ("--format=pax", &pax)] {
        let mut all = vec![format, "-c", "-f", name, "-C", root];
        all.extend(owner);
        all.extend(["also", "big", "d", "long"]);
        run("tar", &all);
    }
    let bsd = out("bsd.tar");
    let all = ["--format=pax", "--uid=0", "--gid=0", "-c", "-f", &bsd, "-C", root];
    run("bsdtar", &[&all[..], &["long", "d", "big", "also"]].concat());
    let python = out("python.tar");
    let script = "import sys, tarfile\n\
        def own(m): m.uid = m.gid = 0; m.uname = m.gname = ''; return m\n\
        with tarfile.open(sys.argv[1], 'w', format=tarfile.GNU_FORMAT) as t:\n \
        [t.add(sys.argv[2] + '/' + n, n, filter=own) for n in ('big', 'long', 'd', 'also')]\n";
    run("python3", &["-c", script, &python, root]);
    for name in [gnu, pax, bsd, python] {
        let tar = fs::File::open(&name).unwrap();
        let imported = store.import_tar(tar, Limits::default()).unwrap();
        assert_eq!(imported.digest, added.digest, "{name}");
    }
    let sparse = out("sparse.tar");
    let hole = folder.path().join("hole");
    fs::File::create(&hole).unwrap().set_len(1 << 20).unwrap();
    let parent = folder.path().to_str().unwrap();
    run("tar", &["-c", "--sparse", "-f", &sparse, "-C", parent, "hole"]);
    let error = read_layer_in_memory(&fs::read(sparse).unwrap()[..], Limits::default(), EPOCH);
    assert!(error.unwrap_err().to_string().contains("sparse"));
}

fn images(store: &Store) -> Vec<Image> {
    let mut base = LayerTree::new();
    base.insert(path("etc/base"), file(0o644, "base")).unwrap();
    base.insert(path("etc/gone"), file(0o644, "gone")).unwrap();
    let base = store.add(&base).unwrap();
    let mut top = LayerTree::new();
    top.insert(path("hello"), owned(file(0o755, "hello"), 5, 6)).unwrap();
    top.whiteouts.insert(path("etc/gone"));
    let top = store.add(&top).unwrap();
    ["amd64", "arm64"]
        .map(|architecture| Image {
            layers: vec![base.digest, top.digest],
            config: ImageConfig {
                env: vec!["PATH=/bin".into(), "A=b c".into()],
                entrypoint: vec!["/hello".into()],
                workdir: "/etc".into(),
                labels: BTreeMap::from([("name".into(), "value \"quoted\"".into())]),
                architecture: architecture.into(),
                os: "linux".into(),
                ..ImageConfig::default()
            },
        })
        .into()
}

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

#[test]
fn skopeo_agrees_on_the_digest_and_on_every_blob() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let images = images(&store);
    let out = folder.path().join("out/image");
    let digest = write_layout(&store, &images[..1], &out, "1.0", &none()).unwrap();
    assert_eq!(store.image_digest(&images[0]).unwrap(), digest);
    let reference = format!("oci:{}:1.0", out.display());
    let shown = run("skopeo", &["inspect", &reference]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["Digest"], format!("sha256:{digest}"));
    assert_eq!(shown["Architecture"], "amd64");
    assert_eq!(shown["Created"], "2023-11-14T22:13:20Z");
    assert_eq!(shown["Labels"]["name"], "value \"quoted\"");
    assert_eq!(shown["Layers"].as_array().unwrap().len(), 2);
    // Skopeo checks every blob that it copies; the copy comes back into the store as it was.
    let copy = folder.path().join("copy");
    let target = format!("oci:{}:1.0", copy.display());
    let policy = ["--insecure-policy", "copy", "--dest-compress"];
    run("skopeo", &[&policy[..], &["--dest-compress-format=zstd", &reference, &target]].concat());
    for compressed in [&copy, &out] {
        let other = open(&folder.path().join(format!("other-{}", compressed == &copy)));
        let select = Select { reference: Some("1.0"), architecture: Some("amd64") };
        let image = read_layout(&other, compressed, select, Limits::default()).unwrap();
        assert_eq!(image, images[0]);
    }
    let copy = folder.path().join("gzip");
    let target = format!("oci:{}:1.0", copy.display());
    run("skopeo", &[&policy[..], &[&reference, &target]].concat());
    let other = open(&folder.path().join("other-gzip"));
    let image = read_layout(&other, &copy, Select::default(), Limits::default()).unwrap();
    assert_eq!(image, images[0]);
}

#[test]
fn an_archive_holds_what_the_layout_holds_and_skopeo_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let images = images(&store);
    let notes = BTreeMap::from([("org.stagex.unbootstrapped".to_owned(), "debian".to_owned())]);
    let layout = folder.path().join("layout");
    let digest = write_layout(&store, &images, &layout, "box:1.0", &notes).unwrap();
    let archive = folder.path().join("box.oci");
    let mut out = fs::File::create(&archive).unwrap();
    assert_eq!(write_archive(&store, &images, &mut out, "box:1.0", &notes).unwrap(), digest);
    // It is what tar makes of the folder.
    let make = "cd layout && tar --format=ustar --sort=name -b1 --numeric-owner --owner=0 --group=0 \
                --mode=u=rwX,go=rX --mtime=@1700000000 -cf - blobs index.json oci-layout";
    let theirs = Command::new("sh").args(["-c", make]).current_dir(folder.path()).output().unwrap();
    assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
    assert!(fs::read(&archive).unwrap() == theirs.stdout);
    let reference = format!("oci-archive:{}:box:1.0", archive.display());
    for architecture in ["amd64", "arm64"] {
        let select = format!("--override-arch={architecture}");
        let shown = run("skopeo", &[&select, "inspect", &reference]);
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["Architecture"], architecture);
        assert_eq!(shown["Layers"].as_array().unwrap().len(), 2);
    }
    // A layer that is not what it was is no part of an archive.
    let image = &images[..1];
    let root = store.layer(&image[0].layers[0]).unwrap().root;
    let file = root.join("etc/base");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "BASE").unwrap();
    let error = write_archive(&store, image, &mut Vec::new(), "x", &none()).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
}

#[test]
fn a_layout_of_several_platforms() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let images = images(&store);
    let out = folder.path().join("image");
    let digest = write_layout(&store, &images, &out, "latest", &none()).unwrap();
    for (image, architecture) in images.iter().zip(["amd64", "arm64"]) {
        let reference = format!("oci:{}:latest", out.display());
        let select = format!("--override-arch={architecture}");
        let shown = run("skopeo", &[&select, "inspect", "--config", &reference]);
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["architecture"], architecture);
        let select = Select { architecture: Some(architecture), ..Select::default() };
        assert_eq!(&read_layout(&store, &out, select, Limits::default()).unwrap(), image);
    }
    let error = read_layout(&store, &out, Select::default(), Limits::default()).unwrap_err();
    assert!(matches!(error, LayoutError::Select { count: 2, .. }), "{error}");
    // Again it is the same, and replaces whatever stood there.
    let before = fs::metadata(out.join("index.json")).unwrap().modified().unwrap();
    assert_eq!(write_layout(&store, &images, &out, "latest", &none()).unwrap(), digest);
    assert_eq!(fs::metadata(out.join("index.json")).unwrap().modified().unwrap(), before);
    let single = write_layout(&store, &images[..1], &out, "latest", &none()).unwrap();
    assert_ne!(single, digest);
    assert_eq!(fs::read_dir(out.join("blobs/sha256")).unwrap().count(), 4);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let noted = BTreeMap::from([("note".to_owned(), "x".to_owned())]);
    assert_eq!(write_layout(&store, &images[..1], &out, "latest", &noted).unwrap(), single);
    assert!(fs::read_to_string(out.join("index.json")).unwrap().contains("\"note\":\"x\""));
    assert!(matches!(write_layout(&store, &[], &out, "", &none()), Err(LayoutError::NoImage)));
}

#[test]
fn layouts_written_to_one_place_at_the_same_time_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let images = images(&store);
    let out = folder.path().join("out/image");
    let start = std::sync::Barrier::new(4);
    for round in 0..25 {
        // Every other round begins with a place that is taken.
        if round % 2 == 0 {
            std::fs::remove_dir_all(folder.path().join("out")).ok();
        }
        std::thread::scope(|scope| {
            for name in 0..4 {
                let (store, images, out, start) = (&store, &images, &out, &start);
                scope.spawn(move || {
                    start.wait();
                    let name = format!("{round}-{name}");
                    write_layout(store, &images[..1], out, &name, &none()).unwrap();
                });
            }
        });
        let index = std::fs::read_to_string(out.join("index.json")).unwrap();
        assert!(index.contains(&format!("{round}-")), "{index}");
        // Nothing is left beside it.
        assert_eq!(std::fs::read_dir(folder.path().join("out")).unwrap().count(), 1);
    }
}

#[test]
fn podman_loads_it_and_sees_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let out = folder.path().join("image");
    write_layout(&store, &images(&store)[..1], &out, "1.0", &none()).unwrap();
    let root = folder.path().join("podman");
    let podman = |arguments: &[&str]| {
        let output = Command::new("podman")
            .args(["--root", root.to_str().unwrap(), "--storage-driver=vfs"])
            .args(arguments)
            // It makes the image's name of the path, which must be in lower case.
            .current_dir(folder.path())
            .output()
            .expect("this test needs the program 'podman'");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let image = podman(&["pull", "-q", "oci:image:1.0"]);
    assert_eq!(podman(&["inspect", "--format={{.Config.WorkingDir}}", &image]), "/etc");
    let mount = podman(&["image", "mount", &image]);
    let mount = Path::new(&mount);
    assert_eq!(fs::read(mount.join("etc/base")).unwrap(), b"base");
    assert_eq!(fs::read(mount.join("hello")).unwrap(), b"hello");
    assert!(!mount.join("etc/gone").exists());
    podman(&["image", "unmount", &image]);
    podman(&["image", "rm", &image]);
}

#[test]
fn a_layout_that_lies() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let image = images(&store).remove(0);
    let out = folder.path().join("image");
    let manifest =
        write_layout(&store, std::slice::from_ref(&image), &out, "1.0", &none()).unwrap();
    let read = |limits| {
        let store = open(&tempfile::tempdir_in(folder.path()).unwrap().keep());
        read_layout(&store, &out, Select::default(), limits)
    };
    assert_eq!(read(Limits::default()).unwrap(), image);
    assert!(read(Limits { bytes: 3, entries: 99 }).is_err());
    let change = |digest: &Digest, bytes: Option<&[u8]>| {
        let blob = out.join("blobs/sha256").join(digest.hex());
        let before = fs::read(&blob).unwrap();
        match bytes {
            Some(bytes) => fs::write(&blob, bytes).unwrap(),
            None => fs::remove_file(&blob).unwrap(),
        }
        let result = read(Limits::default());
        fs::write(&blob, before).unwrap();
        result.unwrap_err()
    };
    assert!(matches!(change(&manifest, Some(b"{}")), LayoutError::Digest { .. }));
    assert!(matches!(change(&image.layers[0], None), LayoutError::Io { .. }));
    let other = store.write_tar(&image.layers[1], Vec::new()).unwrap();
    assert!(matches!(change(&image.layers[0], Some(&other)), LayoutError::Digest { .. }));
    let good = store.write_tar(&image.layers[0], Vec::new()).unwrap();
    let padded = [&good[..], &[0; 512]].concat();
    assert!(matches!(change(&image.layers[0], Some(&padded)), LayoutError::Digest { .. }));
    assert!(matches!(
        change(&image.layers[0], Some(&good[..good.len() - 1024])),
        LayoutError::Store(_)
    ));
    fs::write(out.join("index.json"), r#"{"manifests":[{"digest":"sha256:../../x"}]}"#).unwrap();
    assert!(matches!(read(Limits::default()), Err(LayoutError::Malformed { .. })));
}

/// A gzip stream that unpacks to more than is allowed is cut short.
#[test]
fn a_compressed_bomb() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let mut gzip =
        Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut layer = LayerTree::new();
    layer.insert(path("zeros"), file(0o644, vec![0; 64 << 20])).unwrap();
    let tar = tar_of(&layer);
    let mut input = gzip.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&tar));
    let bomb = gzip.wait_with_output().unwrap().stdout;
    writer.join().unwrap().unwrap();
    assert!(bomb.len() < 1 << 20);
    let limits = Limits { bytes: 1 << 20, entries: 10 };
    let error = store.import_tar(flate2::read::GzDecoder::new(&bomb[..]), limits).unwrap_err();
    assert!(error.to_string().contains("1048576 are allowed"), "{error}");
}
