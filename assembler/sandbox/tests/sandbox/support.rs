//! A root file system of busybox, and short ways to run something in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use stagex_sandbox::{Cancel, Error, Mount, Outcome, Spec, Status, Stdio, remove_tree, run};

/// A temporary directory that other users can enter and write to.
pub(crate) fn open_temp_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

fn busybox() -> PathBuf {
    let path = PathBuf::from("/bin/busybox");
    assert!(path.exists(), "/bin/busybox is missing: install Debian's busybox-static");
    path
}

/// Copies a program that is to be run.
///
/// By another process: a thread that starts something meanwhile would hand its child a descriptor
/// of ours that is open for writing, and Linux does not run a file that someone may write.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp {} {}: {status}", from.display(), to.display());
}

fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let list = Command::new(busybox()).arg("--list").output().unwrap();
        String::from_utf8(list.stdout).unwrap().lines().map(str::to_owned).collect()
    })
}

/// A root file system and empty directories for changes.
pub(crate) struct Root {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) spec: Spec,
}

impl Root {
    pub(crate) fn new() -> Self {
        let dir = open_temp_dir();
        let base = dir.path().join("base");
        fs::create_dir_all(base.join("bin")).unwrap();
        fs::create_dir_all(base.join("etc")).unwrap();
        let target = base.join("bin/busybox");
        copy_program(&busybox(), &target);
        fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).unwrap();
        for applet in applets() {
            if applet != "busybox" {
                symlink("busybox", base.join("bin").join(applet)).unwrap();
            }
        }
        for name in ["upper", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut spec =
            Spec::new(vec![base], dir.path().join("upper"), dir.path().join("work"), ["true"]);
        spec.env = vec![("PATH".into(), "/bin".into())];
        spec.limits.disk_reserve = 0;
        // A test that goes wrong ends.
        spec.limits.wall = Some(std::time::Duration::from_secs(120));
        Self { dir, spec }
    }

    pub(crate) fn base(&self) -> &Path {
        &self.spec.layers[0]
    }

    /// Adds a layer on top and returns its directory.
    pub(crate) fn layer(&mut self, name: &str) -> PathBuf {
        let layer = self.dir.path().join(name);
        fs::create_dir(&layer).unwrap();
        self.spec.layers.push(layer.clone());
        layer
    }

    pub(crate) fn script(&mut self, script: &str) -> &mut Self {
        self.spec.argv = ["sh", "-c", script].iter().map(Into::into).collect();
        self
    }

    /// Runs the specification: how it ended and what it printed.
    pub(crate) fn try_run(&self) -> Result<(Outcome, String), Error> {
        let mut text = Vec::new();
        let mut collect = |bytes: &[u8]| text.extend_from_slice(bytes);
        let outcome = run(&self.spec, Stdio::Stream(&mut collect), &Cancel::new().unwrap())?;
        Ok((outcome, String::from_utf8_lossy(&text).into_owned()))
    }

    pub(crate) fn run(&self) -> (Status, String) {
        match self.try_run() {
            Ok((outcome, text)) => (outcome.status, text),
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }

    /// Runs a script that must succeed, in fresh directories; returns what it printed.
    pub(crate) fn sh(&mut self, script: &str) -> String {
        self.fresh();
        let (status, text) = self.script(script).run();
        assert!(status.success(), "{status}: {script}\n{text}");
        text
    }

    /// Empties `upper` and `work`.
    pub(crate) fn fresh(&self) {
        for dir in [&self.spec.upper, &self.spec.work] {
            remove_tree(dir).unwrap();
            fs::create_dir(dir).unwrap();
        }
    }

    /// Lists `upper`: sorted relative paths.
    pub(crate) fn changes(&self) -> Vec<String> {
        fn walk(root: &Path, dir: &Path, list: &mut Vec<String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                list.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                if path.symlink_metadata().unwrap().is_dir() {
                    walk(root, &path, list);
                }
            }
        }
        let mut list = Vec::new();
        walk(&self.spec.upper, &self.spec.upper, &mut list);
        list.sort();
        list
    }

    /// Makes this test program runnable inside, with the libraries that it needs.
    pub(crate) fn mount_self(&mut self) {
        let program = self.dir.path().join("self");
        copy_program(&std::env::current_exe().unwrap(), &program);
        self.bind(&program, "/self", false);
        for dir in ["/lib", "/lib64", "/usr/lib"] {
            if Path::new(dir).exists() {
                self.bind(Path::new(dir), dir, false);
            }
        }
    }

    pub(crate) fn bind(&mut self, source: &Path, target: &str, writable: bool) {
        self.spec.mounts.push(Mount::Bind {
            source: source.to_owned(),
            target: target.into(),
            writable,
        });
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // tempfile stumbles over directories without permissions.
        for dir in [&self.spec.upper, &self.spec.work] {
            let _ = remove_tree(dir);
        }
    }
}

/// Counts the host's processes that have the text among their arguments, this one aside.
pub(crate) fn processes_with(text: &str) -> usize {
    let mut count = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        if name.to_str().is_none_or(|n| n.parse::<u32>().is_err()) {
            continue;
        }
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = arguments.split(|b| *b == 0);
        count += usize::from(words.any(|word| word == text.as_bytes()));
    }
    count
}
