//! Reads TOML tables by schema: every key is asked for by name, and what nobody asked for is an
//! error.

use std::cell::RefCell;

use toml::de::{DeTable, DeValue};

use crate::{Diagnostic, Diagnostics, Document, Span, Spanned};

/// What was found wrong so far.
pub(crate) struct Sink<'a> {
    pub(crate) document: &'a Document,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(document: &'a Document) -> Self {
        Self { document, found: RefCell::default() }
    }

    /// Notes an error.
    pub(crate) fn error(&self, span: Span, message: impl Into<String>) {
        self.add(self.document.error(span, message));
    }

    /// Notes an error and what to do about it.
    pub(crate) fn error_help(
        &self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(self.document.error(span, message).with_help(help));
    }

    /// Notes a diagnostic.
    pub(crate) fn add(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    /// `value`, unless anything is wrong.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Diagnostics> {
        let found = Diagnostics::new(self.found.into_inner());
        match value {
            Some(value) if !found.has_errors() => Ok(value),
            _ => Err(found),
        }
    }
}

/// Parses `document`; syntax errors go to `sink`, and what could be read is returned.
pub(crate) fn parse<'a>(document: &'a Document, sink: &Sink<'_>) -> Option<DeTable<'a>> {
    let (table, errors) = DeTable::parse_recoverable(document.text());
    let broken = !errors.is_empty();
    for error in errors {
        let span = error.span().map(Span::from).unwrap_or_default();
        sink.error(span, format!("this is not TOML: {}", error.message().replace('\n', ", ")));
    }
    // What follows a syntax error is guesswork and would hide it behind false alarms.
    (!broken).then(|| table.into_inner())
}

