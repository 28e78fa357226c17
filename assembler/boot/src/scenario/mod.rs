//! Scenarios: what to do with a box, and what must be seen, as data.
//!
//! A scenario is a TOML file. It names a box and how it is attached, describes keys and sticks
//! that the test makes, lists steps that a person would take (wait for a text, type, plug a stick
//! in, take a picture), and at last checks what the box left on the sticks:
//!
//! ```toml
//! name = "signs a file"
//! box = "airgap"
//! output = "iso"
//! attach = "cdrom"
//!
//! [[key]]
//! name = "signer"
//! user = "Test Signer <signer@example.org>"
//! passphrase = "correct horse"
//!
//! [[stick]]
//! name = "data"
//! label = "DATA"
//! files = { "letter.txt" = { text = "hello" }, "key.asc" = { secret-key = "signer" } }
//!
//! [[step]]
//! expect = "airgap ready"
//! timeout = 300
//! measure = "ready"
//!
//! [[step]]
//! plug = "data"
//!
//! [[step]]
//! send = "sign letter.txt\n"
//!
//! [[step]]
//! match = "Signed by ${fingerprint:signer}"
//!
//! [[step]]
//! poweroff = true
//!
//! [[check]]
//! verify = { stick = "data", file = "letter.txt", signature = "letter.txt.asc", key = "signer" }
//! ```
//!
//! In what is expected and typed, `${…}` stands for what is known only when the scenario runs:
//! `${fingerprint:KEY}`, `${spaced:KEY}` (the same in groups of four), `${keyid:KEY}` (its last 16
//! digits), `${sha256:STICK/FILE}` of a file that the test puts on a stick, and the variables of
//! [`Setup::variables`].
//!
//! A step `ssh = { key = "admin", command = "uname -r", expect = "6.12" }` runs a command on the
//! box as root, over the first of its network devices; a file `{ ssh-key = "admin" }` on a stick
//! is the public part of that key. With `refused = true`, the box has to turn the key away; with
//! `image = true`, the command's standard input is the image that the box was started from.
//!
//! A machine ends when the box restarts it, where the scenario does not say `reboots = true`. A
//! kernel's panic ends every scenario but one that says `allow = ["Kernel panic - not syncing"]`.
//!
//! `secure-boot = "signed"` boots a unified kernel image on a machine whose firmware holds a key that
//! was made for the test, after that key has signed it; `"unsigned"` boots it as it was built, which
//! such a machine has to refuse.

mod host;
mod parse;
mod report;
mod run;
mod ssh;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

pub use parse::ScenarioError;
pub use report::{CPU, Outcome, Report, StepReport, json, junit};
pub use run::{Setup, run};
pub use ssh::Ssh;

use crate::{Arch, Attach, Model, Pattern};

/// A validated scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it shows, in a few words.
    pub name: String,
    /// The file that it was read from.
    pub file: PathBuf,
    /// The box that it boots.
    pub box_name: String,
    /// The output of the box: `iso`, `disk`, `qcow2`, `uki` or `initramfs`.
    pub output: Output,
    /// The architectures that it is for.
    pub architectures: Vec<Arch>,
    /// What kind of machine it is booted on.
    pub model: Model,
    /// What kind of drive the output is on.
    pub attach: Attach,
    /// What kind of firmware starts it.
    pub starts: Starts,
    /// Whether the firmware starts only what a key of the test's own has signed; see
    /// [`SecureBoot`].
    pub secure_boot: Option<SecureBoot>,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub cpus: u32,
    /// Whether there are a graphics adapter and a keyboard.
    pub display: bool,
    /// Network devices that QEMU offers.
    pub network: Vec<String>,
    /// Whether it starts again when the box restarts it, which ends it otherwise.
    pub reboots: bool,
    /// How long a step waits that does not say it itself.
    pub timeout: Duration,
    /// What must never appear on the console.
    pub reject: Vec<String>,
    /// Keys that the test makes.
    pub keys: Vec<Key>,
    /// Sticks that the test makes.
    pub sticks: Vec<Stick>,
    /// What is done and seen, in order.
    pub steps: Vec<Step>,
    /// What must be true afterwards.
    pub checks: Vec<Check>,
}

