//! `stagex image`: folders, tars and layouts as images that the reference tools read.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Ended, Project, is_root, run, stagex};

/// A temporary folder with a folder `tree` in it.
pub(crate) struct Bench(tempfile::TempDir);

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        for folder in ["tree/EFI/BOOT", "tree/empty"] {
            fs::create_dir_all(bench.at(folder)).unwrap();
        }
        bench.write("tree/EFI/BOOT/BOOTX64.EFI", &vec![7; 100_000]);
        bench.write("tree/A Long Name.text", b"text\n");
        fs::set_permissions(bench.at("tree/empty"), fs::Permissions::from_mode(0o751)).unwrap();
        bench
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(stagex());
        command.arg("image").args(arguments).current_dir(self.0.path());
        command
    }

    #[track_caller]
    pub(crate) fn image(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(arguments))
    }

    /// A reference tool's output.
    #[track_caller]
    pub(crate) fn tool(&self, package: &str, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(self.0.path())
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| {
                panic!("this test needs the Debian package {package}: {error}")
            });
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {text}{errors}");
        text
    }

    /// The names in the folder, hidden ones too.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn fat_from_a_folder_a_tar_and_a_pipe_is_the_same() {
    let bench = Bench::new();
    let options = ["--label", "ESP", "--cluster", "4K", "--epoch", "1700000000"];
    let image = |from: &str, to: &str| {
        bench.image(&[&["fat", "--from", from, "-o", to][..], &options].concat()).code(0)
    };
    let ended = image("tree", "a.img");
    let digest = bench.tool("coreutils", "sha256sum", &["a.img"]);
    let digest = digest.split(' ').next().unwrap();
    let len = bytes(&bench.at("a.img")).len();
    assert_eq!(
        ended.stdout.lines().take(3).collect::<Vec<_>>(),
        [
            "a.img".to_owned(),
            format!("  size    {:.1} MiB ({len} bytes)", len as f64 / 1_048_576.0),
            format!("  sha256  {digest}"),
        ]
    );
    assert!(ended.stdout.contains("  cluster  4096 bytes"), "{}", ended.stdout);
    bench.tool("dosfstools", "fsck.fat", &["-n", "a.img"]);
    let listing = bench.tool("mtools", "mdir", &["-/", "-b", "-i", "a.img", "::"]);
    assert!(listing.contains("::/EFI/BOOT/BOOTX64.EFI"), "{listing}");
    assert!(listing.contains("::/A Long Name.text"), "{listing}");

    bench.tool("tar", "tar", &["-cf", "tree.tar", "-C", "tree", "."]);
    image("tree.tar", "b.img");
    bench.tool("gzip", "gzip", &["-k", "tree.tar"]);
    image("tar:tree.tar.gz", "c.img");
    let mut command =
        bench.command(&[&["fat", "--from", "-", "-o", "d.img"][..], &options].concat());
    let status =
        command.stdin(fs::File::open(bench.at("tree.tar.gz")).unwrap()).stdout(Stdio::null());
    assert!(status.status().unwrap().success());
    for other in ["b.img", "c.img", "d.img"] {
        assert!(bytes(&bench.at(other)) == bytes(&bench.at("a.img")), "{other}");
    }
    assert_eq!(
        bench.names(),
        ["a.img", "b.img", "c.img", "d.img", "tree", "tree.tar", "tree.tar.gz"]
    );
}

#[test]
fn cpio_holds_what_the_folder_has() {
    let bench = Bench::new();
    symlink("A Long Name.text", bench.at("tree/link")).unwrap();
    fs::hard_link(bench.at("tree/A Long Name.text"), bench.at("tree/second")).unwrap();
    bench.write("ucode", b"odd");
    let run = |to: &str, more: &[&str]| {
        let all =
            [&["cpio", "--from", "tree", "-o", to, "--owner", "3:4", "--epoch", "86400"], more];
        bench.image(&all.concat()).code(0);
    };
    run("plain.cpio", &[]);
    let shell = |text: &str| bench.tool("cpio", "sh", &["-c", text]);
    let listing = shell("cpio -itv --numeric-uid-gid <plain.cpio");
    for line in [
        "drwxr-x--x   2 3        4               0 Jan  2  1970 empty",
        "A Long Name.text",
        "link -> A Long Name.text",
    ] {
        assert!(listing.contains(line), "{line}: {listing}");
    }
    run("packed.cpio", &["--compress", "zstd:3", "-j", "1"]);
    run("again.cpio", &["--compress", "zstd:3", "-j", "4"]);
    assert!(bytes(&bench.at("packed.cpio")) == bytes(&bench.at("again.cpio")));
    assert_eq!(shell("zstd -dc packed.cpio | cmp - plain.cpio"), "");
    run("early.cpio", &["--prepend", "ucode"]);
    let early = bytes(&bench.at("early.cpio"));
    assert_eq!(&early[..4], b"odd\0");
    assert!(early[4..] == bytes(&bench.at("plain.cpio")));
}

