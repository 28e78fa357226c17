//! Measures what a sandbox adds to a trivial command: `overhead <static busybox> [rounds]`.
//!
//! Prints the median of running `busybox true` directly and in a sandbox over ten layers, and
//! where they are installed, with `bwrap` on the same root. Upper directories are made anew for
//! each round, as a build makes them.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use stagex_sandbox::{Cancel, Spec, Stdio, remove_tree, run};

fn median(
    rounds: usize,
    mut once: impl FnMut() -> Result<Duration, Box<dyn Error>>,
) -> Result<Duration, Box<dyn Error>> {
    let mut times = (0..rounds).map(|_| once()).collect::<Result<Vec<_>, _>>()?;
    times.sort();
    Ok(times.get(rounds / 2).copied().unwrap_or_default())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let busybox = args.next().ok_or("usage: overhead <static busybox> [rounds]")?;
    let rounds = args.next().and_then(|a| a.to_str()?.parse().ok()).unwrap_or(200);
    let dir = std::env::temp_dir().join(format!("stagex-overhead-{}", std::process::id()));
    let layers: Vec<_> = (0..10).map(|i| dir.join(format!("layer-{i}"))).collect();
    for layer in &layers {
        fs::create_dir_all(layer)?;
    }
    let base = layers.first().ok_or("no layer")?;
    fs::copy(&busybox, base.join("busybox"))?;
    let (upper, work) = (dir.join("upper"), dir.join("work"));
    let cancel = Cancel::new()?;
    let spec = Spec::new(layers.clone(), &upper, &work, ["/busybox", "true"]);

    let timed = |command: &mut Command| -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        if !command.status()?.success() {
            return Err("the command failed".into());
        }
        Ok(start.elapsed())
    };
    let direct = median(rounds, || timed(Command::new(&busybox).arg("true")))?;
    let ours = median(rounds, || {
        fs::create_dir(&upper)?;
        fs::create_dir(&work)?;
        let start = Instant::now();
        let outcome = run(&spec, Stdio::Stream(&mut |_| {}), &cancel)?;
        let took = start.elapsed();
        remove_tree(&upper)?;
        remove_tree(&work)?;
        if outcome.status.success() { Ok(took) } else { Err("the command failed".into()) }
    })?;
    let mut out = std::io::stdout();
    writeln!(out, "direct   {direct:?}\nsandbox  {ours:?}")?;
    if Path::new("/usr/bin/bwrap").exists() {
        let bwrap = median(rounds, || {
            let mut command = Command::new("bwrap");
            command.args([
                "--unshare-all",
                "--die-with-parent",
                "--proc",
                "/proc",
                "--dev",
                "/dev",
            ]);
            timed(
                command
                    .arg("--ro-bind")
                    .arg(base.join("busybox"))
                    .args(["/busybox", "/busybox", "true"]),
            )
        })?;
        let ratio = bwrap.as_secs_f64() / ours.as_secs_f64();
        writeln!(out, "bwrap    {bwrap:?}  ({ratio:.2} of the sandbox's)")?;
    }
    remove_tree(&dir)?;
    Ok(())
}