/// A kind of output that a scenario can boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// A CD image that can be written to a stick as well.
    Iso,
    /// A disk image.
    Disk,
    /// The same disk in QEMU's own format.
    Qcow2,
    /// A unified kernel image; the test puts it on an EFI system partition.
    Uki,
    /// An initramfs, started with a kernel by QEMU itself.
    Initramfs,
}

/// A kind of firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Starts {
    /// UEFI, which all architectures have.
    #[default]
    Uefi,
    /// The BIOS of x86 machines.
    Bios,
}

/// A unified kernel image on a machine with Secure Boot, in whose firmware there is a key that the
/// test made. Who calls [`run`] hands it such firmware and such an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecureBoot {
    /// The key has signed the image.
    Signed,
    /// Nobody has signed it.
    Unsigned,
}

impl Output {
    fn extension(self) -> &'static str {
        match self {
            Self::Iso => "iso",
            Self::Disk => "img",
            Self::Qcow2 => "qcow2",
            Self::Uki => "efi",
            Self::Initramfs => "cpio.zst",
        }
    }
}

/// An OpenPGP key that the test makes.
#[derive(Debug, Clone)]
pub struct Key {
    /// By which the scenario names it.
    pub name: String,
    /// Its user id.
    pub user: String,
    /// The passphrase that protects its secret part.
    pub passphrase: String,
}

/// A USB stick that the test makes, with one FAT file system on all of it.
#[derive(Debug, Clone)]
pub struct Stick {
    /// By which the scenario names it.
    pub name: String,
    /// The file system's label.
    pub label: String,
    /// Its size in MiB.
    pub megabytes: u32,
    /// What is on it.
    pub files: BTreeMap<String, StickFile>,
}

/// A file that the test puts on a stick.
#[derive(Debug, Clone)]
pub enum StickFile {
    /// This text.
    Text(String),
    /// The armoured secret part of a key.
    SecretKey(String),
    /// The armoured public part of a key.
    PublicKey(String),
    /// The public part of an SSH key, which the test makes.
    SshKey(String),
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// What is done, in a few words.
    pub name: String,
    /// The line of the scenario's file that it begins in; 0 where it is in none.
    pub line: usize,
    /// What is done.
    pub action: Action,
    /// How long it may take.
    pub timeout: Duration,
    /// The name under which the time of its end is reported.
    pub measure: Option<String>,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Waits for a text, then types.
    Console {
        /// What must appear.
        expect: Option<Wanted>,
        /// What must not be in what appears before it.
        absent: Option<Wanted>,
        /// What is typed then.
        send: Option<String>,
    },
    /// Plugs a stick in.
    Plug(String),
    /// Pulls a stick out.
    Unplug(String),
    /// Presses keys of the keyboard, one after another.
    Press(Vec<String>),
    /// Takes a picture of the screen, which must show something.
    Screenshot(String),
    /// Runs a command on the box over the network.
    Ssh(Ssh),
    /// Presses the power button, which microvms and QEMU's machine for riscv64 have not.
    PowerButton,
    /// Waits until the machine has powered itself off.
    PowerOff,
}

/// What is wanted on the console, before `${…}` is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A text.
    Text(String),
    /// A regular expression.
    Regex(String),
}

/// What must be true after the last step.
#[derive(Debug, Clone)]
pub struct Check {
    /// The line of the scenario's file that it begins in.
    pub line: usize,
    /// What is checked.
    pub kind: CheckKind,
}

/// What is checked.
#[derive(Debug, Clone)]
pub enum CheckKind {
    /// A detached signature on a stick is good, and made by a key of the test.
    Verify {
        /// The stick.
        stick: String,
        /// The signed file.
        file: String,
        /// The signature.
        signature: String,
        /// The key.
        key: String,
    },
    /// A file on a stick holds a text.
    Holds {
        /// The stick.
        stick: String,
        /// The file.
        file: String,
        /// The text.
        text: String,
    },
    /// A file is not on a stick.
    Lacks {
        /// The stick.
        stick: String,
        /// The file.
        file: String,
    },
    /// A stick's file system is whole and was unmounted.
    Clean {
        /// The stick.
        stick: String,
    },
}

