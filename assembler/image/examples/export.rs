//! Writes a file in another form, to be measured beside the tools of that form.
//!
//! usage: export CODEC[:LEVEL]|qcow2|qcow2-zlib|qcow2-zstd|vhd|vmdk|raw|verity FILE OUT [THREADS]
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::{env, error::Error, fs::File, io::Write, path::Path};

use stagex_image::{
    Image,
    compress::{Codec, Compression},
    verity::{self, Verity},
    vmdisk::{
        SparseWriter,
        qcow2::{self, Compression as Clusters},
        vhd, vmdk,
    },
};
use stagex_tree::{Content, Digest};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (form, from, to, workers) = match &arguments[..] {
        [form, from, to] => (form.as_str(), from, to, 1),
        [form, from, to, workers] => (form.as_str(), from, to, workers.parse()?),
        _ => return Err("usage: export FORM FILE OUT [THREADS]".into()),
    };
    let content = Content::from_file(Path::new(from), 0, std::fs::metadata(from)?.len());
    let seed = Digest::of(b"measured");
    let mut out = File::create(to)?;
    let qcow2 = |compression, out: &mut File| -> Result<(), Box<dyn Error>> {
        let params = qcow2::Params { compression, workers, ..Default::default() };
        Ok(qcow2::layout(&content, &params)?.write(out)?)
    };
    match form {
        "raw" => {
            let mut out = SparseWriter::new(out)?;
            content.write(&mut out)?;
            out.finish()?;
        }
        "qcow2" => qcow2(None, &mut out)?,
        "qcow2-zlib" => qcow2(Some(Clusters::Zlib(6)), &mut out)?,
        "qcow2-zstd" => qcow2(Some(Clusters::Zstd(3)), &mut out)?,
        "vhd" => vhd::layout(&content, &seed)?.write(&mut out)?,
        "vmdk" => {
            vmdk::write(&content, &vmdk::Params::new("disk.vmdk", seed, workers), &mut out)?;
        }
        "verity" => {
            let verity = Verity::over(&content, &verity::Params::new(&seed, workers))?;
            verity.tree().write(&mut out)?;
            println!("{}", verity.root_hash());
        }
        codec => {
            let (codec, level) = match codec.split_once(':') {
                Some((codec, level)) => (codec.parse::<Codec>()?, Some(level.parse()?)),
                None => (codec.parse()?, None),
            };
            let level = level.unwrap_or(codec.default_level());
            Compression { codec, level, workers }.compress(&content, &mut out)?;
            out.flush()?;
        }
    }
    Ok(())
}
