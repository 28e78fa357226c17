//! `stagex image verity`.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use stagex_image::{
    Image,
    identity::Guid,
    verity::{Params, Verity},
};

use super::{Output, compression::workers, ext4::uuid, source, volume::Volume};
use crate::{args::Global, failure::Failure};

/// What a hash tree is made over.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The root hash that is printed is all that has to be trusted; veritysetup takes the result.

Examples:
  stagex image verity root.ext4 -o root.verity            the tree alone
  stagex image verity root.ext4 --append -o root.img      the file with its tree behind it
  stagex image verity --from rootfs --format erofs -o root.img    both made of a folder")]
pub(crate) struct Args {
    /// The file system to be checked when it is read
    #[arg(
        value_name = "FILE",
        required_unless_present = "from",
        conflicts_with = "from",
        value_hint = ValueHint::FilePath
    )]
    data: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
    /// Write the data too, and the tree behind it, as is always done with --from
    #[arg(long)]
    append: bool,
    /// What is hashed before each block, in hexadecimal, or - for nothing [default: derived from the
    /// data]
    #[arg(long, value_name = "HEX", value_parser = salt, allow_hyphen_values = true)]
    salt: Option<Salt>,
    /// The identifier in the superblock [default: derived from the data]
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    uuid: Option<Guid>,
    #[command(flatten)]
    volume: Volume,
}

/// Bytes that are hashed first.
#[derive(Debug, Clone)]
struct Salt(Vec<u8>);

impl Args {
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        if let Some(from) = &self.volume.from {
            let loaded = self.volume.load(from, &self.output, 0)?;
            let data = self.volume.format.layout(&loaded, None, &self.output, global)?;
            return self.over(&*data, from, true, global);
        }
        let path = self.data.as_deref().unwrap_or(Path::new(""));
        self.over(&source::file(path)?, path, self.append, global)
    }

    /// Writes the tree over `data`, which came from `path`.
    fn over(
        &self,
        data: &dyn Image,
        path: &Path,
        append: bool,
        global: &Global,
    ) -> Result<(), Failure> {
        let mut params = Params::of_content(data, workers(global))
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        if let Some(Salt(salt)) = &self.salt {
            params.salt.clone_from(salt);
        }
        params.uuid = self.uuid.unwrap_or(params.uuid);
        let verity = Verity::over(data, &params)
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        let mut notes = vec![("root", verity.root_hash().to_string())];
        notes.push(("uuid", verity.uuid().to_string()));
        if append {
            notes.push(("offset", verity.hash_offset().to_string()));
            notes.push(("table", verity.table("DEVICE", "DEVICE")));
            return self.output.image(&verity.append(data), &notes);
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
