//! What a Containerfile says, as values.

use std::collections::BTreeSet;

use super::Word;
use crate::{Diagnostic, Document, Span, Spanned};

/// A Containerfile: its global arguments and its stages, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Containerfile {
    /// The text it was read from.
    pub document: Document,
    /// The parser directives at its top.
    pub directives: Directives,
    /// ARG instructions before the first FROM, one entry for each name, in order.
    pub global_args: Vec<Spanned<Argument>>,
    /// The stages, in order. Never empty.
    pub stages: Vec<Stage>,
    /// What builds but probably not as meant, such as blank lines inside a continued line.
    pub warnings: Vec<Diagnostic>,
}

/// Parser directives (`# name=value` before anything else).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: the frontend that BuildKit would fetch. It is recorded and not obeyed.
    pub syntax: Option<Spanned<String>>,
    /// `# escape=`: what escapes a character and continues a line, `\` or `` ` ``.
    pub escape: char,
    /// `# check=`: which of BuildKit's build checks to skip. It is recorded and not obeyed.
    pub check: Option<Spanned<String>>,
}

impl Default for Directives {
    fn default() -> Self {
        Self { syntax: None, escape: '\\', check: None }
    }
}

/// One stage: a FROM line and the instructions up to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What it starts from: another stage, an image, or `scratch`. Expands in the global scope.
    pub base: Word,
    /// `--platform`. Expands in the global scope.
    pub platform: Option<Word>,
    /// The name after AS, in lower case: names of stages are the same in any case.
    pub name: Option<Spanned<String>>,
    /// Where the FROM line stands.
    pub span: Span,
    /// The instructions, in order.
    pub instructions: Vec<Spanned<Instruction>>,
}

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// ARG, one or several.
    Arg(Vec<Argument>),
    /// ENV. All values of one instruction expand in the environment from before it.
    Env(Vec<Assignment>),
    /// LABEL. All values of one instruction expand in the environment from before it.
    Label(Vec<Assignment>),
    /// WORKDIR; a relative path is relative to the directory before.
    Workdir(Word),
    /// USER: `name`, `uid`, `name:group` or `uid:gid`.
    User(Word),
    /// SHELL: what shell forms run by from here on. Not expanded.
    Shell(Vec<String>),
    /// RUN.
    Run(Run),
    /// COPY.
    Copy(Copy),
    /// ADD.
    Add(Add),
    /// ENTRYPOINT. Not expanded.
    Entrypoint(Command),
    /// CMD. Not expanded.
    Cmd(Command),
    /// EXPOSE: `port`, `port/protocol` or `first-last`. Each may expand to several words.
    Expose(Vec<Word>),
    /// VOLUME.
    Volume(Vec<Word>),
    /// STOPSIGNAL.
    Stopsignal(Word),
    /// HEALTHCHECK.
    Healthcheck(Healthcheck),
    /// ONBUILD.
    Onbuild(Onbuild),
    /// MAINTAINER.
    Maintainer(String),
}

impl Instruction {
    /// The keyword it was written with, in upper case.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Arg(_) => "ARG",
            Self::Env(_) => "ENV",
            Self::Label(_) => "LABEL",
            Self::Workdir(_) => "WORKDIR",
            Self::User(_) => "USER",
            Self::Shell(_) => "SHELL",
            Self::Run(_) => "RUN",
            Self::Copy(_) => "COPY",
            Self::Add(_) => "ADD",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Cmd(_) => "CMD",
            Self::Expose(_) => "EXPOSE",
            Self::Volume(_) => "VOLUME",
            Self::Stopsignal(_) => "STOPSIGNAL",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Onbuild(_) => "ONBUILD",
            Self::Maintainer(_) => "MAINTAINER",
        }
    }
}

/// One name of an ARG instruction.
///
/// Several names in one instruction take effect one after the other: a default may use a name
/// from before it on the same line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The name.
    pub name: Word,
    /// The value where none is given from outside.
    pub default: Option<Word>,
}

/// One `key=value` of an ENV or LABEL instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The name.
    pub key: Word,
    /// The value.
    pub value: Word,
}

/// A command line in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Text for the stage's shell.
    Shell(String),
    /// A JSON list: a program and its arguments, run without a shell.
    Exec(Vec<String>),
}

/// RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The command as written, without the heredocs' bodies. See [`Run::invocation`].
    pub command: Command,
    /// The heredocs that follow it, in order. None in the JSON form.
    pub heredocs: Vec<Heredoc>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// `--mount`, in order.
    pub mounts: Vec<Mount>,
}

/// What a RUN instruction executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// A program and its arguments, without a shell.
    Exec(Vec<String>),
    /// The stage's SHELL with this text as its last argument.
    Shell(String),
    /// A heredoc with a shebang: a read-only directory `/dev/pipes` that holds the file `name`,
    /// mode 0755, with `content`; then the stage's SHELL with `/dev/pipes/<name>` as its last
    /// argument.
    Script {
        /// The file's name, which is the heredoc's delimiter.
        name: String,
        /// The file's content.
        content: String,
    },
}

/// `RUN --network=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Not said, or `default`.
    #[default]
    Default,
    /// `none`: only a loopback.
    None,
    /// `host`: the host's own.
    Host,
}

/// `RUN --security=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// Not said, or `sandbox`.
    #[default]
    Sandbox,
    /// `insecure`: with all capabilities.
    Insecure,
}

