//! Runs scenarios.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use super::{
    Action, CPU, Outcome, Output, Report, Scenario, Starts, Step, StepReport, Wanted, fill,
    host::{Host, make_esp},
    ssh,
};
use crate::{
    Acceleration, Access, Arch, Attach, Bios, BootError, Drive, Exit, Firmware, Machine, Model,
    Pattern, Qemu, Uefi, Vm,
};

/// How often QEMU's log is looked at while something is awaited, and whether to go on.
const SLICE: Duration = Duration::from_millis(500);

/// What a scenario is run with.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// The QEMU of the architecture.
    pub qemu: &'a Qemu,
    /// How guests run; see [`crate::acceleration`].
    pub acceleration: &'a Acceleration,
    /// The image; see [`Scenario::image`].
    pub image: &'a Path,
    /// UEFI firmware; without it, an image is started by the machine's own.
    pub firmware: Option<&'a Uefi>,
    /// The BIOS, for scenarios that are started by one.
    pub bios: Option<&'a Bios>,
    /// The kernel that starts an initramfs.
    pub kernel: Option<&'a Path>,
    /// The command line that such a kernel is given; by default only its console.
    pub cmdline: Option<&'a str>,
    /// An existing folder for what the run leaves: the transcript, the sticks, QEMU's log.
    pub run: &'a Path,
    /// An existing folder for pictures.
    pub pictures: &'a Path,
    /// What `${name}` stands for, beside what scenarios know themselves.
    pub variables: &'a BTreeMap<String, String>,
    /// Once it is set, the machine is ended, and the run fails.
    pub stop: &'a AtomicBool,
}

/// Runs a scenario; whatever goes wrong is in its report.
///
/// Where KVM fails the guest, the scenario is run again under TCG.
pub fn run(scenario: &Scenario, setup: &Setup<'_>) -> Report {
    let (report, kvm_failure) = run_once(scenario, setup);
    match kvm_failure {
        Some(line) if *setup.acceleration == Acceleration::Kvm => {
            let acceleration = &Acceleration::Tcg { reason: format!("the guest met {line:?}") };
            run_once(scenario, &Setup { acceleration, ..setup.clone() }).0
        }
        _ => report,
    }
}

/// Where and why a run stopped.
struct Failure {
    line: Option<usize>,
    what: String,
    reason: String,
}

/// Returns the line in which QEMU says that KVM failed the guest, too.
fn run_once(scenario: &Scenario, setup: &Setup<'_>) -> (Report, Option<String>) {
    let start = Instant::now();
    let mut report = Report {
        name: scenario.name.clone(),
        file: scenario.file.clone(),
        arch: setup.qemu.arch(),
        acceleration: setup.acceleration.to_string(),
        outcome: Outcome::Passed,
        took: Duration::ZERO,
        steps: Vec::new(),
        measures: BTreeMap::new(),
        transcript: setup.run.join("console.log"),
        pictures: Vec::new(),
    };
    let mut kvm_failure = None;
    if let Err(Failure { line, what, reason }) =
        attempt(scenario, setup, &mut report, &mut kvm_failure)
    {
        report.outcome = Outcome::Failed { line, what, reason };
    }
    report.took = start.elapsed();
    (report, kvm_failure)
}

fn attempt(
    scenario: &Scenario,
    setup: &Setup<'_>,
    report: &mut Report,
    kvm_failure: &mut Option<String>,
) -> Result<(), Failure> {
    let prepare =
        |reason: String| Failure { line: None, what: "preparing the test".to_owned(), reason };
    let host = Host::new(setup.run, &scenario.keys, &scenario.sticks).map_err(prepare)?;
    let machine = machine(scenario, setup).map_err(prepare)?;
    let mut vm = Vm::start_unless(setup.qemu, &machine, setup.acceleration, setup.run, setup.stop)
        .map_err(|error| prepare(error.to_string()))?;
    let reject = scenario.reject.iter().cloned().map(Pattern::Text).collect();
    vm.console().reject(reject);

    for step in &scenario.steps {
        let begun = Instant::now();
        let result = Runner { vm: &mut vm, host: &host, setup, step, model: scenario.model }
            .step(&mut report.pictures);
        let at = vm.elapsed();
        report.steps.push(StepReport { name: step.name.clone(), at, took: begun.elapsed() });
        if let Err(reason) = result {
            *kvm_failure = vm.kvm_failure();
            let line = Some(step.line).filter(|line| *line != 0);
            return Err(Failure { line, what: step.name.clone(), reason });
        }
        if let Some(measure) = &step.measure {
            report.measures.insert(measure.clone(), at);
            let cpu = vm.cpu_time().map(|cpu| (format!("{measure}{CPU}"), cpu));
            report.measures.extend(cpu);
        }
    }
    drop(vm);
    for check in &scenario.checks {
        let what = "what the machine left".to_owned();
        host.check(&check.kind).map_err(|reason| Failure {
            line: Some(check.line),
            what,
            reason,
        })?;
    }
    Ok(())
}

