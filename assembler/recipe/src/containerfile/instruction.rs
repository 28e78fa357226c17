//! One logical line as an instruction.

use std::ops::Range;

use super::{
    Add, Argument, Assignment, Command, Copy, CopySource, Heredoc, Instruction, Network, Onbuild,
    Run, Security, Stage, Word,
    flags::{Flags, Kind},
    health, heredoc,
    lines::{Piece, Source},
    mount,
};
use crate::{Diagnostic, Span, Spanned};

/// Every instruction there is.
pub(super) const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What a line is.
pub(super) enum Parsed {
    From(Stage),
    Instruction(Instruction),
}

/// The heredocs that a line announces: only RUN, COPY and ADD can, and not in their JSON forms.
pub(super) fn heredocs(source: &Source<'_>) -> Vec<heredoc::Marker> {
    let text = &source.line.text;
    if !text.contains("<<") {
        return Vec::new();
    }
    let mut at = 0;
    let mut nested = false;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let length = text[at..].find(char::is_whitespace).unwrap_or(text.len() - at);
        let keyword = &text[at..at + length];
        let (_, rest) = source.flags(at + length..text.len());
        if keyword.eq_ignore_ascii_case("ONBUILD") && !nested {
            nested = true;
            at = rest;
            continue;
        }
        let able = ["RUN", "COPY", "ADD"].iter().any(|able| keyword.eq_ignore_ascii_case(able));
        if !able || matches!(json(&text[rest..]), Json::Strings(_)) {
            return Vec::new();
        }
        return heredoc::markers(text);
    }
}

fn split_keyword(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

/// What COPY and ADD have in common.
struct Transfer {
    sources: Vec<CopySource>,
    destination: Word,
    chown: Option<Word>,
    chmod: Option<Word>,
    link: bool,
    exclude: Vec<Word>,
}

/// Reads one instruction; `None` if something is wrong, which is then among the errors.
pub(super) fn parse(
    source: &Source<'_>,
    heredocs: Vec<Heredoc>,
    errors: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) -> Option<Parsed> {
    let before = errors.len();
    let parsed = Reader { source, errors, warnings, keyword: "" }
        .instruction(0..source.line.text.len(), heredocs);
    if errors.len() > before { None } else { parsed }
}

struct Reader<'a> {
    source: &'a Source<'a>,
    errors: &'a mut Vec<Diagnostic>,
    warnings: &'a mut Vec<Diagnostic>,
    keyword: &'static str,
}

