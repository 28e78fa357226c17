//! Names what differs between two images: the field, the file, the section, the line.
//!
//! Both are walked in step, one level at a time. Bytes that are equal are not looked into; bytes
//! that are not are opened, if they are of the same format, until something has no parts.

use std::collections::BTreeMap;

use crate::{
    bytes::{Bytes, CHUNK},
    context::Context,
    error::{Error, Result},
    node::{Container, Field, Node, names},
    render::deep,
};

/// Something that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Only the first has it.
    Removed {
        /// Where.
        path: String,
        /// What kind it is.
        kind: &'static str,
    },
    /// Only the second has it.
    Added {
        /// Where.
        path: String,
        /// What kind it is.
        kind: &'static str,
    },
    /// A field has another value, or is in one of them alone.
    Field {
        /// Where.
        path: String,
        /// The field's name.
        name: String,
        /// The first one's value.
        old: Option<String>,
        /// The second one's value.
        new: Option<String>,
    },
    /// Bytes that have no parts, or whose parts are all the same.
    Bytes {
        /// Where.
        path: String,
        /// The first byte that differs; the end of the shorter one where it begins the longer.
        offset: u64,
        /// The line it is in, counted from 1, where both are text.
        line: Option<u64>,
        /// The bytes that both have and that differ.
        count: u64,
        /// Whether there are parts: then what differs lies between them, or in none.
        between: bool,
    },
    /// The same names and parts come in another order.
    Order {
        /// Where.
        path: String,
    },
    /// One of them is damaged, so that they were compared as bytes alone.
    Unreadable {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Removed { path, kind } => write!(f, "{path}: {kind} only in the first"),
            Self::Added { path, kind } => write!(f, "{path}: {kind} only in the second"),
            Self::Field { path, name, old, new } => {
                let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
                write!(f, "{path}: {name}: {} → {}", shown(old), shown(new))
            }
            Self::Bytes { path, offset, line, count, between } => {
                write!(f, "{path}: bytes differ from offset {offset} ({offset:#x})")?;
                if let Some(line) = line {
                    write!(f, ", line {line}")?;
                }
                write!(f, ", {count} of them")?;
                if *between {
                    write!(f, "; in no part of it")?;
                }
                Ok(())
            }
            Self::Order { path } => write!(f, "{path}: the order of its parts"),
            Self::Unreadable { path, reason } => write!(f, "{path}: {reason}"),
        }
    }
}

/// Compares two images, and hands each difference on as it is found.
///
/// Returns how many there are; none means that all bytes and all fields are the same. Fails where
/// a file cannot be read, and where `report` does.
pub fn diff(
    context: &Context,
    old: &Node,
    new: &Node,
    report: &mut (dyn FnMut(&Difference) -> Result<()> + Send),
) -> Result<u64> {
    deep(|| {
        let mut walk = Walk { context, report, count: 0, met: 0, seen: BTreeMap::new() };
        walk.node("", old, new, 0)?;
        Ok(walk.count)
    })
}

/// What tells a pair of bytes from all others.
type Pair = ((usize, u64, u64), (usize, u64, u64));

struct Walk<'w> {
    context: &'w Context,
    report: &'w mut (dyn FnMut(&Difference) -> Result<()> + Send),
    count: u64,
    met: u64,
    /// Pairs that were compared already under another name.
    seen: BTreeMap<Pair, ()>,
}

/// Where two bytes differ.
struct Mismatch {
    offset: u64,
    count: u64,
    line: Option<u64>,
}

