//! Names what differs between two images: the field, the file, the section, the line.
//!
//! Both are walked in step, one level at a time. Bytes that are equal are not looked into; bytes
//! that are not are opened, if they are of the same format, until something has no parts. Memory
//! grows with what one level of the two lists, not with what they hold.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    bytes::Bytes,
    compare::compare,
    context::Context,
    error::{Error, Result},
    node::{Container, Field, Node, names},
    path::join,
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
        /// What the first and the second have in this line, where it is text.
        lines: Option<(String, String)>,
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
            Self::Bytes { path, offset, line, lines, count, between } => {
                if let (Some(line), Some((old, new))) = (line, lines) {
                    write!(f, "{path}: line {line}: {old:?} → {new:?}")?;
                    return Ok(());
                }
                write!(f, "{path}: bytes differ from offset {offset} ({offset:#x})")?;
                match count {
                    0 => write!(f, ", where the shorter ends")?,
                    count => write!(f, ", {count} of them")?,
                }
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

/// What a comparison leaves out, and when it stops.
#[derive(Debug, Clone, Default)]
pub struct DiffOptions {
    /// Names of fields that may differ, such as `mtime` or `uid`.
    pub ignore: BTreeSet<String>,
    /// Stops after so many differences; never where there is no number.
    pub most: Option<u64>,
}

/// What a comparison came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffSummary {
    /// How many differences were reported; none means that all bytes and all fields that were to be
    /// compared are the same.
    pub count: u64,
    /// Whether it stopped after [`DiffOptions::most`]: there may be more.
    pub stopped: bool,
}

/// Compares two images, folders or layers, and hands each difference on as it is found.
///
/// Fails where a file cannot be read, and where `report` does. What is damaged is a difference, if
/// the bytes are not the same.
pub fn diff(
    context: &Context,
    old: &Node,
    new: &Node,
    options: &DiffOptions,
    report: &mut (dyn FnMut(&Difference) -> Result<()> + Send),
) -> Result<DiffSummary> {
    deep(|| {
        let mut walk = Walk {
            context,
            options,
            report,
            found: DiffSummary::default(),
            met: 0,
            seen: BTreeSet::new(),
        };
        walk.node("", old, new, (0, 0))?;
        Ok(walk.found)
    })
}

/// The differences between two, `most` of them at most, as lines to be printed.
///
/// For two layers these are `Node::file(name, bytes)`, for several `Node::group` of them, for a
/// folder [`crate::folder`].
pub fn differences(
    context: &Context,
    old: &Node,
    new: &Node,
    options: &DiffOptions,
) -> Result<Vec<Difference>> {
    let mut all = Vec::new();
    diff(context, old, new, options, &mut |difference| {
        all.push(difference.clone());
        Ok(())
    })?;
    Ok(all)
}

/// What tells a pair of bytes from all others.
type Pair = ((u64, u64, u64), (u64, u64, u64));

struct Walk<'w> {
    context: &'w Context,
    options: &'w DiffOptions,
    report: &'w mut (dyn FnMut(&Difference) -> Result<()> + Send),
    found: DiffSummary,
    met: u64,
    /// Pairs that were compared already under another name.
    seen: BTreeSet<Pair>,
}

/// What became of looking into two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    /// There is nothing to look into, or not in both alike.
    No,
    /// Their parts were compared.
    Yes,
    /// Disks in containers of different formats: what they hold was compared, and the containers'
    /// own bytes have nothing in common.
    Disks,
}

/// How deep a walk is: in levels, and in images within images.
type Depth = (usize, usize);

