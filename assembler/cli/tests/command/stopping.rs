//! Builds that are stopped or killed: nothing runs on, and nothing finished is lost.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Project, Running, eventually, processes};

/// A step that is finished, and one that waits: for so many seconds, by which it is known.
fn project(seconds: u32) -> Project {
    let project = Project::new();
    project.package(
        "app",
        "",
        &format!(
            "FROM stagex/core-base\nRUN echo finished > /finished\n\
             RUN (sleep {seconds} & setsid sleep {seconds} & sleep {seconds} & wait) || true; \
             echo waiting; sleep {seconds}\n"
        ),
    );
    project
}

fn sleepers(seconds: u32) -> Vec<String> {
    processes(&format!("sleep {seconds}"))
        .into_iter()
        .filter(|line| line.trim_end() == format!("sleep {seconds}"))
        .collect()
}

/// Starts a build and waits until its long step runs.
fn begin(project: &Project, seconds: u32) -> Running {
    let running = Running::start(&mut project.command(["build", "core-app"]));
    eventually("the long step", || (sleepers(seconds).len() >= 2).then_some(()));
    running
}

/// Builds on, with the long step made short.
fn goes_on(project: &Project, seconds: u32) {
    let path = project.root.join("core/app/Containerfile");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&format!("sleep {seconds}"), "sleep 0")).unwrap();
    let ended = project.stagex(["build", "core-app"]).code(0);
    ended.says(&["sleep 0"]).says_nothing_of("RUN echo finished");
}

#[test]
fn ctrl_c_stops_all_and_the_next_run_goes_on() {
    for (seconds, signal) in [(970_001, Signal::INT), (970_002, Signal::TERM)] {
        let project = project(seconds);
        let running = begin(&project, seconds);
        let start = Instant::now();
        running.signal(signal);
        let ended = running.wait().code(130);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        let ended = ended.says(&["stopped; what was finished is kept"]);
        assert_eq!(ended.stderr.matches("stopped").count(), 1, "{}", ended.stderr);
        assert_eq!(sleepers(seconds), Vec::<String>::new());
        assert_eq!(project.processes(), Vec::<String>::new());
        assert_eq!(project.paths(&project.cache.join("store/tmp")), Vec::<String>::new());
        goes_on(&project, seconds);
    }
}

#[test]
fn a_kill_leaves_no_process_and_a_store_that_works() {
    let project = project(970_003);
    let running = begin(&project, 970_003);
    running.signal(Signal::KILL);
    assert_eq!(running.wait().status.code(), None);
    eventually("the end of all processes", || {
        (sleepers(970_003).is_empty() && project.processes().is_empty()).then_some(())
    });
    goes_on(&project, 970_003);
    // What the killed run had begun is cleared away.
    project.stagex(["store", "gc"]).code(0);
    assert_eq!(project.paths(&project.cache.join("store/tmp")), Vec::<String>::new());
}

#[test]
fn two_builds_at_a_time_share_what_they_do() {
    let project = Project::new();
    project.package("app", "", "FROM stagex/core-base\nRUN sleep 1; echo x > /x\n");
    let one = Running::start(&mut project.command(["build", "core-app"]));
    let two = Running::start(&mut project.command(["build", "core-app"]));
    let (one, two) = (one.wait().code(0), two.wait().code(0));
    assert_eq!(one.stdout, two.stdout);
    project.unpacked("core-app");
}

#[test]
fn kills_at_any_moment_lose_no_finished_step() {
    const STEPS: usize = 40;
    let project = || {
        let project = Project::new();
        let steps: String = (0..STEPS).map(|at| format!("RUN echo {at} > /step-{at}-\n")).collect();
        project.package("app", "", &format!("FROM stagex/core-base\n{steps}"));
        project
    };
    let interrupted = project();
    let mut started = String::new();
    // Moments by what has been done, not by the clock: a slow machine must not change them.
    let logs = interrupted.root.join("out/logs/core-app");
    let kills = [1, 2, 7, 19, 33];
    for count in kills {
        let running = Running::start(&mut interrupted.command(["build", "core-app"]));
        eventually("some steps", || {
            let logs = std::fs::read_dir(&logs).ok()?.count();
            (logs >= count).then_some(())
        });
        running.signal(Signal::KILL);
        started += &running.wait().stderr;
    }
    let ended = interrupted.stagex(["build", "core-app"]).code(0);
    started += &ended.stderr;
    for at in 0..STEPS {
        assert!(started.contains(&format!("/step-{at}-")), "step {at} never ran:\n{started}");
    }
    // Only the one that ran when the kill came is run again.
    let all = started.lines().filter(|line| line.contains("RUN echo ")).count();
    assert!(all <= STEPS + kills.len(), "{all} steps ran:\n{started}");
    assert_eq!(ended.stdout, project().stagex(["build", "core-app"]).code(0).stdout);
}
