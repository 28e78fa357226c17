//! The store under other users and other processes, and real overlay mounts of its layers.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::*;
use stagex_oci::{Adopt, LayerTree, Owner, Root, Store, StoreError};
use stagex_tree::{Digest, TreePath};

/// The user that owns nothing.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Copies a program that is to be run.
///
/// By another process: a thread that starts something meanwhile would hand its child a descriptor
/// of ours that is open for writing, and Linux does not run a file that someone may write.
fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp {} {}: {status}", from.display(), to.display());
}

/// This test binary where every user can run it, and a folder of nobody's.
struct Common {
    folder: tempfile::TempDir,
    binary: PathBuf,
}

impl Common {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let binary = folder.path().join("tests");
        copy_program(&std::env::current_exe().unwrap(), &binary);
        Self { folder, binary }
    }

    fn nobodys(&self) -> PathBuf {
        let path = self.folder.path().join("nobodys");
        fs::create_dir_all(&path).unwrap();
        if is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        path
    }

    /// Runs one of the tests named `child_…` in a process of its own.
    fn child(&self, name: &str, store: &Path, as_nobody: bool) -> Command {
        let mut command = if as_nobody && is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
            command.arg(&self.binary);
            command
        } else {
            Command::new(&self.binary)
        };
        command.args(["--exact", name, "--include-ignored", "--nocapture"]);
        command.env("STAGEX_TEST_STORE", store).stdin(Stdio::null());
        command
    }
}

fn child_store() -> PathBuf {
    std::env::var_os("STAGEX_TEST_STORE").expect("run by another test").into()
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    text
}

#[test]
#[ignore = "run by other tests, in processes of their own"]
fn child_adds_everything() {
    let store = open(&child_store());
    let layer = store.add(&everything()).unwrap();
    print_layer(&layer.digest);
    let tar = store.write_tar(&layer.digest, Vec::new()).unwrap();
    assert_eq!(Digest::of(tar), layer.digest);
    let mut settled = everything();
    settled.settle(EPOCH).unwrap();
    assert_eq!(store.load(&layer.digest).unwrap(), settled);
}

#[test]
#[ignore = "run by other tests, in processes of their own"]
fn child_adds_for_ever() {
    let store = open(&child_store());
    for count in 0_u64.. {
        let mut layer = LayerTree::new();
        for number in 0..200 {
            let bytes = format!("{count} {number}").repeat(500);
            layer.insert(path(format!("d{number}/f")), file(0o444, bytes)).unwrap();
        }
        let layer = store.add(&layer).unwrap();
        print_layer(&layer.digest);
    }
}

