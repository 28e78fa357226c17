//! What a build makes of a Containerfile.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Project, eventually, run, source, tar};

/// Adds the package `core-all` and what it takes.
pub(crate) fn add_all(project: &Project) {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    fs::write(folder.join("data"), "data\n").unwrap();
    std::os::unix::fs::symlink("data", folder.join("link")).unwrap();
    let data = tar(folder, &["data", "link"], &[]);
    fs::write(project.mirror.join("data-1.2.tar"), &data).unwrap();
    // The file name is computed, as recipes do it.
    let sources =
        source("data", "data-1.2.tar", &data).replace("data-1.2.tar", "data-{version}.{format}");
    project.package("all", &sources, include_str!("Containerfile.all"));
    for (name, text) in [("a.txt", "a"), ("b.txt", "b"), ("c.md", "c"), ("run", "run")] {
        project.write(&format!("core/all/files/{name}"), text);
    }
    let run = project.root.join("core/all/files/run");
    fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
    for (kind, name, options) in [
        ("plain", "plain.tar", &[][..]),
        ("gz", "packed.tar.gz", &["--gzip"]),
        ("xz", "packed.tar.xz", &["--xz"]),
        ("bz2", "packed.tar.bz2", &["--bzip2"]),
        ("zst", "packed.tar.zst", &["--zstd"]),
    ] {
        fs::write(folder.join(kind), kind).unwrap();
        let bytes = tar(folder, &[kind], options);
        fs::write(project.root.join("core/all").join(name), bytes).unwrap();
    }
}

