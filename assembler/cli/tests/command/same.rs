//! The same recipes give the same digests, whoever builds them, and where.

use std::{fs, process::Command};

use crate::{
    building::add_all,
    support::{NOBODY, Project, copy_program, is_root, run, stagex},
};

#[test]
fn who_builds_and_where_does_not_show() {
    let one = Project::new();
    let other = Project::at("a/much/longer/path/to/a/folder/of/another/length");
    add_all(&one);
    add_all(&other);
    let mut first = one.command_of(
        shell("umask 022 && exec \"$@\""),
        ["-j", "1", "build", "core-all", "core-base"],
    );
    let first = run(first.env("LANG", "C")).code(0);

    // Another user, where these tests may choose.
    let mut second = if is_root() {
        let nobody = NOBODY.to_string();
        run(Command::new("chown").args(["-R", &nobody, "."]).current_dir(other.folder())).code(0);
        // The command may lie where only root may go.
        let copy = other.folder().join("stagex");
        copy_program(stagex(), &copy);
        let script = format!(
            "umask 077; shift; exec setpriv --reuid={nobody} --regid={nobody} --clear-groups {} \"$@\"",
            copy.display()
        );
        other.command_of(shell(&script), ["-j", "4", "build", "core-all", "core-base"])
    } else {
        other.command_of(
            shell("umask 077; exec \"$@\""),
            ["-j", "4", "build", "core-all", "core-base"],
        )
    };
    second.envs([("TZ", "Asia/Kathmandu"), ("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8")]);
    let second = run(&mut second).code(0);
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(first.stdout.lines().count(), 2);
    // Not the digests alone: every byte of the layouts.
    for id in ["core-all", "core-base"] {
        let layouts = [&one, &other].map(|project| project.root.join("out").join(id));
        let paths = layouts.each_ref().map(|layout| one.paths(layout));
        assert_eq!(paths[0], paths[1]);
        for path in &paths[0] {
            let [a, b] = layouts.each_ref().map(|layout| layout.join(path));
            assert!(a.is_dir() || fs::read(a).unwrap() == fs::read(b).unwrap(), "{id} {path}");
        }
    }
}

/// A shell whose arguments begin with the command under test.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(stagex());
    command
}