impl Scenario {
    /// The scenario of a box's own `[test]` table: waits for each text of `expect` in turn, the
    /// first for `timeout`, as starting takes longest. `file` is the box's.
    pub fn of_box(
        file: &Path,
        box_name: &str,
        output: Output,
        attach: Attach,
        expect: &[String],
        timeout: Duration,
    ) -> Self {
        let step = |text: &String| Step {
            name: format!("expect {text:?}"),
            line: 0,
            action: Action::Console {
                // What a box says of itself is no template.
                expect: Some(Wanted::Text(text.replace("${", "${dollar-brace}"))),
                absent: None,
                send: None,
            },
            timeout,
            measure: None,
        };
        let mut steps: Vec<Step> = expect.iter().map(step).collect();
        if let Some(last) = steps.last_mut() {
            last.measure = Some("ready".to_owned());
        }
        Self {
            name: format!("{box_name} starts"),
            file: file.to_owned(),
            box_name: box_name.to_owned(),
            output,
            architectures: vec![Arch::X86_64, Arch::Arm64, Arch::Riscv64],
            model: Model::Usual,
            attach,
            starts: Starts::Uefi,
            secure_boot: None,
            memory: parse::MEMORY,
            cpus: 1,
            display: false,
            network: Vec::new(),
            reboots: false,
            timeout,
            reject: parse::REJECT.map(str::to_owned).into(),
            keys: Vec::new(),
            sticks: Vec::new(),
            steps,
            checks: Vec::new(),
        }
    }

    /// The same with a screen, of which a picture is taken at last.
    pub fn with_picture(mut self, name: &str, timeout: Duration) -> Self {
        self.display = true;
        self.steps.push(Step {
            name: format!("screenshot {name}"),
            line: 0,
            action: Action::Screenshot(name.to_owned()),
            timeout,
            measure: None,
        });
        self
    }

    /// The same, with `answers` (what must appear, and the line that is typed then), after which
    /// the machine has to power itself off.
    pub fn with_poweroff(mut self, answers: &[(String, String)], timeout: Duration) -> Self {
        let plain = |text: &str| text.replace("${", "${dollar-brace}");
        let mut step = |name: String, action| {
            self.steps.push(Step { name, line: 0, action, timeout, measure: None });
        };
        for (expect, send) in answers {
            let action = Action::Console {
                expect: Some(Wanted::Text(plain(expect))),
                absent: None,
                send: Some(format!("{}\n", plain(send))),
            };
            step(format!("expect {expect:?}"), action);
        }
        step("power off".to_owned(), Action::PowerOff);
        self
    }

    /// Where the image lies that it boots: `<out>/<arch>/<box>.<output>`.
    pub fn image(&self, out: &Path, arch: Arch) -> PathBuf {
        out.join(arch.to_string()).join(format!("{}.{}", self.box_name, self.output.extension()))
    }
}

impl Wanted {
    fn template(&self) -> &str {
        match self {
            Self::Text(text) | Self::Regex(text) => text,
        }
    }

    /// The pattern, with every `${…}` replaced by what `value` gives; none for an unknown name.
    fn fill(&self, value: &dyn Fn(&str) -> Option<String>) -> Result<Pattern, String> {
        match self {
            Self::Text(text) => fill(text, value).map(Pattern::Text),
            Self::Regex(text) => {
                let escaped = |name: &str| value(name).map(|text| regex_lite::escape(&text));
                let text = fill(text, &escaped)?;
                regex_lite::Regex::new(&text).map(Pattern::Regex).map_err(|e| e.to_string())
            }
        }
    }
}

/// Replaces every `${…}`; the error names the first that has no value.
fn fill(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) =
            after.split_once('}').ok_or_else(|| format!("${{{after} has no closing brace"))?;
        filled.push_str(before);
        filled.push_str(&value(name).ok_or_else(|| format!("nothing is known of ${{{name}}}"))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}
