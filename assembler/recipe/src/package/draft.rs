//! From text to packages.

use std::collections::BTreeMap;

use stagex_tree::Digest;

use super::{
    Mirror, Package, Source, argument_name, is_name,
    template::{self, TemplateError, Values},
};
use crate::{
    Diagnostics, Document, Span, Spanned,
    toml_reader::{self, Sink, Table},
};

/// A package.toml that was read, but whose placeholders wait for the package's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    package: Package,
    sources: Vec<DraftSource>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct DraftSource {
    name: Spanned<String>,
    hash: Digest,
    mirrors: Vec<Spanned<String>>,
    file: Option<Spanned<String>>,
    version: Option<String>,
    format: Option<String>,
    git_sha: Option<String>,
}

impl Draft {
    /// Reads a package.toml, or says all that is wrong with it.
    pub fn parse(document: &Document) -> Result<Self, Diagnostics> {
        let sink = Sink::new(document);
        let root = toml_reader::parse(document, &sink);
        let draft = root.and_then(|root| Self::read(&sink, &Table::root(&sink, &root)));
        sink.finish(draft)
    }

    /// The id of the package whose version this one takes, such as `core-python`.
    pub fn version_from(&self) -> Option<&Spanned<String>> {
        self.package.version_from.as_ref()
    }

    /// Its own version.
    pub fn version(&self) -> Option<&str> {
        self.package.version.as_deref()
    }

    /// The package's name, without the root it lies in.
    pub fn name(&self) -> &Spanned<String> {
        &self.package.name
    }

    /// The ids of what others can use of it, if it lies in the package root `root`.
    pub(crate) fn target_ids(&self, root: &str) -> Vec<String> {
        let id = |name: &str| format!("{root}-{name}");
        match self.package.subpackages.as_slice() {
            [] => vec![id(&self.package.name)],
            parts => parts.iter().map(|part| id(part)).collect(),
        }
    }

    fn read(sink: &Sink<'_>, root: &Table<'_>) -> Option<Self> {
        let table = root.table("package");
        if !table.exists() {
            root.missing("package", "begin with [package], name and version");
            return None;
        }
        let name = table.required("name", r#"write name = "…""#);
        if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
            sink.error_help(
                name.span,
                format!("`{}` cannot name a package", name.value),
                "use letters, digits, `-`, `_`, `.` and `+`",
            );
        }
        let version = table.string("version");
        let version_from = table.string("version_from");
        if let (Some(_), Some(from)) = (&version, &version_from) {
            sink.error_help(from.span, "`version` is set already", "keep one of the two");
        }
        if let Some(version) = version.as_ref().filter(|version| !is_version(version)) {
            sink.error_help(
                version.span,
                format!("`{}` cannot be a version", version.value),
                "it enters file names and commands: use letters, digits, `-`, `_`, `.`, `+`, `~`",
            );
        }
        let description = table.required("description", "say in a sentence what it is");
        let [license, website] =
            ["license", "website"].map(|key| table.string(key).map(|text| text.value));
        let subpackages = table.strings("subpackages");
        let platforms = table.strings("platforms");
        for part in subpackages.iter().filter(|part| !is_name(part)) {
            sink.error_help(
                part.span,
                format!("`{}` cannot name a part of a package", part.value),
                "use letters, digits, `-`, `_`, `.` and `+`",
            );
        }
        for platform in platforms.iter().filter(|platform| !is_platform(platform)) {
            sink.error_help(
                platform.span,
                format!("`{}` is no platform", platform.value),
                "write it like linux/amd64",
            );
        }
        twice(sink, &subpackages);
        twice(sink, &platforms);
        let network = table.bool("network").is_some_and(|network| network.value);
        table.finish();
        let sources = root
            .named_tables("sources")
            .into_iter()
            .filter_map(|(name, table)| DraftSource::read(sink, name, table))
            .collect();
        root.finish();
        Some(Self {
            package: Package {
                document: sink.document.clone(),
                name: name?,
                version: version.map(|version| version.value),
                version_from,
                description: description?.value,
                license,
                website,
                subpackages,
                platforms,
                network,
                sources: BTreeMap::new(),
            },
            sources,
        })
    }

    /// Expands all placeholders. `version` is that of the package named by
    /// [`version_from`](Self::version_from), and is not looked at without one.
    pub fn finish(self, version: Option<String>) -> Result<Package, Diagnostics> {
        let Self { mut package, sources } = self;
        let document = package.document.clone();
        let sink = Sink::new(&document);
        if package.version_from.is_some() {
            package.version = version;
        }
        let mut files: BTreeMap<String, (Span, Digest)> = BTreeMap::new();
        let mut arguments: BTreeMap<String, String> = BTreeMap::new();
        for draft in sources {
            let DraftSource { name, .. } = &draft;
            let argument = argument_name(name);
            if let Some(other) = arguments.insert(argument.clone(), name.value.clone()) {
                sink.error_help(
                    name.span,
                    format!(
                        "the sources `{other}` and `{}` are both {argument}_SOURCE",
                        name.value
                    ),
                    "rename one of them",
                );
            }
            let (name, span) = (name.value.clone(), name.span);
            let Some(source) = draft.finish(&sink, package.version.as_deref()) else { continue };
            match files.get(&source.file) {
                Some((_, hash)) if *hash != source.hash => sink.error_help(
                    span,
                    format!("another source is stored as `{}` already", source.file),
                    "give one of them another `file`",
                ),
                _ => {
                    files.insert(source.file.clone(), (span, source.hash));
                }
            }
            package.sources.insert(name, source);
        }
        sink.finish(Some(package))
    }
}

