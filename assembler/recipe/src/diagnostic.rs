//! What is wrong with a text, where, and what to do about it.

use std::{fmt, sync::Arc};

/// A text that was read, and the name its errors call it by.
///
/// Cloning is cheap: the text is shared.
#[derive(Clone)]
pub struct Document(Arc<Inner>);

struct Inner {
    name: String,
    text: String,
    /// Byte offset of the first character of each line.
    lines: Vec<usize>,
}

/// A range of bytes in a [`Document`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` up to, not including, `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest span that holds both.
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands in its document.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Joins a value and its place.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Changes the value and keeps the place.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span }
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Document {
    /// Wraps `text`, which errors will say is from `name`.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = std::iter::once(0)
            .chain(
                text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1),
            )
            .collect();
        Self(Arc::new(Inner { name: name.into(), text, lines }))
    }

    /// Wraps `bytes` if they are UTF-8.
    ///
    /// The error names the line and column of the first byte that is not.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Diagnostic> {
        let name = name.into();
        String::from_utf8(bytes).map(|text| Self::new(name.as_str(), text)).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let byte = error.as_bytes().get(at).copied().unwrap_or_default();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Self::new(name.as_str(), text)
                .error(Span::new(at, at + 1), format!("byte 0x{byte:02x} is not UTF-8"))
                .with_help("save the file as UTF-8")
        })
    }

    /// The name errors call it by, usually a path.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The text that `span` covers, empty if it lies outside or cuts a character.
    pub fn slice(&self, span: Span) -> &str {
        self.text().get(span.start..span.end).unwrap_or_default()
    }

    /// The line and column, both from 1, of the byte at `offset`.
    ///
    /// Columns count characters.
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text().len());
        let line = self.0.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.0.lines[line - 1];
        let column =
            self.text()[start..].char_indices().take_while(|(at, _)| start + at < offset).count();
        Position { line, column: column + 1 }
    }

    /// An error about what stands at `span`.
    pub fn error(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        self.diagnostic(Severity::Error, span, message.into())
    }

    /// A warning about what stands at `span`.
    pub fn warning(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        self.diagnostic(Severity::Warning, span, message.into())
    }

    fn diagnostic(&self, severity: Severity, span: Span, message: String) -> Diagnostic {
        let Position { line, column } = self.position(span.start);
        let source_line = self.line(line).to_owned();
        let covered = self.text().get(span.start..span.end).unwrap_or_default();
        let covered = covered.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let location = Location {
            file: self.name().to_owned(),
            line,
            column,
            source_line,
            width: covered.chars().count().max(1),
        };
        Diagnostic { severity, message, help: None, location: Some(Box::new(location)) }
    }

    /// The text of line `number`, from 1, without its line break.
    pub fn line(&self, number: usize) -> &str {
        let lines = &self.0.lines;
        let Some(start) = number.checked_sub(1).and_then(|index| lines.get(index)) else {
            return "";
        };
        let end = lines.get(number).map_or(self.text().len(), |next| next - 1);
        self.text()[*start..end].trim_end_matches('\r')
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({:?})", self.name())
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.name() == other.name() && self.text() == other.text())
    }
}

impl Eq for Document {}

/// A line and a column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// Whether something stops a build or only deserves a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing can be built from it.
    Error,
    /// It builds, but probably not as its author meant.
    Warning,
}

/// Where a [`Diagnostic`] points.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The document's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The line's text, without its line break.
    pub source_line: String,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
}

/// One thing that is wrong: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where it is, if it is in one place.
    pub location: Option<Box<Location>>,
}

impl Diagnostic {
    /// An error that stands in no single place.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), help: None, location: None }
    }

    /// The same with a line of advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with advice that names the member of `known` nearest to `found`, if one is near.
    #[must_use]
    pub fn with_nearest<'a>(
        mut self,
        found: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        if let Some(nearest) = crate::nearest(found, known) {
            self.help = Some(format!("did you mean `{nearest}`?"));
        }
        self
    }
}

/// The widest piece of a source line that is shown, in characters.
const SHOWN: usize = 120;

impl fmt::Display for Diagnostic {
    /// Draws what, where, why and what to do, without colours, fit for a terminal: control
    /// characters of the source are shown as `\u{fffd}`, long lines are cut around the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", printable(&self.message))?;
        let Some(location) = &self.location else {
            if let Some(help) = &self.help {
                write!(f, "\n  = help: {}", printable(help))?;
            }
            return Ok(());
        };
        let number = location.line.to_string();
        let margin = " ".repeat(number.len());
        let file = printable(&location.file);
        write!(f, "\n{margin}--> {file}:{}:{}\n{margin} |\n", location.line, location.column)?;

        let before = location.column - 1;
        let width = location.width.min(SHOWN * 2 / 3);
        let length = location.source_line.chars().count();
        let skip = if length <= SHOWN { 0 } else { before.saturating_sub(SHOWN / 3) };
        let shown: String = location.source_line.chars().skip(skip).take(SHOWN).collect();
        let left = if skip > 0 { "…" } else { "" };
        let right = if skip + SHOWN < length { "…" } else { "" };
        let indent = " ".repeat(before - skip.min(before) + left.chars().count());
        let shown = printable(&shown);
        let line = format!("{left}{shown}{right}");
        write!(f, "{number} | {}\n{margin} | {indent}{}", line.trim_end(), "^".repeat(width))?;
        if let Some(help) = &self.help {
            write!(f, "\n{margin} = help: {}", printable(help))?;
        }
        Ok(())
    }
}

/// Replaces what a terminal would obey by what it shows; every character stays one column.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            // Bidirectional overrides can make a line read as what it is not.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

impl std::error::Error for Diagnostic {}

/// All that is wrong with what was read, in the order of files and lines, each thing once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Sorts `all` by file, line and column and drops repetitions.
    ///
    /// What has no place comes last.
    pub fn new(mut all: Vec<Diagnostic>) -> Self {
        fn key(diagnostic: &Diagnostic) -> impl Ord + '_ {
            let place = diagnostic.location.as_deref();
            let place = place.map(|place| (&place.file, place.line, place.column));
            (place.is_none(), place, diagnostic.severity, &diagnostic.message)
        }
        all.sort_by(|a, b| key(a).cmp(&key(b)));
        all.dedup();
        Self(all)
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// How many of them are errors.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
