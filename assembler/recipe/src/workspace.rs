//! The workspace: what stagex.toml says.

use std::collections::BTreeMap;

use crate::{
    Diagnostics, Document, Spanned,
    package::{is_name, is_scheme},
    toml_reader::{self, Sink, Table},
};

/// What one stagex.toml says.
///
/// ```toml
/// [packages]                     # the root of each package, and where its packages lie
/// core = "pallets/core"          # pallets/core/busybox is core-busybox
/// kernel = "kernel"
///
/// [boxes]
/// folder = "boxes"
/// default = "airgap"
///
/// [mirrors]                      # what schemes stand for; tried in order
/// gnu = ["https://ftp.gnu.org/gnu/"]
///
/// [build]
/// toolchain = "debian"           # which of those below is used when none is named
///
/// [toolchains.debian]            # what stands for a package where a recipe names it
/// pallet-cc = "pallet-cc-debian"
///
/// [images]
/// prefixes = ["stagex/"]         # FROM stagex/core-busybox is our core-busybox
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// The text it was read from.
    pub document: Document,
    /// The folder of each package root, relative to stagex.toml, by the root's name.
    pub packages: BTreeMap<String, Spanned<String>>,
    /// The folder of the boxes, relative to stagex.toml.
    pub boxes: String,
    /// The box that is built when none is named.
    pub default_box: Option<Spanned<String>>,
    /// The addresses that each mirror scheme stands for, in the order to try.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// The toolchain that is used when none is named.
    pub default_toolchain: Option<Spanned<String>>,
    /// What each toolchain has stand for packages that recipes name, by the toolchain's name.
    pub toolchains: BTreeMap<String, BTreeMap<String, Spanned<String>>>,
    /// What the names of our packages begin with where FROM and `--from` name images.
    pub image_prefixes: Vec<String>,
}

impl Workspace {
    /// Reads a stagex.toml, or says all that is wrong with it.
    pub fn parse(document: &Document) -> Result<Self, Diagnostics> {
        let sink = Sink::new(document);
        let root = toml_reader::parse(document, &sink);
        let workspace = root.and_then(|root| read(&sink, &Table::root(&sink, &root)));
        sink.finish(workspace)
    }

    /// The id of the package in `folder` of the package root `root`.
    pub fn package_id(root: &str, folder: &str) -> String {
        format!("{root}-{folder}")
    }
}

fn read(sink: &Sink<'_>, root: &Table<'_>) -> Option<Workspace> {
    let packages = root.table("packages");
    if !packages.exists() {
        root.missing("packages", "name the package roots, such as core = \"pallets/core\"");
    }
    let packages = package_roots(sink, &packages);

    let boxes = root.table("boxes");
    let folder = boxes.string("folder");
    let default_box = boxes.string("default");
    boxes.finish();
    if let Some(folder) = folder.as_ref().filter(|folder| !is_folder(folder)) {
        not_a_folder(sink, folder);
    }
    if let Some(name) = default_box.as_ref().filter(|name| !is_name(name)) {
        sink.error(name.span, format!("`{}` cannot name a box", name.value));
    }

    let mirrors = mirrors(sink, &root.table("mirrors"));

    let toolchains = toolchains(sink, root);
    let build = root.table("build");
    let default_toolchain = build.string("toolchain");
    build.finish();
    if let Some(name) = default_toolchain.as_ref() {
        if !toolchains.contains_key(&name.value) {
            let error =
                sink.document.error(name.span, format!("there is no toolchain `{}`", name.value));
            let help = format!("describe it under [toolchains.{}]", name.value);
            let known = toolchains.keys().map(String::as_str);
            sink.add(error.with_help(help).with_nearest(&name.value, known));
        }
    }

    let images = root.table("images");
    let prefixes = images.strings("prefixes");
    let given = images.has("prefixes");
    images.finish();
    root.finish();
    for prefix in prefixes.iter().filter(|prefix| !prefix.ends_with('/')) {
        let help = format!("write {:?}", format!("{}/", prefix.value));
        sink.error_help(prefix.span, "a prefix of images ends in /", help);
    }
    let image_prefixes = match given {
        true => prefixes.into_iter().map(|prefix| prefix.value).collect(),
        false => vec!["stagex/".to_owned()],
    };
    Some(Workspace {
        document: sink.document.clone(),
        packages,
        boxes: folder.map_or_else(|| "boxes".to_owned(), |folder| folder.value),
        default_box,
        mirrors,
        default_toolchain,
        toolchains,
        image_prefixes,
    })
}