#[test]
fn iso_boots_from_what_it_is_given() {
    let bench = Bench::new();
    fs::create_dir(bench.at("data")).unwrap();
    bench.write("data/loader.bin", &[0x90; 3000]);
    bench.write("mbr.bin", &[0xfa; 512]);
    bench
        .image(&[
            "iso",
            "--from",
            "data",
            "--esp",
            "tree",
            "--bios",
            "loader.bin",
            "--mbr",
            "mbr.bin",
            "--boot-load-size",
            "4",
            "--boot-info-table",
            "--hybrid-mbr",
            "--joliet",
            "--label",
            "AIRGAP",
            "-o",
            "boot.iso",
        ])
        .code(0);
    let report = bench.tool(
        "xorriso",
        "xorriso",
        &["-indev", "boot.iso", "-report_el_torito", "plain", "-report_system_area", "plain"],
    );
    for text in ["BIOS  y   none  0x0000  0x00      4", "UEFI  y", "boot-info-table", "GPT"] {
        assert!(report.contains(text), "{text}: {report}");
    }
    let verdict = bench.tool("gdisk", "sgdisk", &["-v", "boot.iso"]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let info = bench.tool("genisoimage", "isoinfo", &["-d", "-i", "boot.iso"]);
    assert!(info.contains("Volume id: AIRGAP") && info.contains("Joliet"), "{info}");
}

#[test]
fn gpt_holds_partitions_by_role() {
    let bench = Bench::new();
    bench.image(&["fat", "--from", "tree", "-o", "esp.img"]).code(0);
    bench.write("root.img", &[3; 5000]);
    let ended = bench
        .image(&[
            "gpt",
            "-o",
            "disk.img",
            "--partition",
            "type=esp,file=esp.img,mbr",
            "--partition",
            "type=linux-root-x86-64,file=root.img,name=root,size=8M,attributes=read-only+no-auto",
            "--partition",
            "type=swap,size=1M",
            "--partition",
            "type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,size=1M,name=data",
        ])
        .code(0);
    assert_eq!(ended.stdout.lines().filter(|line| line.starts_with("  part ")).count(), 4);
    let verdict = bench.tool("gdisk", "sgdisk", &["-v", "disk.img"]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let table = bench.tool("fdisk", "sfdisk", &["-d", "disk.img"]);
    assert!(table.contains("name=\"root\", attrs=\"GUID:60,63\""), "{table}");
    let listing = bench.tool("mtools", "mdir", &["-b", "-i", "disk.img@@1M", "::"]);
    assert!(listing.contains("A Long Name.text"), "{listing}");
    for (partition, said) in [
        ("file=esp.img", "type=esp"),
        ("type=espp,file=esp.img", "linux-root-x86-64"),
        ("type=esp", "file= or a size="),
        ("type=esp,size=1M,attributes=read", "read-only"),
        ("type=esp,size=1M,colour=red", "colour=red"),
        ("type=esp,size=12X", "no size"),
        ("type=esp,size=1M,guid=1", "no GUID"),
    ] {
        bench.image(&["gpt", "-o", "no.img", "--partition", partition]).code(2).says(&[said]);
    }
    bench
        .image(&[
            "gpt",
            "-o",
            "no.img",
            "--partition",
            "type=esp,file=root.img,size=4K",
            "--align",
            "4K",
        ])
        .code(1)
        .says(&["\"esp\" of 4096 bytes cannot hold 5000"]);
    assert!(!bench.at("no.img").exists());
}

#[test]
fn a_layout_s_layers_are_merged() {
    let project = Project::new();
    project.package("app", "", "FROM stagex/core-base\nRUN rm /bin/sort && echo hello >/hello\n");
    project.stagex(["build", "core-app"]).code(0);
    project.stagex(["image", "cpio", "--from", "out/core-app", "-o", "app.cpio"]).code(0);
    let listing = Command::new("sh")
        .args(["-c", "cpio -it <app.cpio"])
        .current_dir(&project.root)
        .output()
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    let has = |name: &str| listing.lines().any(|line| line == name);
    assert!(has("hello") && has("bin/busybox") && !has("bin/sort"), "{listing}");
    project
        .stagex(["image", "cpio", "--from", "out/core-app", "--arch", "arm64", "-o", "no.cpio"])
        .code(1)
        .says(&["0 images", "--arch"]);
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    let before = bench.names();
    let refused = |arguments: &[&str], code: i32, says: &[&str]| {
        bench.image(arguments).code(code).says(says);
    };
    symlink("x", bench.at("tree/link")).unwrap();
    refused(&["fat", "--from", "tree", "-o", "no.img"], 1, &["/link: FAT holds files"]);
    fs::remove_file(bench.at("tree/link")).unwrap();
    let small = ["fat", "--from", "tree", "-o", "no.img", "--width", "12", "--size", "64K"];
    refused(&small, 1, &["65536 bytes are too few"]);
    refused(&["fat", "--from", "none", "-o", "no.img"], 1, &["none: No such file"]);
    refused(&["fat", "--from", "tree", "-o", "tree"], 2, &["tree is a folder"]);
    refused(&["fat", "--from", "tree", "-o", "tree/a.img"], 2, &["write it elsewhere"]);
    refused(&["fat", "--from", "tree", "-o", "no.img", "--owner", "root"], 2, &["0:0"]);
    refused(&["cpio", "--from", "tree", "-o", "no", "--compress", "zstd:99"], 2, &["1 to 22"]);
    refused(&["cpio", "--from", "tree", "-o", "no", "--epoch", "-1"], 1, &["modification time -1"]);
    refused(&["iso", "--from", "tree", "-o", "no", "--efi", "EFI"], 1, &["/EFI: is to be booted"]);
    refused(&["iso", "--from", "tree", "-o", "no", "--boot-info-table"], 2, &["--bios"]);
    refused(&["cpio", "--from", "tar:tree/A Long Name.text", "-o", "no"], 1, &["cut off"]);
    bench.write("tree/\u{1}name", b"");
    refused(&["fat", "--from", "tree", "-o", "no.img"], 1, &["its name"]);
    assert_eq!(bench.names(), before);
    if !is_root() {
        fs::set_permissions(bench.at("tree/A Long Name.text"), fs::Permissions::from_mode(0o0))
            .unwrap();
        refused(&["cpio", "--from", "tree", "-o", "no"], 1, &["Permission denied"]);
    }
}

#[test]
fn a_disk_that_is_full_keeps_the_file_that_was_there() {
    let bench = Bench::new();
    bench.write("out.img", b"before");
    // A file that may not grow, which is an error and no signal where that is ignored.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" image cpio --from tree -o out.img";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(stagex()).current_dir(bench.0.path());
    run(&mut command).code(1).says(&["out.img", "File too large"]);
    assert_eq!(bytes(&bench.at("out.img")), b"before");
    assert_eq!(bench.names(), ["out.img", "tree"]);
}

/// A key, its certificate, a stub and a kernel: the least that makes a signed image.
fn efi_bench() -> Bench {
    let bench = Bench::new();
    let stub = concat!(env!("CARGO_MANIFEST_DIR"), "/../../firmware/stub/build.sh");
    let to = bench.at("stub.elf");
    bench.tool("gcc", "sh", &[stub, "x86_64", to.to_str().unwrap()]);
    let mut kernel = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| kernel[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[64]);
    put(64, b"PE\0\0\x64\x86");
    put(84, &[240]);
    put(88, &[0x0b, 2]);
    put(88 + 68, &[10]);
    bench.write("vmlinuz", &kernel);
    let new = "req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=db -keyout db.key -out db.pem";
    bench.tool("openssl", "openssl", &new.split(' ').collect::<Vec<_>>());
    bench
}

#[test]
fn uki_is_signed_and_the_signature_comes_off() {
    let bench = efi_bench();
    bench.write("sbat.csv", b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim\n");
    let uki = |to: &str, more: &[&str]| {
        let parts =
            ["uki", "--stub", "stub.elf", "--kernel", "vmlinuz", "--from", "tree", "-o", to];
        let texts =
            ["--cmdline", "-quiet", "--uname", "6.12", "--sbat", "sbat.csv", "--epoch", "0"];
        bench.image(&[&parts[..], &texts, more].concat())
    };
    let plain = uki("plain.efi", &[]).code(0).stdout;
    assert!(plain.contains("  signed  no"), "{plain}");
    let keys = ["--key", "db.key", "--certificate", "db.pem"];
    let signed = uki("signed.efi", &keys).code(0).stdout;
    assert!(signed.contains("  signed  yes"), "{signed}");
    let hash =
        |text: &str| text.lines().find(|line| line.starts_with("  image")).map(str::to_owned);
    assert_eq!(hash(&plain), hash(&signed));
    bench.tool("sbsigntool", "sbverify", &["--cert", "db.pem", "signed.efi"]);
    let sections = bench.tool("binutils", "objdump", &["-h", "signed.efi"]);
    for section in [".linux", ".initrd", ".cmdline", ".uname", ".sbat"] {
        assert!(sections.contains(section), "{section}: {sections}");
    }
    bench.image(&["sign", "signed.efi", "-o", "off.efi"]).code(0);
    assert!(bytes(&bench.at("off.efi")) == bytes(&bench.at("plain.efi")));
    bench.image(&[&["sign", "plain.efi", "-o", "on.efi"][..], &keys].concat()).code(0);
    assert!(bytes(&bench.at("on.efi")) == bytes(&bench.at("signed.efi")));
    // A key that is reached by a command gives the same.
    let external = |command: &str| {
        let with = ["sign", "plain.efi", "-o", "by.efi", "--certificate", "db.pem", "--sign-with"];
        bench.image(&[&with[..], &[command]].concat())
    };
    external("openssl pkeyutl -sign -inkey db.key").code(0);
    assert!(bytes(&bench.at("by.efi")) == bytes(&bench.at("signed.efi")));
    external(
        "python3 -c 'import os,sys; sys.stdout.buffer.write(bytes.fromhex(os.environ[\"STAGEX_SHA256\"]))' \
         | openssl pkeyutl -sign -inkey db.key -pkeyopt digest:sha256",
    )
    .code(0);
    external("exit 3").code(1).says(&["exit 3 ended with", "3"]);
    external("true").code(1).says(&["0 bytes, no signature"]);
    external("echo no").code(1).says(&["not the certificate's"]);
    bench
        .image(&["sign", "vmlinuz", "--certificate", "db.pem", "-o", "no"])
        .code(2)
        .says(&["--key"]);
    bench
        .image(&["sign", "vmlinuz", "--key", "db.key", "-o", "no"])
        .code(2)
        .says(&["--certificate"]);
    bench
        .image(&["sign", "db.pem", "-o", "no"])
        .code(1)
        .says(&["db.pem: it does not begin with MZ"]);
    uki("no", &["--ucode", "db.pem"]).code(1).says(&["microcode is not a cpio archive"]);
    uki("no", &["--dtb", "db.pem"]).code(1).says(&["x86_64 kernels take no device tree"]);
    let twice = uki("no", &["--initrd", "db.pem"]).code(2);
    twice.says(&["--from"]);
    assert!(bench.names().iter().all(|name| name != "no" && !name.starts_with('.')));
}

#[test]
fn a_key_in_a_pkcs11_token_signs() {
    let bench = efi_bench();
    fs::create_dir(bench.at("tokens")).unwrap();
    let tokens = format!("directories.tokendir = {}\n", bench.at("tokens").display());
    bench.write("softhsm2.conf", tokens.as_bytes());
    let place = format!("SOFTHSM2_CONF={}", bench.at("softhsm2.conf").display());
    let softhsm = |arguments: &[&str]| {
        bench.tool("softhsm2", "env", &[&[&*place, "softhsm2-util"], arguments].concat());
    };
    let init = ["--init-token", "--free", "--label", "boot", "--pin", "1234", "--so-pin", "5678"];
    softhsm(&init);
    let pkcs8 = ["pkcs8", "-topk8", "-nocrypt", "-in", "db.key", "-out", "db.p8"];
    bench.tool("openssl", "openssl", &pkcs8);
    let import = ["--import", "db.p8", "--token", "boot", "--label", "db", "--id", "01"];
    softhsm(&[&import[..], &["--pin", "1234"]].concat());
    let command = format!(
        "{place} pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so --token-label boot \
         --pin 1234 --label db --sign --mechanism RSA-PKCS"
    );
    let uki = ["uki", "--stub", "stub.elf", "--kernel", "vmlinuz", "--from", "tree"];
    bench.image(&[&uki[..], &["--epoch", "0", "-o", "plain.efi"]].concat()).code(0);
    let sign = ["sign", "plain.efi", "--certificate", "db.pem"];
    let by_token = ["-o", "token.efi", "--sign-with", &command];
    bench.image(&[&sign[..], &by_token].concat()).code(0);
    bench.image(&[&sign[..], &["-o", "file.efi", "--key", "db.key"]].concat()).code(0);
    assert!(bytes(&bench.at("token.efi")) == bytes(&bench.at("file.efi")));
    bench.tool("sbsigntool", "sbverify", &["--cert", "db.pem", "token.efi"]);
    let wrong = command.replace("--pin 1234", "--pin 9999");
    bench.image(&[&sign[..], &["-o", "no", "--sign-with", &wrong]].concat()).code(1);
    assert!(!bench.at("no").exists());
}

#[test]
fn ext4_with_its_hash_tree_is_checked_by_the_reference_tools() {
    let bench = Bench::new();
    symlink("A Long Name.text", bench.at("tree/link")).unwrap();
    let ext4 = ["ext4", "--from", "tree", "-o", "root.ext4", "--label", "root", "--owner", "0:0"];
    let uuid = "0fc63daf-8483-4772-8e79-3d69d8477de4";
    bench.image(&[&ext4[..], &["--free", "16M", "--uuid", uuid]].concat()).code(0);
    bench.tool("e2fsprogs", "e2fsck", &["-fn", "root.ext4"]);
    let shown = bench.tool("e2fsprogs", "dumpe2fs", &["-h", "root.ext4"]);
    assert!(shown.contains(uuid) && shown.contains("has_journal"), "{shown}");
    bench.image(&["ext4", "--from", "tree", "-o", "no", "--size", "64K"]).code(1);
    bench.image(&["ext4", "--from", "tree", "-o", "no", "--block", "3K"]).code(1);
    bench.image(&["ext4", "--from", "tree", "-o", "no", "--uuid", "1"]).code(2).says(&["no UUID"]);

    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("  {name}")));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
    };
    let apart = bench.image(&["verity", "root.ext4", "-o", "root.verity"]).code(0).stdout;
    let root = value(&apart, "root");
    bench.tool("cryptsetup-bin", "veritysetup", &["verify", "root.ext4", "root.verity", &root]);
    let behind =
        bench.image(&["verity", "root.ext4", "--append", "-o", "whole.img"]).code(0).stdout;
    assert_eq!(value(&behind, "root"), root);
    let offset = format!("--hash-offset={}", value(&behind, "offset"));
    bench.tool(
        "cryptsetup-bin",
        "veritysetup",
        &["verify", &offset, "whole.img", "whole.img", &root],
    );
    let salted = ["verity", "root.ext4", "-o", "salted", "--salt", "00ff"];
    assert_ne!(value(&bench.image(&salted).code(0).stdout, "root"), root);
    bench
        .image(&["verity", "root.ext4", "-o", "no", "--salt", "xyz"])
        .code(2)
        .says(&["hexadecimal"]);
    assert!(!bench.at("no").exists());
}

