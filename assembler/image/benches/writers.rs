//! Times our writers beside the tools they replace, on the same tree, in one run.
//!
//! `cargo bench -p stagex-image [-- [--only FORMAT] FOLDER…]`; by default /usr/share and
//! /usr/include. Every writer is a process of its own, measured by GNU time (Debian package time),
//! ours included: it reads the folders, builds the tree and writes the image into memory (/dev/shm
//! where there is one). `-- --make b|c FOLDER` makes a tree to measure: 540 directories of 100
//! files of 1 KB, or a million files of 0 to 4 KB in 1,000 directories.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{fs, path::Path, process::Command};

use stagex_image::{
    compress::Zstd,
    cpio, erofs, ext4,
    identity::Guid,
    iso::{self, Params},
    squashfs::{self, Compression},
};
use stagex_tree::{Tree, TreePath};

/// What mke2fs and we put into a volume.
const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// Runs of each writer, taken in turns.
const ROUNDS: usize = 3;

/// The name of a writer, and how to run it.
type Writer<'a> = (&'a str, Box<dyn Fn() -> Command + 'a>);

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if arguments.first().is_some_and(|a| a == "--write") {
        return write(&arguments[1], Path::new(&arguments[2]), &arguments[3..]);
    }
    if arguments.first().is_some_and(|a| a == "--make") {
        return make(&arguments[1], Path::new(&arguments[2]));
    }
    let only = arguments.iter().position(|a| a == "--only").map(|at| {
        arguments.remove(at);
        arguments.remove(at)
    });
    if arguments.is_empty() {
        arguments = ["/usr/share", "/usr/include"].map(str::to_owned).to_vec();
    }
    let memory = Path::new("/dev/shm");
    let scratch = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let scratch = tempfile::tempdir_in(scratch).unwrap();
    let out = scratch.path().join("image");
    let ours = |kind: &str| -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--write", kind]).arg(&out).args(&arguments);
        command
    };
    let ours_of = |kind: &str, folder: &Path| -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--write", kind]).arg(&out).arg(folder);
        command
    };
    let folders = arguments.join(" ");
    let shell = |script: String| -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command
    };
    let o = out.display();
    let pinned = "--modification-date=2023111422132000 --set_all_file_dates 2023111422132000";
    let xorriso = |dates: &str| {
        let grafts: Vec<String> = arguments.iter().map(|a| format!("{a}={a}")).collect();
        let grafts = grafts.join(" ");
        shell(format!(
            "xorriso -as mkisofs -quiet -R -iso-level 3 -V X {dates} -o {o} -graft-points {grafts}"
        ))
    };
    let find = format!("find {folders} -print0 | sort -z | cpio -0oHnewc --reproducible --quiet");
    let entries = read(&arguments).len();
    // mke2fs takes one folder, and must be told how large to make the volume.
    let one = match &arguments[..] {
        [folder] => folder.into(),
        _ => scratch.path().join("tree"),
    };
    let wanted = |format: &str| only.as_ref().is_none_or(|only| format.starts_with(only.as_str()));
    let needs_one = ["ext4", "EROFS", "SquashFS"].iter().any(|format| wanted(format));
    if needs_one && arguments.len() > 1 {
        fs::create_dir(&one).unwrap();
        let whole = |folder: &String| fs::canonicalize(folder).unwrap();
        let from_root = |folder: &String| whole(folder).strip_prefix("/").unwrap().to_path_buf();
        let folders = arguments.iter().map(from_root);
        let mut copy = Command::new("cp");
        copy.args(["-a", "--parents"]).args(folders).arg(&one).current_dir("/");
        common::ok("cp", &mut copy);
    }
    let size = || {
        let bytes: u64 = read(&arguments)
            .iter()
            .filter_map(|entry| entry.inode.content())
            .map(|content| content.len().next_multiple_of(4096))
            .sum();
        bytes + bytes / 20 + entries as u64 * 1024 + (96 << 20)
    };
    let mke2fs = || {
        shell(format!(
            "truncate -s {} {o} && mkfs.ext4 -qF -b4096 -N {} -U {UUID} \
             -E hash_seed={UUID},lazy_itable_init=1 -d {} {o}",
            size().next_multiple_of(4096),
            entries + 1000,
            one.display()
        ))
    };
    let copied = |kind: &str| ours_of(kind, &one);
    let c = one.display();
    let erofs = |options: &str| {
        let uuid = Guid([1; 16]);
        shell(format!("mkfs.erofs -T{} -U {uuid} {options} {o} {c} >/dev/null", common::EPOCH))
    };
    let groups: Vec<(&str, Vec<Writer<'_>>)> = vec![
        (
            "ext4",
            vec![
                ("ours", Box::new(|| ours_of("ext4", &one))),
                ("mkfs.ext4 -d", Box::new(mke2fs)),
                ("cp -a, no image", Box::new(|| shell(format!("cp -a {} {o}", one.display())))),
            ],
        ),
        (
            "cpio",
            vec![
                ("ours", Box::new(|| ours("cpio"))),
                ("GNU cpio, sorted", Box::new(|| shell(format!("{find} >{o}")))),
            ],
        ),
        (
            "cpio and zstd -3, 2 threads",
            vec![
                ("ours", Box::new(|| ours("cpio.zst"))),
                (
                    "GNU cpio | zstd -3 -T2",
                    Box::new(|| shell(format!("{find} | zstd -q -3 -T2 >{o}"))),
                ),
            ],
        ),
        (
            "ISO 9660",
            vec![
                ("ours", Box::new(|| ours("iso"))),
                ("xorriso, dates not pinned", Box::new(|| xorriso(""))),
                ("xorriso, dates pinned", Box::new(|| xorriso(pinned))),
            ],
        ),
        (
            "EROFS, plain",
            vec![("ours", Box::new(|| copied("erofs"))), ("mkfs.erofs", Box::new(|| erofs("")))],
        ),
    ];
    println!("{entries} entries in {folders}\n");
    println!("| format | writer | CPU s | wall s | peak MB | MB | CPU, ratio to ours |");
    println!("|---|---|---|---|---|---|---|");
    for (format, writers) in groups.iter().filter(|(format, _)| wanted(format)) {
        let mut runs = vec![Vec::new(); writers.len()];
        let mut sizes = vec![0; writers.len()];
        for _ in 0..ROUNDS {
            for (at, (_, command)) in writers.iter().enumerate() {
                fs::remove_file(&out).or_else(|_| fs::remove_dir_all(&out)).ok();
                runs[at].push(measure(command(), scratch.path()));
                sizes[at] = fs::metadata(&out).unwrap().len();
            }
        }
        let spread = |runs: &[[f64; 3]], at: usize| -> String {
            let mut values: Vec<f64> = runs.iter().map(|run| run[at]).collect();
            values.sort_by(f64::total_cmp);
            format!("{:.2}–{:.2}", values[0], values[values.len() - 1])
        };
        let middle = |runs: &[[f64; 3]]| -> f64 {
            let mut values: Vec<f64> = runs.iter().map(|run| run[0]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        for (at, (name, _)) in writers.iter().enumerate() {
            let ratio = middle(&runs[at]) / middle(&runs[0]);
            let peak = runs[at].iter().map(|run| run[2]).fold(0.0, f64::max);
            println!(
                "| {format} | {name} | {} | {} | {peak:.0} | {} | {ratio:.1} |",
                spread(&runs[at], 0),
                spread(&runs[at], 1),
                sizes[at] / 1_000_000
            );
        }
    }
}

/// CPU seconds, wall seconds and peak megabytes of a command.
fn measure(command: Command, scratch: &Path) -> [f64; 3] {
    let report = scratch.join("time");
    let mut timed = Command::new("time");
    timed.args(["-f", "%U %S %e %M", "-o"]).arg(&report).arg(command.get_program());
    timed.args(command.get_args());
    for (name, value) in command.get_envs() {
        timed.env(name, value.unwrap());
    }
    common::ok("time", &mut timed);
    let text = fs::read_to_string(&report).unwrap();
    let last = text.lines().last().unwrap();
    let n: Vec<f64> = last.split_whitespace().map(|word| word.parse().unwrap()).collect();
    [n[0] + n[1], n[2], n[3] / 1000.0]
}

/// The folders under their own names in one tree.
fn read(folders: &[String]) -> Tree {
    let mut tree = common::empty();
    for folder in folders {
        let at = TreePath::new(folder).unwrap();
        tree.make_directories(&at, &common::metadata(0o755)).unwrap();
        let found = common::read_folder(Path::new(folder));
        let mut names = std::collections::BTreeMap::new();
        for entry in found.iter().skip(1) {
            let to = at.join(entry.path.as_bytes()).unwrap();
            match names.get(&entry.id) {
                Some(first) => tree.link(to.clone(), first).unwrap(),
                None => tree.insert(to.clone(), entry.inode.clone()).unwrap(),
            };
            names.entry(entry.id).or_insert(to);
        }
    }
    tree
}

fn write(kind: &str, out: &Path, folders: &[String]) {
    let mut tree = read(folders);
    let mut file = fs::File::create(out).unwrap();
    match kind {
        "cpio" => cpio::layout(&tree, &Default::default()).unwrap().write(&mut file).unwrap(),
        "ext4" => {
            let uuid = Some(Guid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
            let params =
                ext4::Params { uuid, hash_seed: uuid, ..ext4::Params::new("", common::EPOCH) };
            ext4::layout(&tree, &params).unwrap().write(&mut file).unwrap();
        }
        "cpio.zst" => {
            let laid = cpio::layout(&tree, &Default::default()).unwrap();
            Zstd { level: 3, workers: 2 }.compress(&laid, &mut file).unwrap();
        }
        "erofs" => {
            at_epoch(&mut tree);
            let mut params = erofs::Params::new(common::EPOCH);
            params.uuid = Some(Guid([1; 16]));
            erofs::layout(&tree, &params).unwrap().write(&mut file).unwrap();
        }
        "squashfs" => {
            let mut params = squashfs::Params::new(common::EPOCH, out.parent().unwrap());
            params.compression = Compression::Zstd { level: 3 };
            params.threads = 2;
            squashfs::layout(&tree, &params).unwrap().write(&mut file).unwrap();
        }
        _ => {
            let params = Params::new("X", common::EPOCH);
            iso::layout(&tree, &params).unwrap().write(&mut file).unwrap();
        }
    }
}

/// Makes one of the trees that are compared besides a real one.
fn make(kind: &str, folder: &Path) {
    let (folders, files) = match kind {
        "b" => (540, 100),
        "c" => (1000, 1000),
        other => panic!("{other}: the trees are b and c"),
    };
    for number in 0..folders {
        let at = folder.join(format!("folder-{number:04}"));
        fs::create_dir_all(&at).unwrap();
        for file in 0..files {
            let len = if kind == "b" { 1024 } else { (number * 7919 + file * 104_729) % 4097 };
            let bytes = common::filling(len, (number ^ file) as u8);
            fs::write(at.join(format!("file-{file:04}.data")), bytes).unwrap();
        }
    }
}

/// Sets all times to one, as the options of the tools beside us do.
fn at_epoch(tree: &mut Tree) {
    let paths: Vec<TreePath> = tree.iter().map(|entry| entry.path.clone()).collect();
    for path in paths {
        tree.metadata_mut(&path).unwrap().mtime = common::EPOCH;
    }
}
