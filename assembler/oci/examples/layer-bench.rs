//! Times the store beside `tar | sha256sum` and `cp -a` on one tree, and prints ratios.
//!
//! `cargo run --release -p stagex-oci --example layer-bench -- SCRATCH TREE…`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use stagex_oci::{Adopt, Normalise, Owner, Store, tar::Limits};

/// User and system seconds of this process and of the children it waited for.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().map(|kb| kb / 1024).unwrap().to_string()
}

fn time<T>(what: &str, base: Option<(f64, f64)>, run: impl FnOnce() -> T) -> (T, (f64, f64)) {
    let (wall, used) = (Instant::now(), cpu());
    let result = run();
    let (wall, used) = (wall.elapsed().as_secs_f64(), cpu() - used);
    let ratio = base.map_or(String::new(), |(w, c)| {
        format!("  x{:.2} wall, x{:.2} CPU of tar|sha256sum", wall / w, used / c)
    });
    println!("{what:<34} {wall:7.2} s wall {used:7.2} s CPU{ratio}");
    (result, (wall, used))
}

fn shell(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success());
}

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let scratch = arguments.next().expect("a scratch folder");
    let trees: Vec<PathBuf> = arguments.collect();
    fs::create_dir_all(&scratch).unwrap();
    let store = Store::open(scratch.join("store"), Normalise::default()).unwrap();
    let work = store.scratch().unwrap();
    let at = |name: &str| work.path().join(name);
    let copy = |to: &Path| {
        fs::create_dir(to).unwrap();
        for tree in &trees {
            let (tree, to) = (tree.display(), to.display());
            shell(&format!("cp -a {tree} {to}/"));
        }
    };
    copy(&at("warm"));
    let (_, _) = time("cp -a", None, || copy(&at("upper")));
    let warm = at("warm").display().to_string();
    shell("sync");
    let sum = format!("tar --sort=name -cf - -C {warm} . | sha256sum >/dev/null");
    shell(&sum);
    let (_, base) = time("tar | sha256sum", None, || shell(&sum));
    let base = Some(base);
    let adopt = Adopt { owner: Owner::ROOT, lower: &[] };
    let (layer, _) = time("adopt", base, || store.adopt(&at("upper"), adopt).unwrap());
    println!("  {} paths, {} bytes of content, layer {}", layer.files, layer.content, layer.digest);
    let index = fs::metadata(layer.root.with_file_name("index")).unwrap().len();
    println!("  index {index} bytes; peak so far {} MB", peak());
    time("layer (head only)", None, || store.layer(&layer.digest).unwrap());
    let (tree, _) = time("load", None, || store.load(&layer.digest).unwrap());
    time("merged", None, || store.merged(&[layer.digest]).unwrap());
    time("write_tar", base, || store.write_tar(&layer.digest, std::io::sink()).unwrap());
    let empty = at("empty");
    fs::create_dir(&empty).unwrap();
    let lower = [layer.digest];
    let upper = Adopt { owner: Owner::ROOT, lower: &lower };
    time("adopt of nothing over it", None, || store.adopt(&empty, upper).unwrap());
    let other = Store::open(scratch.join("other"), Normalise::default()).unwrap();
    let (added, _) = time("add (copied)", base, || other.add(&tree).unwrap());
    assert_eq!(added.digest, layer.digest);
    let third = Store::open(scratch.join("third"), Normalise::default()).unwrap();
    let file = at("t.tar");
    store.write_tar(&layer.digest, fs::File::create(&file).unwrap()).unwrap();
    let unpack = format!("mkdir {0} && tar -xf {1} -C {0}", at("x").display(), file.display());
    time("tar -x", base, || shell(&unpack));
    shell("sync");
    let (imported, _) = time("import_tar", base, || {
        third.import_tar(fs::File::open(&file).unwrap(), Limits::default()).unwrap()
    });
    assert_eq!(imported.digest, layer.digest);
    println!("peak {} MB", peak());
}
