//! How the command explains itself, and what it says when it is used wrongly.

use std::fs;

use crate::support::{Project, run};

#[test]
fn help_and_version() {
    let project = Project::new();
    let help = project.stagex(["--help"]).code(0).stdout;
    for text in ["stagex box build airgap.iso", "Exit codes: 0 done, 1", "--cache", "shell"] {
        assert!(help.contains(text), "{text}:\n{help}");
    }
    for command in [
        "build",
        "box",
        "image",
        "bootstrap",
        "check",
        "fetch",
        "report",
        "shell",
        "store",
        "completions",
        "man",
    ] {
        let help = project.stagex([command, "--help"]).code(0).stdout;
        assert!(help.contains("Usage: stagex "), "{help}");
    }
    let version = project.stagex(["--version"]).code(0).stdout;
    assert_eq!(version, format!("stagex {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_and_manual_pages() {
    let project = Project::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = project.stagex(["completions", shell]).code(0).stdout;
        assert!(script.contains("stagex") && script.contains("allow-network"), "{script}");
        if shell == "bash" {
            let path = project.folder().join("completions");
            fs::write(&path, script).unwrap();
            let test = format!(". {}; complete -p stagex", path.display());
            run(std::process::Command::new("bash").args(["-ec", &test])).code(0);
        }
    }
    let folder = project.folder().join("man");
    project.stagex(["man", folder.to_str().unwrap()]).code(0);
    let pages = project.paths(&folder);
    for page in [
        "stagex.1",
        "stagex-build.1",
        "stagex-box-build.1",
        "stagex-image-iso.1",
        "stagex-store-gc.1",
    ] {
        assert!(pages.iter().any(|name| name == page), "{page} is not among {pages:?}");
    }
    let page = fs::read_to_string(folder.join("stagex.1")).unwrap();
    assert!(page.contains(".TH stagex 1"), "{page}");
}

#[test]
fn wrong_usage() {
    let project = Project::new();
    project.stagex([]).code(2).says(&["Usage"]);
    project.stagex(["biuld", "core-base"]).code(2).says(&["biuld", "build"]);
    project.stagex(["build"]).code(2).says(&["PACKAGE"]);
    project.stagex(["build", "--ofline", "core-base"]).code(2).says(&["--offline"]);
    project.stagex(["build", "-j", "0", "core-base"]).code(2).says(&["1..=1024"]);
    project.stagex(["build", "--arch", "vax", "core-base"]).code(2).says(&["x86_64", "riscv64"]);
    project.stagex(["build", "core-bsae"]).code(2).says(&["core-bsae", "core-base"]);
    project.stagex(["fetch", "core-bsae"]).code(2).says(&["core-bsae", "core-base"]);
    project.stagex(["shell", "core-bsae"]).code(2).says(&["core-bsae", "core-base"]);
    project.stagex(["shell", "--stage", "nope", "core-base"]).code(2).says(&["nope"]);
    project.stagex(["check", "/nowhere"]).code(2).says(&["/nowhere"]);
}

#[test]
fn where_the_project_is() {
    let project = Project::new();
    let elsewhere = project.folder().join("home");
    let mut command = project.command(["check"]);
    run(command.current_dir(&elsewhere)).code(2).says(&["no stagex.toml", "--project"]);
    let mut command = project.command(["-C", project.root.to_str().unwrap(), "check"]);
    run(command.current_dir(&elsewhere)).code(0);
    // Anywhere below it will do.
    let mut command = project.command(["check"]);
    run(command.current_dir(project.root.join("core/base"))).code(0);
    project.write("stagex.toml", "[packages]\ncore = \"core\"\n[mirors]\n");
    project.stagex(["check"]).code(2).says(&["stagex.toml:3:", "mirors", "mirrors"]);
}

#[test]
fn the_user_s_configuration() {
    let project = Project::new();
    let folder = project.folder().join("home/.config/stagex");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), "cahce = \"/x\"\n").unwrap();
    project.stagex(["build", "core-base"]).code(2).says(&["config.toml", "cahce"]);
    // A mirror of the user's own stands before the project's.
    let own = project.folder().join("own");
    fs::create_dir(&own).unwrap();
    fs::rename(project.mirror.join("base-1.tar"), own.join("base-1.tar")).unwrap();
    let text = format!("[mirrors]\nlocal = [\"file://{}\"]\n", own.display());
    fs::write(folder.join("config.toml"), text).unwrap();
    project.stagex(["build", "core-base"]).code(0).says_nothing_of("/mirror/");
}

#[test]
fn quiet_prints_results_only() {
    let project = Project::new();
    let ended = project.stagex(["--quiet", "build", "core-base"]).code(0);
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.stdout.lines().count(), 1);
    project.package("app", "", "FROM stagex/core-base\nRUN false\n");
    project.stagex(["--quiet", "build", "core-app"]).code(1).says(&["exit code 1"]);
}
