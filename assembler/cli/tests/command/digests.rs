//! The lock: packages give what is locked, twice and anywhere, or it is said what differs.

use std::fs;

use crate::{support::Project, toolchains};

/// A project with a package `core-app` that copies a file.
fn project() -> Project {
    let project = Project::new();
    project.write("core/app/text", "one\ntwo\nthree\n");
    project.package(
        "app",
        "",
        "FROM stagex/core-base AS build\nCOPY text /\nRUN mkdir /out; sort /text >/out/sorted\n\
         FROM scratch\nCOPY --from=build /out /\n",
    );
    project
}

fn read(project: &Project, path: &str) -> String {
    fs::read_to_string(project.root.join(path)).unwrap()
}

#[test]
fn what_is_locked_is_compared() {
    let project = project();
    project.stagex(["digests"]).code(2).says(&["nothing is locked in digests/", "--update"]);
    project.stagex(["digests", "core-app"]).code(3).says(&["core-app: is not locked; it is "]);
    let built = project.stagex(["build", "--no-layout", "core-app"]).code(0);
    let locked = project.stagex(["digests", "--update", "core-app"]).code(0);
    assert!(locked.stdout.contains("digests/core.txt is written"), "{}", locked.stdout);
    // The lines are those that `stagex build` prints.
    assert_eq!(read(&project, "digests/core.txt"), built.stdout);
    let same = project.stagex(["digests"]).code(0);
    assert_eq!(same.stdout, "1 packages have the digests that digests/ has\n");
    same.says_nothing_of("RUN");

    // The first file that differs is named, and where.
    project.write("core/app/text", "one\ntwo\nThree\n");
    let expected = built.stdout.split(' ').next().unwrap().to_owned();
    project.stagex(["digests"]).code(3).says(&[
        &format!("core-app: locked is {expected}, built was "),
        "/sorted differs from byte 0 on",
    ]);
    // What was locked is kept until something else is, so that it can be said again.
    project.stagex(["store", "gc"]).code(0);
    project.stagex(["digests", "core-app"]).code(3).says(&["/sorted differs from byte 0 on"]);
    let update = project.stagex(["digests", "--update"]).code(0);
    assert!(update.stdout.contains(&format!(", was {expected}")), "{}", update.stdout);
    project.stagex(["digests"]).code(0);
    // A lock from elsewhere: there is nothing to look into.
    let text = read(&project, "digests/core.txt");
    project.write("digests/core.txt", &format!("{} core-app\n", "0".repeat(64)));
    project.stagex(["digests"]).code(3).says(&["what was locked is not in the store"]);
    project.write("digests/core.txt", &format!("{text}{} core-gone\n", "0".repeat(64)));
    project.stagex(["digests"]).code(2).says(&["core-gone is locked", "no such package"]);
    project.write("digests/core.txt", &format!("{text}xyz\n"));
    project.stagex(["digests"]).code(2).says(&["core.txt:2: a line is"]);
}

#[test]
fn architectures_are_locked_side_by_side() {
    let project = Project::new();
    let containerfile = "FROM stagex/core-base\nARG TARGETARCH\nRUN echo $TARGETARCH >/arch\n";
    project.package("app", "", containerfile);
    project.stagex(["digests", "--update", "core-app"]).code(0);
    project.stagex(["digests", "--update", "core-app", "--arch", "arm64"]).code(0);
    let text = read(&project, "digests/core.txt");
    let names: Vec<&str> = text.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(names, ["arm64/core-app", "core-app"]);
    let same = project.stagex(["digests"]).code(0);
    assert!(same.stdout.starts_with("2 packages have"), "{}", same.stdout);
}

#[test]
fn what_a_foreign_seed_built_is_locked_apart() {
    let project = toolchains::project();
    let quick = ["--toolchain", "quick", "digests"];
    project.stagex(["digests", "--update", "core-app"]).code(0);
    let honest = read(&project, "digests/core.txt");
    // Not compared with what was bootstrapped, and never taken for it.
    let ended = project.stagex(quick).code(0);
    assert!(ended.stdout.contains("not compared") && ended.stdout.contains(" core-app\n"));
    let named = [&quick[..], &["core-app"]].concat();
    let marked = "core-app (not bootstrapped: built with the foreign seed): is not locked";
    project.stagex(named).code(3).says(&[marked]);
    project.stagex([&quick[..], &["--update", "core-app"]].concat()).code(0);
    assert_eq!(read(&project, "digests/core.txt"), honest);
    assert!(read(&project, "digests/foreign/core.txt").ends_with(" core-app\n"));
    for toolchain in ["quick", "honest"] {
        project.stagex(["--toolchain", toolchain, "digests", "core-app"]).code(0);
    }
}

#[test]
fn what_varies_is_found_and_the_command_named() {
    let project = project();
    let ended = project.stagex(["digests", "--update", "--twice", "core-app", "core-base"]).code(0);
    assert!(ended.stdout.contains("and give the same twice"), "{}", ended.stdout);
    project.package(
        "vary",
        "",
        "FROM stagex/core-base AS build\nRUN echo same >/a\n\
         RUN echo fine >/b; cat /proc/uptime >/time; seq 9 >/c\nRUN cat /time >/copy\n\
         FROM scratch\nCOPY --from=build /time /\n",
    );
    let built = project.stagex(["build", "--no-layout", "core-vary"]).code(0);
    let locked = read(&project, "digests/core.txt");
    let ended = project.stagex(["digests", "--update", "--twice", "core-vary"]).code(3);
    let ended = ended.says(&[
        "core-vary: stage build, step 2: core/vary/Containerfile:3:1",
        "RUN echo fine",
        "gives something else the second time: /time ",
    ]);
    // The commands around it are given what the first build had, and vary in nothing.
    assert_eq!(ended.stderr.matches("the second time").count(), 1, "{}", ended.stderr);
    // It is not locked, and nothing of the second time is taken for the first.
    assert_eq!(read(&project, "digests/core.txt"), locked);
    let again = project.stagex(["build", "--no-layout", "core-vary"]).code(0);
    assert_eq!(again.stdout, built.stdout);
}

#[test]
fn the_number_of_cores_is_varied() {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(cores > 1, "this test needs two cores");
    let project = Project::new();
    project.package("app", "", "FROM stagex/core-base\nRUN nproc >/cores\n");
    let ended = project.stagex(["digests", "--update", "--twice", "core-app"]).code(3);
    ended.says(&["gives something else the second time: /cores "]);
}

#[test]
fn all_is_built_afresh_beside_the_store() {
    let project = project();
    project.stagex(["digests", "--update", "core-app"]).code(0);
    let before = project.paths(&project.cache.join("store/steps"));
    let ended = project.stagex(["digests", "--afresh"]).code(0).says(&["RUN mkdir /out"]);
    assert!(ended.stdout.contains("1 packages have the digests"), "{}", ended.stdout);
    assert_eq!(project.paths(&project.cache.join("store/steps")), before);
    assert!(!project.cache.join("afresh/store").exists());
    // What differs is told by what the ordinary store has.
    project.write("core/app/text", "one\ntwo\nthree\nfour\n");
    project.stagex(["digests", "--afresh"]).code(3).says(&["/sorted has 14 bytes and 19"]);
    // What was begun there goes on.
    project.stagex(["digests", "--afresh"]).code(3).says_nothing_of("RUN");
}
