//! From text to boxes.

use std::collections::BTreeMap;

use super::{
    Answer, Architecture, BoxFile, BoxRecipe, BoxTest, FileContent, Kernel, Output, RootFormat,
    disk, rootfs,
};
use crate::{
    Diagnostics, Document, Spanned,
    package::is_name,
    package::twice,
    toml_reader::{self, Sink, Table},
};

/// What a kernel takes as its command line, with room left for what the tool adds.
///
/// COMMAND_LINE_SIZE is 2048 on x86 and arm64, 1024 on riscv64.
const CMDLINE_MAX: usize = 512;

impl BoxRecipe {
    /// Reads a box.toml, or says all that is wrong with it.
    pub fn parse(document: &Document) -> Result<Self, Diagnostics> {
        let sink = Sink::new(document);
        let root = toml_reader::parse(document, &sink);
        let recipe = root.and_then(|root| read(&sink, &Table::root(&sink, &root)));
        sink.finish(recipe)
    }
}

fn read(sink: &Sink<'_>, root: &Table<'_>) -> Option<BoxRecipe> {
    let table = root.table("box");
    if !table.exists() {
        root.missing("box", "begin with [box], name and version");
        return None;
    }
    let name = table.required("name", r#"write name = "…""#);
    if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
        sink.error_help(
            name.span,
            format!("`{}` cannot name a box", name.value),
            "it enters file names: use letters, digits, `-`, `_`, `.` and `+`",
        );
    }
    let version = table.required("version", r#"write version = "1.0.0""#);
    if let Some(version) = version.as_ref().filter(|version| !is_name(version)) {
        sink.error_help(
            version.span,
            format!("`{}` cannot be a version", version.value),
            "use letters, digits, `-`, `_`, `.` and `+`",
        );
    }
    let architectures =
        choices(sink, &table, "architectures", Architecture::ALL, |each| each.name());
    let outputs = choices(sink, &table, "outputs", Output::ALL, |each| each.name());
    table.finish();

    let table = root.table("layers");
    let packages = table.strings("packages");
    twice(sink, &packages);
    packages.iter().for_each(|package| package_id(sink, package));
    table.finish();

    let kernel = kernel(sink, root);
    let firmware = firmware(sink, root, &architectures);
    let rootfs = rootfs::read(sink, root);
    let (disk, disk_span) = disk::read(sink, root, rootfs.0);
    let files = files(sink, root);
    let test = test(sink, root);
    root.finish();

    let is_disk = |output: &Spanned<Output>| matches!(output.value, Output::Disk | Output::Qcow2);
    if let Some(span) = disk_span.filter(|_| !outputs.iter().any(is_disk)) {
        sink.error_help(
            span,
            "the box is not written as a disk",
            "add \"disk\" to the outputs, or drop [disk]",
        );
    }
    for output in &outputs {
        let eif_arch = |each: &&Spanned<Architecture>| each.value == Architecture::Riscv64;
        if let (Output::Eif, Some(bad)) = (output.value, architectures.iter().find(eif_arch)) {
            sink.error_help(
                output.span,
                format!("there are no enclaves for {}", bad.value),
                "drop eif from the outputs, or riscv64 from the architectures",
            );
        }
        let in_memory =
            matches!(output.value, Output::Iso | Output::Initramfs | Output::Uki | Output::Eif);
        if let (true, Some(format)) = (in_memory, &rootfs.1) {
            if rootfs.0.format != RootFormat::Initramfs {
                sink.error_help(
                    output.span,
                    format!("`{}` holds no file system of another format", output.value),
                    format!(
                        "drop it from the outputs, or make the rootfs on line {} \"initramfs\"",
                        sink.document.position(format.start).line
                    ),
                );
            }
        }
    }
    Some(BoxRecipe {
        document: sink.document.clone(),
        name: name?,
        version: version?.value,
        architectures,
        outputs,
        packages,
        kernel: kernel?,
        firmware: firmware.packages,
        bios: firmware.bios,
        secure: firmware.secure,
        rootfs: rootfs.0,
        disk,
        files,
        test,
    })
}

/// A list of known words, at least one, none twice.
fn choices<T: Copy, const N: usize>(
    sink: &Sink<'_>,
    table: &Table<'_>,
    key: &'static str,
    all: [T; N],
    name: fn(T) -> &'static str,
) -> Vec<Spanned<T>> {
    let listed = table.has(key);
    let members = table.strings(key);
    twice(sink, &members);
    let names = all.map(name);
    if !listed {
        table.missing(key, &format!("choose from {}", names.join(", ")));
    } else if members.is_empty() {
        sink.error_help(
            table.key_span(key).unwrap_or(table.span()),
            format!("`{key}` names nothing"),
            format!("choose from {}", names.join(", ")),
        );
    }
    let choose = |member: Spanned<String>| {
        let found = all.into_iter().find(|each| name(*each) == member.value);
        if found.is_none() {
            let message = format!("`{}` is none of the {key}", member.value);
            let error = sink.document.error(member.span, message);
            let error = error.with_help(format!("known are {}", names.join(", ")));
            sink.add(error.with_nearest(&member.value, names));
        }
        found.map(|value| Spanned::new(value, member.span))
    };
    members.into_iter().filter_map(choose).collect()
}

fn package_id(sink: &Sink<'_>, id: &Spanned<String>) {
    if !is_name(id) || !id.value.contains('-') {
        sink.error_help(
            id.span,
            format!("`{}` is no package", id.value),
            "a package is named by its root and its name, such as core-busybox",
        );
    }
}

fn kernel(sink: &Sink<'_>, root: &Table<'_>) -> Option<Kernel> {
    let table = root.table("kernel");
    if !table.exists() {
        root.missing("kernel", "write [kernel] and the package that holds it");
        return None;
    }
    let package = table.required("package", r#"write package = "kernel-linux""#);
    package.iter().for_each(|package| package_id(sink, package));
    let cmdline = table.string("cmdline");
    if let Some(cmdline) = &cmdline {
        check_cmdline(sink, cmdline);
    }
    table.finish();
    let cmdline = cmdline.map(|cmdline| cmdline.value).unwrap_or_default();
    Some(Kernel { package: package?, cmdline })
}

fn check_cmdline(sink: &Sink<'_>, cmdline: &Spanned<String>) {
    let bad = cmdline.chars().find(|c| matches!(c, '"' | '\'' | '\\') || !matches!(c, ' '..='~'));
    if let Some(bad) = bad {
        sink.error_help(
            cmdline.span,
            format!("the kernel's command line cannot hold {bad:?}"),
            "firmware and boot loaders part it each in their way: use plain words and spaces",
        );
    }
    if cmdline.len() > CMDLINE_MAX {
        sink.error_help(
            cmdline.span,
            format!("the kernel's command line has {} characters", cmdline.len()),
            format!("{CMDLINE_MAX} are allowed"),
        );
    }
    for word in cmdline.split(' ') {
        let reason = match word.split('=').next().unwrap_or_default() {
            "console" | "earlycon" => "the consoles are the architecture's, and the tool adds them",
            "initrd" | "initrdmem" => "where the initramfs lies is computed",
            "root" | "roothash" | "systemd.verity_root_hash" => "the root follows from [rootfs]",
            _ => continue,
        };
        sink.error_help(cmdline.span, format!("`{word}` is not yours to set"), reason);
    }
}

/// What `[firmware]` says.
struct Firmware {
    packages: BTreeMap<Architecture, Spanned<String>>,
    bios: Option<Spanned<String>>,
    secure: Option<Spanned<String>>,
}

fn firmware(
    sink: &Sink<'_>,
    root: &Table<'_>,
    architectures: &[Spanned<Architecture>],
) -> Firmware {
    let table = root.table("firmware");
    let mut packages = BTreeMap::new();
    for architecture in Architecture::ALL {
        let Some(package) = table.string(architecture.name()) else { continue };
        package_id(sink, &package);
        if !architectures.iter().any(|each| each.value == architecture) {
            sink.error_help(
                package.span,
                format!("the box is not built for {architecture}"),
                "add it to `architectures` or drop its firmware",
            );
        }
        packages.insert(architecture, package);
    }
    let of_x86_64 = [
        ("bios", "the box is not built for x86_64, and no other machines have a BIOS"),
        ("secure", "the box is not built for x86_64, and Secure Boot is tried there alone"),
    ];
    let [bios, secure] = of_x86_64.map(|(key, why)| {
        let package = table.string(key)?;
        package_id(sink, &package);
        if !architectures.iter().any(|each| each.value == Architecture::X86_64) {
            let help = format!("add x86_64 to `architectures` or drop `{key}`");
            sink.error_help(package.span, why, help);
        }
        Some(package)
    });
    table.finish();
    Firmware { packages, bios, secure }
}

/// Refuses a word that is none of those that are known.
pub(super) fn nearest_of(sink: &Sink<'_>, word: &Spanned<String>, what: &str, known: &[&str]) {
    sink.add(
        sink.document
            .error(word.span, format!("`{}` is {what}", word.value))
            .with_help(format!("known are {}", known.join(", ")))
            .with_nearest(&word.value, known.iter().copied()),
    );
}

fn files(sink: &Sink<'_>, root: &Table<'_>) -> Vec<BoxFile> {
    let mut files: Vec<BoxFile> = Vec::new();
    for table in root.tables("files") {
        let path = table.required("path", r#"write path = "/etc/…""#);
        let source = table.string("source").map(FileContent::Source);
        let text = table.string("content").map(|text| FileContent::Text(text.value));
        let link = table.string("symlink").map(|link| FileContent::Symlink(link.value));
        let mode = mode(sink, &table);
        table.finish();
        let mut contents: Vec<_> = [source, text, link].into_iter().flatten().collect();
        let content = contents.pop();
        if !contents.is_empty() || content.is_none() {
            sink.error_help(
                table.span(),
                "a file has one of `source`, `content` and `symlink`",
                "keep one: a file beside box.toml, the text itself, or where a link leads",
            );
        }
        if let Some(FileContent::Source(source)) = &content {
            if !is_inside(source) {
                sink.error_help(
                    source.span,
                    format!("`{}` is no file in the box's folder", source.value),
                    "write a path relative to box.toml, without ..",
                );
            }
        }
        if let (Some(FileContent::Symlink(_)), Some(_)) = (&content, mode) {
            sink.error_help(table.span(), "a symbolic link has no mode", "drop `mode`");
        }
        let Some(path) = path else { continue };
        if !is_absolute(&path) {
            sink.error_help(
                path.span,
                format!("`{}` is no path in the box", path.value.escape_debug()),
                "write it from the root, such as /etc/motd, without .. or //",
            );
        } else if let Some(first) = files.iter().find(|file| file.path.value == path.value) {
            let line = sink.document.position(first.path.span.start).line;
            sink.error_help(
                path.span,
                format!("`{}` is written twice", path.value),
                format!("the first is on line {line}: keep one"),
            );
        }
        let Some(content) = content else { continue };
        files.push(BoxFile { path, content, mode: mode.unwrap_or(0o644), span: table.span() });
    }
    files
}

/// Permission bits as octal digits in a string: `mode = "0755"`.
fn mode(sink: &Sink<'_>, table: &Table<'_>) -> Option<u32> {
    let mode = table.string("mode")?;
    let digits = mode.value.strip_prefix("0o").unwrap_or(&mode.value);
    let octal = (3..=5).contains(&digits.len()) && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    match u32::from_str_radix(digits, 8) {
        Ok(bits) if octal && bits <= 0o7777 => Some(bits),
        _ => {
            sink.error_help(
                mode.span,
                format!("`{}` is no mode", mode.value),
                r#"write octal digits, such as "0644" or "0755""#,
            );
            None
        }
    }
}

fn test(sink: &Sink<'_>, root: &Table<'_>) -> BoxTest {
    let table = root.table("test");
    let expect = table.strings("expect");
    for text in expect.iter().filter(|text| text.trim().is_empty() || text.contains('\n')) {
        sink.error_help(
            text.span,
            "no console ever fails to show this",
            "expect a piece of one line",
        );
    }
    let timeout = table.number("timeout", 1, 86_400).map(|seconds| seconds.value);
    let mut poweroff = Vec::new();
    for answer in table.tables("poweroff") {
        let expect = answer.required("expect", r#"write expect = "…""#);
        let send = answer.required("send", r#"write send = "poweroff""#);
        answer.finish();
        if let (Some(expect), Some(send)) = (expect, send) {
            poweroff.push(Answer { expect: expect.value, send: send.value });
        }
    }
    table.finish();
    BoxTest { expect, timeout, poweroff }
}

fn parts_fit(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255)
        && !path.chars().any(char::is_control)
}

fn is_absolute(path: &str) -> bool {
    path.len() < 4096 && path.strip_prefix('/').is_some_and(parts_fit)
}

fn is_inside(path: &str) -> bool {
    path.len() < 4096 && parts_fit(path)
}