fn machine(scenario: &Scenario, setup: &Setup<'_>) -> Result<Machine, String> {
    let arch = setup.qemu.arch();
    let absolute =
        |path: &Path| fs::canonicalize(path).map_err(|e| format!("{}: {e}", path.display()));
    let mut image = absolute(setup.image)?;
    let uefi = match setup.firmware {
        Some(uefi) => Some(Uefi {
            code: absolute(&uefi.code)?,
            vars: absolute(&uefi.vars)?,
            below: uefi.below.as_deref().map(absolute).transpose()?,
        }),
        None => None,
    };
    let mut firmware = match (scenario.starts, setup.bios, &uefi) {
        (Starts::Bios, Some(bios), _) => Firmware::Bios(Bios {
            image: absolute(&bios.image)?,
            vga: bios.vga.as_deref().map(absolute).transpose()?,
        }),
        (Starts::Bios, None, _) => return Err("the box names no BIOS in its [firmware]".to_owned()),
        (Starts::Uefi, _, Some(uefi)) => Firmware::Uefi(uefi.clone()),
        (Starts::Uefi, _, None) => Firmware::Default,
    };
    let mut drives = Vec::new();
    match scenario.output {
        Output::Initramfs => {
            let kernel = setup.kernel.ok_or("an initramfs needs a kernel to start it")?;
            let rom = match (scenario.model, setup.bios) {
                (Model::Usual, _) => None,
                (Model::Microvm, Some(bios)) => Some(absolute(&bios.image)?),
                // The others' `virt` puts a kernel into memory without code from any file.
                (Model::Microvm, None) if arch != Arch::X86_64 => None,
                (Model::Microvm, None) => {
                    return Err("the box names no firmware of a microvm: \
                                bios = \"firmware-microvm\" in its [firmware]"
                        .to_owned());
                }
            };
            firmware = Firmware::Kernel {
                kernel: absolute(kernel)?,
                initrd: Some(image),
                cmdline: setup
                    .cmdline
                    .map_or_else(|| format!("console={}", serial_console(arch)), str::to_owned),
                // A microvm has no flash to hold it.
                uefi: uefi.filter(|_| scenario.model == Model::Usual),
                rom,
            };
        }
        Output::Iso | Output::Disk | Output::Qcow2 | Output::Uki => {
            if scenario.output == Output::Uki {
                let esp = setup.run.join("esp.img");
                make_esp(&esp, &image, boot_path(arch))?;
                image = absolute(&esp)?;
            }
            // What a box writes to what it booted from is nobody's to keep.
            let access =
                if scenario.attach == Attach::Cdrom { Access::ReadOnly } else { Access::Copy };
            let attach = scenario.attach;
            drives.push(Drive { id: "boot".to_owned(), attach, path: image, access });
        }
    }
    Ok(Machine {
        memory: scenario.memory,
        cpus: scenario.cpus,
        drives,
        network: scenario.network.clone(),
        forward: scenario
            .steps
            .iter()
            .any(|step| matches!(step.action, Action::Ssh(_)))
            .then_some(ssh::PORT),
        model: scenario.model,
        display: scenario.display,
        reboots: scenario.reboots,
        ..Machine::new(arch, firmware)
    })
}

fn serial_console(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 | Arch::Riscv64 => "ttyS0",
        Arch::Arm64 => "ttyAMA0",
    }
}

/// The path that firmware starts without any setting (UEFI 3.5.1.1).
fn boot_path(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "EFI/BOOT/BOOTX64.EFI",
        Arch::Arm64 => "EFI/BOOT/BOOTAA64.EFI",
        Arch::Riscv64 => "EFI/BOOT/BOOTRISCV64.EFI",
    }
}

struct Runner<'a> {
    vm: &'a mut Vm,
    host: &'a Host,
    setup: &'a Setup<'a>,
    step: &'a Step,
    model: Model,
}

