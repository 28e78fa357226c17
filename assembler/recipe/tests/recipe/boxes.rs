use stagex_recipe::{
    Document,
    boxes::{Architecture, BoxRecipe, FileContent, Output, Role, RootCompression, RootFormat},
};

const AIRGAP: &str = r##"[box]
name = "airgap"
version = "1.0.0"
architectures = ["x86_64", "arm64", "riscv64"]
outputs = ["iso", "disk", "initramfs", "uki"]

[layers]
packages = ["core-busybox", "core-gnupg"]

[kernel]
package = "kernel-linux-airgap"
cmdline = "quiet panic=1"

[firmware]
x86_64 = "firmware-edk2-x86_64"

[rootfs]
format = "initramfs"

[[files]]
path = "/etc/motd"
source = "motd"

[[files]]
path = "/init"
content = "#!/bin/sh\n"
mode = "0755"

[[files]]
path = "/bin/sh"
symlink = "busybox"

[test]
expect = ["airgap ready"]
timeout = 60
"##;

fn errors(text: &str) -> Vec<String> {
    let errors = BoxRecipe::parse(&Document::new("box.toml", text)).expect_err("it has errors");
    let place = |error: &stagex_recipe::Diagnostic| {
        let location = error.location.as_deref().unwrap();
        format!("{}:{}: {}", location.line, location.column, error.message)
    };
    errors.iter().map(place).collect()
}

/// The errors after replacing one text in the good box.
fn broken(from: &str, to: &str) -> Vec<String> {
    assert!(AIRGAP.contains(from), "{from}");
    errors(&AIRGAP.replacen(from, to, 1))
}

#[test]
fn everything_is_read() {
    let recipe = BoxRecipe::parse(&Document::new("box.toml", AIRGAP)).unwrap();
    assert_eq!((recipe.name.value.as_str(), recipe.version.as_str()), ("airgap", "1.0.0"));
    let architectures: Vec<_> = recipe.architectures.iter().map(|each| each.value).collect();
    assert_eq!(architectures, Architecture::ALL);
    let outputs: Vec<_> = recipe.outputs.iter().map(|each| each.value).collect();
    assert_eq!(outputs, [Output::Iso, Output::Disk, Output::Initramfs, Output::Uki]);
    let packages: Vec<_> = recipe.packages.iter().map(|each| each.value.as_str()).collect();
    assert_eq!(packages, ["core-busybox", "core-gnupg"]);
    assert_eq!(recipe.kernel.package.value, "kernel-linux-airgap");
    assert_eq!(recipe.kernel.cmdline, "quiet panic=1");
    assert_eq!(recipe.firmware[&Architecture::X86_64].value, "firmware-edk2-x86_64");
    assert_eq!((recipe.rootfs.format, recipe.rootfs.verity), (RootFormat::Initramfs, false));
    let files: Vec<_> = recipe
        .files
        .iter()
        .map(|file| {
            let content = match &file.content {
                FileContent::Source(path) => format!("source {}", path.value),
                FileContent::Text(text) => format!("text {text:?}"),
                FileContent::Symlink(path) => format!("symlink {path}"),
            };
            (file.path.value.as_str(), content, file.mode)
        })
        .collect();
    assert_eq!(
        files,
        [
            ("/etc/motd", "source motd".to_owned(), 0o644),
            ("/init", "text \"#!/bin/sh\\n\"".to_owned(), 0o755),
            ("/bin/sh", "symlink busybox".to_owned(), 0o644),
        ]
    );
    assert_eq!(recipe.test.expect[0].value, "airgap ready");
    assert_eq!(recipe.test.timeout, Some(60));
}

#[test]
fn architectures_have_two_names() {
    let names: Vec<_> = Architecture::ALL.map(|each| (each.name(), each.oci())).to_vec();
    assert_eq!(names, [("x86_64", "amd64"), ("arm64", "arm64"), ("riscv64", "riscv64")]);
    for each in Architecture::ALL {
        assert_eq!(Architecture::parse(each.name()), Some(each));
        assert_eq!(Architecture::parse(each.oci()), Some(each));
    }
    assert_eq!(Architecture::parse("i386"), None);
}