fn package_roots(sink: &Sink<'_>, table: &Table<'_>) -> BTreeMap<String, Spanned<String>> {
    let mut roots: BTreeMap<String, Spanned<String>> = BTreeMap::new();
    for (name, folders) in table.free() {
        // An id is split at its first dash, so a root's name cannot hold one.
        if !is_name(&name) || name.value.contains('-') {
            sink.error_help(
                name.span,
                format!("`{}` cannot name a package root", name.value),
                "it is the part of core-busybox before the dash: use letters, digits and `_`",
            );
        }
        let [folder] = folders.as_slice() else {
            sink.error(name.span, format!("the package root `{}` is one folder", name.value));
            continue;
        };
        if !is_folder(folder) {
            not_a_folder(sink, folder);
        }
        if let Some((other, _)) = roots.iter().find(|(_, other)| other.value == folder.value) {
            sink.error(folder.span, format!("this folder is the package root `{other}` already"));
        }
        roots.insert(name.value, folder.clone());
    }
    roots
}

/// The tables of `[toolchains]`.
fn toolchains(
    sink: &Sink<'_>,
    root: &Table<'_>,
) -> BTreeMap<String, BTreeMap<String, Spanned<String>>> {
    let mut toolchains = BTreeMap::new();
    for (name, table) in root.named_tables("toolchains") {
        if !is_name(&name) {
            sink.error(name.span, format!("`{}` cannot name a toolchain", name.value));
        }
        let mut stand_ins = BTreeMap::new();
        for (role, packages) in table.free() {
            match packages.as_slice() {
                [package] => drop(stand_ins.insert(role.value, package.clone())),
                _ => sink.error(role.span, format!("one package stands for `{}`", role.value)),
            }
        }
        toolchains.insert(name.value, stand_ins);
    }
    toolchains
}

fn mirrors(sink: &Sink<'_>, table: &Table<'_>) -> BTreeMap<String, Vec<String>> {
    let mut mirrors = BTreeMap::new();
    for (scheme, addresses) in table.free() {
        if !is_scheme(&scheme) || matches!(scheme.value.as_str(), "http" | "https" | "ftp" | "file")
        {
            sink.error_help(
                scheme.span,
                format!("`{}` cannot name a scheme", scheme.value),
                "use lower-case letters, digits, `-` and `+`, and no protocol's name",
            );
        }
        for address in &addresses {
            let known = ["https://", "http://", "ftp://", "file:///"];
            let rest = known.iter().find_map(|known| address.strip_prefix(known));
            if !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) {
                sink.error_help(
                    address.span,
                    format!("`{}` is no address of a mirror", address.value),
                    "write https://host/path/ or file:///folder/",
                );
            }
        }
        let base = |address: Spanned<String>| match address.value.ends_with('/') {
            true => address.value,
            false => format!("{}/", address.value),
        };
        mirrors.insert(scheme.value, addresses.into_iter().map(base).collect());
    }
    mirrors
}

fn not_a_folder(sink: &Sink<'_>, folder: &Spanned<String>) {
    sink.error_help(
        folder.span,
        format!("`{}` is no folder of this workspace", folder.value),
        "write a path relative to stagex.toml, without ..",
    );
}

fn is_folder(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.chars().any(char::is_control)
}
