//! `stagex shell`.

use std::{fs, process::ExitCode};

use stagex_build::{Failed, shell_in};
use stagex_sandbox::Status;
use stagex_tree::TreePath;

use crate::{
    args::{Global, Shell},
    failure::Failure,
    session::Session,
};

pub(crate) fn run(global: &Global, args: &Shell) -> Result<ExitCode, Failure> {
    let session = Session::open(global)?;
    let store = &session.store;
    let scratch = store.scratch()?;
    let failed = match args.stage {
        Some(_) => None,
        None => Failed::load(store, &args.package)?,
    };
    let spec = match failed {
        Some(failed) => {
            eprintln!("In the step of {} that failed. Its command was:", args.package);
            eprintln!("  {}", failed.argv.join(" "));
            failed.shell(store, &args.package, &scratch)?
        }
        None => {
            let upper = scratch.path().join("upper");
            fs::create_dir(&upper).map_err(Failure::at(&upper))?;
            let mut spec = shell_in(stage_layers(&session, args)?, &upper, &scratch)?;
            spec.cwd = "/".into();
            spec
        }
    };
    let outcome = stagex_sandbox::shell(&spec, &session.cancel).map_err(Failure::failed)?;
    Ok(match outcome.status {
        Status::Exit(code) => ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)),
        _ => ExitCode::FAILURE,
    })
}

/// The layers of the named stage, or of the last one in which there is a shell.
fn stage_layers(session: &Session, args: &Shell) -> Result<Vec<std::path::PathBuf>, Failure> {
    let store = &session.store;
    let built = session.engine(args.arch)?.build_stages(&args.package)?;
    let entry = session.project.catalogue.packages().get(&args.package);
    let names: Vec<&str> = entry
        .into_iter()
        .flat_map(|entry| &entry.containerfile.stages)
        .map(|stage| stage.name.as_ref().map_or("", |name| &name.value))
        .collect();
    let shell = TreePath::new("bin/sh").unwrap_or_default();
    let mut found = None;
    for (stage, name) in built.iter().zip(&names) {
        let wanted = match &args.stage {
            Some(wanted) => name == wanted,
            None => true,
        };
        // /bin is often a link; the sandbox follows it, and so does the store's merged tree
        // once the link's target is looked up.
        let tree = store.merged(&stage.layers)?;
        let bin = TreePath::new("usr/bin/sh").unwrap_or_default();
        if wanted && (tree.get(&shell).is_some() || tree.get(&bin).is_some()) {
            found = Some(stage);
        }
    }
    let Some(stage) = found else {
        let text = match &args.stage {
            Some(name) => format!(
                "{} has no stage {name} with a shell in it\nhelp: its stages are {}",
                args.package,
                names.join(", ")
            ),
            None => format!("no stage of {} has a shell in it", args.package),
        };
        return Err(Failure::wrong(text));
    };
    Ok(stagex_build::roots(store, &stage.layers)?)
}
