//! `stagex store`.

use std::process::ExitCode;

use crate::{
    args::{Global, StoreCommand},
    config::Config,
    failure::Failure,
    progress::{Progress, mib},
    session::open_store,
};

pub(crate) fn run(global: &Global, command: &StoreCommand) -> Result<ExitCode, Failure> {
    let config = Config::load(global)?;
    let mut store = open_store(&config, &Progress::new(global.quiet))?;
    match command {
        StoreCommand::Du => {
            let usage = store.du()?;
            println!(
                "{:>10.1} MiB in {} layers with {} files",
                mib(usage.layer_bytes),
                usage.layers,
                usage.layer_files
            );
            println!("{:>10.1} MiB in {} blobs", mib(usage.blob_bytes), usage.blobs);
            println!("{:>10} steps", usage.steps);
            println!("{}", store.path().display());
        }
        StoreCommand::Gc => {
            let freed = store.gc(&[])?;
            println!(
                "{:.1} MiB freed: {} layers, {} blobs, {} steps, {} leftovers",
                mib(freed.bytes),
                freed.layers,
                freed.blobs,
                freed.steps,
                freed.leftovers
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
