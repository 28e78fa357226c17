//! The flags of instructions: `--name` and `--name=value`.

use super::lines::{Piece, Source};
use crate::{Diagnostic, Spanned};

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, `true` or `false`.
    Bool,
    /// One value.
    Text,
    /// One value, any number of times.
    List,
}

/// The flags of one instruction, checked against those it knows.
pub(super) struct Flags(Vec<(String, Piece)>);

impl Flags {
    /// Sorts `pieces` by the names that `known` has, or says all that is wrong with them.
    pub(super) fn parse(
        source: &Source<'_>,
        keyword: &str,
        pieces: Vec<Piece>,
        known: &[(&str, Kind)],
        errors: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut flags: Vec<(String, Piece)> = Vec::new();
        for piece in pieces {
            let equals = piece.text.find('=');
            let end = equals.unwrap_or(piece.text.len());
            let name = piece.text.get(2..end).unwrap_or_default().to_owned();
            let Some((_, kind)) = known.iter().find(|(known, _)| *known == name) else {
                let mut error =
                    source.document.error(piece.span, format!("{keyword} has no flag --{name}"));
                if !known.is_empty() {
                    let names: Vec<_> =
                        known.iter().map(|(known, _)| format!("--{known}")).collect();
                    error = error
                        .with_help(format!("it has {}", names.join(", ")))
                        .with_nearest(&format!("--{name}"), names.iter().map(String::as_str));
                }
                errors.push(error);
                continue;
            };
            if *kind != Kind::List && flags.iter().any(|(known, _)| *known == name) {
                errors.push(source.document.error(piece.span, format!("a second --{name}")));
                continue;
            }
            let value = match (kind, equals) {
                (Kind::Bool, None) => Piece { text: "true".to_owned(), span: piece.span },
                (_, None) => {
                    errors.push(
                        source
                            .document
                            .error(piece.span, format!("--{name} needs a value"))
                            .with_help(format!("write --{name}=…")),
                    );
                    continue;
                }
                (_, Some(equals)) => source.part(&piece, equals + 1..piece.text.len()),
            };
            if *kind == Kind::Bool {
                let lower = value.text.to_lowercase();
                if !matches!(lower.as_str(), "true" | "false") {
                    errors.push(
                        source
                            .document
                            .error(piece.span, format!("--{name} is true or false"))
                            .with_help(format!("write --{name} alone for true")),
                    );
                    continue;
                }
            }
            flags.push((name, value));
        }
        Self(flags)
    }

    /// The value of a flag, if it is there.
    pub(super) fn text(&self, name: &str) -> Option<&Piece> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The values of a flag, in order.
    pub(super) fn list<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f Piece> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value)
    }

    /// Whether a flag is there and what it says.
    pub(super) fn bool(&self, name: &str) -> Option<bool> {
        self.text(name).map(|value| value.text.eq_ignore_ascii_case("true"))
    }

    /// The name of a stage or image that a flag gives: a variable in it is an error.
    pub(super) fn from(
        source: &Source<'_>,
        piece: &Piece,
        errors: &mut Vec<Diagnostic>,
    ) -> Option<Spanned<String>> {
        if piece.text.is_empty() {
            return None;
        }
        if piece.text.contains('$') {
            errors.push(
                source
                    .document
                    .error(piece.span, "variables do not expand in the name of a stage or image")
                    .with_help("add a stage, `FROM … AS name`, which may use them, and name that"),
            );
            return None;
        }
        Some(Spanned::new(piece.text.clone(), piece.span))
    }
}
