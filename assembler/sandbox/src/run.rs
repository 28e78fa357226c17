//! The parent's side: starts the sandbox, passes its output on, watches its limits, and waits.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::cancel::Cancel;
use crate::disk::DiskWatch;
use crate::error::{Error, Step};
use crate::init::{self, ENDED, RECORD, TOO_MANY};
use crate::plan::{Descriptors, Plan};
use crate::spec::{Limit, Outcome, Spec, Status};
use crate::{probe, sys};

/// Where the command's output goes and its input comes from.
pub enum Stdio<'a> {
    /// Output (both streams, in order) is written to this file; input is /dev/null.
    Log(File),
    /// Output is passed to this function as it comes; input is /dev/null.
    Stream(&'a mut (dyn FnMut(&[u8]) + Send)),
    /// The caller's own standard streams, for a person at a terminal.
    Terminal,
}

impl std::fmt::Debug for Stdio<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Log(_) => "Log",
            Self::Stream(_) => "Stream",
            Self::Terminal => "Terminal",
        })
    }
}

/// Runs a command in a sandbox until it ends.
///
/// When it has, every process that it left behind is gone and `upper` is complete. The calling
/// thread must not end before: the sandbox dies with it, as with the whole process.
///
/// # Errors
/// An [`Error`] says why the command could not be run, or that it was cancelled. A command that
/// ran, whatever its exit code, is an [`Outcome`].
pub fn run(spec: &Spec, stdio: Stdio<'_>, cancel: &Cancel) -> Result<Outcome, Error> {
    let plan = Plan::new(spec, matches!(stdio, Stdio::Terminal))?;
    run_plan(spec, &plan, stdio, cancel)
}

/// Runs an interactive command, usually a shell, on the caller's terminal.
///
/// The command leads the terminal's foreground process group, so job control works; afterwards
/// the caller has the terminal back as it was. If standard input is not a terminal, the command
/// has the caller's standard streams all the same.
///
/// # Errors
/// As for [`run`].
pub fn shell(spec: &Spec, cancel: &Cancel) -> Result<Outcome, Error> {
    run(spec, Stdio::Terminal, cancel)
}

pub(crate) fn run_plan(
    spec: &Spec,
    plan: &Plan,
    stdio: Stdio<'_>,
    cancel: &Cancel,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(io_error("make a pipe"));
    let (status, status_end) = pipe()?;
    // Above the numbers that they get inside, so that none is overwritten before it is used.
    let above = spec.descriptors.iter().map(|(number, _)| number.saturating_add(1)).max();
    let above = above.unwrap_or(3);
    let raise = |fd: &OwnedFd| {
        rustix::io::fcntl_dupfd_cloexec(fd, above).map_err(io_error("pass a descriptor on"))
    };
    let passed = spec
        .descriptors
        .iter()
        .map(|(number, fd)| Ok((raise(fd)?, *number)))
        .collect::<Result<Vec<_>, Error>>()?;
    let status_end = if passed.is_empty() {
        status_end
    } else {
        let raised = raise(&status_end)?;
        // Its end must show once the child's is closed.
        drop(status_end);
        raised
    };
    let (lifeline_end, lifeline) = pipe()?;
    let (output, output_end) = match stdio {
        Stdio::Terminal => (None, None),
        _ => pipe().map(|(read, write)| (Some(read), Some(write)))?,
    };
    let mut fds = Descriptors {
        status: status_end.as_raw_fd(),
        lifeline: lifeline_end.as_raw_fd(),
        output: output_end.as_ref().map_or(-1, AsRawFd::as_raw_fd),
        passed: passed.iter().map(|(fd, number)| (fd.as_raw_fd(), *number)).collect(),
        keep: Vec::new(),
    };
    fds.keep.extend([fds.status, fds.lifeline]);
    fds.keep.extend(fds.passed.iter().map(|(fd, _)| fd));
    match output_end {
        Some(_) => fds.keep.push(fds.output),
        None => fds.keep.extend([0, 1, 2]),
    }
    fds.keep.sort_unstable();
    fds.keep.dedup();

    let disk = DiskWatch::new(spec)?;
    let terminal = plan.terminal.then(Terminal::save).flatten();
    let init = start(plan, &fds)?;
    drop((status_end, lifeline_end, output_end, passed));

    let mut run = Run {
        init: Some(init),
        spec,
        stdio,
        status,
        output,
        disk,
        started,
        printed: 0,
        records: Vec::new(),
        verdict: None,
    };
    let watched = run.watch(cancel);
    let reaped = run.finish();
    drop(lifeline);
    drop(terminal);
    let usage = reaped?;
    watched?;
    run.outcome(plan, &usage)
}

