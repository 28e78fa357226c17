//! The store: its size, its cleaning, and disks that are full or cannot be written to.

use std::{fs, process::Command};

use crate::support::{Project, Running, eventually, run, stagex};

/// `stagex` in a mount namespace of its own, after `script`, whose `$0` is the project's folder.
fn mounted(project: &Project, script: &str, arguments: &[&str]) -> crate::support::Ended {
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", &format!("set -e\n{script}\nexec \"$@\"")]);
    command.arg(project.folder()).arg(stagex());
    run(&mut project.command_of(command, arguments.iter().copied()))
}

fn number(text: &str, unit: &str) -> u64 {
    let before = text.split(unit).next().unwrap();
    before.split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn gc_keeps_what_is_needed_and_frees_the_rest() {
    let project = Project::new();
    let app = |text: &str| {
        let text = format!("FROM stagex/core-base\nRUN dd if=/dev/zero of=/{text} bs=1M count=3\n");
        project.package("app", "", &text);
    };
    app("old");
    project.stagex(["build", "core-app"]).code(0);
    app("new");
    let built = project.stagex(["build", "core-app"]).code(0);
    let before = project.stagex(["store", "du"]).code(0).stdout;
    assert!(before.contains(project.cache.join("store").to_str().unwrap()), "{before}");
    let freed = project.stagex(["store", "gc"]).code(0).stdout;
    assert!(freed.starts_with("3.0 MiB freed: 1 layers"), "{freed}");
    let after = project.stagex(["store", "du"]).code(0).stdout;
    assert_eq!(number(&before, " steps") - 1, number(&after, " steps"), "{before}{after}");
    let again = project.stagex(["build", "core-app"]).code(0).says_nothing_of("RUN");
    assert_eq!(again.stdout, built.stdout);
    project.unpacked("core-app");
    // A second cleaning finds nothing.
    let freed = project.stagex(["store", "gc"]).code(0).stdout;
    assert!(freed.starts_with("0.0 MiB freed: 0 layers"), "{freed}");
    app("old");
    project.stagex(["build", "core-app"]).code(0).says(&["RUN dd"]);
}

#[test]
fn gc_waits_for_no_build_and_disturbs_none() {
    let project = Project::new();
    project.package("app", "", "FROM stagex/core-base\nRUN echo begun; sleep 3\n");
    let running = Running::start(&mut project.command(["build", "core-app"]));
    eventually("the step", || project.logs().contains("begun").then_some(()));
    project.command(["store", "gc"]);
    run(&mut project.command(["store", "gc"])).code(1).says(&["store"]);
    running.wait().code(0);
    project.stagex(["store", "gc"]).code(0);
}

#[test]
fn a_cache_that_cannot_be_written_to() {
    let project = Project::new();
    let read_only = "mount --bind \"$0/cache\" \"$0/cache\"; mount -o remount,bind,ro \"$0/cache\"";
    let ended = mounted(&project, read_only, &["build", "core-base"]).code(1);
    ended.says(&["Read-only file system", "--cache"]).says_nothing_of("panicked");
    assert_eq!(project.paths(&project.cache), Vec::<String>::new());
    project.stagex(["build", "core-base"]).code(0);
    assert_eq!(project.processes(), Vec::<String>::new());
}

#[test]
fn a_disk_that_fills_up() {
    let project = Project::new();
    project.package(
        "app",
        "",
        "FROM stagex/core-base\nRUN dd if=/dev/zero of=/big bs=1M count=400\n",
    );
    // So much more than what must stay free that the step can begin.
    let tmpfs = |megabytes: u32| format!("mount -t tmpfs -o size={megabytes}m none \"$0/cache\"");
    let ended = mounted(&project, &tmpfs(300), &["build", "core-app"]).code(1);
    ended.says(&["core-app: step 1 of 1", "the disk is almost full"]);
    // Not even the sources fit.
    let ended = mounted(&project, &tmpfs(1), &["build", "core-app"]).code(1);
    ended.says(&["No space left on device", "free some space"]).says_nothing_of("panicked");
    assert_eq!(project.processes(), Vec::<String>::new());
    assert_eq!(project.paths(&project.cache), Vec::<String>::new());
}

#[test]
fn a_project_that_cannot_be_written_to() {
    let project = Project::new();
    let script = "mount --bind \"$0/project\" \"$0/project\"; \
                  mount -o remount,bind,ro \"$0/project\"; cd \"$0/project\"";
    let ended = mounted(&project, script, &["build", "core-base"]).code(1);
    ended.says(&["out", "Read-only file system"]);
    // The build itself is done, and needs no output.
    mounted(&project, script, &["build", "--no-layout", "core-base"])
        .code(0)
        .says_nothing_of("to build");
}

#[test]
fn a_damaged_source_in_the_cache_is_fetched_anew() {
    let project = Project::new();
    project.stagex(["fetch"]).code(0);
    let cached = project.cached_sources();
    let path = project.cache.join("sources").join(&cached[0]);
    fs::write(&path, "damaged").unwrap();
    project.stagex(["build", "core-base"]).code(0);
    assert!(fs::metadata(path).unwrap().len() > 1_000_000);
}
