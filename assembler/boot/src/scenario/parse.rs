//! Reads scenarios.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use toml::Spanned;

use super::{
    Action, Check, CheckKind, Key, Output, Scenario, SecureBoot, Ssh, Starts, Step, Stick,
    StickFile, Wanted, fill,
};
use crate::{Arch, Attach, Model};

/// The memory of a machine in MiB, where a scenario does not say it. The kernels here wipe all of
/// it at their start: under emulation, wiping a gigabyte takes longer than all else that they do.
pub(super) const MEMORY: u32 = 512;

/// What a failed boot shows: nothing after it is worth waiting for.
pub(super) const REJECT: [&str; 2] = ["Kernel panic - not syncing", "This system cannot start: "];

/// Why a scenario cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line's text.
    pub text: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, text } = self;
        writeln!(f, "{}:{line}:{column}: {message}", file.display())?;
        let number = line.to_string();
        writeln!(f, "  {number} | {text}")?;
        write!(f, "  {:w$} | {:>column$}", "", "^", w = number.len())
    }
}

impl std::error::Error for ScenarioError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(rename = "box")]
    box_name: String,
    output: Output,
    #[serde(default = "architectures")]
    architectures: Vec<Arch>,
    #[serde(default)]
    machine: Option<Spanned<Model>>,
    attach: Spanned<Attach>,
    #[serde(default)]
    firmware: Option<Spanned<Starts>>,
    #[serde(default, rename = "secure-boot")]
    secure_boot: Option<Spanned<SecureBoot>>,
    #[serde(default = "memory")]
    memory: u32,
    #[serde(default = "one")]
    cpus: u32,
    #[serde(default)]
    display: bool,
    #[serde(default)]
    network: Vec<String>,
    #[serde(default)]
    reboots: bool,
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    #[serde(default = "timeout")]
    timeout: u64,
    #[serde(default)]
    reject: Vec<String>,
    #[serde(default, rename = "key")]
    keys: Vec<KeyTable>,
    #[serde(default, rename = "stick")]
    sticks: Vec<StickTable>,
    #[serde(default, rename = "step")]
    steps: Vec<Spanned<StepTable>>,
    #[serde(default, rename = "check")]
    checks: Vec<Spanned<CheckTable>>,
}

fn architectures() -> Vec<Arch> {
    vec![Arch::X86_64]
}

fn memory() -> u32 {
    MEMORY
}

fn one() -> u32 {
    1
}