fn io_error<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Io { what, source: source.into() }
}

/// Forks the sandbox's first process.
fn start(plan: &Plan, fds: &Descriptors) -> Result<i32, Error> {
    let mut flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    if !plan.network {
        flags |= libc::CLONE_NEWNET;
    }
    // The child must not run this process's signal handlers.
    let mask = sys::set_signal_mask(u64::MAX);
    // SAFETY: `init::run` is async-signal-safe and does not return.
    let forked = unsafe { sys::fork(flags as libc::c_ulong) };
    if forked == Ok(0) {
        init::run(plan, fds);
    }
    sys::set_signal_mask(mask);
    forked.map_err(|errno| match probe::explain(errno) {
        Some(unsupported) => Error::Unsupported(unsupported),
        None => Error::Setup {
            step: Step::Namespaces,
            subject: Default::default(),
            source: io::Error::from_raw_os_error(errno),
        },
    })
}

/// Why the parent ended the sandbox.
#[derive(Clone, Copy)]
enum Verdict {
    Limit(Limit),
    Cancelled,
}

/// CPU time and memory of all that ran.
struct Usage {
    status: ExitStatus,
    user: Duration,
    system: Duration,
    max_rss: u64,
}

/// A running sandbox.
struct Run<'a, 'b> {
    /// The first process, until it is reaped.
    init: Option<i32>,
    spec: &'a Spec,
    stdio: Stdio<'b>,
    status: OwnedFd,
    output: Option<OwnedFd>,
    disk: DiskWatch,
    started: Instant,
    printed: u64,
    records: Vec<u8>,
    verdict: Option<Verdict>,
}

