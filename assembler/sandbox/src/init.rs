//! The sandbox's first process, and the last steps of the command's own before it executes.
//!
//! Everything here runs after a fork of a process with threads, so it is async-signal-safe.

use std::ffi::c_int;

use crate::Step;
use crate::plan::{Descriptors, Plan};
use crate::setup::{self, During, Failure};
use crate::sys;

/// What the child reports: a record of three numbers, native-endian.
pub(crate) const RECORD: usize = 12;
/// A record's first number when the command ended; then the wait status, then 0.
pub(crate) const ENDED: u32 = 0x1_0000;
/// A record's first number when the command was killed for its number of processes.
pub(crate) const TOO_MANY: u32 = 0x1_0001;

/// How often init counts processes, in milliseconds.
const COUNT_EVERY: c_int = 200;
/// How many times in a row the limit must be reached: short peaks are no fork bombs.
const COUNTS: u32 = 5;

fn report(status: c_int, a: u32, b: u32, c: u32) {
    let mut record = [0u8; RECORD];
    for (place, value) in record.chunks_exact_mut(4).zip([a, b, c]) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
    // If the parent is gone, no one is left to tell.
    let _ = sys::write_all(status, &record);
}

fn fail(status: c_int, failure: &Failure) -> ! {
    report(status, failure.step as u32, failure.index, failure.errno as u32);
    sys::exit(125)
}

/// Is the sandbox's first process: builds it, starts the command, reaps what ends.
///
/// When it exits, the kernel kills all that is left in its pid namespace.
pub(crate) fn run(plan: &Plan, fds: &Descriptors) -> ! {
    match start(plan, fds) {
        Ok(command) => watch(plan, fds, command),
        Err(failure) => fail(fds.status, &failure),
    }
}

fn start(plan: &Plan, fds: &Descriptors) -> Result<c_int, Failure> {
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as _, 0).during(Step::Lifeline, 0)?;
    if lifeline_cut(fds.lifeline, 0) {
        // The parent ended before the line above took effect.
        sys::exit(125);
    }
    close_others(&fds.keep).during(Step::Descriptors, 0)?;
    if !plan.terminal {
        // So that no descriptor made below gets a standard one's number.
        for standard in 0..3 {
            sys::dup2(fds.output, standard).during(Step::Descriptors, 1)?;
        }
        sys::setsid().during(Step::Lifeline, 1)?;
    }
    sys::reset_signals();
    sys::umask(0);
    setup::build(plan)?;
    // Nothing of init's memory, descriptors or root can be reached through /proc/1. Not earlier:
    // it takes the id maps away from an ordinary user.
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0).during(Step::Lifeline, 2)?;
    hide_arguments(plan);
    sys::set_name(c"stagex-init");

    // SAFETY: `command` is async-signal-safe.
    match unsafe { sys::fork(0) }.during(Step::Fork, 0)? {
        0 => {
            let failure = command(plan, fds);
            fail(fds.status, &failure)
        }
        command => {
            for (fd, _) in &fds.passed {
                sys::close(*fd);
            }
            Ok(command)
        }
    }
}

/// Tells whether the parent is gone, waiting for at most the given milliseconds.
fn lifeline_cut(lifeline: c_int, timeout: c_int) -> bool {
    let mut fds = [libc::pollfd { fd: lifeline, events: 0, revents: 0 }];
    matches!(sys::poll(&mut fds, timeout), Ok(n) if n > 0)
}

/// Closes all descriptors but the ones kept, which are sorted.
fn close_others(keep: &[c_int]) -> sys::Sys<()> {
    let mut next = 0;
    for &fd in keep {
        let fd = fd as u32;
        if fd > next {
            sys::close_range(next, fd - 1)?;
        }
        next = fd + 1;
    }
    sys::close_range(next, u32::MAX)
}

/// Overwrites the arguments of the program that this process was forked from: everyone inside
/// may read /proc/1/cmdline.
fn hide_arguments(plan: &Plan) {
    let Some((start, end)) = plan.arguments else { return };
    let name = b"stagex-init";
    for (index, address) in (start..end).enumerate() {
        let byte = name.get(index).copied().unwrap_or(0);
        // SAFETY: the kernel reported this range as the arguments' place on the stack, which is
        // mapped and writable for the life of the process. This is the child's own copy, and no
        // Rust reference to it is used in the child.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(byte) };
    }
}

