//! The expansion of words, by BuildKit's rules.

use super::{pattern::Pattern, word::Lookup};

/// How deep `${a:-${b:-…}}` may go, so that hostile text cannot exhaust the stack.
const MAX_DEPTH: usize = 64;

/// What becomes of quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// They group and are removed.
    Remove,
    /// They group and stay.
    Keep,
    /// They are characters like any other: the text of a heredoc.
    Plain,
}

/// Why a word does not expand: the bytes from `start` to `end` of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpandError {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Reads one word.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    escape: char,
    quotes: Quotes,
    keep_escapes: bool,
    keep_unset: bool,
    depth: usize,
    lookup: &'a Lookup<'a>,
}

/// Collects text, and the words it parts into.
#[derive(Default)]
struct Output {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Output {
    /// Adds a character that parts words if it is a space.
    fn push(&mut self, c: char) {
        self.text.push(c);
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    /// Adds a character that belongs to the word whatever it is.
    fn push_quoted(&mut self, c: char) {
        self.text.push(c);
        self.word.push(c);
    }
}

type Result<T> = std::result::Result<T, ExpandError>;

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, escape: char, quotes: Quotes, lookup: &'a Lookup<'a>) -> Self {
        let keep_escapes = false;
        Self { text, at: 0, escape, quotes, keep_escapes, keep_unset: false, depth: 0, lookup }
    }

    /// Leaves escape characters where they are.
    pub(crate) fn keep_escapes(mut self) -> Self {
        self.keep_escapes = true;
        self
    }

    /// Leaves variables that are unset where they are.
    pub(crate) fn keep_unset(mut self) -> Self {
        self.keep_unset = true;
        self
    }

    /// The expanded text.
    pub(crate) fn text(mut self) -> Result<String> {
        self.run(None).map(|output| output.text)
    }

