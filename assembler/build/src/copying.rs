//! COPY and ADD.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde_json::json;
use stagex_oci::{LayerTree, Scratch, tar};
use stagex_recipe::{
    Diagnostic,
    containerfile::{Add, Copy, CopySource, Word},
};
use stagex_tree::{Content, Digest, Inode, Kind, Metadata, Tree, TreePath};

use crate::{
    Error,
    again::Part,
    archive, context,
    place::{self, Changes, PlaceError, Placer},
    stage::{Built, Evaluation, Step},
    user,
};

/// The most bytes that the members of one archive may have together.
const ARCHIVE_LIMIT: u64 = 64 << 30;

/// COPY or ADD, with all words expanded.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    sources: Vec<Item>,
    /// Where to, from the root.
    destination: TreePath,
    /// Whether the destination is written as a directory.
    into: bool,
    chown: Option<String>,
    mode: Option<u16>,
    exclude: Vec<String>,
    parents: bool,
    /// Whether archives are unpacked.
    unpack: bool,
}

#[derive(Debug, Clone)]
enum Item {
    Path(String),
    File { name: String, content: String },
    Remote { url: String, digest: Digest },
}

/// Where COPY and ADD take files from.
pub(crate) enum Origin {
    /// The package's folder.
    Context,
    /// Another stage or package.
    Image(std::sync::Arc<Built>),
}

