//! Boxes, as far as they can be made without a kernel.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use crate::support::{Ended, Project, Running, eventually, is_root, processes, run};

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
    // Two archives: what comes of packages, and what the box adds.
    let script = format!("zstd -qdc {} | (cpio -idm --quiet; cpio -idmu --quiet)", image.display());
    run(Command::new("sh").args(["-c", &script]).current_dir(&folder)).code(0);
    assert_eq!(fs::read_to_string(folder.join("init")).unwrap(), "#!/bin/sh\n");
    assert!(folder.join("bin/busybox").exists());
    let release = fs::read_to_string(folder.join("etc/stagex-release")).unwrap();
    assert!(release.contains("PRETTY_NAME=\"tiny 1.0.0\""), "{release}");

    let listed = project.stagex(["image", "inspect", "out/x86_64/tiny.cpio.zst"]).code(0).stdout;
    for name in ["archives = 2", "busybox", "init  ", "stagex-release"] {
        assert!(listed.contains(name), "{name}: {listed}");
    }

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
fn an_oci_image_that_skopeo_reads() {
    let project = project();
    project.write("boxes/tiny/box.toml", &BOX.replace("\"uki\"", "\"oci\""));
    let built = project.stagex(["box", "build", "tiny.oci"]).code(0);
    assert!(built.stdout.contains("out/x86_64/tiny.oci\n"), "{}", built.stdout);
    let image = project.root.join("out/x86_64/tiny.oci");
    let reference = format!("oci-archive:{}", image.display());
    let shown = run(Command::new("skopeo").args(["inspect", "--config", &reference])).code(0);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["architecture"], "amd64");
    assert_eq!(shown["config"]["Cmd"], serde_json::json!(["/init"]));
    assert_eq!(shown["config"]["Labels"]["org.opencontainers.image.version"], "1.0.0");
    // The package's layer is the package's own, and the box's lies above it.
    let layout = project.stagex(["build", "core-base"]).code(0);
    assert!(layout.stdout.contains("core-base"));
    let folder = project.folder().join("copied");
    let target = format!("oci:{}:x", folder.display());
    let policy = ["--insecure-policy", "copy", "--quiet"];
    let plain = "--dest-oci-accept-uncompressed-layers";
    run(Command::new("skopeo").args(policy).arg(plain).args([&reference, &target])).code(0);
    let layers: Vec<String> = shown["rootfs"]["diff_ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap().replace(':', "/"))
        .collect();
    assert_eq!(layers.len(), 2);
    assert!(project.root.join("out/core-base/blobs").join(&layers[0]).exists());
    let own = folder.join("blobs").join(&layers[1]);
    let listed = run(Command::new("tar").arg("-tf").arg(&own)).code(0);
    assert_eq!(listed.stdout, "etc/\netc/stagex-release\ninit\n");
    // Again the same, also from nothing.
    let digest = |text: &str| text.lines().nth(2).unwrap().to_owned();
    fs::remove_dir_all(project.root.join("out")).unwrap();
    let again = project.stagex(["box", "build", "tiny"]).code(0);
    assert!(again.stdout.contains(&digest(&built.stdout)), "{}", again.stdout);
}

#[test]
fn a_kernel_without_a_driver_is_refused_before_it_is_built() {
    let project = project();
    let config = |options: &str| {
        let more = "subpackages = [\"linux\", \"linux-config\"]\n";
        let containerfile = format!(
            "FROM stagex/core-base AS config\nCOPY <<X /rootfs/boot/config\n{options}\nX\n\
             FROM stagex/core-base AS kernel\nRUN echo compiling && exit 7\n\
             FROM scratch AS package-linux\nCOPY --from=kernel /rootfs /\n\
             FROM scratch AS package-linux-config\nCOPY --from=config /rootfs /\n"
        );
        project.package("linux", more, &containerfile);
    };
    project.write("boxes/tiny/box.toml", &BOX.replace("kernel-fake", "core-linux"));
    config("CONFIG_EFI_STUB=y\nCONFIG_BLK_DEV_INITRD=y\n# CONFIG_RD_ZSTD is not set");
    let build = || project.stagex(["box", "build", "tiny.cpio.zst"]);
    let said = [
        "boxes/tiny/box.toml:11:",
        "the kernel core-linux has no CONFIG_RD_ZSTD",
        "the initramfs is compressed with zstd: add CONFIG_RD_ZSTD=y to its fragments",
    ];
    build().code(2).says(&said).says_nothing_of("exit 7");
    assert!(!project.logs().contains("compiling"), "the kernel was built");
    // With it the kernel's own turn comes.
    config("CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\nCONFIG_EFI_STUB=y");
    build().code(1).says(&["exit 7"]);
    assert!(project.logs().contains("compiling"));
}

