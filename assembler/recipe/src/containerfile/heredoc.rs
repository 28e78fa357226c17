//! Heredocs: `<<EOF` and what follows.

use super::{
    ast::Heredoc,
    shell::{Lexer, Quotes},
    word::Lookup,
};
use crate::{Diagnostic, Span};

/// What one `<<` announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) name: String,
    pub(super) descriptor: Option<u32>,
    pub(super) strip_tabs: bool,
    pub(super) expand: bool,
}

impl Heredoc {
    /// The lines between the delimiters, without leading tabs if `<<-` says so.
    pub fn content(&self) -> String {
        if !self.strip_tabs {
            return self.raw.clone();
        }
        self.raw.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }

    /// The content of a file that COPY or ADD writes: variables replaced, unless the delimiter
    /// was quoted. Quotes are characters like any other, a backslash keeps the next character.
    pub fn expand(&self, lookup: &Lookup<'_>) -> Result<String, Diagnostic> {
        let content = self.content();
        if !self.expand {
            return Ok(content);
        }
        Lexer::new(&content, '\\', Quotes::Plain, lookup).text().map_err(|error| {
            let mut span = self.span;
            if self.document.slice(span) == content {
                span = Span::new(self.span.start + error.start, self.span.start + error.end);
            }
            let help = format!("to keep `$` as it is, quote the delimiter: <<'{}'", self.name);
            self.document.error(span, error.message).with_help(help)
        })
    }
}

/// Reads `[digits]<<[-]word`. Not every word that holds `<<` is one.
pub(super) fn marker(word: &str) -> Option<Marker> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let rest = word[digits..].strip_prefix("<<")?;
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let [name] = <[String; 1]>::try_from(words(rest, Quotes::Remove, false)?).ok()?;
    let [quoted] = <[String; 1]>::try_from(words(rest, Quotes::Keep, false)?).ok()?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    Some(Marker {
        expand: quotes(&name) == quotes(&quoted),
        name,
        descriptor: word[..digits].parse().ok(),
        strip_tabs,
    })
}

/// The heredocs that a line announces, in order.
pub(super) fn markers(line: &str) -> Vec<Marker> {
    let words = words(line, Quotes::Keep, true).unwrap_or_default();
    words.iter().filter_map(|word| marker(word)).collect()
}

/// Whether a command is a heredoc and nothing else.
pub(super) fn is_bare(command: &str) -> bool {
    marker(command).is_some()
}

/// Parts a text into words as a shell would, with no variable known.
fn words(text: &str, quotes: Quotes, keep_escapes: bool) -> Option<Vec<String>> {
    let lexer = Lexer::new(text, '\\', quotes, &|_| None).keep_unset();
    let lexer = if keep_escapes { lexer.keep_escapes() } else { lexer };
    lexer.words().ok()
}