impl Evaluation<'_> {
    /// Obeys COPY.
    pub(crate) fn copy(&mut self, step: &Step<'_>, copy: &Copy) -> Result<(), Error> {
        let origin = match &copy.from {
            Some(from) => match self.origin(from.span)? {
                Some(origin) => origin,
                None => return Ok(()),
            },
            None => Origin::Context,
        };
        if self.gathering && matches!(origin, Origin::Image(_)) {
            return Ok(());
        }
        let request = Request {
            sources: self.items(&copy.sources, None)?,
            chown: self.word(copy.chown.as_ref())?,
            mode: self.mode(copy.chmod.as_ref())?,
            exclude: self.words(&copy.exclude)?,
            parents: copy.parents,
            unpack: false,
            ..self.destination(&copy.destination)?
        };
        if let Some(from) = &copy.from {
            self.takes(from.span, || Part::Copied(request.clone()))?;
        }
        self.place(step, &request, &origin)
    }

    /// Obeys ADD.
    pub(crate) fn add(&mut self, step: &Step<'_>, add: &Add) -> Result<(), Error> {
        let request = Request {
            sources: self.items(&add.sources, add.checksum.as_ref())?,
            chown: self.word(add.chown.as_ref())?,
            mode: self.mode(add.chmod.as_ref())?,
            exclude: self.words(&add.exclude)?,
            parents: false,
            unpack: add.unpack.unwrap_or(true),
            ..self.destination(&add.destination)?
        };
        self.place(step, &request, &Origin::Context)
    }

    fn words(&self, words: &[Word]) -> Result<Vec<String>, Diagnostic> {
        words.iter().map(|word| self.expand(word)).collect()
    }

    fn word(&self, word: Option<&Word>) -> Result<Option<String>, Diagnostic> {
        word.map(|word| self.expand(word)).transpose()
    }

    fn mode(&self, word: Option<&Word>) -> Result<Option<u16>, Diagnostic> {
        let Some(word) = word else { return Ok(None) };
        let text = self.expand(word)?;
        match u16::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Some(mode)),
            _ => Err(word
                .error(format!("--chmod={text} is no octal mode"))
                .with_help("write the permission bits as a number, such as 0755")),
        }
    }

    fn destination(&self, word: &Word) -> Result<Request, Diagnostic> {
        let text = self.expand(word)?;
        let into = text.ends_with('/') || text == "." || text.ends_with("/.");
        let destination = self.path(&text).map_err(|error| word.error(error.to_string()))?;
        Ok(Request {
            sources: Vec::new(),
            destination,
            into,
            chown: None,
            mode: None,
            exclude: Vec::new(),
            parents: false,
            unpack: false,
        })
    }

    fn items(
        &self,
        sources: &[CopySource],
        checksum: Option<&Word>,
    ) -> Result<Vec<Item>, Diagnostic> {
        let mut items = Vec::new();
        for source in sources {
            items.push(match source {
                CopySource::Heredoc(heredoc) => Item::File {
                    name: heredoc.name.clone(),
                    content: heredoc.expand(&|name: &str| self.scope.get(name))?,
                },
                CopySource::Path(word) => {
                    let text = self.expand(word)?;
                    if text.starts_with("http://") || text.starts_with("https://") {
                        let Some(checksum) = self.word(checksum)? else {
                            return Err(word
                                .error("a remote file without a digest cannot be reproduced")
                                .with_help(
                                    "add --checksum=sha256:…, or make it a source of package.toml",
                                ));
                        };
                        let digest = checksum
                            .parse()
                            .map_err(|error| word.error(format!("--checksum: {error}")))?;
                        Item::Remote { url: text, digest }
                    } else if text.starts_with("git@") || text.starts_with("git://") {
                        return Err(word
                            .error("git repositories cannot be added: their bytes have no digest")
                            .with_help("make an archive of the commit a source of package.toml"));
                    } else {
                        Item::Path(text)
                    }
                }
            });
        }
        Ok(items)
    }

    /// Does the work of COPY and ADD, unless the store has its result.
    fn place(&mut self, step: &Step<'_>, request: &Request, origin: &Origin) -> Result<(), Error> {
        let fail =
            |text: String| Error::from(self.recipe.containerfile.document.error(step.span, text));
        let description = json!({
            "destination": request.destination.to_string(),
            "into": request.into,
            "chown": request.chown,
            "mode": request.mode,
            "exclude": request.exclude,
            "parents": request.parents,
            "unpack": request.unpack,
        });
        // Known by what it is taken from as a whole: found without looking into it.
        let quick = match origin {
            Origin::Image(image) => Some(self.key(json!({
                "copy": description,
                "from": image.layers.iter().map(Digest::hex).collect::<Vec<_>>(),
                "sources": describe(&request.sources),
            }))),
            Origin::Context => None,
        };
        if let Some(quick) = &quick {
            if self.recall(quick)? {
                return Ok(());
            }
            if self.planning {
                self.missed();
                return Ok(());
            }
        }
        if let (Origin::Image(image), Some(quick)) = (origin, &quick) {
            if self.stack(request, image)? {
                return self.remember(quick, step, Default::default());
            }
        }
        let tree = match origin {
            Origin::Image(image) => self.engine.store.merged(&image.layers)?,
            Origin::Context => self.recipe.context()?.tree().clone(),
        };
        let selected = select(&tree, request).map_err(fail)?;
        if self.gathering {
            for item in &selected {
                if let Selected::Path(path) = item {
                    self.inputs.read_context(self.recipe.context()?, path)?;
                }
            }
            return Ok(());
        }
        // Known by exactly what is copied.
        let parts = content_of(&tree, request, &selected)?;
        let key = self.key(json!({ "copy": description, "content": parts }));
        if self.recall(&key)? {
            if let Some(quick) = &quick {
                self.remember(quick, step, Default::default())?;
            }
            return Ok(());
        }
        if self.planning {
            self.missed();
            return Ok(());
        }
        let _guard = self.engine.store.lock_step(&key)?;
        if !self.recall(&key)? {
            let _slot = self.engine.slot(step)?;
            self.engine.observer.step_started(&step.name, None);
            let tree = match origin {
                Origin::Context => self.with_sources(&selected)?,
                Origin::Image(_) => tree,
            };
            self.assemble(request, &tree, &selected).map_err(|error| match error {
                Assembly::Place(error) => fail(error.to_string()),
                Assembly::Text(text) => fail(text),
                Assembly::Error(error) => error,
            })?;
            self.remember(&key, step, Default::default())?;
            self.engine.observer.step_finished(&step.name, Default::default());
        }
        if let Some(quick) = &quick {
            self.remember(quick, step, Default::default())?;
        }
        Ok(())
    }

    /// Where all of an image goes to the root unchanged, its layers serve as they are.
    fn stack(&mut self, request: &Request, image: &Built) -> Result<bool, Error> {
        let whole = matches!(&request.sources[..], [Item::Path(path)] if matches!(&path[..], "." | "/" | "./" | "/."));
        let unchanged = request.chown.is_none()
            && request.mode.is_none()
            && request.exclude.is_empty()
            && !request.parents;
        if !whole || !unchanged || !request.destination.is_root() {
            return Ok(false);
        }
        let store = self.engine.store;
        for layer in &image.layers {
            if store.layer(layer)?.markers != 0 {
                return Ok(false);
            }
        }
        if !self.state.layers.is_empty() {
            let source = store.merged(&image.layers)?;
            if !place::lies_flat(&source, self.merged()?) {
                return Ok(false);
            }
        }
        for layer in &image.layers {
            self.push_layer(*layer)?;
        }
        Ok(true)
    }

    /// The context with the sources that are copied, which are fetched now.
    fn with_sources(&self, selected: &[Selected<'_>]) -> Result<Tree, Error> {
        let context = self.recipe.context()?;
        let mut wanted = Vec::new();
        for item in selected {
            let Selected::Path(path) = item else { continue };
            for entry in context.tree().subtree(path) {
                wanted.extend(context.source(entry.path));
            }
        }
        let found = self.engine.fetch(self.recipe, &wanted)?;
        Ok(context.with_sources(&found)?)
    }

    fn assemble(
        &mut self,
        request: &Request,
        tree: &Tree,
        selected: &[Selected<'_>],
    ) -> Result<(), Assembly> {
        let mut changes = Changes { owner: None, mode: request.mode };
        if let Some(owner) = &request.chown {
            let ids = user::resolve(self.merged()?, owner)
                .map_err(|error| Assembly::Text(format!("--chown: {error}")))?;
            changes.owner = Some(ids);
        }
        let scratch = self.engine.store.scratch().map_err(Error::from)?;
        let mut spool = Spool { scratch: &scratch, count: 0 };
        let below = self.merged()?.clone();
        let mut placer = Placer::new(below.clone(), changes);
        let excluded = exclusion(&request.exclude);
        let several = selected.len() > 1;
        for item in selected {
            match item {
                Selected::Path(path) => {
                    let entry = tree.get(path).map(|entry| entry.inode);
                    let destination = match (request.parents, path.parent()) {
                        (true, Some(parent)) => request.destination.join(parent.as_bytes()),
                        _ => Ok(request.destination.clone()),
                    };
                    let destination = destination.map_err(PlaceError::from)?;
                    if entry.is_some_and(Inode::is_directory) {
                        let destination = match request.parents {
                            true => destination.join(path.name()).map_err(PlaceError::from)?,
                            false => destination,
                        };
                        placer.place_directory(tree, path, &destination, &|path| excluded(path))?;
                        continue;
                    }
                    if request.unpack {
                        if let Some(layer) = spool.unpack(entry.and_then(Inode::content))? {
                            placer.place_directory(
                                &layer.tree,
                                &TreePath::root(),
                                &request.destination,
                                &|path| excluded(path),
                            )?;
                            continue;
                        }
                    }
                    let into = request.into
                        || several
                        || request.parents
                        || place::is_directory(placer.view(), &destination);
                    let destination = match into {
                        true => destination.join(path.name()).map_err(PlaceError::from)?,
                        false => destination,
                    };
                    placer.place_file(tree, path, &destination)?;
                }
                Selected::Item(Item::File { name, content }) => {
                    let content = Content::from_bytes(content.as_bytes());
                    place_one(&mut placer, request, several, name, content)?;
                }
                Selected::Item(Item::Remote { url, digest }) => {
                    let name = url.rsplit('/').next().unwrap_or_default();
                    let path = self.engine.fetch_remote(url, *digest)?;
                    let len = std::fs::metadata(&path)
                        .map_err(|error| Error::Io { path: path.clone(), error })?
                        .len();
                    let content = Content::from_file(path.as_path(), 0, len).with_digest(*digest);
                    place_one(&mut placer, request, several, name, content)?;
                }
                Selected::Item(Item::Path(_)) => {}
            }
        }
        let mut layer = placer.finish();
        layer.carry_parents(&below);
        let layer = self.engine.store.add_spooled(layer, &scratch).map_err(Error::from)?;
        self.push_layer(layer.digest)?;
        Ok(())
    }
}

fn place_one(
    placer: &mut Placer,
    request: &Request,
    several: bool,
    name: &str,
    content: Content,
) -> Result<(), PlaceError> {
    let mut tree = Tree::new();
    let path = TreePath::new(name)?;
    let inode = Inode { metadata: Metadata::new(0o644), kind: Kind::File(content) };
    tree.insert(path.clone(), inode)?;
    let into = request.into || several || place::is_directory(placer.view(), &request.destination);
    let destination = match into {
        true => request.destination.join(name)?,
        false => request.destination.clone(),
    };
    placer.place_file(&tree, &path, &destination)
}

/// What went wrong while a layer was worked out.
enum Assembly {
    Place(PlaceError),
    Text(String),
    Error(Error),
}

impl From<PlaceError> for Assembly {
    fn from(error: PlaceError) -> Self {
        Self::Place(error)
    }
}

impl From<Error> for Assembly {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// One thing that is copied.
enum Selected<'a> {
    /// A path of the tree that is copied from.
    Path(TreePath),
    /// A heredoc or a remote file.
    Item(&'a Item),
}

/// What the sources of a request select of `tree`.
fn select<'a>(tree: &Tree, request: &'a Request) -> Result<Vec<Selected<'a>>, String> {
    let mut selected = Vec::new();
    for item in &request.sources {
        let Item::Path(text) = item else {
            selected.push(Selected::Item(item));
            continue;
        };
        let at = |error: PlaceError| error.to_string();
        if place::has_wildcards(text) {
            let found = place::matching(text, tree.iter().map(|entry| entry.path)).map_err(at)?;
            if found.is_empty() {
                return Err(format!("nothing matches {text}"));
            }
            for path in found {
                selected.push(Selected::Path(place::resolve(tree, &path).map_err(at)?));
            }
            continue;
        }
        let path = TreePath::new(text).map_err(|error| error.to_string())?;
        let path = place::resolve(tree, &path).map_err(at)?;
        if tree.get(&path).is_none() {
            return Err(format!("{text} does not exist{}", nearby(tree, &path)));
        }
        selected.push(Selected::Path(path));
    }
    Ok(selected)
}

