//! The project: stagex.toml and all that lies below its folder.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use stagex_recipe::{
    Diagnostic, Diagnostics, Document,
    boxes::BoxRecipe,
    catalogue::{Catalogue, Options, PackageText},
    rungs::Ladder,
    workspace::Workspace,
};

use crate::{args::Global, failure::Failure};

/// A project whose recipes were read.
pub(crate) struct Project {
    /// The folder of stagex.toml.
    pub(crate) root: PathBuf,
    pub(crate) workspace: Workspace,
    pub(crate) catalogue: Catalogue,
    /// The folder of each package, by its id.
    pub(crate) folders: BTreeMap<String, PathBuf>,
    /// What packages are built with, if the project has more than one way.
    pub(crate) toolchain: Option<String>,
    /// Files that could not be read as text.
    unreadable: Vec<Diagnostic>,
}

/// A box's recipe and its folder.
pub(crate) struct BoxFolder {
    pub(crate) recipe: BoxRecipe,
    pub(crate) folder: PathBuf,
}

impl Project {
    /// Finds stagex.toml in the named folder, or the current one, or above, and reads all packages.
    pub(crate) fn load(global: &Global) -> Result<Self, Failure> {
        let here = match global.project.as_deref() {
            Some(path) => path.to_owned(),
            None => env::current_dir().map_err(Failure::at(Path::new(".")))?,
        };
        let here = fs::canonicalize(&here)
            .map_err(|error| Failure::wrong(format!("{}: {error}", here.display())))?;
        let root = here
            .ancestors()
            .find(|folder| folder.join("stagex.toml").is_file())
            .ok_or_else(|| {
                Failure::wrong(format!(
                    "no stagex.toml in {} or above it\nhelp: run stagex inside a project, or name \
                     one with --project",
                    here.display()
                ))
            })?
            .to_owned();
        let workspace = read(&root, &root.join("stagex.toml"))?;
        let workspace = Workspace::parse(&workspace).map_err(Failure::wrong)?;
        let toolchain = toolchain(&workspace, global)?;
        let mut texts = Vec::new();
        let mut folders = BTreeMap::new();
        let mut unreadable = Vec::new();
        for (name, folder) in &workspace.packages {
            let base = root.join(&folder.value);
            for package in subfolders(&base)? {
                let path = base.join(&package);
                if !path.join("package.toml").is_file() {
                    continue;
                }
                let toml = read(&root, &path.join("package.toml"));
                let containerfile = read(&root, &path.join("Containerfile"));
                match (toml, containerfile) {
                    (Ok(toml), Ok(containerfile)) => {
                        folders.insert(Workspace::package_id(name, &package), path);
                        texts.push(PackageText {
                            root: name.clone(),
                            folder: package,
                            package: toml,
                            containerfile,
                        });
                    }
                    (toml, containerfile) => {
                        unreadable.extend([toml.err(), containerfile.err()].into_iter().flatten());
                    }
                }
            }
        }
        let stand_ins = toolchain.as_ref().and_then(|name| workspace.toolchains.get(name));
        let stand_ins = stand_ins.into_iter().flatten();
        let options = Options {
            image_prefixes: workspace.image_prefixes.clone(),
            stand_ins: stand_ins.map(|(id, other)| (id.clone(), other.value.clone())).collect(),
            ..Options::default()
        };
        let catalogue = Catalogue::new(texts, options);
        Ok(Self { root, workspace, catalogue, folders, toolchain, unreadable })
    }

    /// Everything that is wrong with packages and boxes.
    pub(crate) fn check(&self) -> Result<Diagnostics, Failure> {
        let mut all: Vec<Diagnostic> = self.unreadable.clone();
        all.extend(self.catalogue.check());
        for stand_in in self.workspace.toolchains.values().flat_map(BTreeMap::values) {
            if self.catalogue.target(&stand_in.value).is_none() {
                let text = format!("there is no package {}", stand_in.value);
                let error = self.workspace.document.error(stand_in.span, text);
                all.push(error.with_nearest(&stand_in.value, self.catalogue.targets()));
            }
        }
        for name in self.box_names()? {
            match self.read_box(&name) {
                Ok(Ok(found)) => all.extend(self.check_box(&found.recipe)),
                Ok(Err(errors)) => all.extend(errors),
                Err(diagnostic) => all.push(diagnostic),
            }
        }
        Ok(Diagnostics::new(all))
    }

    /// What of a box's recipe names packages that are not there.
    fn check_box(&self, recipe: &BoxRecipe) -> Vec<Diagnostic> {
        let packages = recipe.packages.iter().chain([&recipe.kernel.package]);
        packages
            .chain(recipe.firmware.values())
            .chain(&recipe.bios)
            .chain(&recipe.secure)
            .filter(|package| self.catalogue.target(&package.value).is_none())
            .map(|package| {
                let text = format!("there is no package {}", package.value);
                let error = recipe.document.error(package.span, text);
                error.with_nearest(&package.value, self.catalogue.targets())
            })
            .collect()
    }

