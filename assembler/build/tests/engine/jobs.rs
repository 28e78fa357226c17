//! Packages and the makes that they run share one pool of jobs.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use stagex_oci::StepRecord;
use stagex_tree::Digest;

use crate::support::Packages;

/// A package whose make does `jobs` jobs, each of which says when it begins and ends.
fn add_sleeper(packages: &Packages, name: &str, jobs: usize) {
    let goals: Vec<String> = (0..jobs).map(|job| format!("job{job}")).collect();
    let goals = goals.join(" ");
    packages.write(
        &format!("core/{name}/Makefile"),
        &format!(
            "all: {goals}\n{goals}:\n\t@read up idle </proc/uptime; echo \"begin $$up\"\n\
             \t@sleep 1\n\t@read up idle </proc/uptime; echo \"end $$up\"\n"
        ),
    );
    // Two that are the same would be one step.
    let containerfile =
        format!("FROM stagex/core-base\nCOPY Makefile /\nRUN make && echo {name} >/done\n");
    packages.package(name, &containerfile);
}

/// The most jobs at a time, and the time that they took together over that from the first to the
/// last, as the logs tell.
#[track_caller]
fn measure(packages: &Packages, jobs: usize) -> (usize, f64) {
    let logs = packages.logs();
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
    let busy: f64 = events.iter().map(|(time, change)| -time * f64::from(*change)).sum();
    (usize::try_from(most).unwrap(), busy / span)
}

#[test]
fn makes_of_two_packages_share_the_jobs() {
    let packages = Packages::new();
    packages.build(2, &["core-base"]);
    add_sleeper(&packages, "one", 8);
    add_sleeper(&packages, "other", 8);
    packages.build(2, &["core-one", "core-other"]);
    let (most, at_once) = measure(&packages, 16);
    assert_eq!(most, 2);
    // Both are busy nearly all the time, however long a job took on this machine.
    assert!(at_once > 1.5, "{at_once} at once");
}

#[test]
fn what_one_package_leaves_another_takes() {
    let packages = Packages::new();
    packages.build(3, &["core-base"]);
    // Alone a make would have three jobs; beside another the rest; and all when that is done.
    add_sleeper(&packages, "long", 12);
    add_sleeper(&packages, "short", 2);
    packages.build(3, &["core-long", "core-short"]);
    let (most, at_once) = measure(&packages, 14);
    assert_eq!(most, 3);
    assert!(at_once > 2.2, "{at_once} at once");
}

#[test]
fn the_number_of_jobs_does_not_show() {
    let containerfile = "FROM stagex/core-base\nRUN env | sort >/environment\n";
    let built = [1, 7].map(|jobs| {
        let packages = Packages::new();
        packages.package("app", containerfile);
        let layers = packages.build(jobs, &["core-app"]).0["core-app"].clone();
        let text = packages.text(&layers, "environment");
        assert!(text.contains("MAKEFLAGS= -j1 --jobserver-auth=198,199\n"), "{text}");
        layers
    });
    assert_eq!(built[0], built[1]);
    // A recipe that has flags of its own keeps them.
    let packages = Packages::new();
    let own = "FROM stagex/core-base\nENV MAKEFLAGS=-s\nRUN echo $MAKEFLAGS >/flags\n";
    packages.package("own", own);
    let layers = packages.build(2, &["core-own"]).0["core-own"].clone();
    assert_eq!(packages.text(&layers, "flags"), "-s\n");
}

#[test]
fn a_make_that_was_killed_costs_no_jobs() {
    let packages = Packages::new();
    packages.build(3, &["core-base"]);
    add_sleeper(&packages, "after", 9);
    packages.write("core/after/killed", "all: 1 2 3\n1 2 3:\n\t@sleep 100\n");
    packages.package(
        "after",
        "FROM stagex/core-base\nCOPY Makefile killed /\n\
         RUN make -f killed & sleep 1; kill -9 $!; echo killed >/killed-it\nRUN make\n",
    );
    packages.build(3, &["core-after"]);
    let (most, at_once) = measure(&packages, 9);
    assert_eq!(most, 3);
    assert!(at_once > 2.0, "{at_once} at once");
}

#[test]
fn steps_that_need_too_much_memory_together_run_apart() {
    let needs = |packages: &Packages, memory: u64| {
        for name in ["one", "other"] {
            let command = format!("RUN sleep 1; echo {name} >/x");
            packages.package(name, &format!("FROM stagex/core-base\n{command}\n"));
            // What was measured once, by another version of the recipe.
            let fields = [
                ("package", format!("core-{name}")),
                ("step", command),
                ("wall_ms", "1000".to_owned()),
                ("cpu_ms", "1000".to_owned()),
                ("max_rss", memory.to_string()),
            ];
            let fields: BTreeMap<String, String> =
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            let record = StepRecord { fields, ..StepRecord::default() };
            packages.store.put_step(&Digest::of(name), &record).unwrap();
        }
    };
    for (memory, most) in [(600, 1), (500, 2)] {
        let mut packages = Packages::new();
        packages.memory = Some(1000);
        packages.build(2, &["core-base"]);
        needs(&packages, memory);
        let (_, steps) = packages.build(2, &["core-one", "core-other"]);
        assert_eq!(steps.most.load(Ordering::SeqCst), most, "{memory}");
    }
}
