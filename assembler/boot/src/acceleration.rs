//! Whether KVM really works here.

use std::{
    fmt,
    fs::{self, File},
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Arch, BootError, PROBE_EXIT, PROBE_TEXT, Qemu,
    machine::{ROMS, write_roms},
    probe_image,
    process::Guarded,
};

/// How long the probe may take under KVM; it needs a fraction of a second.
const LIMIT: Duration = Duration::from_secs(5);
/// What QEMU writes when the host's kernel cannot run the guest.
const KVM_FAILURES: [&str; 3] =
    ["KVM internal error", "KVM: entry failed", "error: kvm run failed"];

/// How guests run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceleration {
    /// On the host's processor.
    Kvm,
    /// Translated by QEMU; always works, and takes some ten times as long.
    Tcg {
        /// Why not KVM.
        reason: String,
    },
}

impl fmt::Display for Acceleration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kvm => f.write_str("KVM"),
            Self::Tcg { reason } => write!(f, "TCG ({reason})"),
        }
    }
}

/// Finds out how guests run best here, by booting [`probe_image`] under KVM.
///
/// `/dev/kvm` being there says nothing: on a host that is a virtual machine itself, it may fail
/// every guest. `run` is a folder for the probe's files.
pub fn acceleration(qemu: &Qemu, run: &Path) -> Result<Acceleration, BootError> {
    let tcg = |reason: &str| Ok(Acceleration::Tcg { reason: reason.to_owned() });
    if qemu.arch() != Arch::X86_64 || !cfg!(target_arch = "x86_64") {
        return tcg("KVM is only tried for x86_64 on x86_64");
    }
    match File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => {}
        Err(error) => return tcg(&format!("/dev/kvm: {error}")),
    }
    match probe(qemu, run, "kvm")? {
        Ok(()) => Ok(Acceleration::Kvm),
        Err(reason) => tcg(&reason),
    }
}

/// Boots the probe with the accelerator `kvm` or `tcg`; the inner error is why it did not run.
fn probe(qemu: &Qemu, run: &Path, accelerator: &str) -> Result<Result<(), String>, BootError> {
    let image = run.join(format!("probe-{accelerator}.bin"));
    let serial = run.join(format!("probe-{accelerator}.out"));
    let log = run.join(format!("probe-{accelerator}.log"));
    write_roms(run)?;
    fs::write(&image, probe_image()).map_err(BootError::file(&image))?;
    fs::write(&serial, "").map_err(BootError::file(&serial))?;
    let log_file = File::create(&log).map_err(BootError::file(&log))?;
    let args = [
        ["-machine".to_owned(), format!("q35,accel={accelerator}")],
        ["-display".to_owned(), "none".to_owned()],
        ["-L".to_owned(), ROMS.to_owned()],
        ["-bios".to_owned(), format!("probe-{accelerator}.bin")],
        ["-serial".to_owned(), format!("file:probe-{accelerator}.out")],
        ["-device".to_owned(), "isa-debug-exit,iobase=0xf4,iosize=1".to_owned()],
    ];
    let mut args = args.concat();
    args.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    if accelerator == "kvm" {
        args.extend(["-cpu", "host"].map(str::to_owned));
    }
    let spawn = |source| BootError::Spawn { source };
    let start = Instant::now();
    let child = Guarded::spawn(qemu.program(), &args, run, log_file).map_err(spawn)?;
    loop {
        if let Some(status) = child.wait(Duration::from_millis(50)).map_err(spawn)? {
            let text = fs::read_to_string(&serial).map_err(BootError::file(&serial))?;
            return Ok(match status.code() {
                Some(PROBE_EXIT) if text == PROBE_TEXT => Ok(()),
                _ => Err(kvm_failure(&read(&log)).map_or_else(
                    || format!("a guest that prints one line did not: {status}"),
                    |line| format!("a guest that prints one line ended with {line:?}"),
                )),
            });
        }
        if let Some(line) = kvm_failure(&read(&log)) {
            return Ok(Err(format!("a guest that prints one line ended with {line:?}")));
        }
        if start.elapsed() >= LIMIT {
            let seconds = LIMIT.as_secs();
            return Ok(Err(format!("a guest that prints one line hung for {seconds} s")));
        }
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The line of QEMU's log that says that KVM failed the guest.
pub(crate) fn kvm_failure(log: &str) -> Option<String> {
    log.lines().find(|line| KVM_FAILURES.iter().any(|f| line.contains(f))).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_runs_where_anything_runs() {
        let path = std::env::var_os("PATH").unwrap();
        let qemu = Qemu::find(Arch::X86_64, &path).expect("this test needs QEMU");
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(probe(&qemu, folder.path(), "tcg").unwrap(), Ok(()));
        // Either answer is right; it must come, and soon.
        let start = Instant::now();
        let found = acceleration(&qemu, folder.path()).unwrap();
        assert!(start.elapsed() < LIMIT + Duration::from_secs(15), "{found}");
    }

    #[test]
    fn a_failure_of_kvm_is_recognised() {
        let log = "warning: x\nKVM internal error. Suberror: 1\nextra data[0]: 0x1\n";
        assert_eq!(kvm_failure(log).unwrap(), "KVM internal error. Suberror: 1");
        assert_eq!(kvm_failure("qemu: terminating on signal 15"), None);
    }
}