/// `RUN --mount=`: its options as written.
///
/// Values may hold variables; [`Mount::resolve`] expands and types them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Each `key=value` or bare key, in order; keys in lower case.
    pub options: Vec<MountOption>,
    /// Where the flag stands.
    pub span: Span,
    pub(super) document: Document,
}

/// One option of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOption {
    /// The key, in lower case.
    pub key: Spanned<String>,
    /// The value, unless the key stands alone.
    pub value: Option<Word>,
}

/// A mount with all values known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// What is mounted.
    pub kind: MountKind,
    /// A stage, image or named context; the build context if none.
    pub from: Option<String>,
    /// The path in `from`, the secret's file, empty if not said.
    pub source: String,
    /// Where it is mounted, empty if not said. Relative to the working directory.
    pub target: String,
    /// Whether it cannot be written to.
    pub read_only: bool,
    /// The name of the cache, secret or agent.
    pub id: Option<String>,
    /// How concurrent steps share a cache.
    pub sharing: Sharing,
    /// Whether a missing secret or agent is an error.
    pub required: bool,
    /// Largest size of a tmpfs, in bytes.
    pub size: Option<u64>,
    /// The environment variable that holds a secret: `Some("")` takes its id as the name.
    pub env: Option<String>,
    /// Permission bits of a cache, secret or agent.
    pub mode: Option<u32>,
    /// Owner of a cache, secret or agent.
    pub uid: Option<u32>,
    /// Group of a cache, secret or agent.
    pub gid: Option<u32>,
}

/// What a mount mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MountKind {
    /// Files of a stage, an image or the build context.
    Bind,
    /// A directory that outlives the step.
    Cache,
    /// Memory.
    Tmpfs,
    /// A file that does not enter the image.
    Secret,
    /// A socket of an SSH agent.
    Ssh,
}

/// How concurrent steps use one cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// At the same time.
    #[default]
    Shared,
    /// Each its own.
    Private,
    /// One after the other.
    Locked,
}

/// COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What is copied, in order. Never empty. Paths may hold wildcards once expanded.
    pub sources: Vec<CopySource>,
    /// Where to. Relative to the working directory.
    pub destination: Word,
    /// `--from`: a stage's name or number, an image, or a named context. Never expanded.
    pub from: Option<Spanned<String>>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
}

/// ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// What is added, in order: paths, addresses, heredocs. Never empty.
    pub sources: Vec<CopySource>,
    /// Where to. Relative to the working directory.
    pub destination: Word,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--unpack`: whether archives are unpacked; if not said, local ones are, remote ones not.
    pub unpack: Option<bool>,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
}

/// One source of COPY or ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// A path or an address.
    Path(Word),
    /// A file written out in place; its name is the heredoc's delimiter.
    Heredoc(Heredoc),
}

/// A heredoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter, without quotes.
    pub name: String,
    /// The number before `<<`, which a shell takes as a file descriptor.
    pub descriptor: Option<u32>,
    /// `<<-`: whether leading tabs are dropped from each line.
    pub strip_tabs: bool,
    /// Whether variables expand in COPY and ADD: no part of the delimiter was quoted.
    pub expand: bool,
    /// The lines between, as written, each with its line break.
    pub raw: String,
    /// Where the lines between stand.
    pub span: Span,
    pub(super) document: Document,
}

/// HEALTHCHECK. Durations are in nanoseconds; zero means the runtime's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// `NONE`: forget the base's.
    None,
    /// `CMD`.
    Check {
        /// What is run.
        command: Command,
        /// `--interval`.
        interval: u64,
        /// `--timeout`.
        timeout: u64,
        /// `--start-period`.
        start_period: u64,
        /// `--start-interval`.
        start_interval: u64,
        /// `--retries`; zero means the runtime's default.
        retries: u32,
    },
}

/// ONBUILD: an instruction for those who start from this stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// The instruction as written, with its heredocs: what the image's configuration records.
    pub text: String,
    /// The same, parsed.
    pub instruction: Box<Spanned<Instruction>>,
}

impl Run {
    /// What is executed, as BuildKit does it.
    ///
    /// A bare `RUN <<EOF` gives the heredoc to the shell as its script, or, if it begins with
    /// `#!`, runs it as a file. With any word beside the heredoc, the command, the bodies and
    /// the delimiters are put back together for the shell to read.
    pub fn invocation(&self) -> Invocation {
        let text = match &self.command {
            Command::Exec(arguments) => return Invocation::Exec(arguments.clone()),
            Command::Shell(text) => text,
        };
        let Some(first) = self.heredocs.first() else {
            return Invocation::Shell(text.clone());
        };
        if super::heredoc::is_bare(text) {
            let content = first.content();
            if content.starts_with("#!") {
                return Invocation::Script { name: first.name.clone(), content };
            }
            return Invocation::Shell(content);
        }
        let mut whole = text.clone();
        for heredoc in &self.heredocs {
            whole.push('\n');
            whole.push_str(&heredoc.raw);
            whole.push_str(&heredoc.name);
        }
        Invocation::Shell(whole)
    }
}

impl Stage {
    /// The names of variables that the FROM line mentions.
    pub fn variables(&self) -> BTreeSet<String> {
        let mut names = self.base.variables();
        if let Some(platform) = &self.platform {
            names.extend(platform.variables());
        }
        names
    }
}