#[test]
fn words_that_are_not_known() {
    assert_eq!(broken("\"arm64\"", "\"arm46\""), ["4:28: `arm46` is none of the architectures"]);
    assert_eq!(broken("\"uki\"", "\"vmdk\""), ["5:40: `vmdk` is none of the outputs"]);
    assert_eq!(broken("\"uki\"", "\"iso\""), ["5:40: `iso` stands here already"]);
    assert_eq!(
        broken("\"initramfs\"\n", "\"btrfs\"\n"),
        ["18:10: `btrfs` is no format of a rootfs"]
    );
    assert!(recipe_with("bios", "x86_64").unwrap().bios.is_some());
    assert!(recipe_with("secure", "x86_64").unwrap().secure.is_some());
    let text = &recipe_with("secure", "arm64").unwrap_err();
    assert!(text.contains("Secure Boot is tried there alone"), "{text}");
    let text = &recipe_with("bios", "arm64").unwrap_err();
    assert!(text.contains("the box is not built for x86_64"), "{text}");
    assert_eq!(broken("x86_64 = ", "i386 = "), ["15:1: [firmware] has no key `i386`"]);
    assert_eq!(broken("[layers]", "[layer]"), ["7:2: the file has no key `layer`"]);
    assert_eq!(
        broken("outputs = [\"iso\", \"disk\", \"initramfs\", \"uki\"]", "outputs = []"),
        ["5:1: `outputs` names nothing"]
    );
    assert_eq!(broken("\"core-gnupg\"", "\"gnupg\""), ["8:29: `gnupg` is no package"]);
}

#[test]
fn command_lines_that_would_be_misread() {
    let line = |text: &str| broken("\"quiet panic=1\"", text);
    for text in [r#""a\nb""#, r#""a\"b""#, r#""a'b""#, r#""a\\b""#, r#""é""#, r#""a\tb""#] {
        let found = line(text);
        assert_eq!(found.len(), 1, "{text}");
        assert!(found[0].starts_with("12:11: the kernel's command line cannot hold "), "{found:?}");
    }
    assert_eq!(line("\"console=ttyS0\""), ["12:11: `console=ttyS0` is not yours to set"]);
    assert_eq!(line("\"quiet root=/dev/sda\""), ["12:11: `root=/dev/sda` is not yours to set"]);
    let long = format!("\"{}\"", "x".repeat(600));
    assert_eq!(line(&long), ["12:11: the kernel's command line has 600 characters"]);
}

#[test]
fn files_stay_in_their_folders() {
    for path in ["etc/motd", "/etc/../motd", "/", "/a//b", "/a/", "/a\\u0000b"] {
        let shown = path.replace("\\u0000", "\\0");
        assert_eq!(
            broken("\"/etc/motd\"", &format!("\"{path}\"")),
            [format!("21:8: `{shown}` is no path in the box")]
        );
    }
    for source in ["/etc/passwd", "../motd", "a/../../b", "."] {
        assert_eq!(
            broken("\"motd\"", &format!("\"{source}\"")),
            [format!("22:10: `{source}` is no file in the box's folder")]
        );
    }
    assert_eq!(broken("\"/init\"", "\"/etc/motd\""), ["25:8: `/etc/motd` is written twice"]);
    assert_eq!(broken("\"0755\"", "\"755x\""), ["27:8: `755x` is no mode"]);
    assert_eq!(broken("\"0755\"", "755"), ["27:8: `mode` is a string, not a whole number"]);
    let one = "a file has one of `source`, `content` and `symlink`";
    let none = broken("source = \"motd\"\n", "");
    assert!(none[0].ends_with(one), "{none:?}");
    let both = broken("source = \"motd\"\n", "source = \"motd\"\ncontent = \"x\"\n");
    assert!(both[0].ends_with(one), "{both:?}");
    let link = broken("symlink = \"busybox\"\n", "symlink = \"busybox\"\nmode = \"0644\"\n");
    assert!(link[0].ends_with("a symbolic link has no mode"), "{link:?}");
}