/// Waits for the command, reaping all that ends, then exits.
fn watch(plan: &Plan, fds: &Descriptors, command: c_int) -> ! {
    if !plan.terminal {
        // The command's output ends when the command's processes have ended.
        for standard in 0..3 {
            sys::close(standard);
        }
        sys::close(fds.output);
    }
    // Signals have been blocked since before the fork. An ended child that is noticed late only
    // costs one timeout, so a failure here is none.
    let children = sys::child_signalfd().unwrap_or(-1);
    let proc = sys::open(sys::AT_FDCWD, c"/proc", libc::O_RDONLY | libc::O_DIRECTORY, 0);
    let mut over = 0;
    loop {
        loop {
            match sys::reap() {
                Ok(Some((pid, status))) if pid == command => {
                    report(fds.status, ENDED, status as u32, 0);
                    sys::exit(0);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                // The command is a child until it is reaped.
                Err(_) => sys::exit(125),
            }
        }
        let mut polled = [
            libc::pollfd { fd: children, events: libc::POLLIN, revents: 0 },
            libc::pollfd { fd: fds.lifeline, events: 0, revents: 0 },
        ];
        let ready = sys::poll(&mut polled, COUNT_EVERY);
        if polled[1].revents != 0 {
            sys::exit(125);
        }
        if polled[0].revents != 0 {
            let mut info = [0u8; 128];
            while sys::read(children, &mut info).is_ok_and(|n| n > 0) {}
        }
        let due = !matches!(ready, Ok(n) if n > 0) || over > 0;
        if let (true, Ok(proc)) = (due, proc) {
            // Init and a process that has not been reaped do not count.
            let many = count_processes(proc) > plan.processes;
            over = if many { over + 1 } else { 0 };
            if over >= COUNTS {
                report(fds.status, TOO_MANY, 0, 0);
                sys::exit(0);
            }
        }
    }
}

/// Counts the entries of /proc that are numbers.
fn count_processes(proc: c_int) -> u64 {
    sys::rewind(proc);
    let mut buffer = [0u8; 16384];
    let mut count = 0;
    while let Ok(n) = sys::getdents(proc, &mut buffer) {
        if n == 0 {
            break;
        }
        let mut rest = buffer.get(..n).unwrap_or_default();
        // struct linux_dirent64: inode 8, offset 8, length 2, type 1, name.
        while let (Some(&[low, high]), Some(first)) = (rest.get(16..18), rest.get(19)) {
            count += u64::from(first.is_ascii_digit());
            let length = usize::from(u16::from_ne_bytes([low, high])).max(1);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    count
}

/// Becomes the command; returns only when that failed.
fn command(plan: &Plan, fds: &Descriptors) -> Failure {
    match prepare(plan, fds) {
        Ok(()) => execute(plan),
        Err(failure) => failure,
    }
}

fn prepare(plan: &Plan, fds: &Descriptors) -> Result<(), Failure> {
    if plan.terminal {
        sys::take_terminal(0).during(Step::Terminal, 0)?;
    } else {
        let null = sys::open(sys::AT_FDCWD, c"/dev/null", libc::O_RDONLY, 0)
            .during(Step::Descriptors, 2)?;
        sys::dup2(null, 0).during(Step::Descriptors, 2)?;
        sys::setsid().during(Step::Descriptors, 3)?;
    }
    sys::umask(0o022);
    for (index, (resource, limit)) in plan.rlimits.iter().enumerate() {
        sys::setrlimit(*resource, limit).during(Step::Limit, index)?;
    }
    for (fd, number) in &fds.passed {
        sys::dup2(*fd, *number).during(Step::Descriptors, 4)?;
    }
    sys::personality(plan.persona).during(Step::Personality, 0)?;
    // Before capabilities go: a directory without permissions is root's to enter.
    sys::chdir(&plan.cwd).during(Step::Directory, 0)?;
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).during(Step::Capabilities, 0)?;
    for capability in 0..64 {
        if plan.capabilities & (1 << capability) == 0 {
            match sys::prctl(libc::PR_CAPBSET_DROP, capability, 0) {
                Ok(()) => {}
                // The last one that this kernel knows has been passed.
                Err(libc::EINVAL) => break,
                Err(errno) => return Err(errno).during(Step::Capabilities, 1),
            }
        }
    }
    sys::capset(plan.capabilities).during(Step::Capabilities, 2)?;
    sys::seccomp(&plan.filter).during(Step::Filter, 0)?;
    // Whatever is open besides the standard ones and those passed closes at execution.
    sys::set_signal_mask(0);
    Ok(())
}

fn execute(plan: &Plan) -> Failure {
    let mut failure = Failure { step: Step::NoProgram, index: 0, errno: libc::ENOENT };
    for (index, program) in plan.programs.iter().enumerate() {
        let index = index as u32;
        // SAFETY: both arrays are null-terminated and live as long as the plan.
        let errno = unsafe { sys::execve(program, plan.argv.as_ptr(), plan.envp.as_ptr()) };
        match errno {
            libc::ENOENT if sys::exists(program) => {
                return Failure { step: Step::NoInterpreter, index, errno };
            }
            libc::ENOENT | libc::ENOTDIR => {}
            // As execvp(3): a later one may do.
            libc::EACCES => failure = Failure { step: Step::Exec, index, errno },
            _ => return Failure { step: Step::Exec, index, errno },
        }
    }
    failure
}
