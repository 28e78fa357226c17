//! `--from` of images that are made around a file system, and what becomes of what is printed.

use std::{fs, os::unix::fs::symlink, process::Command};

use crate::{
    image::{Bench, bytes},
    support::stagex,
};

#[test]
fn a_tree_in_place_of_a_file_gives_the_same_bytes() {
    let bench = Bench::new();
    bench.tool("tar", "tar", &["-cf", "tree.tar", "-C", "tree", "."]);
    let image = |arguments: &str| {
        bench.image(&arguments.split_whitespace().collect::<Vec<_>>()).code(0).stdout
    };
    let same = |a: &str, b: &str| assert!(bytes(&bench.at(a)) == bytes(&bench.at(b)), "{a} {b}");

    image("fat --from tree --epoch 0 -o esp.img --size 64M");
    image("squashfs --from tree --epoch 0 -o root.squashfs");
    image(
        "gpt --partition type=esp,file=esp.img \
         --partition type=linux-root-arm64,file=root.squashfs -o files.img",
    );
    let trees = "gpt --epoch 0 --partition type=esp,from=tree,size=64M \
                 --partition type=linux-root-arm64,from=tree.tar,format=squashfs -o";
    image(&format!("{trees} trees.img"));
    same("files.img", "trees.img");
    image(&format!("{trees} seeded.img --seed x"));
    assert!(bytes(&bench.at("seeded.img")) != bytes(&bench.at("trees.img")));

    let said = image("gpt --from tree --epoch 0 -o disk.img");
    assert!(said.contains("linux-generic at 1048576"), "{said}");
    let verdict = bench.tool("gdisk", "sgdisk", &["-v", "disk.img"]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    bench.tool("e2fsprogs", "e2fsck", &["-fn", "disk.img?offset=1048576"]);
    image("gpt --from tree --epoch 0 --format fat -o fat.img");
    let listing = bench.tool("mtools", "mdir", &["-b", "-i", "fat.img@@1M", "::"]);
    assert!(listing.contains("A Long Name.text"), "{listing}");
    for (format, kind) in [("qcow2", "qcow2"), ("vhd", "vpc"), ("vmdk", "vmdk"), ("raw", "raw")] {
        image(&format!("{format} --from tree.tar --epoch 0 -o disk.{format}"));
        let compare = ["compare", "-f", "raw", "-F", kind, "disk.img", &format!("disk.{format}")];
        bench.tool("qemu-utils", "qemu-img", &compare);
    }

    image("erofs --from tree --epoch 0 -o root.erofs");
    image("verity root.erofs --append -o appended.img");
    let said = image("verity --from tree --format erofs --epoch 0 -o made.img");
    same("appended.img", "made.img");
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {said}")).trim().to_owned()
    };
    let offset = format!("--hash-offset={}", value("offset"));
    let verify = ["verify", &offset, "made.img", "made.img", &value("root")];
    bench.tool("cryptsetup-bin", "veritysetup", &verify);
    assert!(bench.names().iter().all(|name| !name.starts_with('.')), "{:?}", bench.names());
}

#[test]
fn trees_that_no_partition_takes_are_refused() {
    let bench = Bench::new();
    symlink("x", bench.at("tree/link")).unwrap();
    let before = bench.names();
    let partition = |partition: &str, code: i32, says: &str| {
        bench.image(&["gpt", "-o", "no", "--partition", partition]).code(code).says(&[says]);
    };
    partition("type=esp,from=tree", 1, "partition \"esp\": /link: FAT holds files");
    partition("type=home,from=tree,size=64K", 1, "partition \"home\": ");
    partition("type=home,from=none", 1, "none: No such file");
    partition("type=home,from=tree,file=tree", 2, "exclude each other");
    partition("type=home,size=1M,format=ext4", 2, "format=");
    partition("type=home,from=tree,format=xfs", 2, "squashfs");
    for format in ["gpt", "qcow2", "vhd", "vmdk", "raw", "verity"] {
        bench.image(&[format, "-o", "no"]).code(2).says(&["required"]);
    }
    bench.image(&["qcow2", "disk", "--from", "tree", "-o", "no"]).code(2).says(&["--from"]);
    assert_eq!(bench.names(), before);
}

/// Runs a line of the shell in which `stagex` is the command, and gives its exit code and errors.
fn shell(bench: &Bench, script: &str) -> (String, String) {
    let script = format!("stagex() {{ \"$0\" image \"$@\" 2>errors; echo $? >code; }}; {script}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(stagex()).current_dir(bench.at(""));
    assert!(command.status().unwrap().success());
    let read = |name: &str| fs::read_to_string(bench.at(name)).unwrap();
    (read("code").trim().to_owned(), read("errors"))
}

#[test]
fn whoever_reads_may_stop_at_any_time() {
    let bench = Bench::new();
    let ok = ("0".to_owned(), String::new());
    // By the time that something is printed, nobody reads.
    assert_eq!(shell(&bench, "{ sleep 0.5; stagex cpio --from tree -o a.cpio; } | :"), ok);
    bench.write("tree/A Long Name.text", b"other\n");
    assert_eq!(shell(&bench, "{ sleep 0.5; stagex cpio --from tree -o b.cpio; } | :"), ok);
    assert_eq!(shell(&bench, "{ sleep 0.5; stagex inspect a.cpio; } | :"), ok);
    let different = ("1".to_owned(), String::new());
    assert_eq!(shell(&bench, "{ sleep 0.5; stagex diff a.cpio b.cpio; } | :"), different);
    // Where somebody wanted to read, it is an error.
    let (code, errors) = shell(&bench, "stagex cpio --from tree -o c.cpio >/dev/full");
    assert!(code == "1" && errors.contains("standard output: No space left"), "{code} {errors}");
}

#[test]
fn what_is_damaged_is_not_extracted() {
    let bench = Bench::new();
    bench.image(&["erofs", "--from", "tree", "-o", "whole"]).code(0);
    let whole = bytes(&bench.at("whole"));
    bench.write("cut", &whole[..whole.len() - 50_000]);
    let file = "EFI/BOOT/BOOTX64.EFI";
    let extract = |image: &str| bench.image(&["inspect", image, "--extract", file, "-o", "out"]);
    extract("cut").code(1).says(&["ends at byte"]);
    assert!(!bench.at("out").exists());
    bench.image(&["inspect", "cut"]).code(1).says(&["1 parts are damaged"]);
    extract("whole").code(0);
    assert!(bytes(&bench.at("out")) == bytes(&bench.at("tree").join(file)));
    let folder = bench.image(&["inspect", "whole", "--extract", "EFI", "-o", "no"]);
    folder.code(2).says(&["a folder has no bytes"]);
}

#[test]
fn help_tells_a_command_s_own_options_from_those_of_every_command() {
    let bench = Bench::new();
    for (format, option) in [
        ("cpio", "--prepend"),
        ("ext4", "--journal-blocks"),
        ("erofs", "--label"),
        ("squashfs", "--tail-ends"),
        ("fat", "--width"),
        ("iso", "--joliet"),
        ("gpt", "--align"),
        ("verity", "--salt"),
        ("qcow2", "--cluster"),
        ("vmdk", "--level"),
    ] {
        let help = bench.image(&[format, "--help"]).code(0).stdout;
        let own = help.split_once("\nOptions:\n").unwrap().1.split("\n\n").next().unwrap();
        assert!(own.contains(option) && own.contains("--output"), "{format}: {help}");
        assert!(!own.contains("--offline") && !own.contains("Secure Boot"), "{format}: {help}");
    }
}