#[test]
fn what_does_not_go_together() {
    assert_eq!(
        broken("format = \"initramfs\"", "verity = true"),
        ["18:10: an initramfs has no blocks for verity to check"]
    );
    assert_eq!(
        broken("format = \"initramfs\"", "format = \"erofs\"\nverity = true"),
        [
            "5:12: `iso` holds no file system of another format",
            "5:27: `initramfs` holds no file system of another format",
            "5:40: `uki` holds no file system of another format",
        ]
    );
    assert_eq!(broken("\"uki\"", "\"eif\""), ["5:40: there are no enclaves for riscv64"]);
    assert_eq!(
        broken("architectures = [\"x86_64\", ", "architectures = ["),
        ["15:10: the box is not built for x86_64"]
    );
    assert_eq!(
        broken("timeout = 60", "timeout = 0"),
        ["35:11: `timeout` is a whole number from 1 to 86400"]
    );
    assert_eq!(broken("\"airgap ready\"", "\" \""), ["34:11: no console ever fails to show this"]);
}

#[test]
fn what_is_missing() {
    assert_eq!(errors(""), ["1:1: the file has no `box`"]);
    assert_eq!(
        errors("[box]\nname = \"x\"\n"),
        [
            "1:1: the file has no `kernel`",
            "1:2: [box] has no `architectures`",
            "1:2: [box] has no `outputs`",
            "1:2: [box] has no `version`",
        ]
    );
}

/// The good box with another root file system and disk.
fn disk(rootfs: &str, disk: &str) -> String {
    let text = AIRGAP.replace("[\"iso\", \"disk\", \"initramfs\", \"uki\"]", "[\"disk\"]");
    text.replace("format = \"initramfs\"\n", &format!("{rootfs}\n{disk}\n"))
}

#[test]
fn disks_have_partitions_by_role() {
    let parse = |text: &str| BoxRecipe::parse(&Document::new("box.toml", text)).unwrap().disk;
    let roles = |text: &str| -> Vec<Role> {
        parse(text).partitions.iter().map(|partition| partition.role).collect()
    };
    assert_eq!(roles(AIRGAP), [Role::Esp]);
    assert_eq!(roles(&disk("format = \"ext4\"", "")), [Role::Esp, Role::Root]);
    let verity = "format = \"erofs\"\nverity = true";
    assert_eq!(roles(&disk(verity, "")), [Role::Esp, Role::Root, Role::RootVerity]);
    let given = "[disk]\nsize = \"4G\"\nab = true\n\
        [[disk.partitions]]\nrole = \"root-verity\"\n\
        [[disk.partitions]]\nrole = \"root\"\nname = \"system\"\nsize = \"512M\"\n\
        [[disk.partitions]]\nrole = \"esp\"\n\
        [[disk.partitions]]\nrole = \"data\"\nname = \"one\"\nsize = \"1G\"\n\
        [[disk.partitions]]\nrole = \"data\"\nname = \"two\"\nsize = \"1T\"";
    let found = parse(&disk(verity, given));
    assert_eq!((found.bytes(), found.ab), (Some(4 << 30), true));
    let shown: Vec<_> = found.partitions.iter().map(|each| (&*each.name, each.bytes())).collect();
    assert_eq!(
        shown,
        [
            ("root-verity", None),
            ("system", Some(512 << 20)),
            ("esp", None),
            ("one", Some(1 << 30)),
            ("two", Some(1 << 40)),
        ]
    );
}