#[test]
fn erofs_and_squashfs_are_checked_by_the_reference_tools() {
    let bench = Bench::new();
    symlink("A Long Name.text", bench.at("tree/link")).unwrap();
    let uuid = "0fc63daf-8483-4772-8e79-3d69d8477de4";
    let erofs = ["erofs", "--from", "tree", "--owner", "0:0", "--label", "root"];
    bench.image(&[&erofs[..], &["-o", "root.erofs", "--uuid", uuid]].concat()).code(0);
    bench.tool("erofs-utils", "fsck.erofs", &["root.erofs"]);
    let shown = bench.tool("erofs-utils", "dump.erofs", &["-s", "root.erofs"]);
    assert!(shown.contains(uuid), "{shown}");
    let derived = |to: &str| {
        let said = bench.image(&[&erofs[..], &["-o", to, "--seed", to]].concat()).code(0).stdout;
        let line = said.lines().find(|line| line.starts_with("  uuid")).unwrap().to_owned();
        assert!(bench.tool("erofs-utils", "dump.erofs", &["-s", to]).contains(&line[10..]));
        line
    };
    assert_ne!(derived("a"), derived("b"));
    for how in [&["lz4"][..], &["lz4", "--cluster", "64K"], &["lz4", "--no-tails", "--jobs", "1"]] {
        bench.image(&[&erofs[..], &["-o", "packed", "--compress"], how].concat()).code(0);
        bench.tool("erofs-utils", "fsck.erofs", &["--extract=out", "--overwrite", "packed"]);
        let file = "EFI/BOOT/BOOTX64.EFI";
        assert!(bytes(&bench.at("out").join(file)) == bytes(&bench.at("tree").join(file)));
        let len = |name: &str| fs::metadata(bench.at(name)).unwrap().len();
        assert!(len("packed") < len("root.erofs") / 4, "{how:?}");
    }
    bench.image(&[&erofs[..], &["-o", "packed", "--compress", "zstd:1"]].concat()).code(0);
    bench.image(&[&erofs[..], &["-o", "no", "--compress", "xz"]].concat()).code(2).says(&["lz4"]);
    let cluster = ["-o", "no", "--compress", "lz4", "--cluster", "5000"];
    bench.image(&[&erofs[..], &cluster].concat()).code(1).says(&["power of two"]);
    let long = ["erofs", "--from", "tree", "-o", "no", "--label", "sixteen bytes ..."];
    bench.image(&long).code(1).says(&["sixteen bytes", "15 bytes"]);

    let squashfs = |to: &str, more: &[&str]| {
        let parts = ["squashfs", "--from", "tree", "--owner", "0:0", "-o", to];
        bench.image(&[&parts[..], more].concat())
    };
    for (how, name) in
        [("zstd:3", "zstd"), ("xz", "xz"), ("gzip:1", "gzip"), ("lz4", "lz4"), ("zstd", "zstd")]
    {
        let options = ["--block", "64K", "--jobs", "2", "--epoch", "1700000000"];
        squashfs("root.squashfs", &[&options[..], &["--compress", how]].concat()).code(0);
        let shown = bench.tool("squashfs-tools", "unsquashfs", &["-s", "root.squashfs"]);
        for line in [&*format!("Compression {name}"), "Block size 65536", "Nov 14 22:13:20 2023"] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        let file = "EFI/BOOT/BOOTX64.EFI";
        let found = Command::new("unsquashfs")
            .args(["-cat", "root.squashfs", file])
            .current_dir(bench.at(""))
            .output();
        assert!(found.unwrap().stdout == bytes(&bench.at("tree").join(file)));
    }
    squashfs("no", &["--compress", "zstd:23"]).code(2).says(&["zstd", "1 to 22"]);
    squashfs("no", &["--compress", "none"]).code(2).says(&["known are"]);
    squashfs("no", &["--block", "5000"]).code(1).says(&["power of two"]);
    squashfs("no", &["--epoch", "-1"]).code(1).says(&["4294967295"]);
    assert!(bench.names().iter().all(|name| name != "no" && !name.starts_with('.')));
}

