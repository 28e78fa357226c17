//! Reads what people write (package.toml, Containerfile, box.toml, stagex.toml) into typed,
//! validated values.
//!
//! It is pure: text in, values or [`Diagnostics`] out. Whoever calls it reads the files and says
//! what they are called.

pub mod boxes;
pub mod catalogue;
pub mod containerfile;
mod diagnostic;
pub mod package;
pub mod rungs;
mod toml_reader;
pub mod workspace;

pub use diagnostic::{
    Diagnostic, Diagnostics, Document, Location, Position, Severity, Span, Spanned,
};

/// The member of `known` that a reader most likely meant by `found`.
///
/// A typing error or two is allowed, more in longer words; case does not count.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    let allowed = (found.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(&found, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, word)| word)
}