#[test]
fn disks_that_cannot_be() {
    let partitions = |list: &[&str]| -> String {
        list.iter().map(|each| format!("[[disk.partitions]]\n{each}\n")).collect()
    };
    let wrong = |rootfs: &str, text: &str| errors(&disk(rootfs, text));
    let (memory, ext4) = ("format = \"initramfs\"", "format = \"ext4\"");
    let esp = "role = \"esp\"";
    let message = |found: Vec<String>| -> String {
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].split_once(": ").unwrap().1.to_owned()
    };
    let one = |rootfs: &str, list: &[&str]| message(wrong(rootfs, &partitions(list)));
    assert_eq!(one(ext4, &[esp]), "the disk has no partition of role `root`");
    assert_eq!(
        one(memory, &["role = \"var\"\nsize = \"1G\""]),
        "the disk has no partition of role `esp`"
    );
    assert_eq!(
        one(memory, &[esp, "role = \"esp\"\nname = \"x\""]),
        "there are two partitions of role `esp`"
    );
    assert_eq!(
        one(memory, &[esp, "role = \"root\""]),
        "nothing is there for a partition of role `root`"
    );
    assert_eq!(
        one(memory, &[esp, "role = \"home\""]),
        "a partition of role `home` begins empty, and has to have a size"
    );
    let home = "role = \"home\"\nsize = \"1G\"";
    assert_eq!(one(memory, &[esp, home, home]), "two partitions are called `home`");
    let format = |format: &str, size: &str| {
        let home = format!("role = \"home\"\nsize = \"{size}\"\nformat = \"{format}\"");
        one(memory, &[esp, &home])
    };
    assert_eq!(format("btrfs", "1G"), "a partition cannot begin as `btrfs`");
    assert_eq!(
        format("ext4", "8M"),
        "a partition of under 16 MiB is too small for an ext4 file system to write to"
    );
    assert_eq!(
        one(memory, &["role = \"esp\"\nformat = \"ext4\""]),
        "what is in a partition of role `esp` has its format"
    );
    assert_eq!(one(memory, &[esp, "role = \"hone\"\nsize = \"1G\""]), "`hone` is no role");
    for size in ["1", "1K", "0M", "-1G", "1.5G", "G", "9999999999T"] {
        let text = format!("role = \"home\"\nsize = \"{size}\"");
        assert_eq!(one(memory, &[esp, &text]), format!("`{size}` is no size"));
    }
    let long = format!("{esp}\nname = \"{}\"", "n".repeat(35));
    assert_eq!(one(memory, &[&long]), "a partition's name has 1 to 34 characters");
    let ab = message(wrong(memory, "[disk]\nab = true"));
    assert!(ab.starts_with("an initramfs lies in the kernel's image"), "{ab}");
    let text = AIRGAP.replace("\"disk\", ", "") + "[disk]\nsize = \"1G\"\n";
    assert_eq!(message(errors(&text)), "the box is not written as a disk");
}

/// A box of one disk, with this in its `[rootfs]`.
fn with_rootfs(text: &str) -> String {
    disk(text, "").replace(", \"initramfs\", \"uki\"", "").replace("\"iso\", ", "")
}

#[test]
fn root_file_systems_are_compressed_as_said() {
    let read = |text: &str| {
        let recipe = BoxRecipe::parse(&Document::new("box.toml", with_rootfs(text)));
        let rootfs = recipe.unwrap_or_else(|errors| panic!("{text}: {errors}")).rootfs;
        (rootfs.compress, rootfs.block)
    };
    let erofs = |text: &str| read(&format!("format = \"erofs\"\n{text}"));
    let squashfs = |text: &str| read(&format!("format = \"squashfs\"\n{text}"));
    use RootCompression::{Gzip, Lz4, None as Plain, Xz, Zstd};
    assert_eq!(erofs(""), (None, None));
    assert_eq!(erofs("compress = \"none\""), (Some(Plain), None));
    assert_eq!(erofs("compress = \"lz4\"\ncluster = \"512K\""), (Some(Lz4), Some(512 << 10)));
    assert_eq!(erofs("compress = \"zstd\"\ncluster = \"4K\""), (Some(Zstd(None)), Some(4 << 10)));
    assert_eq!(erofs("compress = \"zstd:22\""), (Some(Zstd(Some(22))), None));
    assert_eq!(squashfs("block = \"1M\""), (None, Some(1 << 20)));
    for (text, how) in [
        ("zstd:19", Zstd(Some(19))),
        ("xz", Xz(None)),
        ("xz:0", Xz(Some(0))),
        ("gzip:9", Gzip(Some(9))),
        ("lz4", Lz4),
    ] {
        assert_eq!(squashfs(&format!("compress = \"{text}\"")), (Some(how), None));
    }
}

