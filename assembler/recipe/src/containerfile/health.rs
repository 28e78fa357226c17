//! HEALTHCHECK.

use super::{
    Command, Healthcheck,
    flags::{Flags, Kind},
    instruction::{Json, Operands, json},
    lines::{Piece, Source},
};
use crate::Diagnostic;

/// Nanoseconds in a millisecond, the least that a duration may be.
const MILLISECOND: u64 = 1_000_000;

/// Reads what follows HEALTHCHECK.
pub(super) fn parse(
    source: &Source<'_>,
    flags: Vec<Piece>,
    rest: &Operands,
    errors: &mut Vec<Diagnostic>,
) -> Option<Healthcheck> {
    let known = [
        ("interval", Kind::Text),
        ("timeout", Kind::Text),
        ("start-period", Kind::Text),
        ("start-interval", Kind::Text),
        ("retries", Kind::Text),
    ];
    let flags = Flags::parse(source, "HEALTHCHECK", flags, &known, errors);
    let text = &source.line.text[rest.range.clone()];
    let length = text.find(char::is_whitespace).unwrap_or(text.len());
    let (kind, command) = (&text[..length], text[length..].trim());
    let kind_span = source.line.span(rest.range.start..rest.range.start + length);
    let mut complain = |message: &str, help: &str| {
        errors.push(source.document.error(kind_span, message).with_help(help));
        None
    };
    if kind.eq_ignore_ascii_case("NONE") {
        if !command.is_empty() {
            return complain("nothing follows HEALTHCHECK NONE", "write HEALTHCHECK CMD command");
        }
        return Some(Healthcheck::None);
    }
    if !kind.eq_ignore_ascii_case("CMD") {
        return complain("HEALTHCHECK is CMD or NONE", "write HEALTHCHECK CMD command");
    }
    let command = match json(command) {
        Json::Strings(strings) if !strings.is_empty() => Command::Exec(strings),
        Json::No if !command.is_empty() => Command::Shell(command.to_owned()),
        Json::Others => {
            return complain("a JSON list here holds strings only", "quote each member");
        }
        _ => return complain("HEALTHCHECK CMD without a command", "write HEALTHCHECK CMD command"),
    };
    let mut time = |name: &str| {
        let Some(piece) = flags.text(name) else { return 0 };
        match duration(&piece.text) {
            Some(time) if time == 0 || time >= MILLISECOND => time,
            _ => {
                errors.push(
                    source
                        .document
                        .error(piece.span, format!("`{}` is no duration", piece.text))
                        .with_help("write it like 30s or 1m30s; at least 1ms"),
                );
                0
            }
        }
    };
    let [interval, timeout, start_period, start_interval] =
        ["interval", "timeout", "start-period", "start-interval"].map(&mut time);
    let retries = match flags.text("retries").map(|piece| (piece.text.parse::<u32>(), piece.span)) {
        None => 0,
        Some((Ok(number), _)) if i32::try_from(number).is_ok() => number,
        Some((_, span)) => {
            errors.push(source.document.error(span, "--retries is a whole number, zero or more"));
            0
        }
    };
    Some(Healthcheck::Check { command, interval, timeout, start_period, start_interval, retries })
}

/// Reads a duration such as `1h2m3.5s` as nanoseconds.
fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_f64;
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let length = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..length] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        rest = &rest[length..];
        total += number * unit;
    }
    // The reference counts nanoseconds in a signed 64-bit number.
    (total < i64::MAX as f64).then_some(total as u64)
}