impl Reader<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>) -> Option<Parsed> {
        self.errors.push(self.source.document.error(span, message));
        None
    }

    fn error_help(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<Parsed> {
        self.errors.push(self.source.document.error(span, message).with_help(help));
        None
    }

    fn trim(&self, range: Range<usize>) -> Range<usize> {
        let text = &self.source.line.text[range.clone()];
        let start = range.start + (text.len() - text.trim_start().len());
        start..start + text.trim().len()
    }

    /// Reads the instruction that stands at `range` of the line.
    fn instruction(&mut self, range: Range<usize>, heredocs: Vec<Heredoc>) -> Option<Parsed> {
        let range = self.trim(range);
        let text = &self.source.line.text[range.clone()];
        let length = text.find(char::is_whitespace).unwrap_or(text.len());
        let keyword = range.start..range.start + length;
        let span = self.source.line.span(keyword.clone());
        let found = &text[..length];
        let known = KEYWORDS.into_iter().find(|known| known.eq_ignore_ascii_case(found));
        let Some(known) = known else {
            let error = self
                .source
                .document
                .error(span, format!("`{found}` is no instruction"))
                .with_help("to continue the line above, end it with \\")
                .with_nearest(found, KEYWORDS);
            self.errors.push(error);
            return None;
        };
        self.keyword = known;
        let (flags, rest) = self.source.flags(keyword.end..range.end);
        let rest = self.trim(rest..range.end);
        if rest.is_empty() {
            return self.error(span, format!("{known} says nothing"));
        }
        let rest = Operands { keyword: span, range: rest };
        match known {
            "FROM" => self.from(flags, &rest),
            "RUN" => self.run(flags, &rest, heredocs),
            "COPY" => self.copy(flags, &rest, heredocs),
            "ADD" => self.add(flags, &rest, heredocs),
            "HEALTHCHECK" => health::parse(self.source, flags, &rest, self.errors)
                .map(|check| Parsed::Instruction(Instruction::Healthcheck(check))),
            "ONBUILD" => {
                self.flags(flags, &[]);
                self.onbuild(&rest, heredocs)
            }
            _ => {
                self.flags(flags, &[]);
                self.plain(known, &rest).map(Parsed::Instruction)
            }
        }
    }

    fn flags(&mut self, pieces: Vec<Piece>, known: &[(&str, Kind)]) -> Flags {
        Flags::parse(self.source, self.keyword, pieces, known, self.errors)
    }

    /// The instructions without flags.
    fn plain(&mut self, keyword: &str, rest: &Operands) -> Option<Instruction> {
        let source = self.source;
        let whole = || source.word(source.piece(rest.range.clone()));
        let words =
            |pieces: Vec<Piece>| pieces.into_iter().map(|piece| source.word(piece)).collect();
        Some(match keyword {
            "ARG" => Instruction::Arg(self.arguments(rest)?),
            "ENV" => Instruction::Env(self.assignments(rest)?),
            "LABEL" => Instruction::Label(self.assignments(rest)?),
            "WORKDIR" => Instruction::Workdir(whole()),
            "USER" => Instruction::User(whole()),
            "STOPSIGNAL" => Instruction::Stopsignal(whole()),
            "MAINTAINER" => Instruction::Maintainer(whole().raw().to_owned()),
            "EXPOSE" => Instruction::Expose(words(source.fields(rest.range.clone()))),
            "VOLUME" => Instruction::Volume(words(self.list(rest)?)),
            "ENTRYPOINT" => Instruction::Entrypoint(self.command(rest)?),
            "CMD" => Instruction::Cmd(self.command(rest)?),
            _ => Instruction::Shell(self.shell(rest)?),
        })
    }

    fn from(&mut self, flags: Vec<Piece>, rest: &Operands) -> Option<Parsed> {
        let flags = self.flags(flags, &[("platform", Kind::Text)]);
        let words = self.source.fields(rest.range.clone());
        let (base, name) = match words.as_slice() {
            [base] => (base, None),
            [base, r#as, name] if r#as.text.eq_ignore_ascii_case("as") => (base, Some(name)),
            [_, odd, ..] => {
                return self.error_help(
                    odd.span,
                    "FROM takes one base and, after AS, a name",
                    "write FROM base or FROM base AS name",
                );
            }
            [] => return None,
        };
        let name = name.map(|piece| Spanned::new(piece.text.to_lowercase(), piece.span));
        if let Some(name) = &name {
            let mut bytes = name.value.bytes();
            let first = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
            let rest = bytes.all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
            });
            if !first || !rest {
                return self.error_help(
                    name.span,
                    format!("`{}` cannot name a stage", name.value),
                    "a name is a letter and then letters, digits, `-`, `_` or `.`",
                );
            }
        }
        Some(Parsed::From(Stage {
            base: self.source.word(base.clone()),
            platform: flags.text("platform").map(|piece| self.source.word(piece.clone())),
            name,
            span: rest.keyword.to(self.source.line.span(rest.range.clone())),
            instructions: Vec::new(),
        }))
    }

    fn run(
        &mut self,
        flags: Vec<Piece>,
        rest: &Operands,
        heredocs: Vec<Heredoc>,
    ) -> Option<Parsed> {
        let known = [("mount", Kind::List), ("network", Kind::Text), ("security", Kind::Text)];
        let flags = self.flags(flags, &known);
        let network = match flags.text("network").map(|piece| (piece.text.as_str(), piece.span)) {
            None | Some(("default", _)) => Network::Default,
            Some(("none", _)) => Network::None,
            Some(("host", _)) => Network::Host,
            Some((other, span)) => {
                self.mode(span, "network", other, ["default", "none", "host"]);
                Network::Default
            }
        };
        let security = match flags.text("security").map(|piece| (piece.text.as_str(), piece.span)) {
            None | Some(("sandbox", _)) => Security::Sandbox,
            Some(("insecure", _)) => Security::Insecure,
            Some((other, span)) => {
                self.mode(span, "security", other, ["sandbox", "insecure"]);
                Security::Sandbox
            }
        };
        let mounts = flags
            .list("mount")
            .filter_map(|piece| mount::parse(self.source, piece, self.errors))
            .collect();
        let command = self.command(rest)?;
        let run = Run { command, heredocs, network, security, mounts };
        Some(Parsed::Instruction(Instruction::Run(run)))
    }

    fn mode<const N: usize>(&mut self, span: Span, flag: &str, found: &str, known: [&str; N]) {
        self.errors.push(
            self.source
                .document
                .error(span, format!("`{found}` is no value of --{flag}"))
                .with_help(format!("it is {}", known.join(" or ")))
                .with_nearest(found, known),
        );
    }

    fn copy(
        &mut self,
        flags: Vec<Piece>,
        rest: &Operands,
        heredocs: Vec<Heredoc>,
    ) -> Option<Parsed> {
        let known = [
            ("from", Kind::Text),
            ("chown", Kind::Text),
            ("chmod", Kind::Text),
            ("link", Kind::Bool),
            ("parents", Kind::Bool),
            ("exclude", Kind::List),
        ];
        let flags = self.flags(flags, &known);
        let from = flags.text("from").and_then(|from| Flags::from(self.source, from, self.errors));
        let Transfer { sources, destination, chown, chmod, link, exclude } =
            self.transfer(&flags, rest, heredocs)?;
        let parents = flags.bool("parents").unwrap_or(false);
        Some(Parsed::Instruction(Instruction::Copy(Copy {
            sources,
            destination,
            from,
            chown,
            chmod,
            link,
            parents,
            exclude,
        })))
    }

    fn add(
        &mut self,
        flags: Vec<Piece>,
        rest: &Operands,
        heredocs: Vec<Heredoc>,
    ) -> Option<Parsed> {
        let known = [
            ("checksum", Kind::Text),
            ("chown", Kind::Text),
            ("chmod", Kind::Text),
            ("link", Kind::Bool),
            ("unpack", Kind::Bool),
            ("keep-git-dir", Kind::Bool),
            ("exclude", Kind::List),
        ];
        let flags = self.flags(flags, &known);
        let Transfer { sources, destination, chown, chmod, link, exclude } =
            self.transfer(&flags, rest, heredocs)?;
        Some(Parsed::Instruction(Instruction::Add(Add {
            sources,
            destination,
            checksum: flags.text("checksum").map(|piece| self.source.word(piece.clone())),
            chown,
            chmod,
            link,
            unpack: flags.bool("unpack"),
            keep_git_dir: flags.bool("keep-git-dir"),
            exclude,
        })))
    }

    /// What COPY and ADD have in common.
    fn transfer(
        &mut self,
        flags: &Flags,
        rest: &Operands,
        heredocs: Vec<Heredoc>,
    ) -> Option<Transfer> {
        let (sources, destination) = self.sources(rest, heredocs)?;
        let word = |piece: &Piece| self.source.word(piece.clone());
        Some(Transfer {
            sources,
            destination: word(&destination),
            chown: flags.text("chown").map(word),
            chmod: flags.text("chmod").map(word),
            link: flags.bool("link").unwrap_or(false),
            exclude: flags.list("exclude").map(word).collect(),
        })
    }

    /// The sources and the destination of COPY or ADD.
    fn sources(
        &mut self,
        rest: &Operands,
        heredocs: Vec<Heredoc>,
    ) -> Option<(Vec<CopySource>, Piece)> {
        let mut pieces = self.list(rest)?;
        let destination = pieces.pop();
        let (Some(destination), false) = (destination, pieces.is_empty()) else {
            let span = self.source.line.span(rest.range.clone());
            let keyword = self.keyword;
            self.error_help(
                span,
                format!("{keyword} needs a source and a destination"),
                format!("write {keyword} source destination"),
            );
            return None;
        };
        if heredoc::is_bare(&destination.text) {
            self.error_help(
                destination.span,
                "a heredoc cannot be the destination",
                format!("write {} {} /path/of/the/file", self.keyword, destination.text),
            );
            return None;
        }
        let mut left = heredocs;
        let mut sources = Vec::new();
        for piece in pieces {
            let Some(marker) = heredoc::marker(&piece.text) else {
                sources.push(CopySource::Path(self.source.word(piece)));
                continue;
            };
            match left.iter().position(|heredoc| heredoc.name == marker.name) {
                Some(index) => sources.push(CopySource::Heredoc(left.remove(index))),
                None => {
                    self.error(
                        piece.span,
                        format!("no lines follow for the heredoc `{}`", marker.name),
                    );
                }
            }
        }
        for heredoc in left {
            let span = self.source.line.span(rest.range.clone());
            self.error_help(
                span,
                format!("the heredoc `{}` is no source", heredoc.name),
                format!("write <<{} as one word", heredoc.name),
            );
        }
        Some((sources, destination))
    }

    fn onbuild(&mut self, rest: &Operands, heredocs: Vec<Heredoc>) -> Option<Parsed> {
        let mut text = self.source.line.text[rest.range.clone()].to_owned();
        for heredoc in &heredocs {
            text.push('\n');
            text.push_str(&heredoc.raw);
            text.push_str(&heredoc.name);
        }
        let span = self.source.line.span(rest.range.clone());
        let (keyword, _) = split_keyword(&text);
        if let Some(keyword) = ["ONBUILD", "FROM", "MAINTAINER"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(keyword))
        {
            return self.error(span, format!("{keyword} cannot follow ONBUILD"));
        }
        match self.instruction(rest.range.clone(), heredocs)? {
            Parsed::From(_) => None,
            Parsed::Instruction(instruction) => {
                let instruction = Box::new(Spanned::new(instruction, span));
                Some(Parsed::Instruction(Instruction::Onbuild(Onbuild { text, instruction })))
            }
        }
    }

    fn arguments(&mut self, rest: &Operands) -> Option<Vec<Argument>> {
        let mut arguments = Vec::new();
        for piece in self.source.words(rest.range.clone()) {
            let equals = piece.text.find('=');
            let name = self.source.part(&piece, 0..equals.unwrap_or(piece.text.len()));
            if name.text.is_empty() {
                self.error_help(piece.span, "ARG without a name", "write ARG name=value");
                continue;
            }
            let default =
                equals.map(|equals| self.source.part(&piece, equals + 1..piece.text.len()));
            arguments.push(Argument {
                name: self.source.word(name),
                default: default.map(|default| self.source.word(default)),
            });
        }
        Some(arguments)
    }

    fn assignments(&mut self, rest: &Operands) -> Option<Vec<Assignment>> {
        let keyword = self.keyword;
        let words = self.source.words(rest.range.clone());
        let old_form = words.first().is_some_and(|word| !word.text.contains('='));
        if old_form {
            let text = &self.source.line.text[rest.range.clone()];
            let Some(blank) = text.find(char::is_whitespace) else {
                let span = self.source.line.span(rest.range.clone());
                self.error_help(
                    span,
                    format!("{keyword} needs a name and a value"),
                    format!("write {keyword} {text}=value"),
                );
                return None;
            };
            let key = self.source.piece(rest.range.start..rest.range.start + blank);
            let value = self.trim(rest.range.start + blank..rest.range.end);
            let value = self.source.piece(value);
            return Some(vec![Assignment {
                key: self.source.word(key),
                value: self.source.word(value),
            }]);
        }
        let mut assignments = Vec::new();
        for piece in words {
            let equals = piece.text.find('=').filter(|equals| *equals > 0);
            let Some(equals) = equals else {
                self.error_help(
                    piece.span,
                    format!("`{}` is no name=value", piece.text),
                    "put quotes around a value with spaces",
                );
                continue;
            };
            let key = self.source.part(&piece, 0..equals);
            let value = self.source.part(&piece, equals + 1..piece.text.len());
            assignments
                .push(Assignment { key: self.source.word(key), value: self.source.word(value) });
        }
        Some(assignments)
    }

    /// A JSON list of strings, or else text for a shell.
    fn command(&mut self, rest: &Operands) -> Option<Command> {
        let text = &self.source.line.text[rest.range.clone()];
        match json(text) {
            Json::Strings(strings) => Some(Command::Exec(strings)),
            Json::Others => self.not_strings(rest),
            Json::No => {
                if text.starts_with('[') && self.keyword != "RUN" {
                    let span = self.source.line.span(rest.range.clone());
                    let message = "this is no JSON list, so a shell gets it as it is";
                    let help = r#"write ["program", "argument"] with double quotes"#;
                    self.warnings.push(self.source.document.warning(span, message).with_help(help));
                }
                Some(Command::Shell(text.to_owned()))
            }
        }
    }

    fn shell(&mut self, rest: &Operands) -> Option<Vec<String>> {
        match json(&self.source.line.text[rest.range.clone()]) {
            Json::Strings(strings) if !strings.is_empty() => Some(strings),
            Json::Others => self.not_strings(rest),
            _ => {
                let span = self.source.line.span(rest.range.clone());
                let help = r#"write it like SHELL ["/bin/sh", "-c"]"#;
                self.error_help(span, "SHELL takes a JSON list of strings", help);
                None
            }
        }
    }

    /// The strings of a JSON list, or else the words between white space.
    fn list(&mut self, rest: &Operands) -> Option<Vec<Piece>> {
        let text = &self.source.line.text[rest.range.clone()];
        match json(text) {
            Json::Others => self.not_strings(rest),
            Json::No => Some(self.source.fields(rest.range.clone())),
            Json::Strings(strings) => {
                let places = json_places(text);
                let piece = |(index, text): (usize, String)| {
                    let place = places.get(index).cloned().unwrap_or(0..0);
                    let range = rest.range.start + place.start..rest.range.start + place.end;
                    Piece { text, span: self.source.line.span(range) }
                };
                Some(strings.into_iter().enumerate().map(piece).collect())
            }
        }
    }

    fn not_strings<T>(&mut self, rest: &Operands) -> Option<T> {
        let span = self.source.line.span(rest.range.clone());
        self.error_help(span, "a JSON list here holds strings only", "put each member in quotes");
        None
    }
}

/// What follows a keyword and its flags.
pub(super) struct Operands {
    /// Where the keyword stands.
    pub(super) keyword: Span,
    /// The operands, trimmed, in the line's text. Never empty.
    pub(super) range: Range<usize>,
}

/// What a text is as JSON.
pub(super) enum Json {
    /// A list of strings.
    Strings(Vec<String>),
    /// A list with something else in it.
    Others,
    /// No list.
    No,
}

/// Reads a JSON list.
pub(super) fn json(text: &str) -> Json {
    if !text.trim_start().starts_with('[') {
        return Json::No;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Json::No };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(string) => Some(string),
        _ => None,
    });
    strings.collect::<Option<Vec<_>>>().map_or(Json::Others, Json::Strings)
}

/// Where the strings of a JSON list of strings stand, without their quotes.
fn json_places(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut start = None;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match (start, byte) {
            (None, b'"') => start = Some(at + 1),
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(from), b'"') => {
                places.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    places
}