#[test]
fn compressions_that_cannot_be() {
    let one = |format: &str, text: &str| {
        let found = errors(&with_rootfs(&format!("format = \"{format}\"\n{text}")));
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    let compress = |format: &str, how: &str| one(format, &format!("compress = \"{how}\""));
    for (format, how) in [
        ("erofs", ""),
        ("erofs", "xz"),
        ("erofs", "zstd:"),
        ("erofs", "zstd:0"),
        ("erofs", "zstd:23"),
        ("erofs", "zstd:+3"),
        ("erofs", "lz4:1"),
        ("erofs", "none:1"),
        ("squashfs", "none"),
        ("squashfs", "xz:10"),
        ("squashfs", "gzip:0"),
        ("squashfs", "lz4:1"),
        ("squashfs", "Zstd"),
    ] {
        assert_eq!(compress(format, how), format!("19:12: `{how}` is no compression of {format}"));
    }
    assert_eq!(compress("ext4", "zstd"), "19:12: ext4 is not compressed");
    assert_eq!(
        compress("initramfs", "zstd"),
        "19:12: how an initramfs is compressed is not chosen"
    );
    let size = |format: &str, key: &str, size: &str| {
        one(format, &format!("compress = \"zstd\"\n{key} = \"{size}\""))
    };
    assert_eq!(size("erofs", "block", "64K"), "20:9: erofs has no `block`");
    assert_eq!(size("squashfs", "cluster", "64K"), "20:11: squashfs has no `cluster`");
    assert_eq!(one("ext4", "block = \"64K\""), "19:9: ext4 has no `block`");
    for wrong in ["2K", "1M", "5K", "64", "4096", "K", "64k", "99999999M", "-4K"] {
        assert_eq!(
            size("erofs", "cluster", wrong),
            format!("20:11: `{wrong}` is no size of a cluster")
        );
    }
    assert_eq!(size("squashfs", "block", "2M"), "20:9: `2M` is no size of a block");
    assert_eq!(
        one("erofs", "cluster = \"64K\""),
        "19:11: nothing is compressed that `cluster` could be said of"
    );
    let text = &with_rootfs("format = \"erofs\"\ncompress = \"zstd:30\"");
    let error =
        BoxRecipe::parse(&Document::new("box.toml", text.as_str())).unwrap_err().to_string();
    assert!(error.contains("zstd has levels from 1 to 22"), "{error}");
}

/// A box for one architecture that names further firmware, and how it is switched off.
fn recipe_with(firmware: &str, architecture: &str) -> Result<BoxRecipe, String> {
    let text = format!(
        "[box]\nname = \"b\"\nversion = \"1\"\narchitectures = [\"{architecture}\"]\n\
         outputs = [\"iso\"]\n[kernel]\npackage = \"kernel-k\"\n[firmware]\n\
         {firmware} = \"firmware-s\"\n[[test.poweroff]]\nexpect = \"# \"\nsend = \"poweroff\"\n"
    );
    let recipe = BoxRecipe::parse(&Document::new("box.toml", text));
    let recipe = recipe.map_err(|errors| errors.to_string())?;
    let answer = &recipe.test.poweroff[0];
    assert_eq!((&answer.expect[..], &answer.send[..]), ("# ", "poweroff"));
    Ok(recipe)
}