fn timeout() -> u64 {
    60
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    name: Spanned<String>,
    user: String,
    passphrase: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StickTable {
    name: Spanned<String>,
    label: Spanned<String>,
    #[serde(default = "megabytes")]
    megabytes: Spanned<u32>,
    #[serde(default)]
    files: BTreeMap<Spanned<String>, Spanned<FileTable>>,
}

fn megabytes() -> Spanned<u32> {
    Spanned::new(0..0, 64)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileTable {
    text: Option<String>,
    secret_key: Option<String>,
    public_key: Option<String>,
    ssh_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct StepTable {
    note: Option<String>,
    timeout: Option<u64>,
    measure: Option<String>,
    expect: Option<String>,
    #[serde(rename = "match")]
    regex: Option<Spanned<String>>,
    absent: Option<Spanned<String>>,
    send: Option<String>,
    plug: Option<String>,
    unplug: Option<String>,
    press: Option<Vec<String>>,
    screenshot: Option<String>,
    ssh: Option<Ssh>,
    #[serde(default)]
    power_button: bool,
    #[serde(default)]
    poweroff: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckTable {
    verify: Option<VerifyTable>,
    holds: Option<HoldsTable>,
    lacks: Option<LacksTable>,
    clean: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyTable {
    stick: String,
    file: String,
    signature: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldsTable {
    stick: String,
    file: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LacksTable {
    stick: String,
    file: String,
}

/// What goes wrong, and where.
type Problem = (Range<usize>, String);

impl Scenario {
    /// Reads a scenario from the text of `file`.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ScenarioError> {
        let error = |(span, message): Problem| {
            let start = (0..=span.start.min(text.len())).rev().find(|i| text.is_char_boundary(*i));
            let before = &text[..start.unwrap_or(0)];
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            let line_text = text[line_start..].lines().next().unwrap_or_default();
            ScenarioError {
                file: file.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                message,
                text: line_text.to_owned(),
            }
        };
        let table: File = toml::from_str(text)
            .map_err(|e| error((e.span().unwrap_or(0..0), e.message().to_owned())))?;
        let line = |span: &Range<usize>| error((span.clone(), String::new())).line;
        build(file, table, &line).map_err(error)
    }
}

/// The names that a scenario gives to what it makes.
struct Names {
    keys: Vec<String>,
    sticks: Vec<String>,
    /// `STICK/FILE` of every file that the test makes.
    files: Vec<String>,
}

impl Names {
    fn key(&self, name: &str) -> Result<(), String> {
        known(&self.keys, name, "key")
    }

    fn stick(&self, name: &str) -> Result<(), String> {
        known(&self.sticks, name, "stick")
    }

    /// Checks every `${…}` of a text as far as it can be checked before the run.
    fn template(&self, text: &str) -> Result<(), String> {
        let problem = RefCell::new(None);
        let value = |name: &str| {
            let result = match name.split_once(':') {
                Some(("fingerprint" | "keyid" | "spaced", key)) => self.key(key),
                Some(("sha256", file)) => known(&self.files, file, "file"),
                Some((kind, _)) => Err(format!("there is no ${{{kind}:…}}")),
                None => Ok(()),
            };
            result.map_err(|message| problem.replace(Some(message))).map(|()| String::new()).ok()
        };
        fill(text, &value).map(drop).map_err(|error| problem.take().unwrap_or(error))
    }
}

fn known(names: &[String], name: &str, what: &str) -> Result<(), String> {
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(format!("there is no {what} {name:?} in this scenario (it has {names})"))
}

fn build(
    file: &Path,
    table: File,
    line: &dyn Fn(&Range<usize>) -> usize,
) -> Result<Scenario, Problem> {
    let attach = *table.attach.get_ref();
    if table.output == Output::Uki && attach == Attach::Cdrom {
        let what = "a UKI is put on a disk or a stick: usb, virtio or nvme".to_owned();
        return Err((table.attach.span(), what));
    }
    let model = table.machine.as_ref().map_or(Model::Usual, |model| *model.get_ref());
    if let (Model::Microvm, Some(machine)) = (model, &table.machine) {
        if table.output != Output::Initramfs {
            let what = "a microvm starts an initramfs".to_owned();
            return Err((machine.span(), what));
        }
    }
    let starts = table.firmware.as_ref().map_or(Starts::Uefi, |starts| *starts.get_ref());
    if let (Starts::Bios, Some(firmware)) = (starts, &table.firmware) {
        if table.architectures != [Arch::X86_64] {
            let what = "a BIOS starts x86_64 alone: architectures = [\"x86_64\"]".to_owned();
            return Err((firmware.span(), what));
        }
        if !matches!(table.output, Output::Iso | Output::Disk) {
            let what = "a BIOS starts iso and disk".to_owned();
            return Err((firmware.span(), what));
        }
    }
    if let Some(secure) = &table.secure_boot {
        if table.architectures != [Arch::X86_64] || table.output != Output::Uki {
            let what = "Secure Boot is tried on x86_64, with the output uki".to_owned();
            return Err((secure.span(), what));
        }
    }
    let mut names = Names { keys: Vec::new(), sticks: Vec::new(), files: Vec::new() };
    let mut keys = Vec::new();
    for key in table.keys {
        unique(&mut names.keys, &key.name)?;
        keys.push(Key { name: key.name.into_inner(), user: key.user, passphrase: key.passphrase });
    }
    let mut sticks = Vec::new();
    for stick in table.sticks {
        unique(&mut names.sticks, &stick.name)?;
        sticks.push(build_stick(stick, &mut names)?);
    }

    let default = Duration::from_secs(table.timeout);
    let mut steps = Vec::new();
    let mut plugged = Vec::new();
    let mut off = None;
    for step in table.steps {
        let span = step.span();
        if let Some(off) = off {
            return Err((span, format!("the machine is off since line {off}")));
        }
        let number = line(&span);
        let step = build_step(step.into_inner(), number, default, &names)
            .map_err(|(at, message)| (at.unwrap_or(span.clone()), message))?;
        match &step.action {
            Action::Plug(stick) if plugged.contains(stick) => {
                return Err((span, format!("stick {stick:?} is plugged in already")));
            }
            Action::Plug(stick) => plugged.push(stick.clone()),
            Action::Unplug(stick) if !plugged.contains(stick) => {
                return Err((span, format!("stick {stick:?} is not plugged in")));
            }
            Action::Unplug(stick) => plugged.retain(|other| other != stick),
            Action::Screenshot(_) | Action::Press(_) if !table.display => {
                return Err((span, "this needs `display = true`".to_owned()));
            }
            Action::Ssh(_) if table.network.is_empty() => {
                let what = "this needs a device: network = [\"virtio-net-pci\"]".to_owned();
                return Err((span, what));
            }
            Action::PowerButton if model == Model::Microvm => {
                return Err((span, "a microvm has no power button".to_owned()));
            }
            Action::PowerButton if table.architectures.contains(&Arch::Riscv64) => {
                let what = "QEMU's machine for riscv64 has no power button: leave riscv64 out of \
                            architectures";
                return Err((span, what.to_owned()));
            }
            Action::PowerOff => off = Some(number),
            _ => {}
        }
        steps.push(step);
    }
    if steps.is_empty() {
        return Err((0..0, "a scenario needs a [[step]]".to_owned()));
    }

    let mut checks = Vec::new();
    for check in table.checks {
        let span = check.span();
        let kind = build_check(check.into_inner(), &names).map_err(|m| (span.clone(), m))?;
        checks.push(Check { line: line(&span), kind });
    }
    let mut allowed = Vec::new();
    for text in table.allow {
        if !REJECT.contains(&text.get_ref().as_str()) {
            let message = format!("nothing rejects that; what is, is {}", REJECT.join(" and "));
            return Err((text.span(), message));
        }
        allowed.push(text.into_inner());
    }
    let always = REJECT.iter().map(|text| (*text).to_owned());
    let reject = always.filter(|text| !allowed.contains(text)).chain(table.reject).collect();
    Ok(Scenario {
        name: table.name,
        file: file.to_owned(),
        box_name: table.box_name,
        output: table.output,
        architectures: table.architectures,
        model,
        attach,
        starts,
        secure_boot: table.secure_boot.map(Spanned::into_inner),
        memory: table.memory,
        cpus: table.cpus,
        display: table.display,
        network: table.network,
        reboots: table.reboots,
        timeout: default,
        reject,
        keys,
        sticks,
        steps,
        checks,
    })
}

/// Takes a name that becomes part of file names and of QEMU's ids.
fn unique(names: &mut Vec<String>, name: &Spanned<String>) -> Result<(), Problem> {
    let text = name.get_ref();
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || !text.bytes().all(good) {
        let message = format!("{text:?} is no name: lower-case letters, digits and - are used");
        return Err((name.span(), message));
    }
    if names.contains(text) {
        return Err((name.span(), format!("{text:?} is taken already")));
    }
    names.push(text.clone());
    Ok(())
}

fn build_stick(stick: StickTable, names: &mut Names) -> Result<Stick, Problem> {
    let label = stick.label.get_ref();
    let good = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if label.is_empty() || label.len() > 11 || !label.bytes().all(good) {
        let message = "a FAT label has 1 to 11 capital letters, digits, _ and -".to_owned();
        return Err((stick.label.span(), message));
    }
    let megabytes = *stick.megabytes.get_ref();
    if !(1..=4096).contains(&megabytes) {
        return Err((stick.megabytes.span(), "a stick has 1 to 4096 MiB".to_owned()));
    }
    let mut files = BTreeMap::new();
    for (path, file) in stick.files {
        let name = path.get_ref();
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err((path.span(), format!("{name:?} is no path on a stick")));
        }
        let span = file.span();
        let key = |name: String| names.key(&name).map(|()| name).map_err(|m| (span.clone(), m));
        let kind = match file.into_inner() {
            FileTable { text: Some(text), secret_key: None, public_key: None, ssh_key: None } => {
                StickFile::Text(text)
            }
            FileTable { text: None, secret_key: Some(name), public_key: None, ssh_key: None } => {
                StickFile::SecretKey(key(name)?)
            }
            FileTable { text: None, secret_key: None, public_key: Some(name), ssh_key: None } => {
                StickFile::PublicKey(key(name)?)
            }
            FileTable { text: None, secret_key: None, public_key: None, ssh_key: Some(name) } => {
                ssh_key_name(&name).map_err(|message| (span.clone(), message))?;
                StickFile::SshKey(name)
            }
            _ => {
                let message =
                    "a file has one of text, secret-key, public-key and ssh-key".to_owned();
                return Err((span, message));
            }
        };
        names.files.push(format!("{}/{name}", stick.name.get_ref()));
        files.insert(path.into_inner(), kind);
    }
    Ok(Stick { name: stick.name.into_inner(), label: stick.label.into_inner(), megabytes, files })
}

/// Checks a name that becomes part of a file's.
fn ssh_key_name(name: &str) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || !name.bytes().all(good) {
        return Err(format!("{name:?} is no name: lower-case letters, digits and - are used"));
    }
    Ok(())
}

fn build_step(
    step: StepTable,
    line: usize,
    default: Duration,
    names: &Names,
) -> Result<Step, (Option<Range<usize>>, String)> {
    let here = |message: String| (None, message);
    if step.expect.is_some() && step.regex.is_some() {
        return Err(here("a step has expect or match, not both".to_owned()));
    }
    for regex in step.regex.iter().chain(&step.absent) {
        let span = regex.span();
        // Values are escaped, so any word will do in their place.
        Wanted::Regex(regex.get_ref().clone())
            .fill(&|_| Some("x".to_owned()))
            .map_err(|message| (Some(span), message))?;
    }
    let absent = step.absent.map(|regex| Wanted::Regex(regex.into_inner()));
    let expect = step
        .expect
        .map(Wanted::Text)
        .or_else(|| step.regex.map(|regex| Wanted::Regex(regex.into_inner())));
    if absent.is_some() && expect.is_none() {
        return Err(here("absent needs expect or match, up to which it looks".to_owned()));
    }
    for text in expect.iter().chain(&absent).map(Wanted::template).chain(step.send.as_deref()) {
        names.template(text).map_err(here)?;
    }

    let mut actions = Vec::new();
    if expect.is_some() || step.send.is_some() {
        let name = match (&expect, &step.send) {
            (Some(Wanted::Text(text)), _) => format!("expect {text:?}"),
            (Some(Wanted::Regex(text)), _) => format!("match /{text}/"),
            (None, send) => format!("send {:?}", send.as_deref().unwrap_or_default()),
        };
        actions.push((name, Action::Console { expect, absent, send: step.send }));
    }
    if let Some(stick) = step.plug {
        names.stick(&stick).map_err(here)?;
        actions.push((format!("plug {stick}"), Action::Plug(stick)));
    }
    if let Some(stick) = step.unplug {
        names.stick(&stick).map_err(here)?;
        actions.push((format!("unplug {stick}"), Action::Unplug(stick)));
    }
    if let Some(keys) = step.press {
        actions.push((format!("press {}", keys.join(" ")), Action::Press(keys)));
    }
    if let Some(name) = step.screenshot {
        if name.contains('/') || !name.ends_with(".png") || name.len() < 5 {
            return Err(here(format!(
                "a screenshot is a file name that ends in .png, not {name:?}"
            )));
        }
        actions.push((format!("screenshot {name}"), Action::Screenshot(name)));
    }
    if let Some(ssh) = step.ssh {
        ssh_key_name(&ssh.key).map_err(here)?;
        for text in [Some(&ssh.command), ssh.expect.as_ref()].into_iter().flatten() {
            names.template(text).map_err(here)?;
        }
        actions.push((format!("ssh {:?}", ssh.command), Action::Ssh(ssh)));
    }
    if step.power_button {
        actions.push(("power button".to_owned(), Action::PowerButton));
    }
    if step.poweroff {
        actions.push(("power off".to_owned(), Action::PowerOff));
    }
    let count = actions.len();
    let Some((name, action)) = actions.pop().filter(|_| count == 1) else {
        return Err(here(format!(
            "a step does one thing (expect or match with send, plug, unplug, press, screenshot, \
             power-button, poweroff), and this one {count}"
        )));
    };
    let timeout = step.timeout.map_or(default, Duration::from_secs);
    Ok(Step { name: step.note.unwrap_or(name), line, action, timeout, measure: step.measure })
}

fn build_check(check: CheckTable, names: &Names) -> Result<CheckKind, String> {
    let kind = match check {
        CheckTable { verify: Some(v), holds: None, lacks: None, clean: None } => {
            names.key(&v.key)?;
            CheckKind::Verify { stick: v.stick, file: v.file, signature: v.signature, key: v.key }
        }
        CheckTable { verify: None, holds: Some(h), lacks: None, clean: None } => {
            CheckKind::Holds { stick: h.stick, file: h.file, text: h.text }
        }
        CheckTable { verify: None, holds: None, lacks: Some(l), clean: None } => {
            CheckKind::Lacks { stick: l.stick, file: l.file }
        }
        CheckTable { verify: None, holds: None, lacks: None, clean: Some(stick) } => {
            CheckKind::Clean { stick }
        }
        _ => return Err("a check has one of verify, holds, lacks and clean".to_owned()),
    };
    let (CheckKind::Verify { stick, .. }
    | CheckKind::Holds { stick, .. }
    | CheckKind::Lacks { stick, .. }
    | CheckKind::Clean { stick }) = &kind;
    names.stick(stick)?;
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = \"n\"\nbox = \"b\"\noutput = \"iso\"\nattach = \"cdrom\"\n";

    fn parse(rest: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse(Path::new("t.toml"), &format!("{HEAD}{rest}"))
    }

    #[test]
    fn a_whole_scenario_is_read() {
        let text = include_str!("example.toml");
        let scenario = Scenario::parse(Path::new("example.toml"), text).unwrap();
        assert_eq!(scenario.steps.len(), 13);
        assert_eq!(scenario.checks.len(), 4);
        assert_eq!(scenario.steps[0].timeout, Duration::from_secs(300));
        assert_eq!(scenario.steps[1].timeout, Duration::from_secs(30));
        assert_eq!(scenario.reject, ["This system cannot start: ", "Oops"]);
        assert!(scenario.reboots);
        let image = scenario.image(Path::new("out"), Arch::X86_64);
        assert_eq!(image, Path::new("out/x86_64/airgap.iso"));
    }

    #[test]
    fn errors_say_where_and_what() {
        let cases = [
            ("[[step]]\nexpekt = \"a\"\n", 6, "unknown field `expekt`"),
            ("[[step]\n", 5, ""),
            ("memory = \"much\"\n", 5, "invalid type"),
            ("[[step]]\nplug = \"data\"\n", 5, "no stick \"data\" in this scenario (it has none)"),
            (
                "[[step]]\nplug = \"a\"\nsend = \"b\"\n[[stick]]\nname = \"a\"\nlabel = \"A\"\n",
                5,
                "this one 2",
            ),
            ("[[step]]\n", 5, "this one 0"),
            ("[[step]]\nexpect = \"a\"\n\n[[step]]\nmatch = \"(\"\n", 9, "without closing"),
            ("[[step]]\nexpect = \"${keyid:me}\"\n", 5, "no key \"me\""),
            ("[[step]]\nsend = \"${keyid\"\n", 5, "closing brace"),
            ("[[step]]\nsend = \"${sha1:x}\"\n", 5, "there is no ${sha1:…}"),
            ("[[step]]\nabsent = \"a\"\nsend = \"b\"\n", 5, "absent needs"),
            ("[[step]]\npoweroff = true\n[[step]]\nsend = \"a\"\n", 7, "off since line 5"),
            ("[[step]]\nscreenshot = \"a.png\"\n", 5, "display = true"),
            ("[[step]]\nsend = \"a\"\n[[check]]\nclean = \"a\"\n", 7, "no stick \"a\""),
            ("[[stick]]\nname = \"A\"\nlabel = \"A\"\n", 6, "is no name"),
            ("[[stick]]\nname = \"a\"\nlabel = \"too long a label\"\n", 7, "FAT label"),
            (
                "[[stick]]\nname=\"a\"\nlabel=\"A\"\nfiles = { \"../x\" = { text = \"\" } }\n",
                8,
                "no path",
            ),
            ("[[step]]\nssh = { key = \"k\", command = \"\" }\n", 5, "needs a device"),
            ("[[step]]\nssh = { key = \"../k\", command = \"\" }\n", 5, "is no name"),
            ("allow = [\"Oops\"]\n[[step]]\nsend = \"a\"\n", 5, "nothing rejects that"),
            ("machine = \"microvm\"\n[[step]]\nsend = \"a\"\n", 5, "starts an initramfs"),
            ("secure-boot = \"signed\"\n[[step]]\nsend = \"a\"\n", 5, "with the output uki"),
            ("secure-boot = \"maybe\"\n", 5, "unknown variant `maybe`"),
            (
                "architectures = [\"x86_64\", \"riscv64\"]\n[[step]]\npower-button = true\n",
                6,
                "riscv64 has no power button",
            ),
            ("", 1, "needs a [[step]]"),
        ];
        for (text, line, message) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {error}");
            assert_eq!(error.line, line, "{text}: {error}");
        }
        let text = HEAD.replace("iso", "initramfs").replace("cdrom", "virtio")
            + "machine = \"microvm\"\n[[step]]\npower-button = true\n";
        let error = Scenario::parse(Path::new("t.toml"), &text).unwrap_err();
        assert_eq!((error.line, &*error.message), (6, "a microvm has no power button"));
        let error = parse("[[step]]\nexpekt = \"a\"\n").unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with("t.toml:6:1: unknown field `expekt`"), "{shown}");
        assert!(shown.ends_with("\n  6 | expekt = \"a\"\n    | ^"), "{shown}");
    }

    #[test]
    fn the_scenarios_of_this_repository_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../qemu-tests");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                Scenario::parse(&path, &text).unwrap_or_else(|error| panic!("{error}"));
                count += 1;
            }
        }
        assert!(count > 0);
    }

    #[test]
    fn values_are_filled_in_and_escaped() {
        let value = |name: &str| (name == "v").then(|| "1.0".to_owned());
        let filled = Wanted::Regex("v${v}$".into()).fill(&value).unwrap();
        assert_eq!(filled.to_string(), r"/v1\.0$/");
        assert_eq!(fill("a ${v} ${v}b", &value).unwrap(), "a 1.0 1.0b");
        assert_eq!(fill("${w}", &value).unwrap_err(), "nothing is known of ${w}");
    }
}
