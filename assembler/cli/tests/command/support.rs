//! A project in a temporary folder, and ways to run `stagex` in it.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use stagex_tree::Digest;
use tempfile::TempDir;

/// After so long a run hangs.
const PATIENCE: Duration = Duration::from_secs(240);
/// An ordinary user: nobody.
pub(crate) const NOBODY: u32 = 65534;
/// The programs that the packages of tests use.
const APPLETS: &str = "sh cat echo env test [ true false ls cp mv rm mkdir rmdir ln chmod chown touch \
     id hostname sleep stat readlink head tail wc grep sed awk sort tar gzip wget ping nc dd kill ps \
     mount umount df date uname nproc sync mknod find printf printenv pwd dirname basename seq";

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        let Self { status, stdout, stderr } = &self;
        assert_eq!(
            status.code(),
            Some(code),
            "signal {:?}\n-- stdout:\n{stdout}\n-- stderr:\n{stderr}",
            status.signal()
        );
        self
    }

    /// Checks that errors or progress say all of `texts`.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in\n{}", self.stderr);
        }
        self
    }

    /// Checks that errors and progress say nothing of `text`.
    #[track_caller]
    pub(crate) fn says_nothing_of(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "{text:?} is in\n{}", self.stderr);
        self
    }
}

/// A command that runs. Its output goes to files, so that it never waits for a reader.
pub(crate) struct Running {
    pub(crate) child: Child,
    out: tempfile::NamedTempFile,
    err: tempfile::NamedTempFile,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let (out, err) =
            (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let child = command
            .stdin(Stdio::null())
            .stdout(out.reopen().unwrap())
            .stderr(err.reopen().unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, out, err }
    }

    /// Sends a signal to the process alone.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    #[track_caller]
    pub(crate) fn wait(mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => {
                    self.child.kill().unwrap();
                    panic!("it hangs:\n{}", fs::read_to_string(self.err.path()).unwrap());
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let read = |file: &tempfile::NamedTempFile| {
            String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned()
        };
        Ended { status, stdout: read(&self.out), stderr: read(&self.err) }
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ended {
    Running::start(command).wait()
}

/// Waits until `found` gives something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A project, a cache and a mirror in a temporary folder.
pub(crate) struct Project {
    folder: TempDir,
    /// The folder of stagex.toml.
    pub(crate) root: PathBuf,
    /// The folder of caches.
    pub(crate) cache: PathBuf,
    /// What the scheme `local:` stands for.
    pub(crate) mirror: PathBuf,
}

impl Project {
    /// A project with one package, `core-base`: busybox, users, and nothing else.
    pub(crate) fn new() -> Self {
        Self::at("project")
    }

    /// The same, the project being at `place` of its temporary folder.
    pub(crate) fn at(place: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("stagex-e2e-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().canonicalize().unwrap();
        let project = Self {
            root: path.join(place),
            cache: path.join("cache"),
            mirror: path.join("mirror"),
            folder,
        };
        for folder in [&project.root, &project.cache, &project.mirror, &path.join("home")] {
            fs::create_dir_all(folder).unwrap();
        }
        let mirror = format!("file://{}", project.mirror.display());
        project.write(
            "stagex.toml",
            &format!("[packages]\ncore = \"core\"\n\n[mirrors]\nlocal = [\"{mirror}\"]\n"),
        );
        let tar = base_tar();
        fs::write(project.mirror.join("base-1.tar"), tar).unwrap();
        project.package(
            "base",
            &source("base", "base-1.tar", tar),
            "FROM scratch\nADD fetch/base-1.tar /\n",
        );
        project
    }

    /// The temporary folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes the package `core-<name>`, version 1.2; `more` goes to its package.toml.
    pub(crate) fn package(&self, name: &str, more: &str, containerfile: &str) {
        let toml = format!(
            "[package]\nname = \"{name}\"\nversion = \"1.2\"\ndescription = \"A test\"\n\
             license = \"MIT\"\nwebsite = \"https://example.org/\"\n{more}"
        );
        self.write(&format!("core/{name}/package.toml"), &toml);
        self.write(&format!("core/{name}/Containerfile"), containerfile);
    }

    /// The command, with nothing of this machine's environment or configuration.
    pub(crate) fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        self.command_of(Command::new(stagex()), arguments)
    }

    /// The same, run by what `command` is.
    pub(crate) fn command_of<'a>(
        &self,
        mut command: Command,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Command {
        command
            .arg("--cache")
            .arg(&self.cache)
            .args(arguments)
            .current_dir(&self.root)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder().join("home"));
        command
    }

    /// Runs the command to its end; what it started must have ended too.
    #[track_caller]
    pub(crate) fn stagex<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ended {
        let ended = run(&mut self.command(arguments));
        assert_eq!(self.processes(), Vec::<String>::new(), "processes are left");
        ended
    }

    /// The command lines of processes that name this project's folder.
    pub(crate) fn processes(&self) -> Vec<String> {
        processes(&self.folder().display().to_string())
    }

    /// The paths below a folder of the project, a layout's or the cache's.
    pub(crate) fn paths(&self, folder: &Path) -> Vec<String> {
        let mut paths = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(path) = open.pop() {
            let Ok(entries) = fs::read_dir(&path) else { continue };
            for entry in entries {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                }
                paths.push(entry.path().strip_prefix(folder).unwrap().display().to_string());
            }
        }
        paths.sort();
        paths
    }

    /// The complete sources in the cache, by digest.
    pub(crate) fn cached_sources(&self) -> Vec<String> {
        let mut paths = self.paths(&self.cache.join("sources"));
        paths.retain(|path| path.rsplit('/').next().is_some_and(|name| name.len() == 64));
        paths
    }

    /// All logs together.
    pub(crate) fn logs(&self) -> String {
        let logs = self.root.join("out/logs");
        let paths = self.paths(&logs);
        paths.iter().filter_map(|path| fs::read_to_string(logs.join(path)).ok()).collect()
    }

    /// Unpacks the image that was built of a package, and gives the folder.
    #[track_caller]
    pub(crate) fn unpacked(&self, id: &str) -> PathBuf {
        let layout = self.root.join("out").join(id);
        let json = |path: PathBuf| -> serde_json::Value {
            serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
        };
        let blob = |value: &serde_json::Value| {
            let digest = value["digest"].as_str().unwrap().replace(':', "/");
            layout.join("blobs").join(digest)
        };
        let index = json(layout.join("index.json"));
        let manifest = json(blob(&index["manifests"][0]));
        let folder = self.folder().join(format!("unpacked-{}", id.replace('/', "-")));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        for layer in manifest["layers"].as_array().unwrap() {
            let tar =
                Command::new("tar").arg("-C").arg(&folder).arg("-xpf").arg(blob(layer)).output();
            let tar = tar.unwrap();
            assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
        }
        folder
    }
}

/// The command under test, where every user may run it.
pub(crate) fn stagex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_stagex"))
}

