//! A tree of packages in a temporary folder, built through the library.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use stagex_build::{
    Engine, Options, Parts,
    observe::{Observer, StepName, Usage},
};
use stagex_oci::{Normalise, Store};
use stagex_recipe::{
    Document,
    boxes::Architecture,
    catalogue::{self, Catalogue, PackageText},
};
use stagex_sandbox::{Cancel, Limits};
use stagex_sources::Fetcher;

/// The programs that commands may use besides make.
const APPLETS: &str = "sh cat echo sleep sort grep nproc mkdir cp kill env head seq true";

/// A tree of packages and a store.
pub(crate) struct Packages {
    folder: tempfile::TempDir,
    pub(crate) store: Store,
    /// What stands for what.
    pub(crate) stand_ins: BTreeMap<String, String>,
    /// How much memory there is.
    pub(crate) memory: Option<u64>,
}

/// Counts steps.
#[derive(Default)]
pub(crate) struct Steps {
    running: AtomicUsize,
    pub(crate) most: AtomicUsize,
    pub(crate) names: Mutex<Vec<String>>,
}

impl stagex_sources::Observer for Steps {
    fn advanced(&self, _: &str, _: u64, _: Option<u64>) {}
    fn failed_place(&self, _: &str, _: &stagex_sources::Attempt) {}
    fn finished(&self, _: &str, _: bool) {}
}

impl Observer for Steps {
    fn step_started(&self, step: &StepName, log: Option<&Path>) {
        if log.is_some() {
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            self.names.lock().unwrap().push(format!("{} {}", step.package, step.text));
        }
    }

    fn step_finished(&self, step: &StepName, _: Usage) {
        if step.text.starts_with("RUN") {
            self.running.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Packages {
    /// Packages of which there is `core-base`: busybox, and the machine's own make.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store"), Normalise::default()).unwrap();
        let packages = Self { folder, store, stand_ins: BTreeMap::new(), memory: None };
        let root = packages.path("core/base/root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(root.join("tmp")).unwrap();
        copy_program(Path::new("/bin/busybox"), &root.join("bin/busybox"), "busybox-static");
        for applet in APPLETS.split_whitespace() {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let make = Path::new("/usr/bin/make");
        copy_program(make, &root.join("bin/make"), "make");
        let listed = Command::new("ldd").arg(make).output().unwrap();
        // The lines that name a file: `libc.so.6 => /lib/… (0x…)`, `/lib64/ld-linux… (0x…)`.
        for line in String::from_utf8(listed.stdout).unwrap().lines() {
            if let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) {
                let to = root.join(path.trim_start_matches('/'));
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                copy_program(Path::new(path), &to, "libc6");
            }
        }
        packages.package("base", "FROM scratch\nCOPY root/ /\n");
        packages
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("packages").join(path)
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes the package `core-<name>`.
    pub(crate) fn package(&self, name: &str, containerfile: &str) {
        let toml = format!(
            "[package]\nname = \"{name}\"\nversion = \"1\"\ndescription = \"A test\"\n\
             license = \"MIT\"\n"
        );
        self.write(&format!("core/{name}/package.toml"), &toml);
        self.write(&format!("core/{name}/Containerfile"), containerfile);
    }

    /// What the commands of all logs printed.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        let mut open = vec![self.folder.path().join("logs")];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                text.push_str(&fs::read_to_string(path).unwrap_or_default());
            }
        }
        text
    }

    /// The text of a file of an image.
    pub(crate) fn text(&self, layers: &[stagex_tree::Digest], path: &str) -> String {
        let tree = self.store.merged(layers).unwrap();
        let entry = tree.get(&stagex_tree::TreePath::new(path).unwrap()).unwrap();
        String::from_utf8(entry.inode.content().unwrap().read().unwrap()).unwrap()
    }

    /// Lets `work` have an engine of so many jobs; what it told is given beside the result.
    pub(crate) fn engine<T>(&self, jobs: usize, work: impl FnOnce(&Engine<'_>) -> T) -> (T, Steps) {
        let (mut texts, mut folders) = (Vec::new(), BTreeMap::new());
        for entry in fs::read_dir(self.path("core")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let document = |file: &str| {
                let text = fs::read_to_string(path.join(file)).unwrap();
                Document::new(format!("core/{name}/{file}"), text)
            };
            texts.push(PackageText {
                root: "core".to_owned(),
                package: document("package.toml"),
                containerfile: document("Containerfile"),
                folder: name.clone(),
            });
            folders.insert(format!("core-{name}"), path.clone());
        }
        let stand_ins = self.stand_ins.clone();
        let options = catalogue::Options { stand_ins, ..catalogue::Options::default() };
        let catalogue = Catalogue::new(texts, options);
        let sources = stagex_sources::Options::new(self.folder.path().join("sources"));
        let (fetcher, steps) = (Fetcher::new(sources), Steps::default());
        let stop = AtomicBool::new(false);
        let parts = Parts {
            catalogue: &catalogue,
            folders: &folders,
            store: &self.store,
            fetcher: &fetcher,
            observer: &steps,
            cancel: Cancel::new().unwrap(),
            stop: &stop,
        };
        let options = Options {
            architecture: Architecture::X86_64,
            machine: Architecture::X86_64,
            jobs,
            memory: self.memory,
            toolchain: (!self.stand_ins.is_empty()).then(|| "other".to_owned()),
            keep_going: false,
            allow_network: false,
            limits: Limits::default(),
            logs: self.folder.path().join("logs"),
        };
        let result = work(&Engine::new(parts, options));
        (result, steps)
    }

    /// Builds packages; gives the layers of each.
    #[track_caller]
    pub(crate) fn build(
        &self,
        jobs: usize,
        names: &[&str],
    ) -> (BTreeMap<String, Vec<stagex_tree::Digest>>, Steps) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (built, steps) = self.engine(jobs, |engine| engine.build("test", &names));
        let built = built.unwrap_or_else(|errors| panic!("{}", errors[0]));
        (built.into_iter().map(|(id, built)| (id, built.layers.clone())).collect(), steps)
    }
}

/// Copies a program that is to be run.
///
/// By another process: a thread that starts something meanwhile would hand its child a descriptor
/// of ours that is open for writing, and Linux does not run a file that someone may write.
fn copy_program(from: &Path, to: &Path, package: &str) {
    assert!(from.exists(), "{} is missing: install Debian's {package}", from.display());
    let status = Command::new("cp").arg("-L").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp {} {}: {status}", from.display(), to.display());
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}
