//! What the command sees as its root, and what is left of it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use stagex_sandbox::{Cancel, Error, Mount, Status, Stdio, probe, run};

use crate::support::Root;

#[test]
fn output_and_exit_codes() {
    let mut root = Root::new();
    root.script("echo out; echo err >&2; exit 7");
    assert_eq!(root.run(), (Status::Exit(7), "out\nerr\n".to_owned()));
    root.fresh();
    let (status, _) = root.script("kill -TERM $$").run();
    assert_eq!(status, Status::Signal(15));
    root.fresh();
    let (outcome, text) =
        root.script("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; cat").try_run().unwrap();
    assert_eq!((outcome.status, text.as_str()), (Status::Exit(0), ""), "stdin is empty");
    assert!(outcome.cpu_user + outcome.cpu_system > std::time::Duration::ZERO);
    assert!(outcome.wall >= outcome.cpu_user);
    assert!(outcome.max_rss > 100_000);
}

#[test]
fn much_output_in_order() {
    let mut root = Root::new();
    let text = root.sh("i=0; while [ $i -lt 3000 ]; do echo line-$i-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done");
    let expected: String =
        (0..3000).map(|i| format!("line-{i}-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n")).collect();
    assert_eq!(text, expected);
}

#[test]
fn output_to_a_log() {
    let mut root = Root::new();
    root.script("echo one; readlink /proc/self/fd/1; echo three >&2");
    let log = root.dir.path().join("log");
    let file = fs::File::create(&log).unwrap();
    let outcome = run(&root.spec, Stdio::Log(file), &Cancel::new().unwrap()).unwrap();
    assert!(outcome.status.success());
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.starts_with("one\npipe:[") && text.ends_with("]\nthree\n"), "{text}");
}

#[test]
fn upper_holds_the_changes_and_nothing_else() {
    let mut root = Root::new();
    root.spec.mounts = vec![
        Mount::Tmpfs { target: "/scratch/a".into(), size: 1 << 20, mode: 0o1777 },
        Mount::File { target: "/etc/resolv.conf".into(), content: b"x\n".to_vec(), mode: 0o644 },
    ];
    assert_eq!(
        root.sh("ls / /scratch/a >/dev/null; cat /etc/resolv.conf; touch /scratch/a/f"),
        "x\n"
    );
    assert_eq!(root.changes(), Vec::<String>::new());
    fs::write(root.base().join("etc/old"), "old").unwrap();
    fs::create_dir(root.base().join("gone")).unwrap();
    fs::write(root.base().join("gone/f"), "f").unwrap();
    root.sh("mkdir -p /new/dir; echo hi >/new/dir/f; rm /etc/old; rm -r /gone; mkdir /gone; echo t >/tmp/t");
    assert_eq!(
        root.changes(),
        ["etc", "etc/old", "gone", "new", "new/dir", "new/dir/f", "tmp", "tmp/t"]
    );
    let whiteout = root.spec.upper.join("etc/old").symlink_metadata().unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    let mut value = [0u8; 1];
    let n = rustix::fs::getxattr(root.spec.upper.join("gone"), "user.overlay.opaque", &mut value);
    assert_eq!((n, value), (Ok(1), *b"y"));
    assert_eq!(fs::read_to_string(root.base().join("etc/old")).unwrap(), "old");
    let uid = rustix::process::geteuid().as_raw();
    let made = root.spec.upper.join("new/dir/f").metadata().unwrap();
    assert_eq!((made.uid(), made.mode() & 0o7777), (uid, 0o644), "umask is 022");
}

/// Mount points through links and in directories that hide lower ones still work.
#[test]
fn awkward_mount_points() {
    let mut root = Root::new();
    let layer = root.layer("links");
    fs::create_dir(layer.join("real")).unwrap();
    symlink("/real", layer.join("link")).unwrap();
    symlink("../../../../../../etc", layer.join("up")).unwrap();
    root.spec.mounts = vec![
        Mount::File { target: "/link/deep/file".into(), content: b"1".to_vec(), mode: 0o600 },
        Mount::File { target: "/up/inside".into(), content: b"2".to_vec(), mode: 0o644 },
    ];
    assert_eq!(root.sh("cat /real/deep/file /etc/inside; stat -c %a /real/deep/file"), "12600\n");
    assert!(!Path::new("/etc/inside").exists());
}

