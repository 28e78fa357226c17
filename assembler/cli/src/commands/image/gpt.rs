//! `stagex image gpt`.

use std::{io, path::PathBuf};

use clap::ValueHint;
use stagex_image::{
    Image, disk,
    gpt::{self, ATTRIBUTES, TYPES, Type},
    identity::Guid,
};
use stagex_tree::{Content, Digest, DigestWriter};

use super::{
    Loaded, Output, boot_code, size, source,
    volume::{Format, Volume},
};
use crate::{args::Global, failure::Failure};

/// What a disk is made from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A partition is a list of KEY=VALUE with commas between:
  type=NAME         esp, linux-root-x86-64, linux-root-verity-arm64, home, … or a GUID; required
  file=PATH         what is written into it; without this and from, it is all zeros, and size is
                    required
  from=PATH         a folder, a tar or an OCI image layout to make a file system of; ext4 and FAT
                    fill the partition's size
  format=FORMAT     that file system: ext4, erofs, squashfs or fat [default: fat for esp and
                    xbootldr, ext4 for others]
  name=TEXT         its name [default: that of its type]
  size=SIZE         its size, where it is to be larger than what is in it
  attributes=A+B    of required, no-block-io, legacy-boot, grow-file-system, read-only, no-auto
  guid=GUID         its own GUID [default: derived from what the disk holds, and its name]
  mbr               shown in a hybrid MBR too, for a BIOS

--from adds a partition of the type linux-generic behind the others, or basic-data where it is FAT;
it may be the only one.

Examples:
  stagex image gpt -o disk.img --partition type=esp,file=esp.img \\
      --partition type=linux-root-x86-64,file=root.ext4,name=root,size=2G,attributes=read-only
  stagex image gpt -o disk.img --owner 0:0 --epoch 0 --partition type=esp,from=esp,size=64M \\
      --partition type=linux-root-x86-64,from=rootfs.tar,format=erofs
  stagex image gpt -o disk.img --partition type=esp,file=esp.img,mbr --mbr boot.bin --align 4K
  stagex image gpt --from rootfs --format ext4 -o disk.img")]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
    /// A partition, in the order of the disk; may be repeated
    #[arg(long = "partition", value_name = "KEY=VALUE,…", required_unless_present = "from", value_parser = Spec::parse)]
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
    #[command(flatten)]
    volume: Volume,
}

/// A partition as it is written on the command line.
#[derive(Debug, Clone)]
struct Spec {
    kind: Type,
    name: String,
    file: Option<PathBuf>,
    from: Option<PathBuf>,
    format: Format,
    size: Option<u64>,
    attributes: u64,
    guid: Option<Guid>,
    in_mbr: bool,
}

impl Spec {
    fn parse(text: &str) -> Result<Self, String> {
        let mut kind = None;
        let mut name = None;
        let (mut file, mut from, mut format) = (None, None, None);
        let (mut bytes, mut guid) = (None, None);
        let (mut attributes, mut in_mbr) = (0, false);
        for word in text.split(',') {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "type" => kind = Some((kind_of(value)?, value)),
                "file" if !value.is_empty() => file = Some(PathBuf::from(value)),
                "from" if !value.is_empty() => from = Some(PathBuf::from(value)),
                "format" => format = Some(Format::parse(value)?),
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
                        "{word:?} is none of type=, file=, from=, format=, name=, size=, \
                         attributes=, guid= and mbr"
                    ));
                }
            }
        }
        let (kind, called) = kind.ok_or("a partition needs a type=, such as type=esp")?;
        match (&file, &from, &format) {
            (Some(_), Some(_), _) => return Err("file= and from= exclude each other".to_owned()),
            (_, None, Some(_)) => return Err("format= is that of a from=".to_owned()),
            (None, None, _) if bytes.is_none() => {
                return Err("a partition needs a file= or a size=, or a from=".to_owned());
            }
            _ => {}
        }
        let is_boot = kind == Type::ESP || called == "xbootldr";
        let format = format.unwrap_or(if is_boot { Format::Fat } else { Format::Ext4 });
        let name = name.unwrap_or_else(|| called.to_owned());
        Ok(Self { kind, name, file, from, format, size: bytes, attributes, guid, in_mbr })
    }

    /// The partition of `--from`, if there is one.
    fn of_volume(volume: &Volume) -> Result<Option<Self>, Failure> {
        let Some(from) = &volume.from else { return Ok(None) };
        let kind = if volume.format == Format::Fat { "basic-data" } else { "linux-generic" };
        let spec = Self::parse(&format!("type={kind},size=0")).map_err(Failure::wrong)?;
        Ok(Some(Self { from: Some(from.clone()), format: volume.format, size: None, ..spec }))
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
    pub(crate) fn write(&self, global: &Global) -> Result<(), Failure> {
        let mut specs = self.partitions.clone();
        specs.extend(Spec::of_volume(&self.volume)?);
        let params = disk::Params {
            align: self.align,
            size: self.size,
            boot_code: boot_code(self.mbr.as_deref())?,
            ..disk::Params::new(Digest::of(b""))
        };
        with_disk(&specs, &self.volume, &self.output, global, params, |layout| {
            let mut notes = vec![("guid", layout.guid().to_string())];
            for entry in layout.entries() {
                let (first, len) = (entry.first * gpt::SECTOR, entry.sectors * gpt::SECTOR);
                let text = format!("{} {} at {first}, {len} bytes", entry.guid, entry.name);
                notes.push(("part", text));
            }
            self.output.image(layout, &notes)
        })
    }
}