impl Walk<'_> {
    fn report(&mut self, difference: &Difference) -> Result<()> {
        if self.found.stopped {
            return Ok(());
        }
        self.found.count += 1;
        self.found.stopped = self.options.most.is_some_and(|most| self.found.count >= most);
        (self.report)(difference)
    }

    fn node(&mut self, path: &str, old: &Node, new: &Node, depth: Depth) -> Result<()> {
        if self.found.stopped {
            return Ok(());
        }
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
                self.bytes(path, (old, a), (new, b), depth)
            }
            _ => self.inside(path, old, new, depth).map(|_| ()),
        }
    }

    /// Compares the bytes of two nodes, and what is inside where they are not the same.
    fn bytes(
        &mut self,
        path: &str,
        (old, a): (&Node, &Bytes),
        (new, b): (&Node, &Bytes),
        depth: Depth,
    ) -> Result<()> {
        let Some(mismatch) = compare(a, b)? else { return Ok(()) };
        if !self.seen.insert((a.identity(), b.identity())) {
            return Ok(());
        }
        let before = self.found.count;
        let opened = self.inside(path, old, new, (depth.0, depth.1 + 1))?;
        // A size alone does not say what differs.
        let told = match opened {
            Opened::No => false,
            Opened::Yes => self.found.count != before,
            Opened::Disks => true,
        };
        if told {
            return Ok(());
        }
        self.report(&Difference::Bytes {
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            offset: mismatch.offset,
            line: mismatch.line.as_ref().map(|line| line.0),
            lines: mismatch.line.map(|line| (line.1, line.2)),
            count: mismatch.count,
            between: opened == Opened::Yes,
        })
    }

    /// Compares what is inside.
    fn inside(&mut self, path: &str, old: &Node, new: &Node, depth: Depth) -> Result<Opened> {
        if depth.1 > self.context.limits.nested {
            return Ok(Opened::No);
        }
        if depth.0 >= self.context.limits.depth {
            let limit = self.context.limits.depth as u64;
            return Err(Error::Limit { what: "levels", limit });
        }
        let (a, b) = match (old.open(self.context), new.open(self.context)) {
            (Ok(Some(a)), Ok(Some(b))) => (a, b),
            (Ok(_), Ok(_)) => return Ok(Opened::No),
            (Err(error), _) => return self.damaged(path, "first", &error),
            (_, Err(error)) => return self.damaged(path, "second", &error),
        };
        if a.format != b.format {
            let shown = if path.is_empty() { "/" } else { path };
            self.field(shown, "format", Some(a.format), Some(b.format))?;
            return self.disks(path, (&a, old), (&b, new), depth);
        }
        self.fields(if path.is_empty() { "/" } else { path }, &a.fields, &b.fields)?;
        self.nodes(path, &a, &b, depth)?;
        Ok(Opened::Yes)
    }

    /// Compares the disks that two files of different formats hold, of which one may be the disk
    /// itself.
    fn disks(
        &mut self,
        path: &str,
        (a, old): (&Container, &Node),
        (b, new): (&Container, &Node),
        depth: Depth,
    ) -> Result<Opened> {
        let format = match (a.disk(), b.disk()) {
            (Some(_), _) => a.format,
            (None, Some(_)) => b.format,
            (None, None) => return Ok(Opened::No),
        };
        let (old, new) = (a.disk().unwrap_or(old), b.disk().unwrap_or(new));
        let (Some(a), Some(b)) = (old.bytes(), new.bytes()) else { return Ok(Opened::No) };
        let path = join(path, format, "disk");
        if a.len() != b.len() {
            let (old, new) = (a.len().to_string(), b.len().to_string());
            self.field(&path, "size", Some(&old), Some(&new))?;
        }
        self.bytes(&path, (old, a), (new, b), (depth.0 + 1, depth.1))?;
        Ok(Opened::Disks)
    }

    fn damaged(&mut self, path: &str, which: &str, error: &Error) -> Result<Opened> {
        let reason = format!("the {which} cannot be read: {error}");
        self.report(&Difference::Unreadable { path: path.to_owned(), reason })?;
        Ok(Opened::No)
    }

    fn nodes(&mut self, path: &str, a: &Container, b: &Container, depth: Depth) -> Result<()> {
        let (old_names, new_names) = (names(&a.nodes), names(&b.nodes));
        let index = |names: &[String]| -> BTreeMap<String, usize> {
            names.iter().cloned().enumerate().map(|(index, name)| (name, index)).collect()
        };
        let (old_index, new_index) = (index(&old_names), index(&new_names));
        let under = |name: &str| join(path, a.format, name);
        for (name, node) in old_names.iter().zip(&a.nodes) {
            let path = under(name);
            match new_index.get(name) {
                Some(other) => self.node(&path, node, &b.nodes[*other], (depth.0 + 1, depth.1))?,
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
        if self.options.ignore.contains(name) {
            return Ok(());
        }
        self.report(&Difference::Field {
            path: path.to_owned(),
            name: name.to_owned(),
            old: a.map(str::to_owned),
            new: b.map(str::to_owned),
        })
    }
}
