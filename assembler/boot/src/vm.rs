//! A running machine.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    Acceleration, Access, Arch, BootError, Console, Firmware, Machine, Qemu, Qmp, QmpError,
    Screenshot, Uefi,
    acceleration::kvm_failure,
    machine::{RAW, block_node, copy_path, node_name, text, usb_stick, write_roms},
    process::{Guarded, TICK},
    text::tail,
};

/// How long QEMU may take to open its sockets.
const STARTUP: Duration = Duration::from_secs(60);
/// How long the guest may take to let go of a device.
const UNPLUG: Duration = Duration::from_secs(60);

/// A running machine. Dropping it ends it, as a power cut would.
///
/// Its folder keeps `console.log` (all of the console, with times), `qemu.log` (QEMU's own
/// messages and its command line) and the copies that the guest wrote to.
pub struct Vm {
    // Dropped in this order: once QEMU is gone, the readers of its sockets end.
    process: Guarded,
    console: Console,
    qmp: Qmp,
    run: PathBuf,
    arch: Arch,
    start: Instant,
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// QEMU's exit status.
    pub status: ExitStatus,
    /// Why, in QEMU's words: `guest-shutdown` for a guest that powered off, `guest-reset` for one
    /// that rebooted, `guest-panic`, `host-qmp-quit`. None where it did not say.
    pub reason: Option<String>,
    /// When, from the machine's start.
    pub at: Duration,
}

impl Vm {
    /// Starts a machine. `run` is an existing, empty folder for what the run leaves.
    pub fn start(
        qemu: &Qemu,
        machine: &Machine,
        acceleration: &Acceleration,
        run: &Path,
    ) -> Result<Self, BootError> {
        Self::start_unless(qemu, machine, acceleration, run, &AtomicBool::new(false))
    }

