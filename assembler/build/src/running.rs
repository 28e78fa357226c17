//! RUN.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use stagex_oci::{Adopt, LayerTree, Owner, Scratch, Store, StoreError};
use stagex_recipe::{
    Span,
    containerfile::{Invocation, MountKind, MountSpec, Network, Run, Security},
};
use stagex_sandbox::{Mount, Personality, Spec, Status};
use stagex_tree::{Digest, Tree, TreePath};

use crate::{
    Error,
    again::Part,
    context,
    copying::Origin,
    engine::Engine,
    error::{self, StepFailure},
    failed::Failed,
    jobs,
    observe::Usage,
    place,
    stage::{Evaluation, Ran, Step},
    user,
};

/// Where programs are looked for, where ENV does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the script of a heredoc with a shebang lies.
const PIPES: &str = "/dev/pipes";
/// The most bytes of a tmpfs mount that names no size.
const TMPFS_SIZE: u64 = 2 << 30;

/// A mount whose files are known.
enum Prepared {
    /// Files of a stage, a package or the context, below `path` of `tree`.
    Bind { tree: Tree, path: TreePath, target: String, digest: Digest },
    /// Memory, gone afterwards.
    Tmpfs { target: String, size: u64 },
    /// A directory that outlives the step elsewhere; here it is always empty at first, so that
    /// what was built before cannot show.
    Cache { target: String, mode: u32 },
}

