//! Measures the ladder from a seed to a compiler on what was built, and lists what each of its
//! steps could see.
//!
//! Nothing here is taken on trust: who built a rung, its size, digest and time come from the
//! layers and records of the steps, its lines from the sources as they lie there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use stagex_oci::Store;
use stagex_recipe::{
    Spanned,
    rungs::{Ladder, Rung},
};
use stagex_tree::{Content, Digest, Kind, Tree, TreePath};

use crate::{Error, Ran, Stage, read_folder};

/// The most bytes that a seed has.
pub const SEED_LIMIT: u64 = 256;

/// A rung as it was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// The rung that built it; that one was in the root of the step.
    pub by: String,
    /// The command that built it.
    pub argv: Vec<String>,
    /// Lines of its own sources.
    pub lines: u64,
    /// Bytes of what was built.
    pub size: u64,
    /// The digest of what was built.
    pub digest: Digest,
    /// CPU time of the step that built it, when it did.
    pub cpu: Duration,
    /// What is reached with it.
    pub reaches: Option<Milestone>,
}

/// What a rung reaches, and what the way there took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Milestone {
    /// What it is.
    pub text: String,
    /// Lines of all sources so far, each file counted once.
    pub lines: u64,
    /// CPU time of all steps so far.
    pub cpu: Duration,
}

/// A step and the trees before and after it.
struct Step<'a> {
    stage: &'a Stage,
    ran: &'a Ran,
    root: Tree,
    left: Tree,
}

fn steps<'a>(stages: &'a [Stage], store: &Store) -> Result<Vec<Step<'a>>, Error> {
    let mut steps = Vec::new();
    for stage in stages {
        for ran in &stage.built.ran {
            let (root, left) = (store.merged(&ran.root)?, store.merged(&ran.left)?);
            steps.push(Step { stage, ran, root, left });
        }
    }
    Ok(steps)
}

/// Measures every rung of `ladder`, whose folder is `folder`, on the stages of `package`.
pub fn measure(
    ladder: &Ladder,
    folder: &Path,
    package: &str,
    stages: &[Stage],
    store: &Store,
) -> Result<Vec<Measured>, Error> {
    let steps = steps(stages, store)?;
    let wrong = |at: &Spanned<String>, text: String| ladder.document.error(at.span, text);
    let mut rungs: Vec<Measured> = Vec::new();
    let mut counted = BTreeSet::new();
    let mut lines_so_far = 0;
    for rung in &ladder.rungs {
        let path = TreePath::new(&rung.file.value)
            .map_err(|error| wrong(&rung.file, error.to_string()))?;
        let (at, step) = steps
            .iter()
            .enumerate()
            .filter(|(_, step)| {
                step.stage.package == package && step.stage.name == rung.stage.value
            })
            .filter(|(_, step)| content(&step.left, &path).is_some())
            .rfind(|(_, step)| !same(content(&step.root, &path), content(&step.left, &path)))
            .ok_or_else(|| {
                let text = format!("no command of the stage {} makes it", rung.stage.value);
                wrong(&rung.file, text)
            })?;
        let Some(made) = content(&step.left, &path) else { continue };
        let digest = digest_of(made, &path)?;
        let by = rungs.iter().find(|other| other.name == rung.by.value);
        let by = by.map_or(digest, |by| by.digest);
        if !holds(&step.root, by)? {
            let text = format!("{} was not in the root of the step that built it", rung.by.value);
            return Err(wrong(&rung.by, text).into());
        }
        let files = count_lines(ladder, rung, folder)?;
        for (file, lines) in &files {
            if counted.insert(file.clone()) {
                lines_so_far += lines;
            }
        }
        let reaches = rung.reaches.clone().map(|text| Milestone {
            text,
            lines: lines_so_far,
            cpu: steps[..=at].iter().map(|step| step.ran.usage.cpu).sum(),
        });
        rungs.push(Measured {
            name: rung.name.value.clone(),
            by: rung.by.value.clone(),
            argv: step.ran.argv.clone(),
            lines: files.iter().map(|(_, lines)| lines).sum(),
            size: made.len(),
            digest,
            cpu: step.ran.usage.cpu,
            reaches,
        });
    }
    Ok(rungs)
}

