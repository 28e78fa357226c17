//! `stagex image gpt`.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use stagex_image::{
    Image, disk,
    gpt::{self, ATTRIBUTES, TYPES, Type},
    identity::Guid,
};
use stagex_tree::{Content, Digest};

use super::{Output, boot_code, size, source};
use crate::failure::Failure;

/// What a disk is made from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A partition is a list of KEY=VALUE with commas between:
  type=NAME         esp, linux-root-x86-64, linux-root-verity-arm64, home, … or a GUID; required
  file=PATH         what is written into it; without it, it is all zeros, and size is required
  name=TEXT         its name [default: that of its type]
  size=SIZE         its size, where it is to be larger than its file
  attributes=A+B    of required, no-block-io, legacy-boot, grow-file-system, read-only, no-auto
  guid=GUID         its own GUID [default: derived from what the disk holds, and its name]
  mbr               shown in a hybrid MBR too, for a BIOS

Examples:
  stagex image gpt -o disk.img --partition type=esp,file=esp.img \\
      --partition type=linux-root-x86-64,file=root.ext4,name=root,size=2G,attributes=read-only
  stagex image gpt -o disk.img --partition type=esp,file=esp.img,mbr --mbr boot.bin --align 4K")]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
    /// A partition, in the order of the disk; may be repeated
    #[arg(long = "partition", value_name = "KEY=VALUE,…", required = true, value_parser = Spec::parse)]
    partitions: Vec<Spec>,
    /// Where partitions begin and end: on multiples of this
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = size)]
    align: u64,
    /// Size of the disk [default: as small as it may be]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<u64>,
    /// Code for the first sector that a BIOS runs: at most 440 bytes of it, or a whole sector
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    mbr: Option<PathBuf>,
    /// Derive identifiers from this text instead of from what the partitions hold
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,
}

/// A partition as it is written on the command line.
#[derive(Debug, Clone)]
struct Spec {
    kind: Type,
    name: String,
    file: Option<PathBuf>,
    size: Option<u64>,
    attributes: u64,
    guid: Option<Guid>,
    in_mbr: bool,
}

impl Spec {
    fn parse(text: &str) -> Result<Self, String> {
        let mut kind = None;
        let mut name = None;
        let (mut file, mut bytes, mut guid) = (None, None, None);
        let (mut attributes, mut in_mbr) = (0, false);
        for word in text.split(',') {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "type" => kind = Some((kind_of(value)?, value)),
                "file" if !value.is_empty() => file = Some(PathBuf::from(value)),
                "name" => name = Some(value.to_owned()),
                "size" => bytes = Some(size(value)?),
                "guid" => guid = Some(guid_of(value)?),
                "mbr" if word == "mbr" => in_mbr = true,
                "attributes" => {
                    for name in value.split('+') {
                        attributes |= gpt::attribute(name).ok_or_else(|| {
                            let known: Vec<&str> =
                                ATTRIBUTES.iter().map(|(name, _)| *name).collect();
                            format!("{name:?} is no attribute; known are {}", known.join(", "))
                        })?;
                    }
                }
                _ => {
                    return Err(format!(
                        "{word:?} is none of type=, file=, name=, size=, attributes=, guid= and mbr"
                    ));
                }
            }
        }
        let (kind, called) = kind.ok_or("a partition needs a type=, such as type=esp")?;
        if file.is_none() && bytes.is_none() {
            return Err("a partition needs a file= or a size=".to_owned());
        }
        let name = name.unwrap_or_else(|| called.to_owned());
        Ok(Self { kind, name, file, size: bytes, attributes, guid, in_mbr })
    }
}

fn kind_of(text: &str) -> Result<Type, String> {
    Type::named(text).or_else(|| Guid::parse(text).map(Type)).ok_or_else(|| {
        let known: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        format!("{text:?} is no type; it is a GUID, or one of {}", known.join(", "))
    })
}

fn guid_of(text: &str) -> Result<Guid, String> {
    Guid::parse(text).ok_or_else(|| format!("{text:?} is no GUID"))
}

impl Args {
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let content = |spec: &Spec| match &spec.file {
            Some(path) => source::file(path),
            None => Ok(Content::from_bytes(*b"")),
        };
        let contents =
            self.partitions.iter().map(content).collect::<Result<Vec<Content>, Failure>>()?;
        let seed = match &self.seed {
            Some(text) => Digest::of(text),
            None => {
                let digests = contents
                    .iter()
                    .map(Content::digest)
                    .collect::<Result<Vec<Digest>, _>>()
                    .map_err(Failure::failed)?;
                disk::seed(&digests)
            }
        };
        let partitions: Vec<disk::Partition<'_>> = self
            .partitions
            .iter()
            .zip(&contents)
            .map(|(spec, content)| disk::Partition {
                kind: spec.kind,
                name: spec.name.clone(),
                content: content as &dyn Image,
                size: spec.size,
                guid: spec.guid,
                attributes: spec.attributes,
                in_mbr: spec.in_mbr,
            })
            .collect();
        let params = disk::Params {
            align: self.align,
            size: self.size,
            boot_code: boot_code(self.mbr.as_deref().map(Path::new))?,
            ..disk::Params::new(seed)
        };
        let layout = disk::layout(&partitions, &params).map_err(Failure::failed)?;
        let mut notes = vec![("guid", layout.guid().to_string())];
        for entry in layout.entries() {
            let (first, len) = (entry.first * gpt::SECTOR, entry.sectors * gpt::SECTOR);
            notes.push(("part", format!("{} {} at {first}, {len} bytes", entry.guid, entry.name)));
        }
        self.output.image(&layout, &notes)
    }
}
