//! `stagex build`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use stagex_build::{Built, Explained};
use stagex_oci::{Image, UNBOOTSTRAPPED, write_layout};
use stagex_recipe::boxes::Architecture;

use crate::{
    args::{Build, Global},
    config::shown,
    failure::Failure,
    project::Project,
    session::Session,
};

pub(crate) fn run(global: &Global, args: &Build) -> Result<ExitCode, Failure> {
    let session = Session::open(global)?;
    let engine = session.engine(args.arch)?;
    if args.explain {
        return explain(&engine.explain(&args.packages)?);
    }
    let root = root_name("packages", &session.project, args.arch, &args.packages);
    let built = engine.build(&root, &args.packages)?;
    for (id, built) in &built {
        let image = Image { layers: built.layers.clone(), config: built.config.clone() };
        let digest = if args.no_layout {
            session.store.image_digest(&image)?
        } else {
            let folder = layout_folder(&session, args.arch, id);
            let annotations = annotations(&built.seeds);
            write_layout(&session.store, &[image], &folder, id, &annotations)
                .map_err(Failure::failed)?
        };
        println!("{digest} {id}");
    }
    report(&session, args.arch, &built);
    Ok(ExitCode::SUCCESS)
}

/// Says what would be built, and why.
fn explain(explained: &[Explained]) -> Result<ExitCode, Failure> {
    if explained.is_empty() {
        println!("nothing would be built");
    }
    for Explained { package, causes, chain, root } in explained {
        println!("{package} would be built:");
        for cause in causes {
            println!("  {cause}");
        }
        if let Some(root) = root {
            println!("  because of {}: {root}", chain.join(", because of "));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the layout of a package goes: straight below out/ for x86_64, else in a folder of its own.
fn layout_folder(session: &Session, architecture: Architecture, id: &str) -> PathBuf {
    match architecture {
        Architecture::X86_64 => session.project.out().join(id),
        other => session.project.out().join(other.name()).join(id),
    }
}

/// The name under which the store remembers what a build uses.
pub(crate) fn root_name(
    kind: &str,
    project: &Project,
    architecture: Architecture,
    names: &[String],
) -> String {
    let toolchain = project.toolchain.as_deref().unwrap_or_default();
    let digest = stagex_tree::Digest::of(format!("{toolchain} {}", names.join(" ")));
    format!("{kind}-{architecture}-{}", &digest.hex()[..16])
}

fn annotations(seeds: &BTreeSet<String>) -> BTreeMap<String, String> {
    if seeds.is_empty() {
        return BTreeMap::new();
    }
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    BTreeMap::from([(UNBOOTSTRAPPED.to_owned(), seeds.join(" "))])
}

/// Says where layouts lie and what they were built with.
fn report(session: &Session, architecture: Architecture, built: &BTreeMap<String, Arc<Built>>) {
    for (id, built) in built {
        let folder = layout_folder(session, architecture, id);
        let place = match folder.exists() {
            true => format!(" in {}", shown(&folder)),
            false => String::new(),
        };
        session.progress.say(&format!(
            "{id}: {} layers{place}{}",
            built.layers.len(),
            marks(&built.seeds)
        ));
    }
}

/// A remark on what was built with a foreign seed.
pub(crate) fn marks(seeds: &BTreeSet<String>) -> String {
    if seeds.is_empty() {
        return String::new();
    }
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    format!(" (not bootstrapped: built with the {} seed)", seeds.join(" "))
}
