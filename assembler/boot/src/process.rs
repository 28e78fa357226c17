//! A child process that ends with its owner.

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::Path,
    process::ExitStatus,
    time::{Duration, Instant},
};

use rustix::{
    fd::OwnedFd,
    pipe::{PipeFlags, pipe_with},
};

/// Runs a program, and kills it once standard input ends.
///
/// Standard input is a pipe whose other end only the owner holds, so it ends when the owner lets
/// go of it or dies, of whatever cause. The watcher is killed when the program ends first, and has
/// gone before the shell ends: nothing is left then.
const WATCH: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
(read -r _ <&3; kill -KILL "$program" 2>/dev/null) </dev/null >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$program"
status=$?
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
exit "$status"
"#;

/// How often a running process is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// A running child; dropping it kills it and waits for its end.
pub(crate) struct Guarded {
    handle: duct::Handle,
    leash: Option<OwnedFd>,
}

impl Guarded {
    /// Starts `program` in the folder `dir`; what it writes goes to `log`.
    pub(crate) fn spawn(
        program: &Path,
        args: &[String],
        dir: &Path,
        log: File,
    ) -> io::Result<Self> {
        let (input, leash) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut all: Vec<OsString> = ["-c", WATCH, "stagex-boot"].map(OsString::from).into();
        all.push(program.into());
        all.extend(args.iter().map(OsString::from));
        let handle = duct::cmd("/bin/sh", all)
            .dir(dir)
            .stdin_file(input)
            // duct applies the last redirection first.
            .stderr_to_stdout()
            .stdout_file(log)
            .unchecked()
            .start()?;
        Ok(Self { handle, leash: Some(leash) })
    }

    /// The exit status, where it has ended.
    pub(crate) fn status(&self) -> io::Result<Option<ExitStatus>> {
        Ok(self.handle.try_wait()?.map(|output| output.status))
    }

    /// Waits for its end, but no longer than `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        let start = Instant::now();
        loop {
            let status = self.status()?;
            if status.is_some() || start.elapsed() >= timeout {
                return Ok(status);
            }
            std::thread::sleep(TICK);
        }
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.leash = None;
        // The watcher needs a moment at most; past that, there is nothing that would help.
        let _ = self.wait(Duration::from_secs(10));
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn(script: &str, folder: &Path) -> Guarded {
        let log = File::create(folder.join("log")).unwrap();
        let args = ["-c".to_owned(), script.to_owned()];
        Guarded::spawn(Path::new("/bin/sh"), &args, folder, log).unwrap()
    }

    #[test]
    fn the_status_and_the_output_come_through() {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn("echo here; pwd; echo there >&2; exit 7", folder.path());
        let status = child.wait(Duration::from_secs(20)).unwrap().unwrap();
        assert_eq!(status.code(), Some(7));
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(log.starts_with("here\n/") && log.ends_with("\nthere\n"), "{log}");
    }

    #[test]
    fn dropping_kills_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn("echo $$ > pid; exec sleep 600", folder.path());
        let pid = folder.path().join("pid");
        while std::fs::read_to_string(&pid).map_or(true, |text| !text.ends_with('\n')) {
            std::thread::sleep(TICK);
        }
        let start = Instant::now();
        drop(child);
        assert!(start.elapsed() < Duration::from_secs(5));
        let pid = std::fs::read_to_string(&pid).unwrap();
        let proc = Path::new("/proc").join(pid.trim());
        let gone = |proc: &Path| {
            std::fs::read_to_string(proc.join("status")).map_or(true, |s| s.contains("State:\tZ"))
        };
        assert!(gone(&proc), "{} still runs", proc.display());
    }
}