#[test]
fn disks_are_exported_and_read_back() {
    let bench = Bench::new();
    bench.image(&["fat", "--from", "tree", "-o", "esp.img"]).code(0);
    bench
        .image(&["gpt", "-o", "disk.img", "--partition", "type=esp,file=esp.img,size=100M"])
        .code(0);
    let blocks = |name: &str| {
        std::os::unix::fs::MetadataExt::blocks(&fs::metadata(bench.at(name)).unwrap()) * 512
    };
    assert!(blocks("disk.img") < 4 << 20, "what is zero takes no room");
    for (format, kind, more) in [
        ("qcow2", "qcow2", &["--compress", "zstd:1"][..]),
        ("qcow2", "qcow2", &["--cluster", "2M"]),
        ("vhd", "vpc", &[]),
        ("vmdk", "vmdk", &["--level", "1"]),
        ("raw", "raw", &[]),
    ] {
        let all = [&[format, "disk.img", "-o", "out"][..], more].concat();
        bench.image(&all).code(0);
        if format == "raw" {
            assert!(bytes(&bench.at("out")) == bytes(&bench.at("disk.img")));
        }
        let compare = ["compare", "-f", "raw", "-F", kind, "disk.img", "out"];
        bench.tool("qemu-utils", "qemu-img", &compare);
    }
    bench.image(&["qcow2", "disk.img", "-o", "no", "--compress", "lzo"]).code(2).says(&["zstd:1"]);
    bench.image(&["qcow2", "disk.img", "-o", "no", "--cluster", "3K"]).code(1);
    bench.write("odd", b"odd");
    bench.image(&["vmdk", "odd", "-o", "no"]).code(1).says(&["sectors"]);
    assert!(!bench.at("no").exists());
}