#[test]
#[ignore = "run by other tests, in processes of their own"]
fn child_runs_a_step() {
    let store = open(&child_store());
    let mut base = LayerTree::new();
    for (name, inode) in [
        ("bin/tool", file(0o755, "tool")),
        ("etc/conf", file(0o640, "conf")),
        ("etc/gone", file(0o644, "gone")),
        ("etc/shadow", file(0, "secret")),
        ("old/one", file(0o644, "1")),
        ("old/two", file(0o644, "2")),
        ("home/user/mine", owned(file(0o600, "mine"), 1000, 1000)),
        ("home/user", owned(directory(0o700), 1000, 1000)),
        ("locked", directory(0)),
        ("locked/f", file(0o600, "f")),
        ("tmp", directory(0o1777)),
    ] {
        base.insert(path(name), inode).unwrap();
    }
    let mut above = LayerTree::new();
    above.whiteouts.insert(path("etc/gone"));
    above.insert(path("etc"), directory(0o755)).unwrap();
    // A layer from elsewhere: it has entries below tmp and home/user, but none for them.
    let mut foreign = LayerTree::new();
    foreign.insert(path("tmp/x"), file(0o644, "x")).unwrap();
    foreign.insert(path("home/user/y"), file(0o644, "y")).unwrap();
    let lower = [&base, &above, &foreign].map(|layer| store.add(layer).unwrap().digest);
    let lower_dirs = store.lower_dirs(&lower).unwrap();
    assert_eq!(lower_dirs.len(), 4);
    let lower_dirs: Vec<String> =
        lower_dirs.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    let lower_dirs = lower_dirs.join(":");
    let step = |script: &str| {
        let scratch = store.scratch().unwrap();
        for name in ["upper", "work", "merged"] {
            fs::create_dir(scratch.path().join(name)).unwrap();
        }
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-euc"])
            .arg(format!(
                "mount -t overlay overlay -o userxattr,lowerdir={lower_dirs},upperdir=upper,workdir=work \
                 merged; cd merged; umask 022; {script}",
            ))
            .current_dir(scratch.path())
            .output()
            .expect("this test needs the program 'unshare'");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shown = String::from_utf8(output.stdout).unwrap();
        let upper = scratch.path().join("upper");
        let layer = store.adopt(&upper, Adopt { owner: Owner::ROOT, lower: &lower }).unwrap();
        (shown, layer)
    };
    let (shown, layer) = step(
        "stat -c '%n %a' bin/tool etc/conf etc/shadow locked tmp home/user; cat etc/shadow; echo; ls etc",
    );
    assert_eq!(
        shown,
        "bin/tool 755\netc/conf 640\netc/shadow 0\nlocked 0\ntmp 1777\nhome/user 700\nsecret\nconf\nshadow\n"
    );
    assert!(layer.is_empty());
    // What changes nothing is no layer, though overlayfs copied it up.
    let (_, layer) = step(
        "touch bin/tool; chmod 600 etc/conf; chmod 640 etc/conf; echo > t; rm t; \
         mkdir -p d/e; rm -r d; mv old/one x; mv x old/one",
    );
    assert!(layer.is_empty(), "{:?}", store.load(&layer.digest).unwrap());
    let (_, layer) = step(
        "rm etc/conf; rm -r old; mkdir old; echo new > old/three; mkdir -p new/er; \
         echo x > home/user/more; echo y >> home/user/mine; ln bin/tool bin/alias; \
         echo > locked/g; chmod 4711 bin/tool; mkfifo pipe; ln -s nowhere link; \
         chmod 0 old/three",
    );
    let change = store.load(&layer.digest).unwrap();
    let set = |names: &[&str]| names.iter().map(path).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(change.whiteouts, set(&["etc/conf"]));
    assert_eq!(change.opaque, set(&["old"]));
    assert_eq!(change.implied, set(&[""]));
    let names: Vec<String> = change.tree.iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(
        names,
        [
            "/",
            "/bin",
            "/bin/alias",
            "/bin/tool",
            "/etc",
            "/home",
            "/home/user",
            "/home/user/mine",
            "/home/user/more",
            "/link",
            "/locked",
            "/locked/g",
            "/new",
            "/new/er",
            "/old",
            "/old/three",
            "/pipe"
        ]
    );
    let get = |name: &str| change.tree.get(&path(name)).unwrap();
    let owner = |name: &str| (get(name).inode.metadata.uid, get(name).inode.metadata.gid);
    assert_eq!(owner("home/user"), (1000, 1000));
    assert_eq!(owner("home/user/mine"), (1000, 1000));
    assert_eq!(owner("home/user/more"), (0, 0));
    assert_eq!(get("bin/alias").id, get("bin/tool").id);
    assert_eq!(get("bin/tool").inode.metadata.mode, 0o4711);
    assert_eq!(get("locked").inode.metadata.mode, 0);
    assert_eq!(get("locked/g").inode.content().unwrap().read().unwrap(), b"\n");
    assert_eq!(get("old/three").inode.content().unwrap().read().unwrap(), b"new\n");
    assert!(get("bin/tool").inode.metadata.xattrs.is_empty());
    let merged = store.merged(&[&lower[..], &[layer.digest]].concat()).unwrap();
    assert!(merged.get(&path("old/one")).is_none());
    assert!(merged.get(&path("etc/conf")).is_none());
    assert!(merged.get(&path("locked/f")).is_some());
    print_layer(&layer.digest);
}

/// Tells the process that runs this one: what the test harness does not keep to itself.
#[allow(clippy::explicit_write)]
fn print_layer(digest: &Digest) {
    use std::io::Write;
    writeln!(std::io::stdout(), "layer {digest}").unwrap();
}

fn layer_of(output: &str) -> String {
    let line = output.lines().find(|line| line.contains("layer ")).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn root_and_an_ordinary_user_make_the_same_layers() {
    let common = Common::new();
    for name in ["child_adds_everything", "child_runs_a_step"] {
        let own = common.folder.path().join(format!("own-{name}"));
        let own = layer_of(&succeed(&mut common.child(name, &own, false)));
        let nobodys = common.nobodys().join(name);
        let nobodys = layer_of(&succeed(&mut common.child(name, &nobodys, true)));
        assert_eq!(own, nobodys, "{name}");
    }
    // What an ordinary user made can be removed by it, closed directories and all.
    let store = common.nobodys().join("child_adds_everything");
    assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0);
}

