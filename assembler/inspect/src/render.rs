//! Lists what an image holds, as a tree for people or as JSON for programs.

use std::{collections::BTreeSet, io::Write};

use sha2::{Digest as _, Sha256};

use crate::{
    bytes::{Bytes, CHUNK},
    context::Context,
    error::{Error, Result},
    format,
    node::{Container, Field, Kind, Node, names},
    values::hex,
};

/// What a listing shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How many levels to show; all where there is no number.
    pub depth: Option<usize>,
    /// Whether to look into programs and compressed files too.
    pub all: bool,
    /// Whether to give the SHA-256 of all that has bytes.
    pub digests: bool,
}

/// What a listing met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many nodes were listed.
    pub nodes: u64,
    /// How many of them could not be read; what is wrong is said beside each.
    pub damaged: u64,
}

/// Lists as a tree, a line for each node.
pub fn tree(
    context: &Context,
    root: &Node,
    options: Options,
    out: &mut (dyn Write + Send),
) -> Result<Summary> {
    deep(|| Walk::new(context, options, out).tree(root, &root.name(), 0, 0))
}

/// Lists as one JSON object: `name`, `kind`, `fields`, then `format`, `format_fields` and `nodes`
/// for what could be opened, or `error`.
pub fn json(
    context: &Context,
    root: &Node,
    options: Options,
    out: &mut (dyn Write + Send),
) -> Result<Summary> {
    deep(|| {
        let mut walk = Walk::new(context, options, out);
        let summary = walk.json(root, &root.name(), 0, 0)?;
        writeln!(walk.out)?;
        Ok(summary)
    })
}

/// Stack for a walk as deep as the limits allow.
const STACK: usize = 64 << 20;

/// Runs what recurses deeply on a stack of its own.
pub(crate) fn deep<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|_| Err(std::io::Error::other("a reader panicked").into()))
    })
}

struct Walk<'w> {
    context: &'w Context,
    options: Options,
    out: &'w mut (dyn Write + Send),
    /// What was opened already: the same bytes may lie in an image under several names.
    seen: BTreeSet<(u64, u64, u64)>,
    summary: Summary,
}

/// What is inside, or why it cannot be said.
enum Inside {
    Nothing,
    Again,
    Damaged(Error),
    Container(Container),
}

impl<'w> Walk<'w> {
    fn new(context: &'w Context, options: Options, out: &'w mut (dyn Write + Send)) -> Self {
        Self { context, options, out, seen: BTreeSet::new(), summary: Summary::default() }
    }

    fn open(&mut self, node: &Node, depth: usize, nested: usize) -> Result<Inside> {
        self.summary.nodes += 1;
        let limits = &self.context.limits;
        if self.summary.nodes > limits.walk {
            return Err(Error::Limit { what: "entries", limit: limits.walk });
        }
        if depth >= limits.depth {
            let limit = limits.depth as u64;
            return Ok(Inside::Damaged(Error::Limit { what: "levels", limit }));
        }
        if nested >= limits.nested && node.list.is_none() {
            return Ok(Inside::Nothing);
        }
        if self.options.depth.is_some_and(|limit| depth >= limit) {
            return Ok(Inside::Nothing);
        }
        if let Some(bytes) = node.bytes().filter(|_| node.list.is_none() && depth > 0) {
            if !self.options.all && !format::is_opened_unasked(bytes)? {
                return Ok(Inside::Nothing);
            }
        }
        let opened = match node.open(self.context) {
            Ok(Some(container)) => container,
            Ok(None) => return Ok(Inside::Nothing),
            Err(error) => {
                self.summary.damaged += 1;
                return Ok(Inside::Damaged(error));
            }
        };
        if let Some(bytes) = node.bytes() {
            if node.list.is_none() && !self.seen.insert(bytes.identity()) {
                return Ok(Inside::Again);
            }
        }
        Ok(Inside::Container(opened))
    }

    fn fields(&mut self, node: &Node) -> Result<Vec<Field>> {
        let mut fields = node.fields();
        if let Some(bytes) = node.bytes().filter(|_| self.options.digests) {
            fields.push(("sha256".into(), sha256(bytes)?));
        }
        Ok(fields)
    }

    fn tree(&mut self, node: &Node, name: &str, depth: usize, nested: usize) -> Result<Summary> {
        let indent = "  ".repeat(depth);
        let inside = self.open(node, depth, nested)?;
        let slash = if node.kind == Kind::Folder { "/" } else { "" };
        write!(self.out, "{indent}{name}{slash}")?;
        match node.kind {
            Kind::File | Kind::Folder => {}
            kind => write!(self.out, " ({})", kind.as_str())?,
        }
        for (name, value) in self.fields(node)? {
            write!(self.out, "  {name}={}", quoted(&value))?;
        }
        match inside {
            Inside::Nothing => writeln!(self.out)?,
            Inside::Again => writeln!(self.out, "  [listed above]")?,
            Inside::Damaged(error) => writeln!(self.out, "  [error: {error}]")?,
            Inside::Container(container) => {
                let nested = nested + usize::from(container.format != "folder");
                if container.format != "folder" {
                    write!(self.out, "  [{}]", container.format)?;
                }
                writeln!(self.out)?;
                for (name, value) in &container.fields {
                    if !value.is_empty() {
                        writeln!(self.out, "{indent}  : {name} = {value}")?;
                    }
                }
                for (name, node) in names(&container.nodes).iter().zip(&container.nodes) {
                    self.tree(node, name, depth + 1, nested)?;
                }
            }
        }
        Ok(self.summary)
    }

    fn json(&mut self, node: &Node, name: &str, depth: usize, nested: usize) -> Result<Summary> {
        let inside = self.open(node, depth, nested)?;
        write!(self.out, "{{\"name\":{},\"kind\":\"{}\"", string(name), node.kind.as_str())?;
        let fields = self.fields(node)?;
        self.object("fields", &fields)?;
        match inside {
            Inside::Nothing => {}
            Inside::Again => write!(self.out, ",\"listed_above\":true")?,
            Inside::Damaged(error) => {
                write!(self.out, ",\"error\":{}", string(&error.to_string()))?;
            }
            Inside::Container(container) => {
                let nested = nested + usize::from(container.format != "folder");
                write!(self.out, ",\"format\":\"{}\"", container.format)?;
                self.object("format_fields", &container.fields)?;
                write!(self.out, ",\"nodes\":[")?;
                let names = names(&container.nodes);
                for (index, (name, node)) in names.iter().zip(&container.nodes).enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(self.out, "{comma}\n{}", " ".repeat(depth + 1))?;
                    self.json(node, name, depth + 1, nested)?;
                }
                write!(self.out, "]")?;
            }
        }
        write!(self.out, "}}")?;
        Ok(self.summary)
    }

    fn object(&mut self, name: &str, fields: &[Field]) -> Result<()> {
        if fields.is_empty() {
            return Ok(());
        }
        write!(self.out, ",\"{name}\":{{")?;
        for (index, (name, value)) in fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(self.out, "{comma}{}:{}", string(name), string(value))?;
        }
        write!(self.out, "}}")?;
        Ok(())
    }
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn quoted(value: &str) -> String {
    if value.is_empty() || value.contains([' ', '=']) { format!("{value:?}") } else { value.into() }
}

fn sha256(bytes: &Bytes) -> Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < bytes.len() {
        let count = bytes.read_at(at, &mut buffer)?;
        if count == 0 {
            return Err(Error::Truncated { offset: at, end: bytes.len(), len: at });
        }
        hash.update(&buffer[..count]);
        at += count as u64;
    }
    Ok(hex(&hash.finalize()))
}
