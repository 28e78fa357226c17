//! `RUN --mount`.

use super::{
    ast::{Mount, MountKind, MountOption, MountSpec, Sharing},
    flags::Flags,
    lines::{Piece, Source},
    word::{Lookup, Word},
};
use crate::{Diagnostic, Spanned};

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "env",
];

/// Reads the value of one `--mount`, and checks it as far as it holds no variables.
pub(super) fn parse(
    source: &Source<'_>,
    piece: &Piece,
    errors: &mut Vec<Diagnostic>,
) -> Option<Mount> {
    let before = errors.len();
    let mut options = Vec::new();
    for field in fields(source, piece) {
        let equals = field.text.find('=');
        let key = source.part(&field, 0..equals.unwrap_or(field.text.len()));
        let key = Spanned::new(key.text.to_lowercase(), key.span);
        let value = equals.map(|equals| source.part(&field, equals + 1..field.text.len()));
        if !KEYS.contains(&key.value.as_str()) {
            errors.push(
                source
                    .document
                    .error(key.span, format!("a mount has no option `{}`", key.value))
                    .with_nearest(&key.value, KEYS),
            );
            continue;
        }
        match &value {
            Some(value) if key.value == "from" => {
                Flags::from(source, value, errors);
            }
            None if !matches!(
                key.value.as_str(),
                "readonly" | "ro" | "readwrite" | "rw" | "required"
            ) =>
            {
                errors.push(
                    source
                        .document
                        .error(key.span, format!("the option `{}` needs a value", key.value))
                        .with_help(format!("write {}=…", key.value)),
                );
            }
            _ => {}
        }
        options.push(MountOption { key, value: value.map(|value| source.word(value)) });
    }
    let mount = Mount { options, span: piece.span, document: source.document.clone() };
    if errors.len() > before {
        return None;
    }
    let literal =
        |option: &MountOption| option.value.as_ref().is_none_or(|v| !v.raw().contains('$'));
    if mount.options.iter().all(literal) {
        if let Err(error) = mount.resolve(&|_| None) {
            errors.push(error);
            return None;
        }
    }
    Some(mount)
}

/// Splits at commas; a field may be in double quotes, doubled inside.
fn fields(source: &Source<'_>, piece: &Piece) -> Vec<Piece> {
    let mut fields = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    for (at, c) in piece.text.char_indices().chain([(piece.text.len(), ',')]) {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted || at == piece.text.len() => {
                let field = source.part(piece, start..at);
                let inner = field.text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                fields.push(match inner {
                    Some(inner) => Piece { text: inner.replace("\"\"", "\""), span: field.span },
                    None => field,
                });
                start = at + 1;
            }
            _ => {}
        }
    }
    fields
}