impl DraftSource {
    fn read(sink: &Sink<'_>, name: Spanned<String>, table: Table<'_>) -> Option<Self> {
        if !is_name(&name) {
            sink.error_help(
                name.span,
                format!("`{}` cannot name a source", name.value),
                "use letters, digits, `-`, `_`, `.` and `+`",
            );
        }
        let hash = table.required("hash", "it is the sha256 of the file, in hexadecimal digits");
        let hash = hash.and_then(|hash| match hash.value.parse::<Digest>() {
            Ok(digest) => Some(digest),
            Err(error) => {
                let length = hash.value.trim_start_matches("sha256:").chars().count();
                let help = match length {
                    64 => "digits are 0 to 9 and lower-case a to f".to_owned(),
                    _ => format!("a sha256 has 64 digits, this has {length}"),
                };
                sink.error_help(hash.span, error.to_string(), help);
                None
            }
        });
        let listed = table.has("mirrors");
        let mirrors = table.strings("mirrors");
        let help = r#"write mirrors = ["https://…"]"#;
        if !listed {
            table.missing("mirrors", help);
        } else if mirrors.is_empty() {
            sink.error_help(table.span(), "a source needs a mirror", help);
        }
        twice(sink, &mirrors);
        let file = table.string("file");
        let [version, format, git_sha] = ["version", "format", "git_sha"]
            .map(|key| table.string(key).map(|text| text.value).filter(|text| !text.is_empty()));
        table.finish();
        (!mirrors.is_empty()).then_some(())?;
        Some(Self { name, hash: hash?, mirrors, file, version, format, git_sha })
    }

    fn finish(self, sink: &Sink<'_>, package_version: Option<&str>) -> Option<Source> {
        let Self { name, hash, mirrors, file, version, format, git_sha } = self;
        let values = Values {
            version: version.as_deref().or(package_version),
            format: format.as_deref().or(Some("")),
            file: None,
        };
        let expand = |text: &Spanned<String>, values| {
            let error = match template::expand(text, values) {
                Ok(expanded) => return Some(Spanned::new(expanded, text.span)),
                Err(error) => error,
            };
            let document = sink.document;
            sink.add(match error {
                TemplateError::Unknown(name) => document
                    .error(text.span, format!("there is no placeholder {{{name}}}"))
                    .with_help(format!("known are {}", template::NAMES.join(", ")))
                    .with_nearest(&name, template::NAMES),
                TemplateError::Unset(name) if name == "file" => document
                    .error(text.span, "{file} is not known here")
                    .with_help("only mirrors can use it, and only beside a `file`"),
                TemplateError::Unset(name) => document
                    .error(text.span, format!("{{{name}}} is not known: there is no version"))
                    .with_help("give the package or the source a `version`"),
                TemplateError::Brace => document
                    .error(text.span, "a brace without its partner")
                    .with_help("write {{ for { and }} for }"),
            });
            None
        };
        let file = match &file {
            Some(file) => Some(expand(file, values)?),
            None => None,
        };
        let values = Values { file: file.as_ref().map(|file| file.value.as_str()), ..values };
        let mut addresses = Vec::new();
        for mirror in &mirrors {
            let Some(expanded) = expand(mirror, values) else { continue };
            match Mirror::parse(&expanded.value) {
                Ok(address) => addresses.push(Spanned::new(address, mirror.span)),
                Err((message, help)) => sink.error_help(mirror.span, message, help),
            }
        }
        let first = addresses.first()?;
        let file = file.unwrap_or_else(|| Spanned::new(first.file_name(), first.span));
        if !is_file_name(&file) {
            sink.error_help(
                file.span,
                format!("`{}` is no file name", file.value.escape_debug()),
                "give `file` a name without /",
            );
            return None;
        }
        Some(Source {
            hash,
            mirrors: addresses,
            file: file.value,
            version,
            format,
            git_sha,
            span: name.span,
        })
    }
}

/// Notes every member that came before.
pub(crate) fn twice(sink: &Sink<'_>, members: &[Spanned<String>]) {
    for (index, member) in members.iter().enumerate() {
        if members[..index].iter().any(|earlier| earlier.value == member.value) {
            sink.error(member.span, format!("`{}` stands here already", member.value));
        }
    }
}

fn is_version(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+~:".contains(&byte))
}

/// Whether `text` is `os/architecture` or `os/architecture/variant`.
pub(crate) fn is_platform(text: &str) -> bool {
    let parts: Vec<_> = text.split('/').collect();
    (2..=3).contains(&parts.len())
        && parts.iter().all(|part| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
}

fn is_file_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.len() <= 255
        && !text.chars().any(|c| c == '/' || c.is_control())
}