    /// The boxes of the project, in order.
    pub(crate) fn box_names(&self) -> Result<Vec<String>, Failure> {
        let folder = self.root.join(&self.workspace.boxes);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut names = subfolders(&folder)?;
        names.retain(|name| folder.join(name).join("box.toml").is_file());
        Ok(names)
    }

    /// Reads a box's recipe, and refuses one that names what is not there.
    pub(crate) fn load_box(&self, name: &str) -> Result<BoxFolder, Failure> {
        let names = self.box_names()?;
        if !names.iter().any(|known| known == name) {
            let nearest = stagex_recipe::nearest(name, names.iter().map(String::as_str));
            let hint = match nearest {
                Some(nearest) => format!("did you mean {nearest}?"),
                None => format!("the project has: {}", names.join(", ")),
            };
            return Err(Failure::wrong(format!("there is no box {name}\nhelp: {hint}")));
        }
        let found = self.read_box(name).map_err(Failure::wrong)?.map_err(Failure::wrong)?;
        let wrong = self.check_box(&found.recipe);
        if wrong.is_empty() { Ok(found) } else { Err(Failure::wrong(Diagnostics::new(wrong))) }
    }

    fn read_box(&self, name: &str) -> Result<Result<BoxFolder, Diagnostics>, Diagnostic> {
        let folder = self.root.join(&self.workspace.boxes).join(name);
        let document = read(&self.root, &folder.join("box.toml"))?;
        Ok(BoxRecipe::parse(&document).map(|recipe| BoxFolder { recipe, folder }))
    }

    /// Reads what a package's folder says of the ladder that it builds.
    pub(crate) fn load_ladder(&self, folder: &Path) -> Result<Ladder, Failure> {
        let document = read(&self.root, &folder.join("rungs.toml"))?;
        Ladder::parse(&document).map_err(Failure::wrong)
    }

    /// The folder of what is built.
    pub(crate) fn out(&self) -> PathBuf {
        self.root.join("out")
    }
}

/// The toolchain to use: the one that is asked for, on the command line or in the environment,
/// else the one that stagex.toml says.
fn toolchain(workspace: &Workspace, global: &Global) -> Result<Option<String>, Failure> {
    let variable = || env::var("STAGEX_TOOLCHAIN").ok().filter(|name| !name.is_empty());
    let Some(wanted) = global.toolchain.clone().or_else(variable) else {
        return Ok(workspace.default_toolchain.as_ref().map(|name| name.value.clone()));
    };
    if workspace.toolchains.contains_key(&wanted) {
        return Ok(Some(wanted));
    }
    let known: Vec<&str> = workspace.toolchains.keys().map(String::as_str).collect();
    let help = match known.is_empty() {
        true => format!("stagex.toml has none: describe it there under [toolchains.{wanted}]"),
        false => format!("stagex.toml has {}", known.join(", ")),
    };
    Err(Failure::wrong(format!("there is no toolchain {wanted}\nhelp: {help}")))
}

/// Reads a file; errors call it by its path within the project.
fn read(root: &Path, path: &Path) -> Result<Document, Diagnostic> {
    let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
    match fs::read(path) {
        Ok(bytes) => Document::from_bytes(shown, bytes),
        Err(error) => Err(Diagnostic::error(format!("{shown}: {error}"))),
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::wrong(diagnostic)
    }
}

/// The names of the folders in `folder`, sorted.
fn subfolders(folder: &Path) -> Result<Vec<String>, Failure> {
    let list = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() && !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    };
    list().map_err(|error| Failure::wrong(format!("{}: {error}", folder.display())))
}

/// Reads a tree of packages that is no project: every folder with a package.toml or a
/// Containerfile, `<root>/<name>`, at any depth below `folder`.
pub(crate) fn load_tree(folder: &Path) -> Result<(Catalogue, Vec<Diagnostic>), Failure> {
    let mut texts = Vec::new();
    let mut unreadable = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for name in subfolders(&path)?.into_iter().rev() {
            open.push(path.join(name));
        }
        let files = ["package.toml", "Containerfile"].map(|name| path.join(name));
        if !files.iter().any(|file| file.is_file()) {
            continue;
        }
        let name = |path: Option<&Path>| {
            let name = path.and_then(Path::file_name).unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        match (read(folder, &files[0]), read(folder, &files[1])) {
            (Ok(package), Ok(containerfile)) => texts.push(PackageText {
                root: name(path.parent()),
                folder: name(Some(&path)),
                package,
                containerfile,
            }),
            (package, containerfile) => {
                unreadable.extend([package.err(), containerfile.err()].into_iter().flatten());
            }
        }
    }
    if texts.is_empty() && unreadable.is_empty() {
        let text = format!("{}: no package.toml and no Containerfile below it", folder.display());
        return Err(Failure::wrong(text));
    }
    Ok((Catalogue::new(texts, Options::default()), unreadable))
}