/// Copies a program that is to be run.
///
/// By another process: a thread that starts something meanwhile would hand its child a descriptor
/// of ours that is open for writing, and Linux does not run a file that someone may write.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp {} {}: {status}", from.display(), to.display());
}

/// The command lines of living processes in which `text` stands, without this one and shells that
/// run the tests.
pub(crate) fn processes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text) {
            found.push(line);
        }
    }
    found
}

/// Whether these tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The `[sources.<name>]` of a file that lies in the mirror.
pub(crate) fn source(name: &str, file: &str, content: &[u8]) -> String {
    source_from(name, file, content, &format!("local:{file}"))
}

/// The `[sources.<name>]` of a file from one mirror.
pub(crate) fn source_from(name: &str, file: &str, content: &[u8], mirror: &str) -> String {
    let hash = Digest::of(content).hex();
    format!(
        "\n[sources.{name}]\nhash = \"{hash}\"\nformat = \"tar\"\nfile = \"{file}\"\n\
         mirrors = [\"{mirror}\"]\n"
    )
}

/// The root file system of `core-base`.
fn base_tar() -> &'static [u8] {
    static TAR: OnceLock<Vec<u8>> = OnceLock::new();
    TAR.get_or_init(|| {
        let busybox = Path::new("/bin/busybox");
        assert!(busybox.exists(), "/bin/busybox is missing: install Debian's busybox-static");
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        let etc = folder.path().join("etc");
        for folder in [&bin, &etc, &folder.path().join("tmp"), &folder.path().join("root")] {
            fs::create_dir(folder).unwrap();
        }
        copy_program(busybox, &bin.join("busybox"));
        for applet in APPLETS.split_whitespace() {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        let passwd = "root:x:0:0::/root:/bin/sh\nuser:x:1000:100::/tmp:/bin/sh\n";
        fs::write(etc.join("passwd"), passwd).unwrap();
        fs::write(etc.join("group"), "root:x:0:\nusers:x:100:\nwheel:x:10:\n").unwrap();
        tar(folder.path(), &["."], &[])
    })
}

/// The bytes of a tar of `names` in a folder.
pub(crate) fn tar(folder: &Path, names: &[&str], options: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .arg("-C")
        .arg(folder)
        .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"])
        .args(options)
        .arg("-c")
        .args(names)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