/// Names what is in the directory in which a path was looked for.
fn nearby(tree: &Tree, path: &TreePath) -> String {
    let parent = path.parent().unwrap_or_default();
    let names: Vec<String> = tree
        .children(&parent)
        .map(|entry| String::from_utf8_lossy(entry.path.name()).into_owned())
        .collect();
    let missing = String::from_utf8_lossy(path.name()).into_owned();
    match stagex_recipe::nearest(&missing, names.iter().map(String::as_str)) {
        Some(name) => format!("; there is {name:?}"),
        None => String::new(),
    }
}

/// What is copied of `tree`, by names and digests.
fn content_of(
    tree: &Tree,
    request: &Request,
    selected: &[Selected<'_>],
) -> Result<Vec<serde_json::Value>, Error> {
    let excluded = exclusion(&request.exclude);
    let one = |item: &Selected<'_>| match item {
        Selected::Path(path) => {
            let digest = context::digest_of(tree, path, &|path| excluded(path))?;
            Ok(json!([String::from_utf8_lossy(path.as_bytes()), digest.hex()]))
        }
        Selected::Item(item) => Ok(describe(std::slice::from_ref(*item))),
    };
    selected.iter().map(one).collect()
}

impl Request {
    /// Whether it copies the same of two trees.
    pub(crate) fn takes_the_same(&self, first: &Tree, second: &Tree) -> Result<bool, Error> {
        let (Ok(a), Ok(b)) = (select(first, self), select(second, self)) else {
            return Ok(false);
        };
        Ok(content_of(first, self, &a)? == content_of(second, self, &b)?)
    }
}

