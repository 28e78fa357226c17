//! Lines: physical ones, the logical ones they continue into, and parser directives.

use std::ops::Range;

use super::{Directives, Word};
use crate::{Diagnostic, Document, Span, Spanned};

/// A logical line: continued lines joined, comments and line breaks gone.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pub(super) text: String,
    /// Where pieces of `text` come from: offset in `text`, offset in the document.
    pieces: Vec<(usize, usize)>,
}

impl Line {
    fn push(&mut self, text: &str, offset: usize) {
        self.pieces.push((self.text.len(), offset));
        self.text.push_str(text);
    }

    /// Where the bytes `range` of the line's text stand in the document.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        let start = self.origin(range.start);
        match range.end.checked_sub(1) {
            Some(last) if last >= range.start => Span::new(start, self.origin(last) + 1),
            _ => Span::new(start, start),
        }
    }

    fn origin(&self, offset: usize) -> usize {
        let index = self.pieces.partition_point(|(start, _)| *start <= offset).max(1) - 1;
        self.pieces.get(index).map_or(0, |(start, origin)| origin + (offset - start))
    }
}

/// Reads a document line by line.
pub(super) struct Lines<'a> {
    pub(super) document: &'a Document,
    pub(super) directives: Directives,
    pub(super) warnings: Vec<Diagnostic>,
    at: usize,
}

impl<'a> Lines<'a> {
    /// Reads the parser directives and stands before the first line that is none.
    pub(super) fn new(document: &'a Document) -> (Self, Vec<Diagnostic>) {
        let at = if document.text().starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let directives = Directives::default();
        let mut lines = Self { document, directives, warnings: Vec::new(), at };
        let errors = lines.read_directives();
        (lines, errors)
    }

    /// The offset of the next line.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The next physical line with its line break, and its offset.
    pub(super) fn physical(&mut self) -> Option<(&'a str, usize)> {
        let offset = self.at;
        let line = self.document.text()[offset..].split_inclusive('\n').next()?;
        self.at += line.len();
        Some((line, offset))
    }

    /// The next line that is neither blank nor a comment, with its continuations.
    pub(super) fn logical(&mut self) -> Option<Line> {
        loop {
            let (physical, offset) = self.physical()?;
            let text = physical.trim_end_matches(['\r', '\n']);
            let trimmed = text.trim_start();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let mut line = Line::default();
            let offset = offset + (text.len() - trimmed.len());
            let (kept, mut continued) = self.cut_continuation(trimmed);
            line.push(kept, offset);
            while continued {
                let Some((physical, offset)) = self.physical() else { break };
                let text = physical.trim_end_matches(['\r', '\n']);
                let trimmed = text.trim_start();
                if trimmed.starts_with('#') {
                    continue;
                }
                if trimmed.is_empty() {
                    let span = Span::new(offset, offset);
                    self.warnings.push(
                        self.document
                            .warning(span, "blank line inside a continued line")
                            .with_help("drop it, or make it a comment: BuildKit will refuse it"),
                    );
                    continue;
                }
                let (kept, more) = self.cut_continuation(text);
                line.push(kept, offset);
                continued = more;
            }
            return Some(line);
        }
    }

    /// Cuts the escape character that continues a line, unless it is itself escaped.
    fn cut_continuation<'t>(&self, text: &'t str) -> (&'t str, bool) {
        let escape = self.directives.escape;
        match text.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(kept) if !kept.ends_with(escape) => (kept, true),
            _ => (text, false),
        }
    }

    fn read_directives(&mut self) -> Vec<Diagnostic> {
        let mut errors = Vec::new();
        let mut escape = None;
        loop {
            let before = self.at;
            let Some((line, offset)) = self.physical() else { break };
            let Some((name, value)) = directive(line) else {
                self.at = before;
                break;
            };
            let span = Span::new(offset, offset + line.trim_end().len());
            let value = Spanned::new(value.to_owned(), span);
            let again = match name.as_str() {
                "syntax" => self.directives.syntax.replace(value).is_some(),
                "check" => self.directives.check.replace(value).is_some(),
                _ => {
                    match value.value.as_str() {
                        "\\" => self.directives.escape = '\\',
                        "`" => self.directives.escape = '`',
                        other => errors.push(
                            self.document
                                .error(span, format!("`{other}` cannot be the escape character"))
                                .with_help("it is \\ or `"),
                        ),
                    }
                    escape.replace(span).is_some()
                }
            };
            if again {
                errors.push(self.document.error(span, format!("a second `{name}` directive")));
            }
        }
        errors
    }
}