    /// The same, and gives up with [`BootError::Stopped`] once `stop` is set.
    pub fn start_unless(
        qemu: &Qemu,
        machine: &Machine,
        acceleration: &Acceleration,
        run: &Path,
        stop: &AtomicBool,
    ) -> Result<Self, BootError> {
        let run = fs::canonicalize(run).map_err(BootError::file(run))?;
        if qemu.arch() != machine.arch {
            let what = format!("a QEMU for {}", qemu.arch());
            return Err(BootError::Machine { arch: machine.arch, what });
        }
        qemu.check(machine.model)?;
        prepare(machine, &run)?;
        let mut args = machine.arguments(acceleration, &run)?;
        // A guest that reboots is done, where nothing else is asked for: a box in memory can mean
        // nothing else.
        args.extend((!machine.reboots).then(|| "-no-reboot".to_owned()));
        // It begins only when we listen, so that nothing it says is lost, however soon it ends.
        args.push("-S".to_owned());

        let console = listen(&run, "console.sock")?;
        let monitor = listen(&run, "monitor.sock")?;
        let log_path = run.join("qemu.log");
        let mut log = File::create(&log_path).map_err(BootError::file(&log_path))?;
        writeln!(log, "{} {}", qemu.program().display(), args.join(" "))
            .map_err(BootError::file(&log_path))?;
        let transcript = run.join("console.log");
        let transcript = File::create(&transcript).map_err(BootError::file(transcript))?;

        let start = Instant::now();
        let spawn = |source| BootError::Spawn { source };
        let process = Guarded::spawn(qemu.program(), &args, &run, log).map_err(spawn)?;
        let console = accept(&console, &process, &log_path, stop)?;
        let console = Console::new(console, transcript, start).map_err(spawn)?;
        let monitor = accept(&monitor, &process, &log_path, stop)?;
        let mut qmp = match Qmp::new(monitor) {
            Ok(qmp) => qmp,
            // An option that QEMU does not like ends it after it has connected.
            Err(error) => {
                return Err(match process.wait(Duration::from_secs(1)).map_err(spawn)? {
                    Some(status) => start_error(status, &log_path),
                    None => error.into(),
                });
            }
        };
        if !machine.paused {
            match qmp.execute("cont", json!({})) {
                // A guest may be through before QEMU has answered.
                Ok(_) | Err(QmpError::Closed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { process, console, qmp, run, arch: machine.arch, start })
    }

    /// Its serial line.
    pub fn console(&mut self) -> &mut Console {
        &mut self.console
    }

    /// Its monitor.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// The folder of its run.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// How much processor time QEMU has taken. Unlike [`Vm::elapsed`], it says little of what else
    /// the host does. None where the host does not tell.
    pub fn cpu_time(&mut self) -> Option<Duration> {
        let threads = self.qmp.execute("query-cpus-fast", json!({})).ok()?;
        let thread = threads[0]["thread-id"].as_u64()?;
        let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
        let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim();
        cpu_time(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// Plugs in a USB stick whose bytes are the file `image`.
    pub fn plug(&mut self, id: &str, image: &Path, access: Access) -> Result<(), BootError> {
        let image = fs::canonicalize(image).map_err(BootError::file(image))?;
        let node = block_node(&node_name(id), RAW, &text(&image)?, access == Access::ReadOnly);
        self.qmp.execute("blockdev-add", node)?;
        if let Err(error) = self.qmp.execute("device_add", usb_stick(id)) {
            let _ = self.qmp.execute("blockdev-del", json!({"node-name": node_name(id)}));
            return Err(error.into());
        }
        Ok(())
    }

    /// Pulls a stick out; its file is whole and free once this returns.
    pub fn unplug(&mut self, id: &str) -> Result<(), BootError> {
        self.qmp.execute("device_del", json!({"id": id}))?;
        let gone = |event: &Value| event["data"]["device"] == id;
        self.qmp.wait_event("DEVICE_DELETED", UNPLUG, gone)?;
        // The device may hold on to its node for a moment longer.
        let start = Instant::now();
        loop {
            match self.qmp.execute("blockdev-del", json!({"node-name": node_name(id)})) {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() >= UNPLUG => return Err(error.into()),
                Err(QmpError::Refused { .. }) => std::thread::sleep(TICK),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Presses keys of the keyboard together, by QEMU's names: `["ctrl", "c"]`, `["ret"]`.
    pub fn press(&mut self, keys: &[&str]) -> Result<(), BootError> {
        let keys: Vec<Value> =
            keys.iter().map(|key| json!({"type": "qcode", "data": key})).collect();
        self.qmp.execute("send-key", json!({"keys": keys}))?;
        Ok(())
    }

    /// Presses the power button.
    pub fn power_button(&mut self) -> Result<(), BootError> {
        self.qmp.execute("system_powerdown", json!({}))?;
        Ok(())
    }

    /// The port of this machine that leads to [`Machine::forward`].
    pub fn forwarded_port(&mut self) -> Result<u16, BootError> {
        let query = json!({"command-line": "info usernet"});
        let text = self.qmp.execute("human-monitor-command", query)?;
        forwarded_port(text.as_str().unwrap_or_default()).ok_or_else(|| BootError::Machine {
            arch: self.arch,
            what: "a network port that is forwarded".to_owned(),
        })
    }

    /// Takes a picture of the screen.
    pub fn screenshot(&mut self) -> Result<Screenshot, BootError> {
        let path = self.run.join("screen.ppm");
        self.qmp.execute("screendump", json!({"filename": text(&path)?}))?;
        let bytes = fs::read(&path).map_err(BootError::file(&path))?;
        fs::remove_file(&path).map_err(BootError::file(&path))?;
        Screenshot::from_ppm(&bytes)
    }

    /// Waits for the machine to end by itself.
    pub fn wait(&mut self, timeout: Duration) -> Result<Exit, BootError> {
        let spawn = |source| BootError::Spawn { source };
        let Some(status) = self.process.wait(timeout).map_err(spawn)? else {
            let tail = self.console.tail();
            return Err(BootError::StillRunning { waited: timeout, tail });
        };
        self.console.drain(Duration::from_secs(5));
        let event = self.qmp.wait_event("SHUTDOWN", Duration::from_secs(5), |_| true).ok();
        let reason = event.and_then(|event| event["data"]["reason"].as_str().map(str::to_owned));
        Ok(Exit { status, reason, at: self.start.elapsed() })
    }

    /// Ends QEMU at once, in order, so that all files are written.
    pub fn quit(mut self) -> Result<Exit, BootError> {
        match self.qmp.execute("quit", json!({})) {
            // It may be gone before it answers.
            Ok(_) | Err(QmpError::Closed { .. }) => self.wait(Duration::from_secs(30)),
            Err(error) => Err(error.into()),
        }
    }

    /// The line in which QEMU says that KVM failed the guest, which is paused then for ever.
    pub fn kvm_failure(&self) -> Option<String> {
        kvm_failure(&read_lossy(&self.run.join("qemu.log")))
    }
}

/// The processor time in a process's `stat`, as proc(5) has it.
fn cpu_time(stat: &str) -> Option<Duration> {
    // The second field is the program's name, in brackets, and can hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
    // Linux counts in hundredths of a second for programs, whatever it counts in itself.
    Some(Duration::from_millis(ticks(11)?.checked_add(ticks(12)?)?.checked_mul(10)?))
}

/// The port in QEMU's table of connections:
///
/// ```text
///   Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
///   TCP[HOST_FORWARD]  14       127.0.0.1 45231        10.0.2.15    22     0     0
/// ```
fn forwarded_port(table: &str) -> Option<u16> {
    let line = table.lines().find(|line| line.trim_start().starts_with("TCP[HOST_FORWARD]"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// Makes the copies that the guest writes to.
fn prepare(machine: &Machine, run: &Path) -> Result<(), BootError> {
    write_roms(run)?;
    if let Firmware::Uefi(Uefi { code, vars, .. })
    | Firmware::Kernel { uefi: Some(Uefi { code, vars, .. }), .. } = &machine.firmware
    {
        // The flash of the `virt` machines has a fixed size, and a file must fill it.
        let size = match machine.arch {
            Arch::X86_64 => 0,
            Arch::Arm64 => 64 << 20,
            Arch::Riscv64 => 32 << 20,
        };
        for (from, to) in [(code, "code.fd"), (vars, "vars.fd")] {
            let to = run.join(to);
            copy(from, &to)?;
            let file = File::options().write(true).open(&to).map_err(BootError::file(&to))?;
            let len = file.metadata().map_err(BootError::file(&to))?.len();
            if len < size {
                file.set_len(size).map_err(BootError::file(&to))?;
            }
        }
    }
    for drive in machine.drives.iter().filter(|drive| drive.access == Access::Copy) {
        copy(&drive.path, &copy_path(run, drive))?;
    }
    Ok(())
}

/// Copies a file's bytes, and not its mode: what comes from a store is read-only.
fn copy(from: &Path, to: &Path) -> Result<(), BootError> {
    let mut input = File::open(from).map_err(BootError::file(from))?;
    let mut output = File::create(to).map_err(BootError::file(to))?;
    io::copy(&mut input, &mut output).map_err(BootError::file(to))?;
    Ok(())
}

/// Listens on a socket in the run's folder, however long its path: an address has room for 107
/// bytes only, and a descriptor's path is short.
fn listen(run: &Path, name: &str) -> Result<UnixListener, BootError> {
    let path = run.join(name);
    let error = || BootError::file(&path);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(error()(source)),
        _ => {}
    }
    let folder = File::open(run).map_err(error())?;
    let short = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    let listener = UnixListener::bind(short).map_err(error())?;
    listener.set_nonblocking(true).map_err(error())?;
    Ok(listener)
}

fn accept(
    listener: &UnixListener,
    process: &Guarded,
    log: &Path,
    stop: &AtomicBool,
) -> Result<UnixStream, BootError> {
    let spawn = |source| BootError::Spawn { source };
    let start = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(spawn)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(spawn(error)),
        }
        if let Some(status) = process.status().map_err(spawn)? {
            return Err(start_error(status, log));
        }
        if stop.load(Ordering::Relaxed) {
            return Err(BootError::Stopped);
        }
        if start.elapsed() >= STARTUP {
            let late = io::Error::new(io::ErrorKind::TimedOut, "it does not open its sockets");
            return Err(spawn(late));
        }
        std::thread::sleep(TICK);
    }
}

fn start_error(status: ExitStatus, log: &Path) -> BootError {
    let text = read_lossy(log);
    // The first line is the command line.
    let messages = text.split_once('\n').map_or("", |(_, rest)| rest);
    BootError::Start { status: status.to_string(), log: tail(messages, 5).trim().to_owned() }
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_is_read() {
        let stat = "7 (a ) b) S 1 2 3 0 -1 0 0 0 0 0 250 31 4 4 20 0\n";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(2810)));
        assert_eq!(cpu_time("7 (qemu) S 1"), None);
        assert_eq!(cpu_time(""), None);
    }

    #[test]
    fn the_forwarded_port_is_read() {
        let table = "Hub 0 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  \
                     Port RecvQ SendQ\r\n  TCP[HOST_FORWARD]  14       127.0.0.1 45231        \
                     10.0.2.15    22     0     0\r\n";
        assert_eq!(forwarded_port(table), Some(45231));
        assert_eq!(forwarded_port("no network\n"), None);
    }
}
