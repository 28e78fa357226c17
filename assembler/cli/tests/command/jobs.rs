//! Jobs: packages and the makes that they run share one pool.

use std::{fs, path::Path, process::Command};

use crate::support::{Project, copy_program, source, tar};

/// Adds the package `core-make`: what `core-base` has, and the machine's own GNU make.
pub(crate) fn add_make(project: &Project) {
    let make = Path::new("/usr/bin/make");
    assert!(make.exists(), "/usr/bin/make is missing: install Debian's make");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("bin")).unwrap();
    copy_program(make, &folder.path().join("bin/make"));
    let listed = Command::new("ldd").arg(make).output().unwrap();
    // The lines that name a file: `libc.so.6 => /lib/… (0x…)`, `/lib64/ld-linux… (0x…)`.
    for line in String::from_utf8(listed.stdout).unwrap().lines() {
        let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) else {
            continue;
        };
        let to = folder.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        copy_program(Path::new(path), &to);
    }
    let bytes = tar(folder.path(), &["."], &["--mode=u+rwx,go+rx"]);
    fs::write(project.mirror.join("make-1.tar"), &bytes).unwrap();
    project.package(
        "make",
        &source("make", "make-1.tar", &bytes),
        "FROM stagex/core-base\nADD fetch/make-1.tar /\n",
    );
}

/// A package whose make does `jobs` jobs, each of which says when it begins and ends.
fn add_sleeper(project: &Project, name: &str, jobs: usize) {
    let goals: Vec<String> = (0..jobs).map(|job| format!("job{job}")).collect();
    let goals = goals.join(" ");
    project.write(
        &format!("core/{name}/Makefile"),
        &format!(
            "all: {goals}\n{goals}:\n\t@read up idle </proc/uptime; echo \"begin $$up\"\n\
             \t@sleep 0.3\n\t@read up idle </proc/uptime; echo \"end $$up\"\n"
        ),
    );
    project.package(
        name,
        "",
        // Two that are the same would be one step.
        &format!("FROM stagex/core-make\nCOPY Makefile /\nRUN make && echo {name} >/done\n"),
    );
}

/// The most jobs at a time, and the seconds from the first to the last, as the logs tell.
#[track_caller]
fn measure(project: &Project, jobs: usize) -> (usize, f64) {
    let logs = project.logs();
    let mut events: Vec<(f64, i32)> = logs
        .lines()
        .filter_map(|line| {
            let (what, time) = line.split_once(' ')?;
            let change = match what {
                "begin" => 1,
                "end" => -1,
                _ => return None,
            };
            Some((time.parse().ok()?, change))
        })
        .collect();
    assert_eq!(events.len(), 2 * jobs, "{logs}");
    // A job is put back after its end was told; the clock has a hundred ticks in a second.
    events.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut running, mut most) = (0, 0);
    for (_, change) in &events {
        running += change;
        most = most.max(running);
    }
    let span = events.last().unwrap().0 - events[0].0;
    (usize::try_from(most).unwrap(), span)
}

#[test]
fn makes_of_two_packages_share_the_jobs() {
    let project = Project::new();
    add_make(&project);
    project.stagex(["build", "core-make"]).code(0);
    add_sleeper(&project, "one", 8);
    add_sleeper(&project, "other", 8);
    project.stagex(["-j", "2", "build", "core-one", "core-other"]).code(0);
    let (most, span) = measure(&project, 16);
    assert_eq!(most, 2);
    // 16 jobs of 0.3 s by twos take 2.4 s, one after the other 4.8 s.
    assert!(span < 4.0, "{span} s");
}

#[test]
fn what_one_package_leaves_another_takes() {
    let project = Project::new();
    add_make(&project);
    project.stagex(["build", "core-make"]).code(0);
    // Without another, one has all; and when the short one is done, the long one has its job.
    add_sleeper(&project, "long", 14);
    add_sleeper(&project, "short", 2);
    project.stagex(["-j", "3", "build", "core-long", "core-short"]).code(0);
    let (most, span) = measure(&project, 16);
    assert_eq!(most, 3);
    // By threes 1.8 s, and 2.4 s if the job of the short one were lost.
    assert!(span < 3.5, "{span} s");
    project.stagex(["-j", "1", "build", "core-long"]).code(0).says_nothing_of("RUN");
}

#[test]
fn the_number_of_jobs_does_not_show() {
    let project = Project::new();
    add_make(&project);
    let containerfile = "FROM stagex/core-make\nRUN env | sort >/environment; \
        ls -l /proc/self/fd | sed 's/.* \\([0-9]* ->\\).*/\\1/' >/descriptors\n";
    project.package("app", "", containerfile);
    let first = project.stagex(["-j", "1", "build", "core-app"]).code(0);
    let other = Project::at("another/place");
    add_make(&other);
    other.package("app", "", containerfile);
    let second = other.stagex(["-j", "7", "build", "core-app"]).code(0);
    assert_eq!(first.stdout, second.stdout);
    let text = fs::read_to_string(project.unpacked("core-app").join("environment")).unwrap();
    assert!(text.contains("MAKEFLAGS= -j1 --jobserver-auth=198,199\n"), "{text}");
    // A recipe that has flags of its own keeps them.
    project.package(
        "own",
        "",
        "FROM stagex/core-make\nENV MAKEFLAGS=-s\nRUN echo $MAKEFLAGS >/flags\n",
    );
    project.stagex(["build", "core-own"]).code(0);
    let text = fs::read_to_string(project.unpacked("core-own").join("flags")).unwrap();
    assert_eq!(text, "-s\n");
}

#[test]
fn a_make_that_was_killed_costs_no_jobs() {
    let project = Project::new();
    add_make(&project);
    project.stagex(["build", "core-make"]).code(0);
    add_sleeper(&project, "after", 8);
    let makefile = "all: 1 2 3 4\n1 2 3 4:\n\t@sleep 100\n";
    project.write("core/after/killed", makefile);
    project.package(
        "after",
        "",
        "FROM stagex/core-make\nCOPY Makefile killed /\n\
         RUN make -f killed & sleep 0.5; kill -9 $!; echo killed >/killed-it\n\
         RUN make\n",
    );
    project.stagex(["-j", "4", "build", "core-after"]).code(0);
    let (most, span) = measure(&project, 8);
    assert_eq!(most, 4);
    assert!(span < 2.0, "{span} s");
}