#[test]
fn enclave_images_say_their_registers() {
    let bench = Bench::new();
    let mut kernel = vec![0; 4096];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    bench.write("bzImage", &kernel);
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -subj /CN=e -keyout e.key -out e.pem";
    bench.tool("openssl", "openssl", &new.split(' ').collect::<Vec<_>>());
    bench.write("first", b"first ramdisk");
    let ended = bench
        .image(&[
            "eif",
            "--kernel",
            "bzImage",
            "--ramdisk",
            "first",
            "--from",
            "tree",
            "--epoch",
            "0",
            "--cmdline",
            "panic=1",
            "--key",
            "e.key",
            "--certificate",
            "e.pem",
            "-o",
            "app.eif",
        ])
        .code(0)
        .stdout;
    let registers: serde_json::Value =
        serde_json::from_slice(&bytes(&bench.at("app.eif.pcrs.json"))).unwrap();
    for name in ["PCR0", "PCR1", "PCR2", "PCR8"] {
        let value = registers["Measurements"][name].as_str().unwrap();
        assert!(value.len() == 96 && ended.contains(value), "{name} {value}: {ended}");
    }
    assert_eq!(bytes(&bench.at("app.eif"))[..4], *b".eif");
    bench.image(&["eif", "--kernel", "first", "--ramdisk", "first", "-o", "no"]).code(1);
    bench.image(&["eif", "--kernel", "bzImage", "-o", "no"]).code(1);
    bench
        .image(&[
            "eif",
            "--kernel",
            "bzImage",
            "--ramdisk",
            "first",
            "--arch",
            "riscv64",
            "-o",
            "no",
        ])
        .code(2)
        .says(&["riscv64"]);
    assert!(bench.names().iter().all(|name| name != "no" && !name.starts_with('.')));
}

