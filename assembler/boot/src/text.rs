//! What a person would read in a terminal's stream of bytes.

/// Takes escape sequences and carriage returns out of a stream, and decodes it.
///
/// ECMA-48 control sequences (`ESC [`), control strings (`ESC ]`, `ESC P` and so on) and two- and
/// three-byte escapes are dropped, however the stream is cut into pieces. What is not UTF-8
/// becomes U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct Stripper {
    state: State,
    /// The beginning of a character whose end has not come yet.
    pending: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Text,
    Escape,
    /// Bytes before the final one of `ESC ( B` and the like.
    Intermediate,
    Control,
    Str,
    StrEscape,
}

impl Stripper {
    /// Adds what `bytes` show to `text`.
    pub(crate) fn push(&mut self, bytes: &[u8], text: &mut String) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Text, 0x1b) => State::Escape,
                (State::Text, b'\n' | b'\t' | b' '..) if byte != 0x7f => {
                    self.pending.push(byte);
                    State::Text
                }
                (State::Text, _) => State::Text,
                (State::Escape, b'[') => State::Control,
                (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::Str,
                (State::Escape, b' '..=b'/') => State::Intermediate,
                (State::Escape, 0x1b) => State::Escape,
                (State::Escape, _) => State::Text,
                (State::Intermediate, b' '..=b'/') => State::Intermediate,
                (State::Intermediate, _) => State::Text,
                (State::Control, b'@'..=b'~') => State::Text,
                (State::Control, 0x1b) => State::Escape,
                // A line end inside a sequence is the end of a broken sequence.
                (State::Control, b'\n') | (State::Str | State::StrEscape, b'\n') => {
                    self.pending.push(byte);
                    State::Text
                }
                (State::Control, _) => State::Control,
                (State::Str, 0x07) => State::Text,
                (State::Str | State::StrEscape, 0x1b) => State::StrEscape,
                (State::Str, _) => State::Str,
                (State::StrEscape, b'\\') => State::Text,
                (State::StrEscape, _) => State::Str,
            };
        }
        self.decode(text);
    }

    fn decode(&mut self, text: &mut String) {
        let mut rest = &self.pending[..];
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(bad) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[bad..];
                }
            }
        }
        self.pending = rest.to_vec();
    }
}

/// The last `lines` lines of a text, each with four spaces before it.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let mut last: Vec<&str> =
        text.lines().rev().filter(|line| !line.trim().is_empty()).take(lines).collect();
    last.reverse();
    if last.is_empty() {
        return "    (nothing)".to_owned();
    }
    last.iter().map(|line| format!("    {}", line.trim_end())).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_text_however_it_is_cut() {
        let bytes = "\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: \x1b[1mloading\x1b[0m\r\n\x1b]0;title\x07\
                     \x1b(Bé € \x1bPq\x1b\\ready\x08\x00\n"
            .as_bytes();
        for size in 1..=bytes.len() {
            let (mut stripper, mut text) = (Stripper::default(), String::new());
            bytes.chunks(size).for_each(|chunk| stripper.push(chunk, &mut text));
            assert_eq!(text, "BdsDxe: loading\né € ready\n", "pieces of {size}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_replaced() {
        let (mut stripper, mut text) = (Stripper::default(), String::new());
        stripper.push(b"a\xffb\xc3", &mut text);
        stripper.push(b"(", &mut text);
        assert_eq!(text, "a\u{fffd}b\u{fffd}(");
    }

    #[test]
    fn the_tail_has_the_last_lines_that_say_something() {
        assert_eq!(tail("a\n\nb \n c\n\n", 2), "    b\n     c");
        assert_eq!(tail("\n\n", 2), "    (nothing)");
    }
}