    /// The expanded words.
    pub(crate) fn words(mut self) -> Result<Vec<String>> {
        self.run(None).map(|mut output| {
            if !output.word.is_empty() {
                output.words.push(output.word);
            }
            output.words
        })
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn error(&self, start: usize, message: impl Into<String>) -> ExpandError {
        ExpandError { start, end: self.at.max(start), message: message.into(), help: None }
    }

    /// Reads up to `stop`, or to the end.
    fn run(&mut self, stop: Option<char>) -> Result<Output> {
        let mut output = Output::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next();
                return Ok(output);
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    value.chars().for_each(|c| output.push(c));
                }
                '<' => {
                    let mark = self.less_than();
                    mark.chars().for_each(|c| output.push_quoted(c));
                }
                '\'' if self.quotes != Quotes::Plain => self.single_quotes(&mut output)?,
                '"' if self.quotes != Quotes::Plain => self.double_quotes(&mut output)?,
                c if c == self.escape => {
                    self.next();
                    if self.keep_escapes {
                        output.push_quoted(c);
                    }
                    let Some(escaped) = self.next() else { break };
                    output.push_quoted(escaped);
                }
                c => {
                    self.next();
                    output.push(c);
                }
            }
        }
        match stop {
            None => Ok(output),
            Some(stop) => Err(self.error(self.text.len(), format!("`{stop}` is missing"))),
        }
    }

    /// `<<` and the blanks after it, which belong to a heredoc's delimiter, or a single `<`.
    fn less_than(&mut self) -> String {
        self.next();
        if self.peek() != Some('<') {
            return "<".to_owned();
        }
        self.next();
        let mut mark = "<<".to_owned();
        while let Some(c @ (' ' | '\t' | '\r')) = self.peek() {
            self.next();
            mark.push(c);
        }
        mark
    }

    fn single_quotes(&mut self, output: &mut Output) -> Result<()> {
        let start = self.at;
        self.quote_mark(output);
        loop {
            match self.peek() {
                None => return Err(self.unclosed(start, '\'')),
                Some('\'') => {
                    self.quote_mark(output);
                    return Ok(());
                }
                Some(c) => {
                    self.next();
                    output.push_quoted(c);
                }
            }
        }
    }

    fn double_quotes(&mut self, output: &mut Output) -> Result<()> {
        let start = self.at;
        self.quote_mark(output);
        loop {
            match self.peek() {
                None => return Err(self.unclosed(start, '"')),
                Some('"') => {
                    self.quote_mark(output);
                    return Ok(());
                }
                Some('$') => {
                    let value = self.dollar()?;
                    value.chars().for_each(|c| output.push_quoted(c));
                }
                Some(c) if c == self.escape => {
                    self.next();
                    if self.keep_escapes {
                        output.push_quoted(c);
                    }
                    match self.peek() {
                        // A trailing escape is dropped; the missing quote is the error.
                        None => {}
                        Some(next) if next == '"' || next == '$' || next == self.escape => {
                            self.next();
                            output.push_quoted(next);
                        }
                        Some(_) => output.push_quoted(c),
                    }
                }
                Some(c) => {
                    self.next();
                    output.push_quoted(c);
                }
            }
        }
    }

    fn quote_mark(&mut self, output: &mut Output) {
        if let Some(mark) = self.next() {
            if self.quotes == Quotes::Keep {
                output.push_quoted(mark);
            }
        }
    }

    fn unclosed(&self, start: usize, mark: char) -> ExpandError {
        let mut error = self.error(start, format!("this {mark} is never closed"));
        error.help = Some(format!("close it with {mark}, or escape it with {}{mark}", self.escape));
        error
    }

    /// Reads a variable from its `$`.
    fn dollar(&mut self) -> Result<String> {
        let start = self.at;
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match (self.lookup)(&name) {
                None if self.keep_unset => format!("${name}"),
                value => value.unwrap_or_default(),
            });
        }
        if self.depth >= MAX_DEPTH {
            return Err(self.error(start, "variables are nested too deeply"));
        }
        self.depth += 1;
        self.next();
        let value = self.braces(start);
        self.depth -= 1;
        value
    }

    /// Reads a variable from after its `${`.
    fn braces(&mut self, start: usize) -> Result<String> {
        match self.peek() {
            None => return Err(self.unclosed_brace(start)),
            Some('{' | '}' | ':') => {
                self.next();
                return Err(self.error(start, "a variable's name is missing after `${`"));
            }
            Some(_) => {}
        }
        let name = self.name();
        let Some(modifier) = self.next() else { return Err(self.unclosed_brace(start)) };
        match modifier {
            '}' => Ok(match (self.lookup)(&name) {
                None if self.keep_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            ':' => match self.next() {
                None => Err(self.unclosed_brace(start)),
                Some(modifier @ ('-' | '+' | '?')) => self.default(start, &name, modifier, true),
                Some(other) => Err(self.unknown(start, &format!(":{other}"))),
            },
            '-' | '+' | '?' => self.default(start, &name, modifier, false),
            '#' | '%' => self.trim(start, &name, modifier),
            '/' => self.replace(start, &name),
            other => Err(self.unknown(start, &other.to_string())),
        }
    }

    fn unknown(&self, start: usize, modifier: &str) -> ExpandError {
        let mut error = self.error(start, format!("`{modifier}` is no modifier of a variable"));
        error.help = Some("known are :- - :+ + :? ? # ## % %% / and //".to_owned());
        error
    }

    fn unclosed_brace(&self, start: usize) -> ExpandError {
        self.error(start, "this `${` is never closed")
    }

    /// The text up to the closing brace, or to the `/` between a pattern and its replacement.
    fn operand(&mut self, start: usize, stop: char, keep_escapes: bool) -> Result<String> {
        let before = std::mem::replace(&mut self.keep_escapes, keep_escapes);
        let operand = self.run(Some(stop));
        self.keep_escapes = before;
        let missing = self.at >= self.text.len() && operand.is_err();
        match operand {
            Ok(output) => Ok(output.text),
            Err(error) if missing && error.start >= self.text.len() => {
                let mut error = self.unclosed_brace(start);
                if stop == '/' {
                    error.message = "`/` is missing between pattern and replacement".to_owned();
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// `${name:-word}` and its like; `empty` says that an empty value counts as unset.
    fn default(&mut self, start: usize, name: &str, modifier: char, empty: bool) -> Result<String> {
        let word = self.operand(start, '}', self.keep_escapes)?;
        let value = (self.lookup)(name);
        if self.keep_unset && value.is_none() {
            let colon = if empty { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let value = value.filter(|value| !(empty && value.is_empty()));
        match (modifier, value) {
            ('+', value) => Ok(value.map(|_| word).unwrap_or_default()),
            (_, Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            (_, None) => {
                let what = if empty { "unset or empty" } else { "unset" };
                let mut error = self.error(start, format!("the variable {name} is {what}"));
                if !word.is_empty() {
                    error.message = format!("{name}: {word}");
                }
                Err(error)
            }
        }
    }

    /// `${name#pattern}`, `${name##pattern}`, `${name%pattern}`, `${name%%pattern}`.
    fn trim(&mut self, start: usize, name: &str, modifier: char) -> Result<String> {
        let operand = self.operand(start, '}', true)?;
        let Some(value) = (self.lookup)(name) else {
            return Ok(if self.keep_unset {
                format!("${{{name}{modifier}{operand}}}")
            } else {
                // The pattern is checked all the same.
                self.pattern(start, operand.strip_prefix(modifier).unwrap_or(&operand))?;
                String::new()
            });
        };
        let (longest, pattern) = match operand.strip_prefix(modifier) {
            Some(pattern) => (true, pattern),
            None => (false, operand.as_str()),
        };
        let pattern = self.pattern(start, pattern)?;
        Ok(match modifier {
            '#' => pattern.trim_start(&value, longest),
            _ => pattern.trim_end(&value, longest),
        })
    }

    /// `${name/pattern/text}` and `${name//pattern/text}`.
    fn replace(&mut self, start: usize, name: &str) -> Result<String> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.operand(start, '/', true)?;
        let replacement = self.operand(start, '}', true)?;
        let value = (self.lookup)(name);
        if self.keep_unset && value.is_none() {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        let pattern = self.pattern(start, &pattern)?;
        Ok(pattern.replace(&value.unwrap_or_default(), &replacement, all))
    }

    fn pattern(&self, start: usize, text: &str) -> Result<Pattern> {
        Pattern::parse(text).map_err(|escaped| {
            let mut error =
                self.error(start, format!("`\\{escaped}` is no escape that a pattern knows"));
            error.help = Some("known are \\* \\? \\\\ \\} and \\/".to_owned());
            error
        })
    }

    /// A variable's name: letters, digits and underscores, or digits alone, or one special mark.
    fn name(&mut self) -> String {
        let rest = &self.text[self.at..];
        let end =
            |matches: fn(char) -> bool| rest.find(|c: char| !matches(c)).unwrap_or(rest.len());
        let length = match rest.chars().next() {
            Some(c) if c.is_numeric() => end(char::is_numeric),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => end(|c| c.is_alphanumeric() || c == '_'),
        };
        self.at += length;
        rest[..length].to_owned()
    }
}
