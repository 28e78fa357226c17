//! Nothing outlives the sandbox, however it ends.

use std::fs;
use std::process::{Command, Stdio as Pipe};
use std::time::{Duration, Instant};

use stagex_sandbox::{Cancel, Error, Status, Stdio, run};

use crate::support::{Root, processes_with};

const VICTIM: &str = "STAGEX_SANDBOX_TEST_VICTIM";

/// A number of seconds to sleep that marks this process's sandboxes.
fn mark(test: u32) -> String {
    format!("{}{test:02}", 10_000_000 + std::process::id())
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn daemons_end_with_the_command() {
    let mut root = Root::new();
    let mark = mark(1);
    let (status, text) = root
        .script(&format!(
            "(trap '' TERM HUP INT; setsid sh -c 'sleep {mark} & echo >/ready; sleep {mark}' & ) ; \
             while ! [ -e /ready ]; do sleep 0.01; done; echo started"
        ))
        .run();
    assert_eq!((status, text.as_str()), (Status::Exit(0), "started\n"));
    assert_eq!(processes_with(&mark), 0);
}

#[test]
fn orphans_are_reaped_while_the_command_runs() {
    let mut root = Root::new();
    let text = root.sh(
        "i=0; while [ $i -lt 50 ]; do (true & ) ; i=$((i+1)); done; \
         n=0; while ps | grep -q '[Z]  *\\['; do n=$((n+1)); [ $n -gt 100 ] && exit 1; sleep 0.05; done; \
         echo clean",
    );
    assert_eq!(text, "clean\n");
}

#[test]
fn cancelling_kills_everything_at_once() {
    let mut root = Root::new();
    let mark = mark(2);
    root.script(&format!("trap '' TERM INT; sleep {mark} & echo ready; sleep {mark}"));
    let cancel = Cancel::new().unwrap();
    let thrower = cancel.clone();
    let mut text = Vec::new();
    let mut thrown = None;
    let mut collect = |bytes: &[u8]| {
        text.extend_from_slice(bytes);
        thrower.cancel();
        thrown = Some(Instant::now());
    };
    let result = run(&root.spec, Stdio::Stream(&mut collect), &cancel);
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert!(cancel.is_cancelled());
    assert!(thrown.unwrap().elapsed() < Duration::from_secs(5));
    assert_eq!(text, b"ready\n");
    assert_eq!(processes_with(&mark), 0);
    // What is cancelled already does not run.
    root.fresh();
    let result = run(&root.spec, Stdio::Stream(&mut |_| {}), &cancel);
    assert!(matches!(result, Err(Error::Cancelled)));
}

#[test]
fn a_panicking_listener_leaves_no_process() {
    let mut root = Root::new();
    let mark = mark(3);
    root.script(&format!("echo x; sleep {mark}"));
    let result = std::panic::catch_unwind(|| {
        let _ =
            run(&root.spec, Stdio::Stream(&mut |_| panic!("on purpose")), &Cancel::new().unwrap());
    });
    assert!(result.is_err());
    assert_eq!(processes_with(&mark), 0);
}

/// When the caller is killed, its sandboxes go with it.
#[test]
fn a_killed_caller_leaves_no_process() {
    let mark = mark(4);
    let dir = crate::support::open_temp_dir();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::victim", "--ignored", "--nocapture"])
        .env(VICTIM, &mark)
        .env("TMPDIR", dir.path())
        .stdout(Pipe::null())
        .stderr(Pipe::null())
        .spawn()
        .unwrap();
    wait_until("the sandbox starts", || processes_with(&mark) >= 2);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("its processes end", || processes_with(&mark) == 0);
    for entry in fs::read_dir(dir.path()).unwrap() {
        stagex_sandbox::remove_tree(&entry.unwrap().path()).unwrap();
    }
}

/// Runs until it is killed.
#[test]
#[ignore = "is killed by another test, which starts it"]
fn victim() {
    let mark = std::env::var(VICTIM).expect("started by hand");
    let mut root = Root::new();
    root.script(&format!(
        "setsid sh -c 'trap \"\" HUP TERM; sleep {mark}; sleep {mark}' & sleep {mark}"
    ));
    let _ = root.run();
}