#[test]
fn binds() {
    let mut root = Root::new();
    let source = root.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("f"), "content").unwrap();
    root.bind(&source, "/ro", false);
    root.bind(&source, "/rw", true);
    root.bind(&source.join("f"), "/one/file", false);
    let text = root
        .sh("cat /ro/f /one/file; echo x 2>/dev/null >/ro/f && echo WROTE; touch /ro/g 2>&1; \
         echo new >/rw/h; cat /ro/h; rm -f /one/file 2>&1; chmod 600 /one/file 2>&1; true");
    assert!(text.starts_with("contentcontent"), "{text}");
    assert!(!text.contains("WROTE"));
    assert_eq!(text.matches("Read-only file system").count(), 2, "{text}");
    assert!(text.contains("new\n"));
    assert_eq!(fs::read_to_string(source.join("f")).unwrap(), "content");
    assert_eq!(root.changes(), Vec::<String>::new());
}

#[test]
fn many_layers() {
    let mut root = Root::new();
    let deep = "d".repeat(200);
    for i in 0..200 {
        let layer = root.dir.path().join(&deep).join(&deep).join(format!("layer-{i}"));
        fs::create_dir_all(&layer).unwrap();
        fs::write(layer.join(format!("file-{i}")), "").unwrap();
        fs::write(layer.join("top"), i.to_string()).unwrap();
        root.spec.layers.push(layer);
    }
    assert_eq!(root.sh("ls / | grep -c file-; cat /top"), "200\n199");
    let mounts = root.sh("cat /proc/self/mountinfo");
    let host = root.dir.path().file_name().unwrap().to_str().unwrap();
    assert!(!mounts.contains(host), "a path of the host shows: {mounts}");
}

#[test]
fn no_layers_at_all() {
    let mut root = Root::new();
    let busybox = root.base().join("bin/busybox");
    root.spec.layers.clear();
    root.bind(&busybox, "/seed/busybox", false);
    root.spec.argv = vec!["/seed/busybox".into(), "ls".into(), "/".into()];
    assert_eq!(root.run(), (Status::Exit(0), "dev\nproc\nseed\nsys\ntmp\n".to_owned()));
}

#[test]
fn clear_errors() {
    let mut root = Root::new();
    let error = |root: &Root| root.try_run().unwrap_err();
    root.spec.argv = vec!["nothing-like-it".into()];
    assert!(
        matches!(error(&root), Error::NoProgram { program } if program.to_str() == Some("nothing-like-it"))
    );
    root.fresh();
    fs::write(root.base().join("bin/script"), "#!/no/such/shell\n").unwrap();
    fs::set_permissions(root.base().join("bin/script"), fs::Permissions::from_mode(0o755)).unwrap();
    root.spec.argv = vec!["script".into()];
    assert!(matches!(error(&root), Error::NoInterpreter { .. }));
    root.fresh();
    root.spec.argv = vec!["/etc".into()];
    let text = error(&root).to_string();
    assert!(text.contains("execute /etc"), "{text}");
    root.fresh();
    root.spec.argv = vec!["true".into()];
    root.spec.cwd = "/not/here".into();
    let text = error(&root).to_string();
    assert!(text.contains("/not/here"), "{text}");
    root.spec.cwd = "/".into();
    let missing = root.dir.path().join("missing");
    root.spec.layers.push(missing.clone());
    let text = error(&root).to_string();
    assert!(text.contains(missing.to_str().unwrap()), "{text}");
    root.spec.layers.pop();
    let work = std::mem::replace(&mut root.spec.work, missing.clone());
    let text = error(&root).to_string();
    assert!(text.contains("work directory") && text.contains(missing.to_str().unwrap()), "{text}");
    root.spec.work = work;
    root.bind(&missing, "/x", false);
    let text = error(&root).to_string();
    assert!(text.contains(missing.to_str().unwrap()), "{text}");
    for target in ["relative", "/", "/a/../b"] {
        root.spec.mounts = vec![Mount::Tmpfs { target: target.into(), size: 1, mode: 0o755 }];
        assert!(matches!(error(&root), Error::Invalid { .. }), "{target}");
    }
    root.spec.mounts.clear();
    root.spec.env.push(("A=B".into(), "".into()));
    assert!(matches!(error(&root), Error::Invalid { .. }));
    root.spec.env.pop();
    root.spec.argv = vec!["a\0b".into()];
    assert!(matches!(error(&root), Error::Invalid { .. }));
    root.spec.argv.clear();
    assert!(matches!(error(&root), Error::Invalid { .. }));
}

#[test]
fn probe_says_yes_here_and_leaves_nothing() {
    let root = Root::new();
    let scratch = root.dir.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    probe(&scratch).unwrap();
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    assert!(probe(&scratch.join("missing")).is_err());
}

#[test]
fn many_at_once() {
    std::thread::scope(|scope| {
        for i in 0..12 {
            scope.spawn(move || {
                let mut root = Root::new();
                for round in 0..5 {
                    let text = root.sh(&format!("echo {i}-{round} | tee /f; cat /f"));
                    assert_eq!(text, format!("{i}-{round}\n{i}-{round}\n"));
                }
            });
        }
    });
}