impl Run<'_, '_> {
    /// Passes output on and watches limits until the first process has ended or was killed.
    fn watch(&mut self, cancel: &Cancel) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            let wall = self.spec.limits.wall.map(|limit| self.started + limit);
            if wall.is_some_and(|wall| now >= wall) {
                self.verdict = Some(Verdict::Limit(Limit::Wall));
                return Ok(());
            }
            if let Some(limit) = self.disk.check(now) {
                self.verdict = Some(Verdict::Limit(limit));
                return Ok(());
            }
            let next = wall.map_or(self.disk.next(), |wall| wall.min(self.disk.next()));
            let wait = next.saturating_duration_since(now);
            let wait =
                Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            let mut fds = vec![
                PollFd::new(&self.status, PollFlags::IN),
                PollFd::from_borrowed_fd(cancel.as_fd(), PollFlags::IN),
            ];
            if let Some(output) = &self.output {
                fds.push(PollFd::new(output, PollFlags::IN));
            }
            match poll(&mut fds, Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(io_error("wait for the command")(e)),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready.get(1) == Some(&true) {
                self.verdict = Some(Verdict::Cancelled);
                return Ok(());
            }
            if ready.get(2) == Some(&true) {
                self.pass_output()?;
                if matches!(self.verdict, Some(Verdict::Limit(_))) {
                    return Ok(());
                }
            }
            if ready.first() == Some(&true) && !self.read_record()? {
                return Ok(());
            }
        }
    }

    /// Reads what the first process reports; false at the end.
    fn read_record(&mut self) -> Result<bool, Error> {
        let mut buffer = [0u8; RECORD * 8];
        match rustix::io::read(&self.status, &mut buffer) {
            Ok(0) => Ok(false),
            Ok(n) => {
                self.records.extend(buffer.iter().take(n));
                Ok(true)
            }
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(e) => Err(io_error("hear from the sandbox")(e)),
        }
    }

    /// Passes some output on. At its end the descriptor is closed.
    fn pass_output(&mut self) -> Result<(), Error> {
        let Some(output) = &self.output else { return Ok(()) };
        let mut buffer = [0u8; 65536];
        match rustix::io::read(output, &mut buffer) {
            Ok(0) => self.output = None,
            Ok(n) => {
                let allowed = self.spec.limits.output.unwrap_or(u64::MAX) - self.printed;
                let take = usize::try_from(allowed).unwrap_or(usize::MAX).min(n);
                let bytes = buffer.get(..take).unwrap_or_default();
                match &mut self.stdio {
                    Stdio::Log(file) => {
                        file.write_all(bytes).map_err(io_error("write the log"))?;
                    }
                    Stdio::Stream(function) => function(bytes),
                    Stdio::Terminal => {}
                }
                self.printed += take as u64;
                if take < n {
                    self.output = None;
                    self.verdict = Some(Verdict::Limit(Limit::Output));
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(io_error("read the command's output")(e)),
        }
        Ok(())
    }

    /// Ends the first process if it still runs, reaps it, and passes the rest of the output on.
    fn finish(&mut self) -> Result<Usage, Error> {
        let usage = self.reap()?;
        while self.read_record()? {}
        if !matches!(self.verdict, Some(Verdict::Limit(Limit::Output))) {
            while self.output.is_some() {
                self.pass_output()?;
            }
        }
        Ok(usage)
    }

    fn reap(&mut self) -> Result<Usage, Error> {
        let Some(init) = self.init else {
            return Err(io_error("wait for the command")(io::Error::other("it is gone")));
        };
        // It is exiting by itself, which this does not change, or is to end now.
        kill(init);
        let mut status = 0;
        // SAFETY: rusage is a plain C structure for which zeros are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        loop {
            // SAFETY: both places are live.
            let n = unsafe { libc::wait4(init, &raw mut status, libc::__WALL, &raw mut usage) };
            if n == init {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                self.init = None;
                return Err(io_error("wait for the command")(error));
            }
        }
        self.init = None;
        let time = |t: libc::timeval| {
            Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64)
        };
        Ok(Usage {
            status: ExitStatus::from_raw(status),
            user: time(usage.ru_utime),
            system: time(usage.ru_stime),
            max_rss: usage.ru_maxrss as u64 * 1024,
        })
    }

    /// Makes sense of what was reported.
    fn outcome(&self, plan: &Plan, usage: &Usage) -> Result<Outcome, Error> {
        let mut status = None;
        let mut failure = None;
        for record in self.records.chunks_exact(RECORD) {
            let number = |at: usize| {
                let bytes = record.get(at..at + 4).and_then(|b| b.try_into().ok());
                u32::from_ne_bytes(bytes.unwrap_or_default())
            };
            match number(0) {
                ENDED => {
                    let ended = ExitStatus::from_raw(number(4) as i32);
                    status = Some(match ended.signal() {
                        Some(signal) => Status::Signal(signal),
                        None => Status::Exit(ended.code().unwrap_or(-1)),
                    });
                }
                TOO_MANY => status = Some(Status::Limit(Limit::Processes)),
                step => {
                    if let (None, Some(step)) = (&failure, Step::from_number(step)) {
                        failure = Some(setup_error(self.spec, plan, step, number(4), number(8)));
                    }
                }
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        let status = match (self.verdict, status) {
            (Some(Verdict::Cancelled), _) => return Err(Error::Cancelled),
            (Some(Verdict::Limit(limit)), _) => Status::Limit(limit),
            // It may have filled the disk, and failed, between two looks.
            (None, Some(status)) if status != Status::Exit(0) && self.disk.is_full() => {
                Status::Limit(Limit::DiskReserve)
            }
            (None, Some(status)) => status,
            (None, None) => {
                return Err(Error::Killed { signal: usage.status.signal().unwrap_or(0) });
            }
        };
        Ok(Outcome {
            status,
            cpu_user: usage.user,
            cpu_system: usage.system,
            wall: self.started.elapsed(),
            max_rss: usage.max_rss,
        })
    }
}

impl Drop for Run<'_, '_> {
    fn drop(&mut self) {
        // Only after a panic of the caller's own function is it still there.
        if self.init.is_some() {
            let _ = self.reap();
        }
    }
}

fn kill(pid: i32) {
    // SAFETY: no pointers. The process has not been reaped, so the id is still its own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

fn setup_error(spec: &Spec, plan: &Plan, step: Step, index: u32, errno: u32) -> Error {
    let source = io::Error::from_raw_os_error(errno as i32);
    let program = || spec.argv.first().cloned().unwrap_or_default().into();
    match step {
        Step::NoProgram => Error::NoProgram { program: program() },
        Step::NoInterpreter => Error::NoInterpreter { program: program() },
        Step::Directory => Error::NoDirectory { cwd: spec.cwd.clone(), source },
        _ => match probe::explain_step(step, errno as i32) {
            Some(unsupported) => Error::Unsupported(unsupported),
            None => Error::Setup { step, subject: plan.subject(step, index), source },
        },
    }
}

/// The state of the caller's terminal, restored when dropped.
struct Terminal {
    settings: rustix::termios::Termios,
    group: rustix::process::Pid,
}

impl Terminal {
    fn save() -> Option<Self> {
        let stdin = io::stdin();
        let settings = rustix::termios::tcgetattr(&stdin).ok()?;
        let group = rustix::termios::tcgetpgrp(&stdin).ok()?;
        Some(Self { settings, group })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let stdin = io::stdin();
        // A background process that sets the terminal is stopped, unless it blocks the signal.
        let mask = sys::set_signal_mask(1 << (libc::SIGTTOU - 1));
        // If the terminal is gone, there is nothing to restore.
        let _ = rustix::termios::tcsetpgrp(&stdin, self.group);
        let _ = rustix::termios::tcsetattr(
            &stdin,
            rustix::termios::OptionalActions::Drain,
            &self.settings,
        );
        sys::set_signal_mask(mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way of mounting that kernels before 6.5 need works on newer ones too.
    #[test]
    fn layers_mount_without_lowerdir_plus() {
        let busybox = std::path::Path::new("/bin/busybox");
        assert!(busybox.exists(), "/bin/busybox is missing: install Debian's busybox-static");
        let dir = tempfile::tempdir().unwrap();
        let mut layers = Vec::new();
        for i in 0..200 {
            let layer = dir.path().join(format!("a-rather-long-name-of-a-layer,with:traps-{i}"));
            std::fs::create_dir(&layer).unwrap();
            std::fs::write(layer.join(format!("file-{i}")), "").unwrap();
            std::fs::write(layer.join("top"), i.to_string()).unwrap();
            layers.push(layer);
        }
        // By another process: one that a thread starts meanwhile would hold our descriptor, and
        // Linux runs no file that someone may write.
        let copied =
            std::process::Command::new("cp").arg(busybox).arg(dir.path().join(&layers[0])).status();
        assert!(copied.unwrap().success());
        let (upper, work) = (dir.path().join("upper"), dir.path().join("work"));
        std::fs::create_dir(&upper).unwrap();
        std::fs::create_dir(&work).unwrap();
        let script = "/busybox ls / | /busybox grep -c file-; /busybox cat /top; >/made";
        let spec = Spec::new(layers, upper.clone(), &work, ["/busybox", "sh", "-c", script]);
        let mut plan = Plan::new(&spec, false).unwrap();
        plan.old_overlay = true;
        let mut text = Vec::new();
        let mut collect = |bytes: &[u8]| text.extend_from_slice(bytes);
        let outcome =
            run_plan(&spec, &plan, Stdio::Stream(&mut collect), &Cancel::new().unwrap()).unwrap();
        assert_eq!(String::from_utf8_lossy(&text), "200\n199");
        assert_eq!(outcome.status, Status::Exit(0));
        assert!(upper.join("made").exists());
        crate::remove_tree(&work).unwrap();
    }
}