/// What skopeo says about a layout.
fn skopeo(project: &Project, arguments: &[&str], id: &str) -> Value {
    let layout = format!("oci:{}", project.root.join("out").join(id).display());
    let mut command = Command::new("skopeo");
    let ended = run(command.arg("inspect").args(arguments).arg(layout)).code(0);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn everything_a_containerfile_can_say() {
    let project = Project::new();
    add_all(&project);
    let ended = project.stagex(["build", "core-all"]).code(0);
    let digest = ended.stdout.split(' ').next().unwrap().to_owned();
    assert_eq!(ended.stdout, format!("{digest} core-all\n"));

    let found = skopeo(&project, &[], "core-all");
    assert_eq!(found["Digest"], format!("sha256:{digest}"));
    assert_eq!(found["Architecture"], "amd64");
    assert_eq!(found["Labels"]["org.example.name"], "a name");
    let config = skopeo(&project, &["--config"], "core-all");
    let config = &config["config"];
    assert_eq!(config["User"], "1000");
    assert_eq!(config["Env"], serde_json::json!(["PATH=/bin"]));
    assert_eq!(config["Entrypoint"], serde_json::json!(["/bin/tool"]));
    assert_eq!(config["Cmd"], serde_json::json!(["sh", "-c", "true"]));
    assert_eq!(config["WorkingDir"], "/deep");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert!(config["ExposedPorts"]["80/tcp"].is_object(), "{config}");
    assert!(config["Volumes"]["/data"].is_object(), "{config}");
    for layer in skopeo(&project, &["--raw"], "core-all")["layers"].as_array().unwrap() {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar", "uncompressed");
    }

    let root = project.unpacked("core-all");
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(text("out/greeting"), "hello world default\n");
    assert_eq!(text("out/one"), "$GREETING\n");
    assert_eq!(text("out/two"), "hello\n");
    assert_eq!(text("out/a.txt"), "a");
    assert_eq!(text("deep/two"), "first\nsecond world\n");
    let mode = |path: &str| root.join(path).metadata().unwrap().mode() & 0o7777;
    assert_eq!((mode("bin/tool"), mode("out/run"), mode("out/c.md")), (0o700, 0o755, 0o644));
    if crate::support::is_root() {
        let deep = root.join("deep/two").metadata().unwrap();
        assert_eq!((deep.uid(), deep.gid()), (3, 4));
        // Owners are kept from stage to stage.
        let globbed = root.join("globbed/a.txt").metadata().unwrap();
        assert_eq!((globbed.uid(), globbed.gid(), globbed.mode() & 0o7777), (1000, 10, 0o640));
    }
    assert!(!root.join("bin/sh").exists() && !root.join("mnt").exists());
}

#[test]
fn what_is_known_is_not_built_again() {
    let project = Project::new();
    project.package(
        "app",
        "",
        "FROM stagex/core-base AS build\nCOPY script /\nRUN ls -l /script | head -c 10 > /mode\n\
         FROM scratch\nCOPY --from=build /mode /\n",
    );
    project.write("core/app/script", "#!/bin/sh\n");
    let first = project.stagex(["build", "core-app"]).code(0).says(&["RUN ls -l /script"]);
    // The machine may be busy with other tests: one quick run of several shows it.
    eventually("a build with nothing to do that takes less than a second", || {
        let start = Instant::now();
        let again = project.stagex(["build", "core-app"]).code(0);
        let took = start.elapsed();
        assert_eq!(again.stdout, first.stdout);
        again.says_nothing_of("RUN").says_nothing_of("to build");
        (took < Duration::from_secs(1)).then_some(())
    });
    // Only the mode changes, and neither the content nor the time.
    let script = project.root.join("core/app/script");
    let time = script.metadata().unwrap().modified().unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::File::options().write(true).open(&script).unwrap().set_modified(time).unwrap();
    let changed = project.stagex(["build", "core-app"]).code(0).says(&["RUN ls -l /script"]);
    assert_ne!(changed.stdout, first.stdout);
    let mode = fs::read_to_string(project.unpacked("core-app").join("mode")).unwrap();
    assert_eq!(mode, "-rwxr-xr-x");
    // Back again: known from before.
    fs::set_permissions(&script, fs::Permissions::from_mode(0o600)).unwrap();
    let back = project.stagex(["build", "core-app"]).code(0).says_nothing_of("RUN");
    assert_eq!(back.stdout, first.stdout);
}

#[test]
fn a_failing_command_is_shown_with_its_log_and_can_be_entered() {
    let project = Project::new();
    let containerfile = "FROM stagex/core-base\nENV COLOUR=green\nWORKDIR /place\n\
        RUN echo made > made\nRUN seq 100 && echo half > half && exit 7\n";
    project.package("app", "", containerfile);
    let ended = project.stagex(["build", "core-app"]).code(1).says(&[
        "core-app: step 4 of 4 of stage 0 failed: exit code 7",
        "core/app/Containerfile:5:1: RUN seq 100",
        "| 100\n",
        "`stagex shell core-app`",
    ]);
    let ended = ended.says_nothing_of("| 79\n");
    let log = ended.stderr.lines().find_map(|line| line.trim().strip_prefix("whole log: "));
    let log = fs::read_to_string(log.expect("the path of the log")).unwrap();
    assert!(log.starts_with("1\n2\n") && log.ends_with("\n100\n"), "{log}");
    assert!(!project.root.join("out/core-app").exists());

    // A shell needs a terminal: script(1) has one.
    let input = project.folder().join("input");
    fs::write(&input, "pwd; cat made half; echo c=$COLOUR; exit 5\n").unwrap();
    let shell = format!(
        "{} --cache {} shell core-app",
        crate::support::stagex().display(),
        project.cache.display()
    );
    let mut script = Command::new("script");
    script.args(["-qec", &shell, "/dev/null"]).current_dir(&project.root);
    let typed = script.stdin(fs::File::open(&input).unwrap()).env("HOME", project.folder());
    let output = typed.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    for line in ["/place", "made", "half", "c=green"] {
        assert!(text.lines().any(|shown| shown.trim_end() == line), "{line}:\n{text}");
    }
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert_eq!(project.processes(), Vec::<String>::new());

    // Mended, the build goes on behind what was finished.
    project.package("app", "", &containerfile.replace("exit 7", "exit 0"));
    let mended = project.stagex(["build", "core-app"]).code(0);
    mended.says(&["RUN seq 100"]).says_nothing_of("RUN echo made");
}

#[test]
fn one_failure_of_two_says_only_what_failed() {
    let project = Project::new();
    project.package("bad", "", "FROM stagex/core-base\nRUN echo no; exit 3\n");
    project.package("good", "", "FROM stagex/core-base\nRUN sleep 1 && touch /good\n");
    project.package(
        "both",
        "",
        "FROM scratch\nCOPY --from=stagex/core-bad / /\nCOPY --from=stagex/core-good / /\n",
    );
    let ended = project.stagex(["-j", "2", "build", "core-both"]).code(1);
    let ended = ended.says(&["core-bad: step 1 of 1"]).says_nothing_of("stopped;");
    assert_eq!(ended.stderr.matches("error:").count(), 1, "{}", ended.stderr);
    // What ran beside it was not lost.
    project.stagex(["build", "core-good"]).code(0).says_nothing_of("RUN sleep");
}

#[test]
fn a_build_that_goes_on_says_at_once_what_failed() {
    let project = Project::new();
    project.package("bad", "", "FROM stagex/core-base\nRUN echo no; exit 3\n");
    project.package("good", "", "FROM stagex/core-base\nRUN sleep 2 && touch /good\n");
    let ended = project.stagex(["-j", "2", "-k", "build", "core-bad", "core-good"]).code(1);
    let at = |text: &str| ended.stderr.find(text).unwrap_or_else(|| panic!("{}", ended.stderr));
    let failed = at("core-bad 0 1/1: RUN echo no; exit 3 failed after");
    assert!(failed < at("RUN sleep 2 && touch /good done in"), "{}", ended.stderr);
    assert!(failed < at("core-bad: step 1 of 1 of stage 0 failed: exit code 3"));
}

#[test]
fn steps_may_go_back_to_what_was_there() {
    let project = Project::new();
    project.package(
        "app",
        "",
        "FROM stagex/core-base\nRUN echo one > /f\nRUN echo two > /f && touch /g\n\
         RUN echo one > /f\nRUN test \"$(cat /f)\" = one && test -e /g && echo right > /h\n",
    );
    project.stagex(["build", "core-app"]).code(0);
    let root = project.unpacked("core-app");
    assert_eq!(fs::read_to_string(root.join("f")).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(root.join("h")).unwrap(), "right\n");
}

#[test]
fn a_report_draws_what_took_how_long() {
    let project = Project::new();
    project.package(
        "app",
        "",
        "FROM stagex/core-base AS slow\nRUN sleep 1; echo x > /x\n\
         FROM stagex/core-base AS quick\nRUN echo y > /y\n\
         FROM scratch\nCOPY --from=slow /x /\nCOPY --from=quick /y /\n",
    );
    // Nothing is built that nobody asked for.
    let ended = project.stagex(["report", "core-app"]).code(1);
    ended.says(&["`stagex build core-app`", "--build"]).says_nothing_of("to build");
    assert_eq!(project.logs(), "");
    // With --build what is missing is; what was built says what it took then.
    for (chart, build) in [("one.svg", "--build"), ("two.svg", "--quiet")] {
        let place = project.folder().join(chart);
        let place_text = place.to_str().unwrap();
        let ended = project.stagex(["report", "core-app", build, "-o", place_text]).code(0);
        assert!(!ended.stdout.contains("unknown"), "{}", ended.stdout);
        let path: Vec<&str> = ended.stdout.lines().filter(|line| line.contains(" wall ")).collect();
        assert!(path.last().unwrap().ends_with("core-app slow"), "{}", ended.stdout);
        assert!(!ended.stdout.contains("core-app quick"), "{}", ended.stdout);
        let svg = fs::read_to_string(&place).unwrap();
        assert!(svg.starts_with("<svg ") && svg.contains("core-app slow"), "{svg}");
    }
    let read = |name: &str| fs::read_to_string(project.folder().join(name)).unwrap();
    assert_eq!(read("one.svg"), read("two.svg"));
    project.stagex(["report", "core-bsae"]).code(2).says(&["core-base"]);

    // What changed since is told of, and what rests on it.
    let path = project.root.join("core/app/Containerfile");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("echo y", "echo z")).unwrap();
    let place = project.folder().join("three.svg");
    let ended = project.stagex(["report", "core-app", "-o", place.to_str().unwrap()]).code(0);
    assert!(ended.stdout.contains("core-app slow"), "{}", ended.stdout);
    let said = "\nstages that are not built as their recipes stand, with times unknown";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("\n         2 of core-app\n"), "{}", ended.stdout);
    assert!(read("three.svg").contains("not built, with times unknown: 2"));
    ended.says_nothing_of("to build").says_nothing_of("RUN");
}