/// The lines of each source file of a rung, in the order in which rungs.toml names them.
pub fn count_lines(
    ladder: &Ladder,
    rung: &Rung,
    folder: &Path,
) -> Result<Vec<(String, u64)>, Error> {
    let mut files = Vec::new();
    for source in &rung.sources {
        let place = folder.join(&source.value);
        if !place.exists() {
            let text = format!("there is no {} in {}", source.value, folder.display());
            return Err(ladder.document.error(source.span, text).into());
        }
        let mut names = vec![source.value.clone()];
        if place.is_dir() {
            let mut tree = Tree::new();
            read_folder(&mut tree, &place, &TreePath::root(), &|_| false)?;
            let inside = tree.iter().filter(|entry| entry.inode.content().is_some());
            names = inside.map(|entry| format!("{}{}", source.value, entry.path)).collect();
        }
        for name in names {
            let path = folder.join(&name);
            let bytes = std::fs::read(&path).map_err(|error| Error::Io { path, error })?;
            let ends = bytes.iter().filter(|&&byte| byte == b'\n').count();
            let open = usize::from(bytes.last().is_some_and(|&byte| byte != b'\n'));
            files.push((name, (ends + open) as u64));
        }
    }
    Ok(files)
}

/// The lines of a file of digests that lock the rungs of `package`.
pub fn digest_lines(package: &str, rungs: &[Measured]) -> String {
    rungs.iter().map(|rung| format!("{} {package}/{}\n", rung.digest, rung.name)).collect()
}

/// What of `rungs` is not as `locked` has it, the text that [`digest_lines`] once gave; each in
/// words that begin with the rung's name.
pub fn compare(package: &str, locked: &str, rungs: &[Measured]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut digests = BTreeMap::new();
    for line in locked.lines().filter(|line| !line.trim().is_empty()) {
        let parts = line.split_once(' ').and_then(|(digest, name)| {
            let rung = name.strip_prefix(package)?.strip_prefix('/')?;
            Some((rung, digest.parse::<Digest>().ok()?))
        });
        match parts {
            Some((rung, digest)) if digests.insert(rung, digest).is_none() => {}
            _ => wrong.push(format!("{line}: not understood, or the second line of this rung")),
        }
    }
    for rung in rungs {
        match digests.remove(&rung.name[..]) {
            Some(digest) if digest == rung.digest => {}
            Some(digest) => {
                wrong.push(format!("{}: locked is {digest}, built was {}", rung.name, rung.digest))
            }
            None => wrong.push(format!("{}: is not locked", rung.name)),
        }
    }
    wrong
        .extend(digests.keys().map(|name| format!("{name}: is locked, but there is no such rung")));
    wrong
}

/// Where a file in the root of a step comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is the seed.
    Seed,
    /// It is a text of the ladder's folder.
    Source {
        /// The file, relative to the folder.
        path: String,
    },
    /// It is a text in an archive of the package's sources.
    Archive {
        /// The archive's file name.
        file: String,
    },
    /// An earlier step made it.
    Made {
        /// The step's stage.
        stage: String,
        /// Which instruction of the stage it is.
        number: usize,
    },
    /// None of these: it must not be there.
    Unknown,
}

impl Origin {
    fn source(&self) -> Option<&str> {
        match self {
            Self::Source { path } => Some(path),
            _ => None,
        }
    }
}

/// What one step could see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The step's stage.
    pub stage: String,
    /// Which instruction of the stage it is, from 1.
    pub number: usize,
    /// What it ran.
    pub argv: Vec<String>,
    /// Every path in it that is no directory, in order, and where it comes from.
    pub files: Vec<(TreePath, Origin)>,
    /// What must not be, in words.
    pub faults: Vec<String>,
}