fn describe(items: &[Item]) -> serde_json::Value {
    items
        .iter()
        .map(|item| match item {
            Item::Path(path) => json!(["path", path]),
            Item::File { name, content } => json!(["file", name, content]),
            Item::Remote { url, digest } => {
                json!(["remote", url.rsplit('/').next(), digest.hex()])
            }
        })
        .collect()
}

fn exclusion(patterns: &[String]) -> impl Fn(&TreePath) -> bool + '_ {
    move |path| {
        patterns.iter().any(|pattern| {
            place::matching(pattern, std::iter::once(path)).is_ok_and(|found| !found.is_empty())
        })
    }
}

/// Keeps the members of archives until the layer is made.
struct Spool<'a> {
    scratch: &'a Scratch,
    count: u64,
}

impl Spool<'_> {
    /// The members of an archive as a tree, owned by root; `None` if the file is no archive.
    fn unpack(&mut self, content: Option<&Content>) -> Result<Option<LayerTree>, Error> {
        let Some(content) = content else { return Ok(None) };
        let stagex_tree::Source::File { path, offset: 0 } = content.source() else {
            return Ok(None);
        };
        let failed = |error| Error::Io { path: path.to_path_buf(), error };
        let Some(stream) = archive::open(path).map_err(failed)? else { return Ok(None) };
        let limits = tar::Limits { bytes: ARCHIVE_LIMIT, ..tar::Limits::default() };
        let folder = self.scratch.path().join(stagex_oci::SPOOL);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut layer = tar::read_layer(stream, limits, 1, &mut |size, bytes| {
            self.count += 1;
            spool(&folder.join(self.count.to_string()), size, bytes)
        })
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        let paths: Vec<TreePath> = layer.tree.iter().map(|entry| entry.path.clone()).collect();
        for path in paths {
            if let Some(metadata) = layer.tree.metadata_mut(&path) {
                (metadata.uid, metadata.gid) = (0, 0);
            }
        }
        Ok(Some(layer))
    }
}

/// Writes one member to `path`; small ones stay in memory.
fn spool(path: &Path, size: u64, bytes: &mut dyn Read) -> io::Result<Content> {
    if size <= 1 << 12 {
        let mut small = Vec::new();
        bytes.read_to_end(&mut small)?;
        return Ok(Content::from_bytes(small));
    }
    let len = io::copy(bytes, &mut File::create_new(path)?)?;
    Ok(Content::from_file(path, 0, len))
}