#[test]
fn one_recipe_builds_for_several_architectures() {
    let project = Project::new();
    // A tool that runs on the machine, a library for the target, and a compiler that is there for
    // this machine only.
    project.package(
        "tool",
        "",
        "FROM stagex/core-base AS build\nARG TARGETARCH\nRUN echo tool for $TARGETARCH > /tool\n\
         FROM scratch\nCOPY --from=build /tool /\n",
    );
    project.package(
        "lib",
        "",
        "FROM stagex/core-base AS build\nARG TARGETARCH\nRUN echo lib for $TARGETARCH > /lib\n\
         FROM scratch\nCOPY --from=build /lib /\n",
    );
    project.package(
        "app",
        "",
        "FROM --platform=$BUILDPLATFORM stagex/core-tool AS tool\n\
         FROM stagex/core-base AS build\nARG TARGETARCH\nARG BUILDARCH\n\
         COPY --from=tool /tool /\nCOPY --from=stagex/core-lib /lib /\n\
         RUN cat /tool /lib > /app && echo app for $TARGETARCH on $BUILDARCH >> /app\n\
         FROM scratch\nCOPY --from=build /app /\n",
    );
    project.stagex(["build", "core-app", "--arch", "riscv64"]).code(0);
    let config = skopeo(&project, &[], "riscv64/core-app");
    assert_eq!(config["Architecture"], "riscv64");
    let text = std::fs::read_to_string(project.unpacked("riscv64/core-app").join("app")).unwrap();
    assert_eq!(text, "tool for amd64\nlib for riscv64\napp for riscv64 on amd64\n");
    let native = project.stagex(["build", "core-app"]).code(0);
    // What does not depend on the architecture is not built again.
    native.says(&["core-lib", "core-app"]).says_nothing_of("core-tool");
    let text = std::fs::read_to_string(project.unpacked("core-app").join("app")).unwrap();
    assert_eq!(text, "tool for amd64\nlib for amd64\napp for amd64 on amd64\n");
}