#[test]
fn several_processes_add_the_same_layer_at_once() {
    let common = Common::new();
    let path = common.folder.path().join("store");
    let children: Vec<Child> = (0..6)
        .map(|_| {
            let mut command = common.child("child_adds_everything", &path, false);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let usage = open(&path).du().unwrap();
    assert_eq!((usage.layers, usage.sessions), (1, 0));
}

#[test]
fn a_kill_loses_no_finished_layer_and_leaves_nothing_behind() {
    let common = Common::new();
    let path = common.folder.path().join("store");
    for round in 1..=8_u64 {
        let mut command = common.child("child_adds_for_ever", &path, false);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 + 37 * round));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut store = open(&path);
        let done: Vec<Digest> =
            text.lines().filter_map(|line| line.split_once("layer ")?.1.parse().ok()).collect();
        for digest in &done {
            store.write_tar(digest, std::io::sink()).unwrap();
        }
        // Whatever has a name is whole.
        for entry in fs::read_dir(path.join("layers")).unwrap() {
            let digest = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
            store.write_tar(&digest, std::io::sink()).unwrap();
        }
        let keep: Vec<Root> = done.first().copied().map(Root::Layer).into_iter().collect();
        store.gc(&keep).unwrap();
        assert_eq!(store.du().unwrap().layers, keep.len() as u64);
        drop(store);
        assert_eq!(open(&path).du().unwrap().sessions, 0, "round {round}");
    }
}

#[test]
fn a_store_that_cannot_be_written_says_so() {
    let common = Common::new();
    let path = common.folder.path().join("store");
    drop(open(&path));
    let text = match Store::open("/proc/store", Default::default()) {
        Ok(_) => panic!("a store in /proc"),
        Err(error) => error.to_string(),
    };
    assert!(text.contains("/proc/store"), "{text}");
    let other = common.folder.path().join("things");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter"), "").unwrap();
    assert!(matches!(Store::open(&other, Default::default()), Err(StoreError::NotAStore { .. })));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    fs::write(path.join("version"), "stagex store 99\n").unwrap();
    assert!(matches!(Store::open(&path, Default::default()), Err(StoreError::Version { .. })));
}

/// A file system of two megabytes: what does not fit is an error that says so, and leaves
/// nothing behind under a final name.
#[test]
#[ignore = "run by other tests, in processes of their own"]
fn child_fills_the_disk() {
    let store = open(&child_store());
    let small = store.add(&everything()).unwrap();
    let mut layer = LayerTree::new();
    for number in 0..100 {
        layer.insert(path(format!("f{number}")), file(0o644, vec![number; 100_000])).unwrap();
    }
    let error = store.add(&layer).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.to_string().contains("stagex store gc"), "{error}");
    let error = store.import_tar(&tar_of(&layer)[..], Default::default()).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let error = store.put_blob(std::io::repeat(7)).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(store.du().unwrap().layers, 1);
    store.write_tar(&small.digest, std::io::sink()).unwrap();
    assert!(store.load(&small.digest).unwrap().tree.get(&TreePath::root()).is_some());
}

/// Runs the child with its store on a file system of its own, in a namespace of its own.
fn on_tmpfs(name: &str, options: &str, prepare: &str) {
    let common = Common::new();
    let mount = common.folder.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let script = format!(
        "mount -t tmpfs -o {options} tmpfs {mount}; {prepare}; exec {binary} --exact {name} \
         --include-ignored --nocapture",
        mount = mount.display(),
        binary = common.binary.display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-euc", &script]);
    command.env("STAGEX_TEST_STORE", mount.join("store"));
    succeed(&mut command);
}

#[test]
fn a_full_disk_says_so() {
    on_tmpfs("child_fills_the_disk", "size=2m", "true");
}

#[test]
#[ignore = "run by other tests, in processes of their own"]
fn child_meets_a_read_only_store() {
    let path = child_store();
    let written = open(&path).add(&everything()).unwrap();
    run("mount", &["-o", "remount,ro", path.parent().unwrap().to_str().unwrap()]);
    // Reading works as ever.
    let store = open(&path);
    store.write_tar(&written.digest, std::io::sink()).unwrap();
    let error = store.add(&LayerTree::new()).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    let error = Store::open(path.with_file_name("new"), Default::default()).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
}

#[test]
fn a_read_only_disk_says_so() {
    on_tmpfs("child_meets_a_read_only_store", "size=9m", "true");
}