/// A table that is being read.
pub(crate) struct Table<'a> {
    sink: &'a Sink<'a>,
    table: Option<&'a DeTable<'a>>,
    /// What errors call it, such as `[package]`.
    name: String,
    span: Span,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    /// The table of the whole document.
    pub(crate) fn root(sink: &'a Sink<'a>, table: &'a DeTable<'a>) -> Self {
        let name = "the file".to_owned();
        Self { sink, table: Some(table), name, span: Span::default(), asked: RefCell::default() }
    }

    /// Where its header stands.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Whether it was written at all.
    pub(crate) fn exists(&self) -> bool {
        self.table.is_some()
    }

    fn get(&self, key: &'static str) -> Option<(Span, &'a DeValue<'a>)> {
        self.asked.borrow_mut().push(key);
        let value = self.table?.get(key)?;
        Some((value.span().into(), value.get_ref()))
    }

    /// Where a key stands.
    pub(crate) fn key_span(&self, key: &str) -> Option<Span> {
        self.table?.get_key_value(key).map(|(key, _)| key.span().into())
    }

    fn wrong_type(&self, span: Span, key: &str, wanted: &str, found: &DeValue<'_>) {
        let message = format!("`{key}` is {wanted}, not {}", kind(found));
        self.sink.error(span, message);
    }

    /// Notes that `key` is missing.
    pub(crate) fn missing(&self, key: &str, help: &str) {
        self.sink.error_help(self.span, format!("{} has no `{key}`", self.name), help);
    }

    /// A string, if it is there.
    pub(crate) fn string(&self, key: &'static str) -> Option<Spanned<String>> {
        let (span, value) = self.get(key)?;
        match value {
            DeValue::String(text) => Some(Spanned::new(text.to_string(), span)),
            other => {
                self.wrong_type(span, key, "a string", other);
                None
            }
        }
    }

    /// A string that has to be there and not be empty.
    pub(crate) fn required(&self, key: &'static str, help: &str) -> Option<Spanned<String>> {
        let there = self.has(key);
        let text = self.string(key);
        match &text {
            None if !there => self.missing(key, help),
            Some(text) if text.value.trim().is_empty() => {
                self.sink.error_help(text.span, format!("`{key}` is empty"), help);
                return None;
            }
            _ => {}
        }
        text
    }

    /// A boolean, if it is there.
    pub(crate) fn bool(&self, key: &'static str) -> Option<Spanned<bool>> {
        let (span, value) = self.get(key)?;
        match value {
            DeValue::Boolean(value) => Some(Spanned::new(*value, span)),
            other => {
                self.wrong_type(span, key, "true or false", other);
                None
            }
        }
    }

    /// A whole number from `least` to `most`, if it is there.
    pub(crate) fn number(&self, key: &'static str, least: u32, most: u32) -> Option<Spanned<u32>> {
        let (span, value) = self.get(key)?;
        let DeValue::Integer(number) = value else {
            self.wrong_type(span, key, "a whole number", value);
            return None;
        };
        let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
        match number.and_then(|number| u32::try_from(number).ok()) {
            Some(number) if (least..=most).contains(&number) => Some(Spanned::new(number, span)),
            _ => {
                self.sink.error(span, format!("`{key}` is a whole number from {least} to {most}"));
                None
            }
        }
    }

    /// A list of strings; empty if it is not there.
    pub(crate) fn strings(&self, key: &'static str) -> Vec<Spanned<String>> {
        let Some((span, value)) = self.get(key) else { return Vec::new() };
        let DeValue::Array(members) = value else {
            self.wrong_type(span, key, "a list of strings", value);
            return Vec::new();
        };
        let mut strings = Vec::new();
        for member in members.iter() {
            let span = member.span().into();
            match member.get_ref() {
                DeValue::String(text) => strings.push(Spanned::new(text.to_string(), span)),
                other => self.wrong_type(span, key, "a list of strings", other),
            }
        }
        strings
    }

    /// A table by name; one that reads as empty if it is not there.
    pub(crate) fn table(&self, key: &'static str) -> Table<'a> {
        let name = format!("[{key}]");
        let span = self.key_span(key).unwrap_or(self.span);
        let table = match self.get(key) {
            Some((_, DeValue::Table(table))) => Some(table),
            Some((span, other)) => {
                self.wrong_type(span, key, "a table", other);
                None
            }
            None => None,
        };
        Table { sink: self.sink, table, name, span, asked: RefCell::default() }
    }

    /// The tables below `key`, each with its name: `[key.name]`.
    pub(crate) fn named_tables(&self, key: &'static str) -> Vec<(Spanned<String>, Table<'a>)> {
        let tables = self.table(key);
        let mut found = Vec::new();
        for (name, value) in tables.table.into_iter().flatten() {
            let span = Span::from(name.span());
            let DeValue::Table(table) = value.get_ref() else {
                let label = format!("{key}.{}", name.get_ref());
                self.wrong_type(value.span().into(), &label, "a table", value.get_ref());
                continue;
            };
            let label = format!("[{key}.{}]", name.get_ref());
            let table = Table {
                sink: self.sink,
                table: Some(table),
                name: label,
                span,
                asked: RefCell::default(),
            };
            found.push((Spanned::new(name.get_ref().to_string(), span), table));
        }
        found.sort_by_key(|(name, _)| name.span);
        found
    }

    /// The tables of `[[key]]`, in order.
    pub(crate) fn tables(&self, key: &'static str) -> Vec<Table<'a>> {
        let Some((span, value)) = self.get(key) else { return Vec::new() };
        let DeValue::Array(members) = value else {
            self.wrong_type(span, key, "a list of tables", value);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for member in members.iter() {
            match member.get_ref() {
                DeValue::Table(table) => tables.push(Table {
                    sink: self.sink,
                    table: Some(table),
                    name: format!("[[{key}]]"),
                    span: member.span().into(),
                    asked: RefCell::default(),
                }),
                other => self.wrong_type(member.span().into(), key, "a list of tables", other),
            }
        }
        tables
    }

    /// All keys with a string or a list of strings each: a table whose keys are free.
    pub(crate) fn free(&self) -> Vec<(Spanned<String>, Vec<Spanned<String>>)> {
        let mut found = Vec::new();
        for (name, value) in self.table.into_iter().flatten() {
            let key = Spanned::new(name.get_ref().to_string(), name.span().into());
            let span = Span::from(value.span());
            let values = match value.get_ref() {
                DeValue::String(text) => vec![Spanned::new(text.to_string(), span)],
                DeValue::Array(members) => {
                    let mut values = Vec::new();
                    for member in members.iter() {
                        match member.get_ref() {
                            DeValue::String(text) => {
                                values.push(Spanned::new(text.to_string(), member.span().into()));
                            }
                            other => self.wrong_type(
                                member.span().into(),
                                &key.value,
                                "a string or a list of strings",
                                other,
                            ),
                        }
                    }
                    values
                }
                other => {
                    self.wrong_type(span, &key.value, "a string or a list of strings", other);
                    continue;
                }
            };
            found.push((key, values));
        }
        found.sort_by_key(|(key, _)| key.span);
        found
    }

    /// Whether a key is there, of whatever type.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Notes every key that nobody asked for.
    pub(crate) fn finish(&self) {
        let asked = self.asked.borrow();
        for key in self.table.into_iter().flatten().map(|(key, _)| key) {
            let name = key.get_ref().as_ref();
            if !asked.contains(&name) {
                let message = format!("{} has no key `{name}`", self.name);
                self.sink.add(
                    self.sink
                        .document
                        .error(key.span().into(), message)
                        .with_help(format!("known are {}", asked.join(", ")))
                        .with_nearest(name, asked.iter().copied()),
                );
            }
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
