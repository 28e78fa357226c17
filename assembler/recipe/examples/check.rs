//! Reads all packages below a folder, `<folder>/<root>/<name>/{package.toml,Containerfile}`, and
//! prints what is wrong with them and how many there are.
#![allow(clippy::print_stdout)]

use std::{collections::BTreeMap, fs, io, path::Path, time::Instant};

use stagex_recipe::{
    Document,
    boxes::Architecture,
    catalogue::{Catalogue, Node, Options, PackageText, Platform, Platforms},
    containerfile::{CopySource, Instruction},
};

fn main() -> io::Result<()> {
    let Some(folder) = std::env::args().nth(1) else {
        println!("usage: check <folder>");
        return Ok(());
    };
    let mut texts = Vec::new();
    for root in names(Path::new(&folder))? {
        let root_path = Path::new(&folder).join(&root);
        for name in names(&root_path).unwrap_or_default() {
            let path = root_path.join(&name);
            let read = |file: &str| -> io::Result<Document> {
                let bytes = fs::read(path.join(file))?;
                let label = path.join(file).display().to_string();
                Document::from_bytes(label, bytes).map_err(io::Error::other)
            };
            match (read("package.toml"), read("Containerfile")) {
                (Ok(package), Ok(containerfile)) => texts.push(PackageText {
                    root: root.clone(),
                    folder: name,
                    package,
                    containerfile,
                }),
                (package, containerfile) => {
                    for error in [package.err(), containerfile.err()].into_iter().flatten() {
                        println!("skipped {}: {error}", path.display());
                    }
                }
            }
        }
    }
    let total = texts.len();
    let bytes: usize =
        texts.iter().map(|t| t.package.text().len() + t.containerfile.text().len()).sum();
    let start = Instant::now();
    let catalogue = Catalogue::new(texts, Options::default());
    let parsed = start.elapsed();
    let found = catalogue.check();
    let checked = start.elapsed() - parsed;
    println!("{found}\n");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut heredocs = 0;
    let mut sources = 0;
    for entry in catalogue.packages().values() {
        sources += entry.package.sources.len();
        *counts.entry("FROM").or_default() += entry.containerfile.stages.len();
        *counts.entry("ARG").or_default() += entry.containerfile.global_args.len();
        for instruction in entry.containerfile.stages.iter().flat_map(|stage| &stage.instructions) {
            *counts.entry(instruction.value.keyword()).or_default() += 1;
            let files = |sources: &[CopySource]| {
                sources.iter().filter(|s| matches!(s, CopySource::Heredoc(_))).count()
            };
            heredocs += match &instruction.value {
                Instruction::Run(run) => run.heredocs.len(),
                Instruction::Copy(copy) => files(&copy.sources),
                Instruction::Add(add) => files(&add.sources),
                _ => 0,
            };
        }
    }
    println!("{counts:?}, {heredocs} heredocs, {sources} sources");
    println!(
        "{} of {total} packages read, {} targets, {} errors, {} warnings",
        catalogue.packages().len(),
        catalogue.targets().count(),
        found.errors(),
        found.len() - found.errors()
    );
    let build = Platforms::native(Platform::linux(Architecture::X86_64)).build;
    let all: Vec<Node> =
        catalogue.targets().map(|id| Node { id: id.to_owned(), platform: build.clone() }).collect();
    let start = Instant::now();
    match catalogue.plan(&all, &build) {
        Ok(plan) => println!(
            "plan of {} nodes, {} edges, {:?}",
            plan.nodes.len(),
            plan.nodes.iter().map(|n| n.needs.len()).sum::<usize>(),
            start.elapsed()
        ),
        Err(errors) => println!("no plan: {errors}"),
    }
    println!("{bytes} bytes read in {parsed:?}, checked in {checked:?}");
    Ok(())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
