//! Boxes, as far as they can be made without a kernel.

use std::{fs, process::Command};

use crate::support::{Project, run};

const BOX: &str = r#"[box]
name = "tiny"
version = "1.0.0"
architectures = ["x86_64"]
outputs = ["initramfs", "uki"]

[layers]
packages = ["core-base"]

[kernel]
package = "kernel-fake"

[[files]]
path = "/init"
source = "init"
mode = "0755"
"#;

/// A project with the box `tiny`. Its kernel is none: enough for an initramfs, and no more.
fn project() -> Project {
    let project = Project::new();
    let text = fs::read_to_string(project.root.join("stagex.toml")).unwrap();
    let text = text.replace(
        "core = \"core\"\n",
        "core = \"core\"\nkernel = \"kernel\"\nfirmware = \"firmware\"\n",
    );
    project.write("stagex.toml", &text);
    for (folder, path) in
        [("kernel/fake", "boot/vmlinuz"), ("firmware/stub", "usr/lib/stagex/stub.elf")]
    {
        project.package("move", "", &format!("FROM scratch\nCOPY <<X /{path}\nno kernel\nX\n"));
        let (root, name) = folder.split_once('/').unwrap();
        fs::create_dir_all(project.root.join(root)).unwrap();
        fs::rename(project.root.join("core/move"), project.root.join(folder)).unwrap();
        let toml = project.root.join(folder).join("package.toml");
        let text = fs::read_to_string(&toml).unwrap();
        fs::write(toml, text.replace("\"move\"", &format!("{name:?}"))).unwrap();
    }
    project.write("boxes/tiny/box.toml", BOX);
    project.write("boxes/tiny/init", "#!/bin/sh\n");
    project
}

#[test]
fn an_initramfs_of_packages_and_files() {
    let project = project();
    project.stagex(["check"]).code(0);
    assert_eq!(
        project.stagex(["box", "list"]).code(0).stdout,
        "tiny 1.0.0: tiny.cpio.zst tiny.efi\n"
    );
    let built = project.stagex(["box", "build", "tiny.cpio.zst"]).code(0);
    let image = project.root.join("out/x86_64/tiny.cpio.zst");
    let sum = run(Command::new("sha256sum").arg(&image)).code(0);
    let sum = sum.stdout.split(' ').next().unwrap().to_owned();
    assert!(built.stdout.contains(&format!("sha256  {sum}")), "{}", built.stdout);
    let folder = project.folder().join("rootfs");
    fs::create_dir(&folder).unwrap();
    let script = format!("zstd -qdc {} | cpio -idm --quiet", image.display());
    run(Command::new("sh").args(["-c", &script]).current_dir(&folder)).code(0);
    assert_eq!(fs::read_to_string(folder.join("init")).unwrap(), "#!/bin/sh\n");
    assert!(folder.join("bin/busybox").exists());
    let release = fs::read_to_string(folder.join("etc/stagex-release")).unwrap();
    assert!(release.contains("PRETTY_NAME=\"tiny 1.0.0\""), "{release}");

    // Nothing to do, and the same is said.
    let again = project.stagex(["box", "build", "tiny.cpio.zst"]).code(0);
    assert_eq!(again.stdout, built.stdout);
    again.says(&["nothing to do"]);
    // An image that was changed is made again, as it was.
    fs::write(&image, "changed").unwrap();
    assert_eq!(project.stagex(["box", "build", "tiny.cpio.zst"]).code(0).stdout, built.stdout);
    assert!(fs::metadata(&image).unwrap().len() > 100_000);
    // A file of the box is part of it.
    project.write("boxes/tiny/init", "#!/bin/sh\nexit\n");
    assert_ne!(project.stagex(["box", "build", "tiny.cpio.zst"]).code(0).stdout, built.stdout);
}

#[test]
fn wrong_names_and_recipes() {
    let project = project();
    project.stagex(["box", "build", "tyni.iso"]).code(2).says(&["tyni", "tiny"]);
    project.stagex(["box", "build", "tiny.iso"]).code(2).says(&["tiny.cpio.zst"]);
    project.stagex(["box", "build", "tiny.floppy"]).code(2).says(&["tiny.floppy", "tiny.efi"]);
    let ended = project.stagex(["box", "build", "--arch", "arm64", "tiny.efi"]).code(2);
    ended.says(&["x86_64"]);
    project.stagex(["box", "test", "tyni"]).code(2).says(&["tyni", "tiny"]);
    // What is no kernel makes no image to boot, and leaves none.
    project.stagex(["box", "build", "tiny.efi"]).code(1).says_nothing_of("panicked");
    assert!(!project.root.join("out/x86_64/tiny.efi").exists());

    project.write("boxes/tiny/box.toml", &BOX.replace("core-base", "core-bsae"));
    let ended = project.stagex(["box", "build", "tiny.efi"]).code(2);
    ended.says(&["boxes/tiny/box.toml:8:", "core-bsae", "core-base", "^"]);
    project.write("boxes/tiny/box.toml", &BOX.replace("source = \"init\"", "source = \"no\""));
    let ended = project.stagex(["box", "build", "tiny.cpio.zst"]);
    let ended = ended.says(&["boxes/tiny/box.toml:15:", "boxes/tiny/no"]);
    ended.code(2);
    project.write("boxes/tiny/box.toml", &BOX.replace("\"uki\"", "\"ukki\""));
    let ended = project.stagex(["box", "build", "tiny.efi"]).code(2);
    ended.says(&["boxes/tiny/box.toml:5:", "ukki", "uki", "^"]);
}