/// Reads `# name = value` where the name is one that parsers know.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.trim_start().split_once('=')?;
    let (name, value) = (name.trim_end().to_lowercase(), value.trim());
    let known = matches!(name.as_str(), "syntax" | "escape" | "check");
    (known && !value.is_empty()).then_some((name, value))
}

/// A part of a logical line.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Its text; differs from the line's where quotes or escapes were removed.
    pub(super) text: String,
    /// Where it stands in the document.
    pub(super) span: Span,
}

/// What parses one logical line: the line, and what words need to know.
pub(super) struct Source<'a> {
    pub(super) line: &'a Line,
    pub(super) document: &'a Document,
    pub(super) escape: char,
}

impl Source<'_> {
    /// The part of the line at `range`.
    pub(super) fn piece(&self, range: Range<usize>) -> Piece {
        Piece { text: self.line.text[range.clone()].to_owned(), span: self.line.span(range) }
    }

    /// A piece as a word.
    pub(super) fn word(&self, piece: Piece) -> Word {
        Word::new(piece.text, piece.span, self.escape, self.document.clone())
    }

    /// A part of a piece as a piece: `range` is in the piece's text.
    pub(super) fn part(&self, piece: &Piece, range: Range<usize>) -> Piece {
        let text = piece.text[range.clone()].to_owned();
        let exact = self.document.slice(piece.span) == piece.text;
        let start = piece.span.start;
        let span =
            if exact { Span::new(start + range.start, start + range.end) } else { piece.span };
        Piece { text, span }
    }

    /// The pieces of `range` between white space.
    pub(super) fn fields(&self, range: Range<usize>) -> Vec<Piece> {
        let text = &self.line.text[range.clone()];
        let blank = |c: char| matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ');
        text.split(blank)
            .filter(|field| !field.is_empty())
            .map(|field| {
                // `split` gives parts of `text`, so the distance of their addresses is the offset.
                let start = range.start + (field.as_ptr() as usize - text.as_ptr() as usize);
                self.piece(start..start + field.len())
            })
            .collect()
    }

    /// The pieces of `range` between white space outside quotes, quotes and escapes kept.
    pub(super) fn words(&self, range: Range<usize>) -> Vec<Piece> {
        let text = &self.line.text[range.clone()];
        let mut words = Vec::new();
        let mut start = None;
        let mut quote = None;
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match quote {
                None if c.is_whitespace() => {
                    if let Some(start) = start.take() {
                        words.push(start..at);
                    }
                    continue;
                }
                None if c == '\'' || c == '"' => quote = Some(c),
                Some(mark) if c == mark => quote = None,
                _ if c == self.escape && quote != Some('\'') => {
                    chars.next();
                }
                _ => {}
            }
            start.get_or_insert(at);
        }
        words.extend(start.map(|start| start..text.len()));
        words
            .into_iter()
            .map(|word| self.piece(range.start + word.start..range.start + word.end))
            .map(|mut piece| {
                // A lone escape at the very end continues nothing and says nothing.
                let escapes = piece.text.chars().rev().take_while(|c| *c == self.escape).count();
                if escapes % 2 == 1 && !piece.text.contains('\'') {
                    piece.text.pop();
                }
                piece
            })
            .filter(|piece| !piece.text.is_empty())
            .collect()
    }

    /// Splits flags (`--name`, `--name=value`) off the front of `range`: the flags with quotes
    /// and escapes removed, and where the rest begins.
    pub(super) fn flags(&self, range: Range<usize>) -> (Vec<Piece>, usize) {
        let text = &self.line.text[..range.end];
        let mut flags = Vec::new();
        let mut at = range.start;
        loop {
            at += text[at..].len() - text[at..].trim_start().len();
            if !text[at..].starts_with("--") {
                return (flags, at);
            }
            let start = at;
            let mut flag = String::new();
            let mut quote = None;
            let mut chars = text[at..].char_indices();
            let end = loop {
                let Some((offset, c)) = chars.next() else { break text.len() };
                match quote {
                    None if c.is_whitespace() => break at + offset,
                    None if c == '\'' || c == '"' => quote = Some(c),
                    Some(mark) if c == mark => quote = None,
                    _ if c == self.escape => flag.extend(chars.next().map(|(_, c)| c)),
                    _ => flag.push(c),
                }
            };
            at = end;
            if flag == "--" {
                return (flags, at);
            }
            flags.push(Piece { text: flag, span: self.line.span(start..end) });
        }
    }
}