/// Makes a disk of the tree of `--from`, and hands it on.
pub(super) fn of_tree(
    volume: &Volume,
    output: &Output,
    global: &Global,
    then: impl FnOnce(&dyn Image) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let specs: Vec<Spec> = Spec::of_volume(volume)?.into_iter().collect();
    let params = disk::Params::new(Digest::of(b""));
    with_disk(&specs, volume, output, global, params, |layout| then(layout))
}

/// The digest of an image's bytes.
pub(super) fn digest(image: &dyn Image) -> Result<Digest, Failure> {
    let mut hasher = DigestWriter::new(io::sink());
    image.write(&mut hasher).map_err(Failure::failed)?;
    Ok(hasher.finish().1)
}

/// Lays out a disk, whose identifiers are derived from what it holds, and hands it on.
fn with_disk(
    specs: &[Spec],
    volume: &Volume,
    output: &Output,
    global: &Global,
    params: disk::Params,
    then: impl FnOnce(&disk::Layout<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let load = |(number, spec): (usize, &Spec)| {
        let from = spec.from.as_deref();
        from.map(|from| volume.load(from, output, number)).transpose()
    };
    let trees = specs.iter().enumerate().map(load).collect::<Result<Vec<_>, Failure>>()?;
    let mut contents = Vec::with_capacity(specs.len());
    for (spec, loaded) in specs.iter().zip(&trees) {
        contents.push(content(spec, loaded.as_ref(), output, global)?);
    }
    let seed = match volume.options.seed() {
        Some(seed) => seed,
        None => {
            let digests = contents.iter().map(|content| digest(&**content));
            disk::seed(&digests.collect::<Result<Vec<Digest>, _>>()?)
        }
    };
    let partitions: Vec<disk::Partition<'_>> = specs
        .iter()
        .zip(&contents)
        .map(|(spec, content)| disk::Partition {
            kind: spec.kind,
            name: spec.name.clone(),
            content: &**content,
            size: spec.size,
            guid: spec.guid,
            attributes: spec.attributes,
            in_mbr: spec.in_mbr,
        })
        .collect();
    let params = disk::Params { seed, ..params };
    then(&disk::layout(&partitions, &params).map_err(Failure::failed)?)
}

/// What is written into a partition.
fn content<'t>(
    spec: &Spec,
    loaded: Option<&'t Loaded>,
    output: &Output,
    global: &Global,
) -> Result<Box<dyn Image + 't>, Failure> {
    match (loaded, &spec.file) {
        (Some(loaded), _) => spec
            .format
            .layout(loaded, spec.size, output, global)
            .map_err(|failure| failure.about(&format!("partition {:?}", spec.name))),
        (None, Some(path)) => Ok(Box::new(source::file(path)?)),
        (None, None) => Ok(Box::new(Content::from_bytes(*b""))),
    }
}