#[test]
fn outputs_are_locked_and_verified() {
    let project = project();
    project.write("boxes/tiny/box.toml", &BOX.replace("\"initramfs\", \"uki\"", "\"initramfs\""));
    project.stagex(["box", "verify"]).code(2).says(&["no output of a box is locked", "--lock"]);
    let ended = project.stagex(["box", "build", "tiny", "--locked"]);
    ended.code(3).says(&["x86_64/tiny.cpio.zst is ", "digests/box.txt has no line of it"]);
    let ended = project.stagex(["box", "verify", "tiny", "--lock"]).code(0);
    assert!(ended.stdout.contains("2 files are the same in 3 circumstances"), "{}", ended.stdout);
    project.stagex(["box", "build", "tiny", "--locked"]).code(0);
    let ended = project.stagex(["box", "verify"]).code(0);
    assert!(ended.stdout.contains("all digests are those that are locked"), "{}", ended.stdout);
    project.stagex(["box", "verify", "tiny", "--arch", "arm64"]).code(2).says(&["x86_64"]);
    project.stagex(["box", "verify", "tyni"]).code(2).says(&["tyni", "tiny"]);
    // What locks boxes locks no packages.
    project.stagex(["digests"]).code(2).says(&["nothing is locked"]);

    project.write("boxes/tiny/init", "#!/bin/sh\nexit\n");
    let wrong = ["x86_64/tiny.cpio.zst is ", "digests/box.txt has ", "box verify"];
    project.stagex(["box", "build", "tiny", "--locked"]).code(3).says(&wrong);
    project.stagex(["box", "verify"]).code(3).says(&wrong).says_nothing_of("tiny.vmlinuz");
    project.stagex(["box", "build", "tiny"]).code(0).says(&["note: x86_64/tiny.cpio.zst is "]);
}

/// A QEMU in a folder of its own, which does as `script` says when it is to start a machine.
fn qemu(project: &Project, script: &str) -> std::path::PathBuf {
    let folder = project.folder().join("bin");
    fs::create_dir_all(&folder).unwrap();
    let aside = folder.join("script");
    let script = format!(
        "#!/bin/sh\ncase $* in\n--version) echo 'QEMU emulator version 9.1.0' ;;\n\
         '-machine help') echo 'q35 a PC' ;;\n*) {script} ;;\nesac\n"
    );
    fs::write(&aside, script).unwrap();
    run(Command::new("install").arg(&aside).arg(folder.join("qemu-system-x86_64"))).code(0);
    folder
}

#[test]
fn a_matrix_goes_on_whatever_becomes_of_a_machine() {
    let project = project();
    let text = BOX.replace("\"initramfs\", \"uki\"", "\"initramfs\"")
        + "\n[test]\nexpect = [\"ready\"]\ntimeout = 5\n";
    project.write("boxes/tiny/box.toml", &text);
    project.write("boxes/second/box.toml", &text.replace("\"tiny\"", "\"second\""));
    project.write("boxes/second/init", "#!/bin/sh\n");
    // One that cannot be built.
    project.package("broken", "", "FROM stagex/core-base\nRUN exit 7\n");
    let text = text.replace("\"tiny\"", "\"third\"").replace("core-base", "core-broken");
    project.write("boxes/third/box.toml", &text);
    let test = |path: &std::path::Path| {
        let mut command = project.command(["box", "test", "--all"]);
        let usual = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(
            std::iter::once(path.to_owned()).chain(std::env::split_paths(&usual)),
        );
        let ended = run(command.env("PATH", path.unwrap()));
        assert_eq!(project.processes(), Vec::<String>::new(), "processes are left");
        ended
    };
    let machine = "second initramfs kernel (x86_64";
    let ended = test(&qemu(&project, "echo 'out of memory' >&2; kill -KILL $$")).code(1);
    let table = ended.stdout.split("seconds to ready").nth(1).unwrap();
    for name in ["second initramfs kernel", "third build", "tiny initramfs kernel"] {
        let row = table.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(row.ends_with("FAILED"), "{row}");
    }
    assert!(table.contains("0 passed, 3 failed"), "{table}");
    assert!(ended.stdout.contains(machine) && ended.stdout.contains("out of memory"));
    let json = fs::read_to_string(project.root.join("out/matrix.json")).unwrap();
    assert_eq!(json.matches("\"passed\": false").count(), 3, "{json}");
    let xml = fs::read_to_string(project.root.join("out/matrix.xml")).unwrap();
    assert!(xml.contains("tests=\"3\" failures=\"3\""), "{xml}");
    // None at all is said before anything is built.
    let none = project.folder().join("none");
    fs::create_dir(&none).unwrap();
    let mut command = project.command(["box", "test", "--all"]);
    run(command.env("PATH", &none)).code(2).says(&["qemu-system-x86_64 is not installed"]);
}
