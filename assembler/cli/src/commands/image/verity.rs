//! `stagex image verity`.

use std::path::PathBuf;

use clap::ValueHint;
use stagex_image::{
    identity::Guid,
    verity::{Params, Verity},
};

use super::{Output, compression::workers, ext4::uuid, source};
use crate::{args::Global, failure::Failure};

/// What a hash tree is made over.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The root hash that is printed is all that has to be trusted; veritysetup takes the result.

Examples:
  stagex image verity root.ext4 -o root.verity            the tree alone
  stagex image verity root.ext4 --append -o root.img      the file with its tree behind it")]
pub(crate) struct Args {
    /// The file system to be checked when it is read
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    data: PathBuf,
    #[command(flatten)]
    output: Output,
    /// Write the data too, and the tree behind it
    #[arg(long)]
    append: bool,
    /// What is hashed before each block, in hexadecimal, or - for nothing [default: derived from the
    /// data]
    #[arg(long, value_name = "HEX", value_parser = salt, allow_hyphen_values = true)]
    salt: Option<Salt>,
    /// The identifier in the superblock [default: derived from the data]
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    uuid: Option<Guid>,
}

/// Bytes that are hashed first.
#[derive(Debug, Clone)]
struct Salt(Vec<u8>);

impl Args {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        let data = source::file(&self.data)?;
        let mut params = Params::of_content(&data, workers(global))
            .map_err(|error| Failure::failed(format!("{}: {error}", self.data.display())))?;
        if let Some(Salt(salt)) = &self.salt {
            params.salt.clone_from(salt);
        }
        params.uuid = self.uuid.unwrap_or(params.uuid);
        let verity = Verity::over(&data, &params)
            .map_err(|error| Failure::failed(format!("{}: {error}", self.data.display())))?;
        let mut notes = vec![("root", verity.root_hash().to_string())];
        notes.push(("uuid", verity.uuid().to_string()));
        if self.append {
            notes.push(("offset", verity.hash_offset().to_string()));
            notes.push(("table", verity.table("DEVICE", "DEVICE")));
            return self.output.image(&verity.append(&data), &notes);
        }
        notes.push(("table", verity.table("DATA", "HASH")));
        self.output.image(&verity.tree(), &notes)
    }
}

fn salt(text: &str) -> Result<Salt, String> {
    if text == "-" {
        return Ok(Salt(Vec::new()));
    }
    let wrong = || format!("{text:?} is not hexadecimal");
    if !text.is_ascii() || text.len() % 2 != 0 || text.is_empty() {
        return Err(wrong());
    }
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong());
    (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>().map(Salt)
}
