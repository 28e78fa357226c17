//! Toolchains: what stands for a package where recipes name it.

use std::fs;

use crate::support::{Project, run};

/// A project with two compilers, of which one is a foreign seed.
pub(crate) fn project() -> Project {
    let project = Project::new();
    let text = fs::read_to_string(project.root.join("stagex.toml")).unwrap();
    let text = format!(
        "{text}\n[build]\ntoolchain = \"honest\"\n[toolchains.honest]\n\
         [toolchains.quick]\ncore-cc = \"core-seed\"\n"
    );
    project.write("stagex.toml", &text);
    project.package("cc", "", "FROM stagex/core-base\nRUN echo honest >/cc\n");
    project.package(
        "seed",
        "",
        "FROM stagex/core-base\nLABEL org.stagex.seed=foreign\nRUN echo quick >/cc\n",
    );
    project.package(
        "app",
        "",
        "FROM stagex/core-cc AS build\nRUN cp /cc /app\nFROM scratch\nCOPY --from=build /app /\n",
    );
    project
}

#[test]
fn a_toolchain_is_chosen_by_name() {
    let project = project();
    let made =
        |project: &Project| fs::read_to_string(project.unpacked("core-app").join("app")).unwrap();
    let honest = project.stagex(["build", "core-app"]).code(0);
    assert_eq!(made(&project), "honest\n");
    let honest = honest.says_nothing_of("not bootstrapped").says_nothing_of("core-seed");
    let quick = project.stagex(["build", "core-app", "--toolchain", "quick"]).code(0);
    assert_eq!(made(&project), "quick\n");
    let quick = quick.says(&["(not bootstrapped: built with the foreign seed)"]);
    // Its manifest says so too.
    let index = fs::read_to_string(project.root.join("out/core-app/index.json")).unwrap();
    assert!(
        index.contains("\"org.stagex.unbootstrapped\": \"foreign\"")
            || index.contains("\"org.stagex.unbootstrapped\":\"foreign\""),
        "{index}"
    );
    // The environment names one too, and an empty variable none.
    let variable = |name| {
        let mut command = project.command(["build", "core-app"]);
        run(command.env("STAGEX_TOOLCHAIN", name)).code(0)
    };
    assert_eq!(variable("quick").stdout, quick.stdout);
    assert_eq!(variable("").stdout, honest.stdout);
    // Both are known now, whichever is asked for.
    let again = project.stagex(["build", "core-app"]).code(0).says_nothing_of("RUN");
    assert_ne!(again.stdout, quick.stdout);
    // By its own name a package is what stands for it.
    project.stagex(["--toolchain", "quick", "build", "core-cc"]).code(0);
    let text = fs::read_to_string(project.unpacked("core-cc").join("cc")).unwrap();
    assert_eq!(text, "quick\n");
}

#[test]
fn a_toolchain_that_is_not_there_is_named() {
    let project = project();
    let help = ["there is no toolchain qiuck", "stagex.toml has honest, quick"];
    project.stagex(["build", "core-app", "--toolchain", "qiuck"]).code(2).says(&help);
    Project::new()
        .stagex(["build", "core-base", "--toolchain", "x"])
        .code(2)
        .says(&["stagex.toml has none: describe it there under [toolchains.x]"]);
    let text = fs::read_to_string(project.root.join("stagex.toml")).unwrap();
    project.write("stagex.toml", &text.replace("core-seed", "core-sede"));
    let ended = project.stagex(["check"]).code(2);
    assert!(ended.stdout.contains("there is no package core-sede"), "{}", ended.stdout);
    assert!(ended.stdout.contains("did you mean `core-seed`?"), "{}", ended.stdout);
}