impl Evaluation<'_> {
    /// Obeys RUN.
    pub(crate) fn run(&mut self, step: &Step<'_>, run: &Run) -> Result<(), Error> {
        if run.security == Security::Insecure {
            return Err(self.error(step.span, "--security=insecure is never granted").into());
        }
        if self.gathering {
            return self.gather_mounts(step, run);
        }
        let network = self.network(step, run)?;
        let (root, before) = (self.state.layers.clone(), self.state.usage);
        self.run_or_recall(step, run, network)?;
        if self.is_missing() {
            return Ok(());
        }
        let after = self.state.usage;
        let usage = Usage {
            cpu: after.cpu.saturating_sub(before.cpu),
            wall: after.wall.saturating_sub(before.wall),
            // A peak cannot be told from those before it; the store's record has it.
            max_rss: after.max_rss,
        };
        let (argv, _) = self.argv(run.invocation());
        let left = self.state.layers.clone();
        let mounts = run.mounts.len();
        let number = step.name.number;
        self.state.ran.push(Ran { number, argv, root, left, mounts, network, usage });
        Ok(())
    }

    fn run_or_recall(&mut self, step: &Step<'_>, run: &Run, network: bool) -> Result<(), Error> {
        let mut mounts = Vec::new();
        for mount in &run.mounts {
            let spec = mount.resolve(&|name: &str| self.scope.get(name))?;
            let from = mount.from().map(|from| from.span);
            match self.prepare(step, &spec, from)? {
                Some(prepared) => mounts.extend(prepared),
                None => return Ok(()),
            }
        }
        let invocation = run.invocation();
        let environment = self.environment();
        let linux32 = self.links.platform.architecture() == "386";
        let workdir = match &self.state.config.workdir[..] {
            "" => "/".to_owned(),
            workdir => workdir.to_owned(),
        };
        let key = self.key(json!({
            "run": describe(&invocation),
            "shell": self.shell(),
            "environment": environment,
            "user": self.state.config.user,
            "workdir": workdir,
            "network": network,
            "linux32": linux32,
            "mounts": mounts.iter().map(Prepared::describe).collect::<Vec<_>>(),
            "sandbox": stagex_sandbox::VERSION,
        }));
        if !self.again && self.recall(&key)? {
            return Ok(());
        }
        if self.planning {
            self.missed();
            return Ok(());
        }
        let _guard = self.engine.store.lock_step(&key)?;
        if !self.again && self.recall(&key)? {
            return Ok(());
        }
        let mut slot = self.engine.slot(step)?;
        let (argv, script) = self.argv(invocation);
        let (uid, gid) = match &self.state.config.user.clone()[..] {
            "" => (0, 0),
            name => user::resolve(self.merged()?, name)
                .map_err(|text| self.error(step.span, format!("USER {name}: {text}")))?,
        };
        let scratch = self.engine.store.scratch()?;
        let roots = roots(self.engine.store, &self.state.layers)?;
        let mut spec = Spec::new(roots, self.upper(&scratch)?, folder(&scratch, "work")?, argv);
        spec.env = environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect();
        spec.descriptors = slot
            .pipe(scratch.path())
            .map_err(|error| Error::Io { path: scratch.path().to_owned(), error })?;
        // No part of the key, as it is the same everywhere and must not show in what is built.
        if !environment.contains_key("MAKEFLAGS") {
            spec.env.push(("MAKEFLAGS".into(), jobs::MAKEFLAGS.into()));
        }
        spec.cwd = PathBuf::from(workdir);
        (spec.uid, spec.gid) = (uid, gid);
        spec.network = network;
        spec.limits = self.engine.options.limits;
        if linux32 {
            spec.personality = Personality::Linux32;
        }
        spec.mounts.extend(script);
        for (at, mount) in mounts.iter().enumerate() {
            spec.mounts.push(mount.make(self.engine, &scratch, at)?);
        }
        self.execute(step, &key, &spec, scratch)
    }

    /// Where the command's changes go: when it runs once more, a place with another path.
    fn upper(&self, scratch: &Scratch) -> Result<PathBuf, Error> {
        if !self.again {
            return folder(scratch, "upper");
        }
        folder(scratch, "elsewhere")?;
        folder(scratch, "elsewhere/where-the-path-is-a-longer-one")
    }

    /// Notes the files of the package's folder that the mounts of a command show it.
    fn gather_mounts(&mut self, step: &Step<'_>, run: &Run) -> Result<(), Error> {
        for mount in &run.mounts {
            let spec = mount.resolve(&|name: &str| self.scope.get(name))?;
            if spec.kind == MountKind::Bind && mount.from().is_none() {
                let path = TreePath::new(&spec.source)
                    .map_err(|error| self.error(step.span, error.to_string()))?;
                let context = self.recipe.context()?;
                self.inputs.read_context(context, &path)?;
            }
        }
        Ok(())
    }

    /// The words of a command, and the script that it needs as a file.
    fn argv(&self, invocation: Invocation) -> (Vec<String>, Option<Mount>) {
        match invocation {
            Invocation::Exec(argv) => (argv, None),
            Invocation::Shell(text) => (self.shell().into_iter().chain([text]).collect(), None),
            Invocation::Script { name, content } => {
                let path = format!("{PIPES}/{name}");
                let argv = self.shell().into_iter().chain([path.clone()]).collect();
                let script =
                    Mount::File { target: path.into(), content: content.into(), mode: 0o755 };
                (argv, Some(script))
            }
        }
    }

    fn execute(
        &mut self,
        step: &Step<'_>,
        key: &Digest,
        spec: &Spec,
        scratch: Scratch,
    ) -> Result<(), Error> {
        let log = self.engine.log_path(step, key, self.again)?;
        let file = File::create(&log).map_err(|error| Error::Io { path: log.clone(), error })?;
        self.engine.observer.step_started(&step.name, Some(&log));
        let outcome =
            stagex_sandbox::run(spec, stagex_sandbox::Stdio::Log(file), &self.engine.cancel)
                .map_err(|error| match error {
                    stagex_sandbox::Error::Cancelled => Error::Cancelled,
                    error => {
                        self.failure(step, &log, chain(&error), Some("it did not begin".into()))
                    }
                })?;
        if !outcome.status.success() {
            let ending = match outcome.status {
                Status::Exit(code) => format!("exit code {code}"),
                status => status.to_string(),
            };
            // A disk that is full is a reason to fail, and not to hide how the step ended.
            let store = self.engine.store;
            let kept = Failed::keep(store, self.recipe.id, &self.state.layers, spec, &scratch);
            let lost = kept.err().map(|error| {
                let _ = Failed::forget(store, self.recipe.id);
                chain(&error)
            });
            return Err(self.failure(step, &log, ending, lost));
        }
        let options = Adopt { owner: Owner::ROOT, lower: &self.state.layers };
        let layer = self.engine.store.adopt(&spec.upper, options)?;
        let usage = Usage {
            cpu: outcome.cpu_user + outcome.cpu_system,
            wall: outcome.wall,
            max_rss: outcome.max_rss,
        };
        if self.again {
            self.engine.observer.step_finished(&step.name, usage);
            return self.compare(step, key, layer.digest);
        }
        self.push_layer(layer.digest)?;
        self.remember(key, step, usage)?;
        self.engine.observer.step_finished(&step.name, usage);
        Ok(())
    }

    fn failure(&self, step: &Step<'_>, log: &Path, ending: String, lost: Option<String>) -> Error {
        let document = &self.recipe.containerfile.document;
        let position = document.position(step.span.start);
        Error::Step(Box::new(StepFailure {
            step: step.name.clone(),
            place: format!("{}:{}:{}", document.name(), position.line, position.column),
            ending,
            log: log.to_owned(),
            tail: error::tail(log),
            lost,
        }))
    }

    /// Whether the command gets the network: only where the package asks and the user allows.
    fn network(&self, step: &Step<'_>, run: &Run) -> Result<bool, Error> {
        match run.network {
            Network::None => Ok(false),
            Network::Default if !self.recipe.package.network => Ok(false),
            Network::Host if !self.recipe.package.network => Err(self
                .error(step.span, "the command asks for the network and the package does not")
                .with_help(
                    "fetch what is needed as a source; or say `network = true` in package.toml",
                )
                .into()),
            _ if self.engine.options.allow_network => Ok(true),
            _ => Err(self
                .error(step.span, "the package asks for the network, which is not allowed")
                .with_help("run again with --allow-network if you trust it with that")
                .into()),
        }
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let mut all = self.scope.of_run();
        let root = matches!(&self.state.config.user[..], "" | "0" | "root" | "0:0" | "root:root");
        for (name, value) in [
            ("PATH", PATH),
            ("HOME", if root { "/root" } else { "/" }),
            ("TZ", "UTC"),
            ("LC_ALL", "C"),
        ] {
            all.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        let epoch = self.engine.store.normalise().epoch.to_string();
        all.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert(epoch);
        all
    }

    /// Works a mount out; `None` if, while planning, it is not built yet.
    fn prepare(
        &mut self,
        step: &Step<'_>,
        spec: &MountSpec,
        from: Option<Span>,
    ) -> Result<Option<Option<Prepared>>, Error> {
        let target = self
            .path(&spec.target)
            .map_err(|error| self.error(step.span, error.to_string()))?
            .to_string();
        let prepared = match spec.kind {
            MountKind::Tmpfs => Prepared::Tmpfs { target, size: spec.size.unwrap_or(TMPFS_SIZE) },
            MountKind::Cache => Prepared::Cache { target, mode: spec.mode.unwrap_or(0o755) },
            MountKind::Secret | MountKind::Ssh if spec.required => {
                return Err(self
                    .error(step.span, "secrets and agents are never given to a build")
                    .with_help("what depends on a secret cannot be reproduced by anyone else")
                    .into());
            }
            MountKind::Secret | MountKind::Ssh => return Ok(Some(None)),
            MountKind::Bind if !spec.read_only => {
                return Err(self
                    .error(step.span, "a bind mount that can be written to is not supported")
                    .with_help("COPY the files instead")
                    .into());
            }
            MountKind::Bind => {
                let origin = match from {
                    Some(from) => {
                        self.takes(from, || Part::Whole)?;
                        self.origin(from)?
                    }
                    None => Some(Origin::Context),
                };
                let Some(origin) = origin else { return Ok(None) };
                let context_tree = match &origin {
                    Origin::Context => Some(self.recipe.context()?),
                    Origin::Image(_) => None,
                };
                let tree = match (&origin, context_tree) {
                    (Origin::Image(image), _) => self.engine.store.merged(&image.layers)?,
                    (_, Some(context)) if self.planning => context.tree().clone(),
                    (_, Some(context)) => {
                        let all: Vec<Digest> = self
                            .recipe
                            .package
                            .sources
                            .values()
                            .map(|source| source.hash)
                            .collect();
                        context.with_sources(&self.engine.fetch(self.recipe, &all)?)?
                    }
                    (Origin::Context, None) => return Ok(None),
                };
                let path = TreePath::new(&spec.source)
                    .map_err(place::PlaceError::from)
                    .and_then(|path| place::resolve(&tree, &path))
                    .map_err(|error| self.error(step.span, error.to_string()))?;
                if tree.get(&path).is_none() {
                    let text = format!("mount: {path} does not exist");
                    return Err(self.error(step.span, text).into());
                }
                let digest = context::digest_of(&tree, &path, &|_| false)?;
                Prepared::Bind { tree, path, target, digest }
            }
        };
        Ok(Some(Some(prepared)))
    }
}