#[test]
fn an_esp_without_room_for_the_kernel_is_refused_before_the_rest_is_built() {
    let project = project();
    let kernel = "FROM stagex/core-base AS build\nRUN mkdir -p /rootfs/boot && \
                  dd if=/dev/zero of=/rootfs/boot/vmlinuz bs=1M count=3\n\
                  FROM scratch\nCOPY --from=build /rootfs /\n";
    project.package("linux", "", kernel);
    project.package("rest", "", "FROM stagex/core-base\nRUN echo compiling && exit 7\n");
    let text = BOX.replace("kernel-fake", "core-linux").replace("core-base", "core-rest");
    let text = text.replace("\"uki\"", "\"disk\"");
    let build = |name: &str, size: u32| {
        let esp = format!("\n[[disk.partitions]]\nrole = \"esp\"\nsize = \"{size}M\"\n");
        project.write("boxes/tiny/box.toml", &format!("{text}{esp}"));
        project.stagex(["box", "build", name])
    };
    let said = [
        "boxes/tiny/box.toml:20:8",
        "the partition `esp` is too small with 2 MiB: the kernel alone takes 3 MiB",
        "size = \"2M\"",
    ];
    build("tiny", 2).code(2).says(&said);
    assert!(!project.logs().contains("compiling"), "the rest was built");
    // Where there is room, or no such partition, the rest has its turn.
    build("tiny", 4).code(1).says(&["exit code 7"]);
    build("tiny.cpio.zst", 2).code(1).says(&["exit code 7"]);
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
fn a_wrong_name_among_several_is_said_before_anything_is_built() {
    let (project, text) = two_boxes();
    let none = |ended: Ended, wrong: &[&str]| {
        ended.code(2).says(wrong).says_nothing_of("to build");
        assert!(!project.root.join("out/x86_64").exists());
        assert_eq!(project.logs(), "");
    };
    none(project.stagex(["box", "build", "tiny", "secnod"]), &["no box secnod", "second"]);
    let wrong = ["the box second has no output second.iso", "second.cpio.zst"];
    none(project.stagex(["box", "build", "tiny", "second.iso"]), &wrong);
    let wrong = ["the box second names no firmware for x86_64", "[firmware]"];
    none(project.stagex(["box", "build", "tiny", "second.fd"]), &wrong);
    let text = text.replace("\"tiny\"", "\"second\"");
    project.write("boxes/second/box.toml", &text.replace("x86_64", "arm64"));
    let wrong = ["the box second is not for x86_64", "arm64"];
    none(project.stagex(["box", "build", "tiny", "second"]), &wrong);
    // The same where all that is locked, or all that can be, is put together or booted.
    project.write("boxes/tyni/box.toml", &text.replace("x86_64", "x86-64"));
    none(project.stagex(["box", "verify", "--lock"]), &["boxes/tyni/box.toml:4:"]);
    none(project.stagex(["box", "test", "--all"]), &["boxes/tyni/box.toml:4:"]);
    fs::remove_dir_all(project.root.join("boxes/tyni")).unwrap();
    let wrong = ["nothing is left to boot", "stagex box list"];
    none(project.stagex(["box", "test", "--all", "--only", "tiny floppy"]), &wrong);
    let packages = ["build", "core-base", "core-bsae"];
    none(project.stagex(packages), &["core-bsae", "core-base"]);
    assert!(!project.root.join("out/core-base").exists());
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

#[test]
fn a_package_that_varies_is_found_by_building_it_twice() {
    let project = project();
    project.write("boxes/tiny/box.toml", &BOX.replace("\"initramfs\", \"uki\"", "\"initramfs\""));
    let twice = ["box", "verify", "tiny", "--lock", "--twice"];
    let ended = project.stagex(twice).code(0);
    assert!(ended.stdout.contains("all packages are the same twice"), "{}", ended.stdout);
    let locked = || fs::read_to_string(project.root.join("digests/box.txt")).unwrap();
    let honest = locked();
    project.package("low", "", "FROM stagex/core-base\nRUN cat /proc/uptime >/cookie\n");
    project.write(
        "kernel/fake/Containerfile",
        "FROM scratch\nCOPY --from=stagex/core-low /cookie /boot/vmlinuz\n",
    );
    // The circumstances of a box are varied by what the store has: there is only one kernel there.
    let ended = project.stagex(["box", "verify", "tiny"]).code(3).says(&["digests/box.txt has "]);
    assert!(ended.stdout.contains("2 files are the same in 3 circumstances"), "{}", ended.stdout);
    project.stagex(twice).code(3).says(&[
        "packages that boxes are made of are not the same twice",
        "core-low: stage 0, step 1: core/low/Containerfile:2:1",
        "gives something else the second time: /cookie ",
    ]);
    assert_eq!(locked(), honest, "nothing is locked");
}

/// A QEMU in a folder of its own, which does as `script` says when it is to start a machine.
fn qemu(project: &Project, script: &str) -> PathBuf {
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

/// A project with the boxes `second` and `tiny`, to be booted; and the text of the latter.
fn two_boxes() -> (Project, String) {
    let project = project();
    let text = BOX.replace("\"initramfs\", \"uki\"", "\"initramfs\"")
        + "\n[test]\nexpect = [\"ready\"]\ntimeout = 5\n";
    project.write("boxes/tiny/box.toml", &text);
    project.write("boxes/second/box.toml", &text.replace("\"tiny\"", "\"second\""));
    project.write("boxes/second/init", "#!/bin/sh\n");
    (project, text)
}

/// `PATH` with `first` before all.
fn path_with(first: &Path) -> std::ffi::OsString {
    let usual = std::env::var_os("PATH").unwrap();
    let folders = std::iter::once(first.to_owned()).chain(std::env::split_paths(&usual));
    std::env::join_paths(folders).unwrap()
}

/// The row of a matrix's table.
fn row<'a>(stdout: &'a str, name: &str) -> &'a str {
    let table = stdout.split("seconds to ready").nth(1).unwrap_or_else(|| panic!("{stdout}"));
    table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{stdout}"))
}

#[test]
fn an_interrupted_matrix_shows_what_it_has_and_leaves_nothing_behind() {
    let (project, _) = two_boxes();
    // Something that never says anything.
    let path =
        qemu(&project, "case $* in *tiny.vmlinuz*) exec tail -f \"$0\" ;; *) exit 3 ;; esac");
    let mut command = project.command(["box", "test", "--all", "--jobs", "1"]);
    let running = Running::start(command.env("PATH", path_with(&path)));
    let machine = format!("tail -f {}", path.display());
    eventually("the machine", || (!processes(&machine).is_empty()).then_some(()));
    running.signal(Signal::INT);
    let ended = running.wait().code(130).says(&["stopped; 1 were not booted to the end"]);
    assert!(row(&ended.stdout, "second initramfs kernel").ends_with("FAILED"));
    assert!(ended.stdout.contains("0 passed, 1 failed"), "{}", ended.stdout);
    let folder = project.folder().display().to_string();
    eventually("the end of all", || processes(&folder).is_empty().then_some(()));
    let json = fs::read_to_string(project.root.join("out/matrix.json")).unwrap();
    assert!(json.contains("second initramfs") && !json.contains("tiny"), "{json}");
}

#[test]
fn a_full_disk_fails_what_does_not_fit_and_the_rest_goes_on() {
    let (project, _) = two_boxes();
    let path = qemu(&project, "echo 'this machine was started' >&2; exit 3");
    // There is room for one of the two.
    let script = "mkdir -p out && mount -t tmpfs -o size=3m none out && exec \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.args(if is_root() { &["-m"][..] } else { &["-rm"] });
    unshare.args(["sh", "-c", script, "sh"]).arg(crate::support::stagex());
    let mut command = project.command_of(unshare, ["box", "test", "--all"]);
    let ended = run(command.env("PATH", path_with(&path))).code(1);
    assert!(row(&ended.stdout, "second initramfs kernel").ends_with("FAILED"));
    assert!(row(&ended.stdout, "tiny build").ends_with("FAILED"));
    for said in ["this machine was started", "No space left on device"] {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
    assert_eq!(project.processes(), Vec::<String>::new());
}

#[test]
fn a_machine_that_qemu_lacks_is_said_before_anything_is_built() {
    let (project, text) = two_boxes();
    project.package("broken", "", "FROM stagex/core-base\nRUN exit 7\n");
    project.write("boxes/tiny/box.toml", &text.replace("core-base", "core-broken"));
    project.write(
        "qemu-tests/tiny.toml",
        "name = \"tiny\"\nbox = \"tiny\"\noutput = \"initramfs\"\nmachine = \"microvm\"\n\
         attach = \"virtio\"\n[[step]]\nexpect = \"ready\"\n",
    );
    let path = qemu(&project, "exit 3");
    let mut command = project.command(["box", "test", "tiny"]);
    let ended = run(command.env("PATH", path_with(&path))).code(2);
    ended.says(&["was built without the machine microvm"]).says_nothing_of("exit 7");
}

#[test]
fn a_matrix_goes_on_whatever_becomes_of_a_machine() {
    let (project, text) = two_boxes();
    // One that cannot be built.
    project.package("broken", "", "FROM stagex/core-base\nRUN exit 7\n");
    let text = text.replace("\"tiny\"", "\"third\"").replace("core-base", "core-broken");
    project.write("boxes/third/box.toml", &text);
    let machine = "second initramfs kernel (x86_64";
    let path = qemu(&project, "echo 'out of memory' >&2; kill -KILL $$");
    let mut command = project.command(["box", "test", "--all"]);
    let ended = run(command.env("PATH", path_with(&path))).code(1);
    assert_eq!(project.processes(), Vec::<String>::new(), "processes are left");
    for name in ["second initramfs kernel", "third build", "tiny initramfs kernel"] {
        assert!(row(&ended.stdout, name).ends_with("FAILED"), "{}", ended.stdout);
    }
    assert!(ended.stdout.contains("0 passed, 3 failed"), "{}", ended.stdout);
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
