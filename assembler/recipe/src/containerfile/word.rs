//! Words: text that may hold variables, quotes and escapes.

use std::{cell::RefCell, collections::BTreeSet};

use super::shell::{Lexer, Quotes};
use crate::{Diagnostic, Document, Span};

/// Looks up the value of a variable; `None` if it is unset.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A word as written, which expands to text once the variables are known.
///
/// It follows BuildKit's rules: `$x` and `${x}`; `${x:-y}`, `${x-y}`, `${x:+y}`, `${x+y}`,
/// `${x:?message}`, `${x?message}`; `${x#pattern}`, `${x##pattern}`, `${x%pattern}`,
/// `${x%%pattern}`; `${x/pattern/text}`, `${x//pattern/text}`. Patterns know `*` and `?`. Single
/// quotes keep everything, double quotes expand, the escape character keeps the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    raw: String,
    span: Span,
    escape: char,
    document: Document,
}

impl Word {
    pub(crate) fn new(raw: String, span: Span, escape: char, document: Document) -> Self {
        Self { raw, span, escape, document }
    }

    /// The word as written, but for line continuations, which are gone.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The text of the word: variables replaced by what `lookup` says, quotes and escapes gone.
    ///
    /// The error points at what cannot be expanded: a brace or quote that is not closed, an
    /// unknown modifier, a variable that `${x:?…}` demands.
    pub fn expand(&self, lookup: &Lookup<'_>) -> Result<String, Diagnostic> {
        self.lex(lookup).text().map_err(|error| self.point(error))
    }

    /// The words that the word expands to: spaces in a variable's value part them.
    pub fn expand_words(&self, lookup: &Lookup<'_>) -> Result<Vec<String>, Diagnostic> {
        self.lex(lookup).words().map_err(|error| self.point(error))
    }

    /// The text of the word, if it needs no variable and expands without error.
    pub fn literal(&self) -> Option<String> {
        if self.raw.contains('$') && !self.variables().is_empty() {
            return None;
        }
        self.expand(&|_| None).ok()
    }

    /// The names of the variables that it mentions.
    pub fn variables(&self) -> BTreeSet<String> {
        let names = RefCell::new(BTreeSet::new());
        // Where it does not expand, the names up to there are all there are.
        let _ = self.expand(&|name| {
            names.borrow_mut().insert(name.to_owned());
            Some("1".to_owned())
        });
        names.into_inner()
    }

    /// An error about this word.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.document.error(self.span, message)
    }

    /// A warning about this word.
    pub fn warning(&self, message: impl Into<String>) -> Diagnostic {
        self.document.warning(self.span, message)
    }

    fn lex<'a>(&'a self, lookup: &'a Lookup<'a>) -> Lexer<'a> {
        Lexer::new(&self.raw, self.escape, Quotes::Remove, lookup)
    }

    fn point(&self, error: super::shell::ExpandError) -> Diagnostic {
        let mut span = self.span;
        // Offsets in the word are offsets in the file unless a line was continued inside it.
        if self.document.slice(span) == self.raw {
            span = Span::new(self.span.start + error.start, self.span.start + error.end);
        }
        let diagnostic = self.document.error(span, error.message);
        match error.help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        }
    }
}