impl Runner<'_> {
    fn step(&mut self, pictures: &mut Vec<PathBuf>) -> Result<(), String> {
        let shown = |error: BootError| error.to_string();
        match &self.step.action {
            Action::Console { expect, absent, send } => {
                if let Some(expect) = expect {
                    self.expect(expect, absent.as_ref())?;
                }
                if let Some(send) = send {
                    let send = fill(send, &|name| self.value(name))?;
                    self.vm.console().send(&send).map_err(shown)?;
                }
                Ok(())
            }
            Action::Plug(stick) => {
                self.vm.plug(stick, &self.host.image(stick), Access::ReadWrite).map_err(shown)
            }
            Action::Unplug(stick) => self.vm.unplug(stick).map_err(shown),
            Action::Press(keys) => keys.iter().try_for_each(|key| {
                let together: Vec<&str> = key.split('-').collect();
                self.vm.press(&together).map_err(shown)
            }),
            Action::Screenshot(name) => {
                // The screen may be drawn later than the console.
                let start = Instant::now();
                let mut picture = self.vm.screenshot().map_err(shown)?;
                while picture.is_uniform() && start.elapsed() < self.step.timeout {
                    std::thread::sleep(SLICE);
                    self.go_on()?;
                    picture = self.vm.screenshot().map_err(shown)?;
                }
                let path = self.setup.pictures.join(name);
                fs::write(&path, picture.to_png())
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                if picture.is_uniform() {
                    let path = path.display();
                    return Err(format!("the screen is of one colour, see {path}"));
                }
                pictures.push(path);
                Ok(())
            }
            Action::Ssh(ssh) => {
                let filled = |text: &String| fill(text, &|name| self.value(name));
                let expect = ssh.expect.as_ref().map(filled).transpose()?;
                let ssh = ssh::Ssh { command: filled(&ssh.command)?, expect, ..ssh.clone() };
                let port = self.vm.forwarded_port().map_err(shown)?;
                let input = ssh.image.then_some(self.setup.image);
                ssh::run(&ssh, self.host.folder(), port, input, self.step.timeout)
            }
            Action::PowerButton => self.vm.power_button().map_err(shown),
            Action::PowerOff => {
                let exit = self.wait()?;
                let wanted = match self.model {
                    Model::Usual => "guest-shutdown",
                    Model::Microvm => "guest-reset",
                };
                if exit.reason.as_deref() == Some(wanted) {
                    return Ok(());
                }
                let reason = exit.reason.unwrap_or_else(|| exit.status.to_string());
                let tail = self.vm.console().tail();
                Err(format!("the machine ended by {reason}; its console's last lines:\n{tail}"))
            }
        }
    }

    /// Fails once the caller wants no more.
    fn go_on(&self) -> Result<(), String> {
        match self.setup.stop.load(Ordering::Relaxed) {
            true => Err(BootError::Stopped.to_string()),
            false => Ok(()),
        }
    }

    /// Waits in slices for the machine to end.
    fn wait(&mut self) -> Result<Exit, String> {
        let start = Instant::now();
        loop {
            let left = self.step.timeout.saturating_sub(start.elapsed());
            match self.vm.wait(left.min(SLICE)) {
                Err(BootError::StillRunning { tail, .. }) => {
                    self.go_on()?;
                    let waited = start.elapsed();
                    if waited >= self.step.timeout {
                        return Err(BootError::StillRunning { waited, tail }.to_string());
                    }
                }
                ended => return ended.map_err(|error| error.to_string()),
            }
        }
    }

    /// Waits in slices, between which it looks whether the guest is alive at all.
    fn expect(&mut self, expect: &Wanted, absent: Option<&Wanted>) -> Result<(), String> {
        let value = |name: &str| self.value(name);
        let pattern = expect.fill(&value)?;
        let absent = absent.map(|absent| absent.fill(&value)).transpose()?;
        let start = Instant::now();
        loop {
            let left = self.step.timeout.saturating_sub(start.elapsed());
            match self.vm.console().expect(&pattern, left.min(SLICE)) {
                Ok(found) => {
                    let Some((absent, text)) = absent.and_then(|a| a.find_in(&found.before)) else {
                        return Ok(());
                    };
                    return Err(format!("{text:?} is shown, which {absent} must not be"));
                }
                Err(BootError::Timeout { pattern, tail, .. }) => {
                    self.go_on()?;
                    if let Some(line) = self.vm.kvm_failure() {
                        return Err(format!("QEMU stopped the machine: {line}"));
                    }
                    let waited = start.elapsed();
                    if waited >= self.step.timeout {
                        return Err(BootError::Timeout { pattern, waited, tail }.to_string());
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        if name == "dollar-brace" {
            return Some("${".to_owned());
        }
        self.host.value(name).or_else(|| self.setup.variables.get(name).cloned())
    }
}
