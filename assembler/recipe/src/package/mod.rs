//! Packages: what package.toml says.

mod draft;
mod mirror;
mod template;

use std::collections::BTreeMap;

use stagex_tree::Digest;

use crate::{Diagnostics, Document, Span, Spanned};

pub use draft::Draft;
pub(crate) use draft::{is_platform, twice};
pub use mirror::Mirror;
pub(crate) use mirror::is_scheme;

/// What one package.toml says, with placeholders expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The text it was read from.
    pub document: Document,
    /// The package's name, without the root it lies in.
    pub name: Spanned<String>,
    /// Its version: its own, or that of the package that `version_from` names.
    pub version: Option<String>,
    /// The id of the package whose version it takes, such as `core-python`.
    pub version_from: Option<Spanned<String>>,
    /// What it is, in a sentence.
    pub description: String,
    /// Its licence, as an SPDX expression.
    pub license: Option<String>,
    /// Its home page.
    pub website: Option<String>,
    /// The parts it is published in: part `p` is the image `<root>-p`, built from the stage
    /// `package-p`. Without any, the package is one image, built from the last stage.
    pub subpackages: Vec<Spanned<String>>,
    /// The platforms it builds for, such as `linux/386`. Empty means whichever is asked for.
    pub platforms: Vec<Spanned<String>>,
    /// Whether its RUN instructions ask for the network.
    pub network: bool,
    /// The files it is built from, by name.
    pub sources: BTreeMap<String, Source>,
}

/// One file that a package is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its digest.
    pub hash: Digest,
    /// Where it can be had, in the order to try. Never empty.
    pub mirrors: Vec<Spanned<Mirror>>,
    /// Its name in the package's `fetch/` folder: one path component.
    pub file: String,
    /// Its own version, if it is not the package's.
    pub version: Option<String>,
    /// Its archive format, such as `tar.xz`.
    pub format: Option<String>,
    /// The commit it was made from.
    pub git_sha: Option<String>,
    /// Where its table begins.
    pub span: Span,
}

impl Package {
    /// Reads a package.toml that has its own version, or needs none.
    ///
    /// One with `version_from` needs the other package: see [`Draft`], or
    /// [`Catalogue`](crate::catalogue::Catalogue), which does it for a whole tree.
    pub fn parse(document: &Document) -> Result<Self, Diagnostics> {
        Draft::parse(document)?.finish(None)
    }

    /// The build arguments that its Containerfile gets: `VERSION` and its forms, and for each
    /// source `<NAME>_VERSION`, `<NAME>_SOURCE` (its file's name) and `<NAME>_GIT_SHA`.
    pub fn build_args(&self) -> BTreeMap<String, String> {
        let mut arguments = BTreeMap::new();
        if let Some(version) = &self.version {
            for form in template::NAMES.into_iter().filter(|name| name.starts_with("version")) {
                arguments.insert(form.to_uppercase(), template::derive(version, form));
            }
        }
        for (name, source) in &self.sources {
            let name = argument_name(name);
            if let Some(version) = source.version.as_ref().or(self.version.as_ref()) {
                arguments.insert(format!("{name}_VERSION"), version.clone());
            }
            arguments.insert(format!("{name}_SOURCE"), source.file.clone());
            if let Some(sha) = &source.git_sha {
                arguments.insert(format!("{name}_GIT_SHA"), sha.clone());
            }
        }
        arguments
    }
}

/// The name of a source as build arguments begin with it: upper case, `_` for what no variable
/// can hold.
fn argument_name(source: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    source.chars().map(fit).collect()
}

/// Whether `text` can name a package, a part of one, or a source.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
}