/// Lists the root of every step of `stages`, and what in it is neither made by an earlier step
/// nor a text: of `folder`, or of `archives`, which are the package's sources unpacked.
///
/// The program that a step runs must be the seed or made by an earlier step; a step must have
/// neither mounts nor the network; the seed must not be longer than [`SEED_LIMIT`]. And every
/// text of `folder` that a step sees must be counted as a rung's source.
pub fn roots(
    ladder: &Ladder,
    folder: &Path,
    stages: &[Stage],
    archives: &[(String, Tree)],
    store: &Store,
) -> Result<Vec<Root>, Error> {
    let mut known = BTreeMap::<Digest, Origin>::new();
    for (file, tree) in archives {
        for (_, content) in contents(tree) {
            if let Some(digest) = text_digest(content)? {
                known.insert(digest, Origin::Archive { file: file.clone() });
            }
        }
    }
    let mut tree = Tree::new();
    read_folder(&mut tree, folder, &TreePath::root(), &|_| false)?;
    for (path, content) in contents(&tree) {
        if let Some(digest) = text_digest(content)? {
            let path = path.to_string().trim_start_matches('/').to_owned();
            known.insert(digest, Origin::Source { path });
        }
    }
    let seed = TreePath::new(&ladder.seed)
        .ok()
        .and_then(|path| content(&tree, &path).cloned())
        .ok_or_else(|| Error::Io {
            path: folder.join(&ladder.seed),
            error: std::io::ErrorKind::NotFound.into(),
        })?;
    known.insert(digest_of(&seed, &TreePath::root())?, Origin::Seed);
    let mut counted = BTreeSet::new();
    for rung in &ladder.rungs {
        counted.extend(count_lines(ladder, rung, folder)?.into_iter().map(|(file, _)| file));
    }
    let mut roots = Vec::new();
    for step in &steps(stages, store)? {
        let mut root = list(step, &known)?;
        for (path, origin) in &root.files {
            if let Some(source) = origin.source().filter(|source| !counted.contains(*source)) {
                root.faults.push(format!("{path} is {source}, which no rung names as its source"));
            }
        }
        if seed.len() > SEED_LIMIT {
            let text = format!("the seed has {} bytes, more than {SEED_LIMIT}", seed.len());
            root.faults.insert(0, text);
        }
        roots.push(root);
        for (path, content) in contents(&step.left) {
            let digest = digest_of(content, path)?;
            if !holds_at(&step.root, path, digest)? {
                let made = Origin::Made { stage: step.stage.name.clone(), number: step.ran.number };
                known.entry(digest).or_insert(made);
            }
        }
    }
    Ok(roots)
}

fn list(step: &Step<'_>, known: &BTreeMap<Digest, Origin>) -> Result<Root, Error> {
    let mut files = Vec::new();
    let mut faults = Vec::new();
    for entry in step.root.iter() {
        let origin = match &entry.inode.kind {
            Kind::Directory => continue,
            Kind::File(content) => {
                known.get(&digest_of(content, entry.path)?).cloned().unwrap_or(Origin::Unknown)
            }
            _ => Origin::Unknown,
        };
        if origin == Origin::Unknown {
            faults.push(format!("{} is neither made by an earlier step nor source", entry.path));
        }
        files.push((entry.path.clone(), origin));
    }
    let program = step.ran.argv.first().map(String::as_str).unwrap_or_default();
    let path = TreePath::new(program).unwrap_or_default();
    let found = files.iter().find(|(at, _)| program.starts_with('/') && *at == path);
    if !matches!(found, Some((_, Origin::Seed | Origin::Made { .. }))) {
        faults.push(format!("it runs {program}, which no earlier step made"));
    }
    if step.ran.mounts != 0 {
        faults.push("it sees files by --mount, beside its root".to_owned());
    }
    if step.ran.network {
        faults.push("it has the network".to_owned());
    }
    Ok(Root {
        stage: step.stage.name.clone(),
        number: step.ran.number,
        argv: step.ran.argv.clone(),
        files,
        faults,
    })
}

fn content<'a>(tree: &'a Tree, path: &TreePath) -> Option<&'a Content> {
    tree.get(path)?.inode.content()
}

fn contents(tree: &Tree) -> impl Iterator<Item = (&TreePath, &Content)> {
    tree.iter().filter_map(|entry| Some((entry.path, entry.inode.content()?)))
}

fn digest_of(content: &Content, path: &TreePath) -> Result<Digest, Error> {
    content.digest().map_err(|error| Error::Io { path: path.to_string().into(), error })
}

/// The digest of a content, if it is text: no byte of it is zero.
fn text_digest(content: &Content) -> Result<Option<Digest>, Error> {
    let bytes = content.read().map_err(|error| Error::Io { path: "a source".into(), error })?;
    Ok((!bytes.contains(&0)).then(|| Digest::of(&bytes)))
}

fn same(one: Option<&Content>, other: Option<&Content>) -> bool {
    let digest = |content: &Content| content.digest().ok();
    one.map(digest) == other.map(digest)
}

