//! From text to stages.

use super::{
    Argument, Containerfile, Heredoc, Instruction, Stage, heredoc,
    instruction::{self, Parsed},
    lines::{Line, Lines, Source},
};
use crate::{Diagnostic, Diagnostics, Document, Span, Spanned};

impl Containerfile {
    /// Reads a Containerfile, as BuildKit's frontend does, or says all that is wrong with it.
    pub fn parse(document: &Document) -> Result<Self, Diagnostics> {
        let (lines, errors) = Lines::new(document);
        let mut parser = Parser {
            document,
            errors,
            warnings: Vec::new(),
            global_args: Vec::new(),
            stages: Vec::new(),
        };
        parser.run(lines)
    }
}

struct Parser<'a> {
    document: &'a Document,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    global_args: Vec<Spanned<Argument>>,
    stages: Vec<Stage>,
}

impl Parser<'_> {
    fn run(&mut self, mut lines: Lines<'_>) -> Result<Containerfile, Diagnostics> {
        let mut orphans = false;
        while let Some(line) = lines.logical() {
            let source =
                Source { line: &line, document: self.document, escape: lines.directives.escape };
            let markers = instruction::heredocs(&source);
            let heredocs =
                markers.into_iter().map(|marker| self.heredoc(&line, &mut lines, marker));
            // One that never ends has taken the rest of the file.
            let Some(heredocs) = heredocs.collect() else { break };
            let span = line.span(0..line.text.trim_end().len());
            let parsed =
                instruction::parse(&source, heredocs, &mut self.errors, &mut self.warnings);
            match parsed {
                None => {}
                Some(Parsed::From(stage)) => self.stage(stage),
                Some(Parsed::Instruction(instruction)) => {
                    match self.stages.last_mut() {
                        Some(stage) => stage.instructions.push(Spanned::new(instruction, span)),
                        None => match instruction {
                            Instruction::Arg(arguments) => self.global_args.extend(
                                arguments.into_iter().map(|argument| Spanned::new(argument, span)),
                            ),
                            other => {
                                let message = format!("{} stands before any FROM", other.keyword());
                                // The first says it for all.
                                if !std::mem::replace(&mut orphans, true) {
                                    self.errors.push(self.document.error(span, message).with_help(
                                        "begin a stage with FROM; only ARG may precede it",
                                    ));
                                }
                            }
                        },
                    }
                }
            }
        }
        if self.stages.is_empty() && self.errors.is_empty() {
            self.errors.push(
                self.document
                    .error(Span::default(), "there is no FROM: nothing to build")
                    .with_help("begin a stage with FROM, such as `FROM scratch`"),
            );
        }
        self.warnings.append(&mut lines.warnings);
        if !self.errors.is_empty() {
            return Err(Diagnostics::new(std::mem::take(&mut self.errors)));
        }
        Ok(Containerfile {
            document: self.document.clone(),
            directives: lines.directives,
            global_args: std::mem::take(&mut self.global_args),
            stages: std::mem::take(&mut self.stages),
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    fn stage(&mut self, stage: Stage) {
        if let Some(name) = &stage.name {
            let same =
                |other: &&Stage| other.name.as_ref().is_some_and(|other| other.value == name.value);
            if let Some(first) = self.stages.iter().find(same) {
                let line = self.document.position(first.span.start).line;
                self.warnings.push(
                    self.document
                        .warning(name.span, format!("a second stage named `{}`", name.value))
                        .with_help(format!(
                            "the first is on line {line}; later lines mean this one"
                        )),
                );
            }
        }
        self.stages.push(stage);
    }

    /// Takes the lines of one heredoc off `lines`.
    fn heredoc(
        &mut self,
        line: &Line,
        lines: &mut Lines<'_>,
        marker: heredoc::Marker,
    ) -> Option<Heredoc> {
        let start = lines.offset();
        let mut raw = String::new();
        while let Some((physical, offset)) = lines.physical() {
            let text = physical.trim_end_matches(['\r', '\n']);
            let text = if marker.strip_tabs { text.trim_start_matches('\t') } else { text };
            if text == marker.name {
                return Some(Heredoc {
                    name: marker.name,
                    descriptor: marker.descriptor,
                    strip_tabs: marker.strip_tabs,
                    expand: marker.expand,
                    raw,
                    span: Span::new(start, offset),
                    document: self.document.clone(),
                });
            }
            raw.push_str(physical);
        }
        let at = line.text.find("<<").unwrap_or_default();
        let end = at + line.text[at..].trim_end().len();
        let name = &marker.name;
        let error =
            self.document.error(line.span(at..end), format!("the heredoc `{name}` never ends"));
        let indented = raw.lines().any(|line| line.trim() == *name);
        self.errors.push(error.with_help(if indented {
            format!("the line with `{name}` must hold nothing else, not even blanks; <<- allows tabs before it")
        } else {
            format!("end it by a line that holds nothing but `{name}`")
        }));
        None
    }
}
