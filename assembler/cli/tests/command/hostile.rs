//! What a RUN cannot reach, and cannot use up.

use std::{
    fs,
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::support::{Project, processes};

/// Runs `command` in a step.
fn run(project: &Project, command: &str) -> crate::support::Ended {
    project.package("app", "", &format!("FROM stagex/core-base\nRUN <<EOF\n{command}\nEOF\n"));
    project.stagex(["build", "core-app"])
}

#[test]
fn the_network_is_out_of_reach() {
    let project = Project::new();
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            HEARD.fetch_add(1, Ordering::SeqCst);
        }
    });
    run(&project, &format!("nc -w 5 127.0.0.1 {port} < /dev/null")).code(1).says(&["nc: "]);
    run(&project, "ping -c 1 -w 2 192.0.2.1").code(1).says(&["ping: "]);
    run(&project, "test \"$(ls /sys/class/net 2>/dev/null | grep -v ^lo)\" = \"\"").code(0);
    assert_eq!(HEARD.load(Ordering::SeqCst), 0);
    // Asking is not enough, of the recipe alone or of the user alone.
    project.package("app", "", "FROM stagex/core-base\nRUN --network=host true\n");
    let ended = project.stagex(["--allow-network", "build", "core-app"]).code(2);
    ended.says(&["core/app/Containerfile:2:", "network = true"]);
    project.package("app", "network = true\n", "FROM stagex/core-base\nRUN true\n");
    project.stagex(["build", "core-app"]).code(2).says(&["--allow-network"]);
}

#[test]
fn the_host_s_files_and_processes_are_out_of_sight() {
    let project = Project::new();
    let secret = project.folder().join("secret");
    fs::write(&secret, "secret").unwrap();
    let text = format!(
        "set -eux\n\
         test ! -e {}\n\
         test ! -e /etc/hostname\n\
         test \"$(hostname)\" != \"{}\"\n\
         test ! -e /proc/{}/cwd || test \"$(readlink /proc/{}/cwd)\" = /\n\
         test \"$(ls /proc | grep -c '^[0-9]')\" -lt 12\n\
         test ! -e /dev/sda && test ! -e /dev/vda && test ! -e /dev/mem\n\
         if mount -t tmpfs none /tmp; then exit 1; fi\n\
         if mknod /tmp/vda b 254 0; then exit 1; fi\n\
         if echo x > /proc/sys/kernel/hostname; then exit 1; fi\n\
         echo reached the end",
        secret.display(),
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim(),
        std::process::id(),
        std::process::id(),
    );
    run(&project, &text).code(0);
    assert!(project.logs().ends_with("reached the end\n"), "{}", project.logs());
    // Ways out of the context.
    for copy in ["COPY ../../../secret /s", "COPY /../../../secret /s"] {
        project.package("app", "", &format!("FROM scratch\n{copy}\n"));
        project.stagex(["build", "core-app"]).code(2).says(&["secret"]);
    }
    std::os::unix::fs::symlink(&secret, project.root.join("core/app/link")).unwrap();
    project.package("app", "", "FROM stagex/core-base\nCOPY link /\nRUN cat /link\n");
    assert_ne!(project.stagex(["build", "core-app"]).status.code(), Some(0));
    std::os::unix::fs::symlink(project.folder(), project.root.join("core/app/up")).unwrap();
    project.package("app", "", "FROM scratch\nCOPY up/secret /\n");
    project.stagex(["build", "core-app"]).code(2);
}

#[test]
fn a_daemon_ends_with_its_step() {
    let project = Project::new();
    run(&project, "sleep 970011 &\n(sleep 970011 &)\necho over").code(0);
    assert_eq!(processes("sleep 970011"), Vec::<String>::new());
}

#[test]
fn forks_without_end_are_bounded() {
    let project = Project::new();
    let ended = run(&project, "b() { while :; do sleep 970012 & done; }\nsleep 970012 & b 2>/dev/null & b 2>/dev/null & wait").code(1);
    ended.says(&["core-app: step 1 of 1", "processes"]);
    assert_eq!(processes("sleep 970012"), Vec::<String>::new());
}

#[test]
fn output_without_end_does_not_reach_the_terminal() {
    let project = Project::new();
    let text = "printf '\\033]0;title\\007'; seq 200000; printf 'last \\033[31mred\\n'; exit 1";
    let ended = run(&project, text).code(1).says(&["| last \u{fffd}[31mred"]);
    assert!(ended.stderr.len() < 8000, "{}", ended.stderr.len());
    assert!(!ended.stderr.contains('\u{1b}'));
}

#[test]
fn an_archive_cannot_write_elsewhere() {
    let project = Project::new();
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("f"), "f").unwrap();
    for (name, option) in [("dots", "--transform=s,^,../../../,"), ("slash", "--transform=s,^,/,")]
    {
        let bytes = crate::support::tar(scratch.path(), &["f"], &["-P", option]);
        project.write("core/app/keep", "");
        fs::write(project.root.join(format!("core/app/{name}.tar")), bytes).unwrap();
        project.package("app", "", &format!("FROM scratch\nADD {name}.tar /in/\n"));
        let ended = project.stagex(["build", "core-app"]);
        let inside = match ended.status.code() {
            Some(0) => project.unpacked("core-app").join("in/f").exists(),
            Some(1 | 2) => {
                ended.stderr.contains(&format!("{name}.tar")) || ended.stderr.contains("..")
            }
            _ => false,
        };
        assert!(inside, "{name}: {ended:?}");
        assert!(!project.cache.join("store/f").exists() && !std::path::Path::new("/f").exists());
    }
}