impl Walk<'_> {
    fn report(&mut self, difference: &Difference) -> Result<()> {
        self.count += 1;
        (self.report)(difference)
    }

    fn node(&mut self, path: &str, old: &Node, new: &Node, depth: usize) -> Result<()> {
        self.met += 1;
        let limits = &self.context.limits;
        if self.met > limits.walk {
            return Err(Error::Limit { what: "entries", limit: limits.walk });
        }
        let shown = if path.is_empty() { "/" } else { path };
        if old.kind != new.kind {
            self.field(shown, "kind", Some(old.kind.as_str()), Some(new.kind.as_str()))?;
            return Ok(());
        }
        self.fields(shown, &old.fields(), &new.fields())?;
        match (old.bytes(), new.bytes()) {
            (Some(a), Some(b)) if old.list.is_none() && new.list.is_none() => {
                let Some(mismatch) = compare(a, b)? else { return Ok(()) };
                if self.seen.insert((a.identity(), b.identity()), ()).is_some() {
                    return Ok(());
                }
                let before = self.count;
                let opened = self.inside(path, old, new, depth)?;
                if self.count == before || !opened {
                    self.report(&Difference::Bytes {
                        path: shown.to_owned(),
                        offset: mismatch.offset,
                        line: mismatch.line,
                        count: mismatch.count,
                        between: opened,
                    })?;
                }
                Ok(())
            }
            _ => self.inside(path, old, new, depth).map(|_| ()),
        }
    }

    /// Compares what is inside; false where that cannot be done.
    fn inside(&mut self, path: &str, old: &Node, new: &Node, depth: usize) -> Result<bool> {
        if depth >= self.context.limits.depth {
            let limit = self.context.limits.depth as u64;
            return Err(Error::Limit { what: "levels", limit });
        }
        let (a, b) = match (old.open(self.context), new.open(self.context)) {
            (Ok(Some(a)), Ok(Some(b))) => (a, b),
            (Ok(_), Ok(_)) => return Ok(false),
            (Err(error), _) => return self.damaged(path, "first", &error),
            (_, Err(error)) => return self.damaged(path, "second", &error),
        };
        if a.format != b.format {
            self.field(path, "format", Some(a.format), Some(b.format))?;
            return Ok(false);
        }
        self.fields(if path.is_empty() { "/" } else { path }, &a.fields, &b.fields)?;
        self.nodes(path, &a, &b, depth)?;
        Ok(true)
    }

    fn damaged(&mut self, path: &str, which: &str, error: &Error) -> Result<bool> {
        let reason = format!("the {which} cannot be read: {error}");
        self.report(&Difference::Unreadable { path: path.to_owned(), reason })?;
        Ok(false)
    }

    fn nodes(&mut self, path: &str, a: &Container, b: &Container, depth: usize) -> Result<()> {
        let (old_names, new_names) = (names(&a.nodes), names(&b.nodes));
        let index = |names: &[String]| -> BTreeMap<String, usize> {
            names.iter().cloned().enumerate().map(|(index, name)| (name, index)).collect()
        };
        let (old_index, new_index) = (index(&old_names), index(&new_names));
        let under = |name: &str| {
            if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
        };
        for (name, node) in old_names.iter().zip(&a.nodes) {
            let path = under(name);
            match new_index.get(name) {
                Some(other) => self.node(&path, node, &b.nodes[*other], depth + 1)?,
                None => {
                    let kind = node.kind.as_str();
                    self.report(&Difference::Removed { path, kind })?;
                }
            }
        }
        for (name, node) in new_names.iter().zip(&b.nodes) {
            if !old_index.contains_key(name) {
                let kind = node.kind.as_str();
                self.report(&Difference::Added { path: under(name), kind })?;
            }
        }
        let common = |names: &[String], other: &BTreeMap<String, usize>| -> Vec<String> {
            names.iter().filter(|name| other.contains_key(*name)).cloned().collect()
        };
        if common(&old_names, &new_index) != common(&new_names, &old_index) {
            let path = if path.is_empty() { "/" } else { path }.to_owned();
            self.report(&Difference::Order { path })?;
        }
        Ok(())
    }

    fn fields(&mut self, path: &str, old: &[Field], new: &[Field]) -> Result<()> {
        let value = |fields: &[Field], name: &str| {
            fields.iter().find(|field| field.0 == name).map(|field| field.1.clone())
        };
        for (name, old_value) in old {
            let new_value = value(new, name);
            if new_value.as_ref() != Some(old_value) {
                self.field(path, name, Some(old_value), new_value.as_deref())?;
            }
        }
        for (name, new_value) in new {
            if value(old, name).is_none() {
                self.field(path, name, None, Some(new_value))?;
            }
        }
        Ok(())
    }

    fn field(&mut self, path: &str, name: &str, a: Option<&str>, b: Option<&str>) -> Result<()> {
        self.report(&Difference::Field {
            path: path.to_owned(),
            name: name.to_owned(),
            old: a.map(str::to_owned),
            new: b.map(str::to_owned),
        })
    }
}

/// Compares bytes in one sweep; none where they are the same.
fn compare(a: &Bytes, b: &Bytes) -> Result<Option<Mismatch>> {
    let common = a.len().min(b.len());
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut found: Option<Mismatch> = None;
    let (mut lines, mut is_text) = (1u64, true);
    let mut at = 0;
    while at < common {
        let count = (common - at).min(CHUNK as u64) as usize;
        let (left, right) = (&mut left[..count], &mut right[..count]);
        a.read_exact_at(at, left)?;
        b.read_exact_at(at, right)?;
        let text = |bytes: &[u8]| !bytes.contains(&0);
        if found.is_none() {
            is_text = is_text && text(left) && text(right);
        }
        if left != right {
            for (index, (x, y)) in left.iter().zip(right.iter()).enumerate() {
                if x == y {
                    continue;
                }
                let mismatch = found.get_or_insert_with(|| {
                    let newlines = left[..index].iter().filter(|byte| **byte == b'\n').count();
                    let line = is_text.then_some(lines + newlines as u64);
                    Mismatch { offset: at + index as u64, count: 0, line }
                });
                mismatch.count += 1;
            }
        } else if found.is_none() && is_text {
            lines += left.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        at += count as u64;
    }
    if found.is_none() && a.len() != b.len() {
        let line = is_text.then_some(lines);
        found = Some(Mismatch { offset: common, count: 0, line });
    }
    Ok(found)
}
