//! Several archives in a row, as Linux unpacks them from one initramfs.

use std::io::{self, Write};

use crate::{
    Image,
    emit::{Counter, Emitter},
};

use super::{Codec, Compression, Error, Lz4Format};

/// Linux expects each archive to begin on a multiple of so many bytes.
const ALIGN: u64 = 4;

/// One of the archives of an initramfs.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// The archive, uncompressed.
    pub image: &'a dyn Image,
    /// How it is compressed; none leaves it as it is, as microcode must be.
    pub compression: Option<Compression>,
}

/// Writes `parts` one after another, each begun on a multiple of 4 bytes, and gives the length.
///
/// Follows `init/initramfs.c` of Linux: zeros between archives are skipped, and each says by its
/// first bytes how it is compressed. A legacy LZ4 archive does not say where it ends; Linux takes
/// four zeros for its end, so at least as many follow it. The result's length is a multiple of 4.
/// A compression that Linux does not know is refused before a byte is written, as
/// [`io::ErrorKind::InvalidInput`].
pub fn initramfs(parts: &[Part<'_>], out: &mut dyn Write) -> io::Result<u64> {
    for compression in parts.iter().filter_map(|part| part.compression) {
        let codec = compression.codec;
        let known = codec == codec.for_linux();
        let checked = if known { compression.check() } else { Err(Error::NotForLinux { codec }) };
        checked.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    }
    let mut at = 0;
    for (number, part) in parts.iter().enumerate() {
        let mut counter = Counter { out, count: at };
        match &part.compression {
            None => Emitter::new(&mut counter).image(part.image)?,
            Some(compression) => {
                compression.compress(part.image, &mut counter)?;
            }
        }
        let written = counter.count;
        let legacy = Some(Codec::Lz4(Lz4Format::Legacy));
        let ends = part.compression.map(|compression| compression.codec) != legacy
            || number + 1 == parts.len();
        at = (written + if ends { 0 } else { ALIGN }).next_multiple_of(ALIGN);
        out.write_all(&[0; 2 * ALIGN as usize][..(at - written) as usize])?;
    }
    out.flush()?;
    Ok(at)
}