fn holds(tree: &Tree, digest: Digest) -> Result<bool, Error> {
    for (path, content) in contents(tree) {
        if digest_of(content, path)? == digest {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds_at(tree: &Tree, path: &TreePath, digest: Digest) -> Result<bool, Error> {
    match content(tree, path) {
        Some(content) => Ok(digest_of(content, path)? == digest),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use stagex_oci::{LayerTree, Normalise};
    use stagex_recipe::Document;
    use stagex_tree::{Inode, Metadata};
    use tempfile::TempDir;

    use super::*;
    use crate::{Built, observe::Usage};

    const RUNGS: &str = r#"
seed = "seed"
[[rung]]
name = "seed"
by = "seed"
stage = "one"
file = "/bin/again"
sources = ["seed.txt"]
about = "The seed."
[[rung]]
name = "next"
by = "seed"
stage = "two"
file = "/bin/next"
sources = ["next.txt", "lib"]
about = "What it makes."
reaches = "the top"
"#;

    /// A folder, and two steps: the seed makes itself again, then something else.
    struct Bench {
        folder: TempDir,
        store: Store,
        ladder: Ladder,
        /// What the second step finds in its root.
        second: Vec<(&'static str, Vec<u8>)>,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("source");
            fs::create_dir_all(path.join("lib")).unwrap();
            fs::write(path.join("seed"), b"\0seed").unwrap();
            fs::write(path.join("seed.txt"), "1\n2\n").unwrap();
            fs::write(path.join("next.txt"), "3\n4\n5").unwrap();
            fs::write(path.join("lib/a"), "6\n").unwrap();
            let store = Store::open(folder.path().join("store"), Normalise::default()).unwrap();
            let ladder = Ladder::parse(&Document::new("rungs.toml", RUNGS)).unwrap();
            let second =
                vec![("bin/tool", b"\0seed".to_vec()), ("src/next.txt", b"3\n4\n5".to_vec())];
            Self { folder, store, ladder, second }
        }

        fn layer(&self, files: &[(&str, Vec<u8>)]) -> Digest {
            let mut layer = LayerTree::new();
            for (path, bytes) in files {
                let path = TreePath::new(path).unwrap();
                let kind = Kind::File(Content::from_bytes(&bytes[..]));
                layer.insert(path, Inode { metadata: Metadata::new(0o755), kind }).unwrap();
            }
            self.store.add(&layer).unwrap().digest
        }

        fn stages(&self) -> Vec<Stage> {
            let stage = |name: &str, root: Digest, made: Digest, program: &str| {
                let ran = Ran {
                    number: 3,
                    argv: vec![program.to_owned(), "/src/text".to_owned()],
                    root: vec![root],
                    left: vec![root, made],
                    mounts: 0,
                    network: false,
                    usage: Usage { cpu: Duration::from_millis(20), ..Usage::default() },
                };
                let layers = ran.left.clone();
                let built = Built { layers, ran: vec![ran], ..Built::default() };
                Stage { package: "p".to_owned(), name: name.to_owned(), built: Arc::new(built) }
            };
            let first = self
                .layer(&[("bin/seed", b"\0seed".to_vec()), ("src/seed.txt", b"1\n2\n".to_vec())]);
            vec![
                stage("one", first, self.layer(&[("bin/again", b"\0seed".to_vec())]), "/bin/seed"),
                stage(
                    "two",
                    self.layer(&self.second),
                    self.layer(&[("bin/next", b"\0next".to_vec())]),
                    "/bin/tool",
                ),
            ]
        }

        fn measure(&self) -> Result<Vec<Measured>, Error> {
            let source = self.folder.path().join("source");
            measure(&self.ladder, &source, "p", &self.stages(), &self.store)
        }

        fn roots(&self, stages: &[Stage], archives: &[(String, Tree)]) -> Vec<Root> {
            let source = self.folder.path().join("source");
            roots(&self.ladder, &source, stages, archives, &self.store).unwrap()
        }

        /// The faults of the second step.
        fn faults(&self, change: impl FnOnce(&mut Ran)) -> Vec<String> {
            let mut stages = self.stages();
            let built = Arc::make_mut(&mut stages[1].built);
            change(&mut built.ran[0]);
            self.roots(&stages, &[]).pop().unwrap().faults
        }
    }

    #[test]
    fn rungs_are_measured_on_what_was_built() {
        let bench = Bench::new();
        let rungs = bench.measure().unwrap();
        assert_eq!(rungs[0].digest, Digest::of(b"\0seed"));
        assert_eq!((rungs[0].lines, rungs[0].size, &rungs[0].by[..]), (2, 5, "seed"));
        assert_eq!(rungs[1].digest, Digest::of(b"\0next"));
        assert_eq!((rungs[1].lines, rungs[1].size, &rungs[1].by[..]), (4, 5, "seed"));
        assert_eq!(rungs[1].argv, ["/bin/tool", "/src/text"]);
        let reached = rungs[1].reaches.clone().unwrap();
        assert_eq!((reached.lines, reached.cpu), (6, Duration::from_millis(40)));
    }

    #[test]
    fn who_built_a_rung_must_have_been_there() {
        let mut bench = Bench::new();
        bench.second[0].1 = b"\0other".to_vec();
        let text = bench.measure().unwrap_err().to_string();
        assert!(text.contains("seed was not in the root of the step"), "{text}");
    }

    #[test]
    fn a_rung_that_no_step_makes_is_an_error() {
        let mut bench = Bench::new();
        bench.ladder.rungs[1].file.value = "/bin/tool".to_owned();
        let text = bench.measure().unwrap_err().to_string();
        assert!(text.contains("no command of the stage two makes it"), "{text}");
    }

    #[test]
    fn a_mismatch_of_digests_names_the_rung() {
        let rungs = Bench::new().measure().unwrap();
        let lines = digest_lines("p", &rungs);
        assert_eq!(lines.lines().count(), 2);
        assert_eq!(compare("p", &lines, &rungs), Vec::<String>::new());
        let first = |text: &str| compare("p", text, &rungs)[0].clone();
        let other = lines.replacen(&Digest::of(b"\0next").hex(), &Digest::of("").hex(), 1);
        assert!(first(&other).starts_with("next: locked is e3b0c442"), "{other}");
        assert_eq!(first(&lines.replace("p/next", "p/more")), "next: is not locked");
        let more = format!("{lines}{} p/more\n", Digest::of(""));
        assert_eq!(first(&more), "more: is locked, but there is no such rung");
        for bad in ["what", &lines.replace("p/next", "q/next"), &format!("{lines}{lines}")] {
            assert!(first(bad).contains("not understood"), "{bad}");
        }
    }

    #[test]
    fn roots_say_where_each_file_comes_from() {
        let mut bench = Bench::new();
        bench.second.push(("src/theirs.c", b"int x;".to_vec()));
        bench.second.push(("src/copy", b"\0seed".to_vec()));
        let mut archive = Tree::new();
        let kind = Kind::File(Content::from_bytes(&b"int x;"[..]));
        let inode = Inode { metadata: Metadata::new(0o644), kind };
        archive.insert(TreePath::new("x.c").unwrap(), inode).unwrap();
        let roots = bench.roots(&bench.stages(), &[("x.tar".to_owned(), archive)]);
        assert!(roots.iter().all(|root| root.faults.is_empty()), "{roots:?}");
        let found: Vec<(String, Origin)> = roots[1]
            .files
            .iter()
            .map(|(path, origin)| (path.to_string(), origin.clone()))
            .collect();
        assert_eq!(
            found,
            [
                ("/bin/tool".to_owned(), Origin::Seed),
                ("/src/copy".to_owned(), Origin::Seed),
                ("/src/next.txt".to_owned(), Origin::Source { path: "next.txt".to_owned() }),
                ("/src/theirs.c".to_owned(), Origin::Archive { file: "x.tar".to_owned() }),
            ]
        );
    }

    #[test]
    fn an_intruder_is_found() {
        let bench = Bench::new();
        assert_eq!(bench.faults(|_| ()), Vec::<String>::new());
        let mut bench = Bench::new();
        bench.second.push(("bin/sh", b"\x7fELF\0".to_vec()));
        let wanted = "/bin/sh is neither made by an earlier step nor source";
        assert_eq!(bench.faults(|_| ()), [wanted]);
        // What the folder holds is no source unless it is text.
        fs::write(bench.folder.path().join("source/sh"), b"\x7fELF\0").unwrap();
        assert_eq!(bench.faults(|_| ()), [wanted]);
        // What a later step makes is not there yet.
        let mut bench = Bench::new();
        bench.second.push(("bin/early", b"\0next".to_vec()));
        assert_eq!(
            bench.faults(|_| ()),
            ["/bin/early is neither made by an earlier step nor source"]
        );
    }

    #[test]
    fn a_step_runs_only_what_was_made_and_sees_only_its_root() {
        let bench = Bench::new();
        let fault = |program: &str| format!("it runs {program}, which no earlier step made");
        for program in ["/src/next.txt", "/bin/absent", "tool"] {
            let found = bench.faults(|ran| ran.argv[0] = program.to_owned());
            assert_eq!(found, [fault(program)]);
        }
        let found = bench.faults(|ran| ran.mounts = 1);
        assert_eq!(found, ["it sees files by --mount, beside its root"]);
        assert_eq!(bench.faults(|ran| ran.network = true), ["it has the network"]);
        let mut bench = Bench::new();
        bench.second.push(("src/more", b"more\n".to_vec()));
        fs::write(bench.folder.path().join("source/more"), "more\n").unwrap();
        let found = bench.faults(|_| ());
        assert_eq!(found, ["/src/more is more, which no rung names as its source"]);
        let bench = Bench::new();
        let mut long = b"\0seed".to_vec();
        long.resize(257, 1);
        fs::write(bench.folder.path().join("source/seed"), long).unwrap();
        assert!(bench.faults(|_| ())[0].contains("the seed has 257 bytes, more than 256"));
    }
}