#[test]
fn inspect_and_diff_name_what_lies_in_an_image() {
    let bench = Bench::new();
    bench.image(&["cpio", "--from", "tree", "--compress", "gzip", "-o", "initrd"]).code(0);
    fs::rename(bench.at("initrd"), bench.at("tree/initrd")).unwrap();
    bench.image(&["iso", "--from", "tree", "--label", "ONE", "-o", "one.iso"]).code(0);
    let listed = bench.image(&["inspect", "one.iso"]).code(0);
    for part in ["[iso9660]", "initrd", "[cpio]", "A Long Name.text", "size=5", "mode=0751"] {
        assert!(listed.stdout.contains(part), "{part}: {}", listed.stdout);
    }
    let inner = "files/initrd/A Long Name.text";
    bench.image(&["inspect", "one.iso", "--extract", inner, "-o", "text"]).code(0);
    assert_eq!(fs::read(bench.at("text")).unwrap(), b"text\n");
    let json = bench.image(&["inspect", "one.iso", "files/EFI", "--json"]).code(0);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(value["nodes"][0]["name"], "BOOT");

    bench.write("tree/A Long Name.text", b"Text\n");
    bench.image(&["cpio", "--from", "tree", "--compress", "gzip", "-o", "initrd"]).code(0);
    fs::rename(bench.at("initrd"), bench.at("tree/initrd")).unwrap();
    bench.image(&["iso", "--from", "tree", "--label", "ONE", "-o", "two.iso"]).code(0);
    let same = bench.image(&["diff", "one.iso", "one.iso"]).code(0);
    assert_eq!(same.stdout, "");
    let different = bench.image(&["diff", "one.iso", "two.iso"]).code(1);
    let line = "files/initrd > A Long Name.text: line 1: \"text\" → \"Text\"";
    assert!(different.stdout.contains(line), "{}", different.stdout);
    bench.image(&["diff", "one.iso", "nothing"]).code(2);
    let missing = bench.image(&["inspect", "one.iso", "files/nothing"]).code(1);
    assert!(missing.stderr.contains("it holds"), "{}", missing.stderr);
}