impl Mount {
    /// Expands the options and gives them their types.
    ///
    /// The error points at the option that is wrong or does not suit the type of the mount.
    pub fn resolve(&self, lookup: &Lookup<'_>) -> Result<MountSpec, Diagnostic> {
        let mut spec = MountSpec {
            kind: MountKind::Bind,
            from: None,
            source: String::new(),
            target: String::new(),
            read_only: false,
            id: None,
            sharing: Sharing::Shared,
            required: false,
            size: None,
            env: None,
            mode: None,
            uid: None,
            gid: None,
        };
        // The type comes first, since what else is allowed follows from it.
        if let Some(option) = self.find(&["type"]) {
            spec.kind = kind(self, option, &self.value(option, lookup)?)?;
        }
        let mut read_only = None;
        for option in &self.options {
            let value = self.value(option, lookup)?;
            let bare = option.value.is_none();
            match option.key.value.as_str() {
                "from" => spec.from = Some(value),
                "source" | "src" => spec.source = value,
                "target" | "dst" | "destination" => spec.target = value,
                "readonly" | "ro" => read_only = Some(bare || self.bool(option, &value)?),
                "readwrite" | "rw" => read_only = Some(!(bare || self.bool(option, &value)?)),
                "required" => spec.required = bare || self.bool(option, &value)?,
                "size" => spec.size = Some(bytes(&value).ok_or_else(|| self.bad(option, &value))?),
                "id" => spec.id = Some(value),
                "sharing" => spec.sharing = sharing(self, option, &value)?,
                "mode" => spec.mode = Some(self.number(option, &value, 8)?),
                "uid" => spec.uid = Some(self.number(option, &value, 10)?),
                "gid" => spec.gid = Some(self.number(option, &value, 10)?),
                "env" => spec.env = Some(value),
                _ => {}
            }
        }
        use MountKind::{Bind, Cache, Secret, Ssh, Tmpfs};
        let allowed: [(&[&str], &[MountKind]); 6] = [
            (&["mode", "uid", "gid"], &[Cache, Secret, Ssh]),
            (&["required"], &[Secret, Ssh]),
            (&["size"], &[Tmpfs]),
            (&["sharing"], &[Cache]),
            (&["from"], &[Bind, Cache, Tmpfs, Ssh]),
            (&["env"], &[Secret]),
        ];
        for (keys, kinds) in allowed {
            if let (Some(option), false) = (self.find(keys), kinds.contains(&spec.kind)) {
                let message = format!(
                    "a mount of type {} has no option `{}`",
                    spec.kind.name(),
                    option.key.value
                );
                return Err(self.document.error(option.key.span, message));
            }
        }
        if spec.kind == Secret {
            if spec.source.is_empty() && spec.target.is_empty() && spec.id.is_none() {
                return Err(self
                    .document
                    .error(self.span, "a secret needs an id, a source or a target"));
            }
            if let (Some(option), false) = (self.find(&["id"]), spec.source.is_empty()) {
                return Err(self.document.error(option.key.span, "a secret has an id or a source"));
            }
        }
        spec.read_only = read_only.unwrap_or(!matches!(spec.kind, Cache | Tmpfs));
        Ok(spec)
    }

    /// The stage, image or named context that it mounts from, which never holds variables.
    pub fn from(&self) -> Option<Spanned<String>> {
        let value = self.find(&["from"])?.value.as_ref()?;
        Some(Spanned::new(value.raw().to_owned(), value.span()))
    }

    fn find(&self, keys: &[&str]) -> Option<&MountOption> {
        self.options.iter().find(|option| keys.contains(&option.key.value.as_str()))
    }

    fn value(&self, option: &MountOption, lookup: &Lookup<'_>) -> Result<String, Diagnostic> {
        option.value.as_ref().map_or(Ok(String::new()), |value: &Word| value.expand(lookup))
    }

    fn bad(&self, option: &MountOption, value: &str) -> Diagnostic {
        let span = option.value.as_ref().map_or(option.key.span, Word::span);
        self.document.error(span, format!("{value:?} is no value of `{}`", option.key.value))
    }

    fn bool(&self, option: &MountOption, value: &str) -> Result<bool, Diagnostic> {
        match value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(self.bad(option, value).with_help("it is true or false")),
        }
    }

    fn number(&self, option: &MountOption, value: &str, radix: u32) -> Result<u32, Diagnostic> {
        u32::from_str_radix(value, radix).map_err(|_| self.bad(option, value))
    }
}

impl MountKind {
    const ALL: [Self; 5] = [Self::Bind, Self::Cache, Self::Tmpfs, Self::Secret, Self::Ssh];

    /// The name in `type=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

fn kind(mount: &Mount, option: &MountOption, value: &str) -> Result<MountKind, Diagnostic> {
    let lower = value.to_lowercase();
    MountKind::ALL.into_iter().find(|kind| kind.name() == lower).ok_or_else(|| {
        mount
            .bad(option, value)
            .with_help("it is bind, cache, tmpfs, secret or ssh")
            .with_nearest(value, MountKind::ALL.map(MountKind::name))
    })
}

fn sharing(mount: &Mount, option: &MountOption, value: &str) -> Result<Sharing, Diagnostic> {
    match value.to_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        _ => Err(mount
            .bad(option, value)
            .with_help("it is shared, private or locked")
            .with_nearest(value, ["shared", "private", "locked"])),
    }
}

/// Reads a size such as `64m`, `1.5GiB` or `4096`: units are powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let power =
        match text[digits..].trim().to_lowercase().trim_end_matches('b').trim_end_matches('i') {
            "" => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            "p" => 5,
            _ => return None,
        };
    let size = number * 1024_f64.powi(power);
    // Beyond this a float no longer counts single bytes; no machine has as many.
    (size <= 9e15).then_some(size as u64)
}
