//! `stagex build --explain`: what would be built, and why.

use std::fs;

use crate::{
    support::{Project, source, tar},
    toolchains,
};

/// A project with a chain: `core-app` needs `core-mid`, which needs `core-low`.
fn project() -> Project {
    let project = Project::new();
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("data"), "data\n").unwrap();
    let bytes = tar(scratch.path(), &["data"], &[]);
    fs::write(project.mirror.join("data-1.2.tar"), &bytes).unwrap();
    project.write("core/low/files/patch", "first\n");
    project.write("core/low/README", "no recipe takes it\n");
    project.package(
        "low",
        &source("data", "data-1.2.tar", &bytes),
        "FROM stagex/core-base AS build\nARG VERSION\nADD fetch/data-${VERSION}.tar /\n\
         COPY files /files\nRUN <<-EOF\n\tset -eu\n\tcat /data /files/* >/low\nEOF\n\
         FROM scratch\nCOPY --from=build /low /\n",
    );
    project.package("mid", "", "FROM stagex/core-base\nCOPY --from=stagex/core-low /low /\n");
    project.package(
        "app",
        "",
        "FROM stagex/core-mid AS build\nRUN cat /low >/app\nFROM scratch\n\
         COPY --from=build /app /\n",
    );
    project
}

/// What is printed for `core-app`; nothing is built for it.
#[track_caller]
fn explain(project: &Project) -> String {
    let ended = project.stagex(["build", "--explain", "core-app"]).code(0);
    assert_eq!(ended.stderr, "");
    ended.stdout
}

#[test]
fn the_cause_is_named_and_the_way_to_it() {
    let project = project();
    let first = explain(&project);
    assert_eq!(first.matches("it was not built here before").count(), 4, "{first}");
    assert!(!project.root.join("out/core-app").exists());
    project.stagex(["build", "core-app"]).code(0);
    assert_eq!(explain(&project), "nothing would be built\n");

    let way = "core-mid would be built:\n  core-low would be built\n\
               \x20 because of core-low: CAUSE\n\
               core-app would be built:\n  core-mid would be built\n\
               \x20 because of core-mid, because of core-low: CAUSE\n";
    let says = |cause: &str| {
        let expected =
            format!("core-low would be built:\n  {cause}\n{}", way.replace("CAUSE", cause));
        assert_eq!(explain(&project), expected);
    };
    // A file of the folder; and one that no recipe takes.
    project.write("core/low/README", "still not\n");
    assert_eq!(explain(&project), "nothing would be built\n");
    project.write("core/low/files/patch", "second\n");
    says("file files/patch changed");
    project.write("core/low/files/patch", "first\n");
    project.write("core/low/files/more", "more\n");
    says("file files/more is new");
    fs::remove_file(project.root.join("core/low/files/more")).unwrap();
    assert_eq!(explain(&project), "nothing would be built\n");
    // A line within a command, after a comment that moves it.
    let path = "core/low/Containerfile";
    let text = fs::read_to_string(project.root.join(path)).unwrap();
    project.write(path, &format!("# new\n{}", text.replace("set -eu", "set -eux")));
    says("Containerfile line 7, stage build: `set -eux` was `set -eu`");
    project.write(path, &format!("# new\n{text}"));
    assert_eq!(explain(&project), "nothing would be built\n");

    // Once it is built, that is what is compared with.
    project.write("core/low/files/patch", "second\n");
    project.stagex(["build", "core-app"]).code(0);
    assert_eq!(explain(&project), "nothing would be built\n");
    project.write("core/low/files/patch", "third\n");
    says("file files/patch changed");
    // Two causes, of which one is a dependency's.
    let path = "core/app/Containerfile";
    let text = fs::read_to_string(project.root.join(path)).unwrap();
    project.write(path, &text.replace("cat /low", "sort /low"));
    let both = explain(&project);
    assert!(
        both.ends_with(
            "core-app would be built:\n  Containerfile line 2, stage build: `RUN sort /low >/app` \
             was `RUN cat /low >/app`\n  core-mid would be built\n"
        ),
        "{both}"
    );
}

#[test]
fn sources_and_lost_results_are_named() {
    let project = project();
    project.stagex(["build", "core-app"]).code(0);
    let toml = project.root.join("core/low/package.toml");
    let text = fs::read_to_string(&toml).unwrap();
    let hash = text.split("hash = \"").nth(1).unwrap()[..64].to_owned();
    let other = "1".repeat(64);
    fs::write(&toml, text.replace(&hash, &other)).unwrap();
    let said = explain(&project);
    assert!(said.contains(&format!("source data-1.2.tar is {other}, was {hash}")), "{said}");
    fs::write(&toml, text).unwrap();
    for path in project.paths(&project.cache.join("store/steps")) {
        fs::remove_file(project.cache.join("store/steps").join(path)).unwrap();
    }
    let said = explain(&project);
    assert!(said.contains("core-base would be built:\n  its result is no longer"), "{said}");
}

#[test]
fn another_toolchain_is_a_cause() {
    let project = toolchains::project();
    project.stagex(["build", "core-app"]).code(0);
    let ended = project.stagex(["--toolchain", "quick", "build", "--explain", "core-app"]).code(0);
    let app = ended.stdout.split("core-app would be built:\n").nth(1).unwrap();
    assert_eq!(
        app,
        "  core-seed would be built\n  core-cc is needed no longer\n  the toolchain is quick, was \
         honest\n"
    );
}