impl Prepared {
    fn describe(&self) -> Value {
        match self {
            Self::Bind { path, target, digest, .. } => {
                json!(["bind", path.to_string(), target, digest.hex()])
            }
            Self::Tmpfs { target, size } => json!(["tmpfs", target, size]),
            Self::Cache { target, mode } => json!(["cache", target, mode]),
        }
    }

    /// Puts the files where the sandbox can mount them.
    fn make(&self, engine: &Engine<'_>, scratch: &Scratch, at: usize) -> Result<Mount, Error> {
        match self {
            Self::Tmpfs { target, size } => {
                Ok(Mount::Tmpfs { target: target.into(), size: *size, mode: 0o1777 })
            }
            Self::Cache { target, mode } => {
                use std::os::unix::fs::PermissionsExt as _;
                let source = folder(scratch, &format!("cache-{at}"))?;
                let permissions = std::fs::Permissions::from_mode(mode & 0o7777);
                std::fs::set_permissions(&source, permissions)
                    .map_err(|error| Error::Io { path: source.clone(), error })?;
                Ok(Mount::Bind { source, target: target.into(), writable: true })
            }
            Self::Bind { tree, path, target, .. } => {
                let mut placer = place::Placer::new(Tree::new(), Default::default());
                let entry = tree.get(path).map(|entry| entry.inode);
                let name = TreePath::new("mount").unwrap_or_default();
                let placed = match entry {
                    Some(inode) if inode.is_directory() => {
                        placer.place_directory(tree, path, &name, &|_| false)
                    }
                    _ => placer.place_file(tree, path, &name),
                };
                placed.map_err(|error| Error::Io {
                    path: PathBuf::from(target),
                    error: std::io::Error::other(error),
                })?;
                let layer: LayerTree = placer.finish();
                let layer = engine.store.add(&layer)?;
                Ok(Mount::Bind {
                    source: layer.root.join("mount"),
                    target: target.into(),
                    writable: false,
                })
            }
        }
    }
}

fn describe(invocation: &Invocation) -> Value {
    match invocation {
        Invocation::Exec(argv) => json!(["exec", argv]),
        Invocation::Shell(text) => json!(["shell", text]),
        Invocation::Script { name, content } => json!(["script", name, content]),
    }
}

/// An error and what it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The directories of a stack of layers as the sandbox mounts them, top first.
///
/// Of a layer that is there twice only the upper one counts: it has all that the lower one has,
/// and the kernel refuses to mount a directory twice.
pub fn roots(store: &Store, layers: &[Digest]) -> Result<Vec<PathBuf>, StoreError> {
    let mut seen = BTreeSet::new();
    let mut stack: Vec<Digest> =
        layers.iter().rev().filter(|layer| seen.insert(**layer)).copied().collect();
    stack.reverse();
    let mut roots = store.lower_dirs(&stack)?;
    roots.reverse();
    Ok(roots)
}

/// Makes a folder. What becomes a layer's root must not show the user's umask.
fn folder(scratch: &Scratch, name: &str) -> Result<PathBuf, Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = scratch.path().join(name);
    std::fs::create_dir(&path)
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
        .map_err(|error| Error::Io { path: path.clone(), error })?;
    Ok(path)
}
