//! Reads whole trees from tars, as they are: with their own times, and no store.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use stagex_tree::{Content, Tree};

use super::{Limits, TarError, import::entries};
use crate::LayerTree;

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// Compressors whose tars are not read, and what undoes them.
const OTHERS: [(&[u8], &str); 3] =
    [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"\x04\x22\x4d\x18", "lz4")];
/// Contents up to this many bytes stay in memory.
const SMALL: u64 = 512;
/// Zeros of this length and alignment are left out of a spool file.
const HOLE: usize = 4096;

/// Where contents are kept that do not lie in a file as they are: one file, made when the first
/// comes, with holes where they have long runs of zeros.
pub struct Spool {
    path: Arc<Path>,
    file: Option<File>,
    at: u64,
}

impl Spool {
    /// Will make the file `path` and write to it. It must stay for as long as the trees do that
    /// were read into it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: Arc::from(path.into()), file: None, at: 0 }
    }

    /// Takes in a content of `size` bytes.
    pub fn keep(&mut self, size: u64, reader: &mut dyn Read) -> io::Result<Content> {
        if size <= SMALL {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            return Ok(Content::from_bytes(bytes));
        }
        let shown = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(
                fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(&self.path)
                    .map_err(shown)?,
            ),
        };
        let start = self.at.next_multiple_of(HOLE as u64);
        let mut at = start;
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(HOLE).clamp(HOLE, 1 << 18)];
        loop {
            let filled = fill(reader, &mut buffer)?;
            for piece in buffer[..filled].chunks(HOLE) {
                if piece.iter().any(|&byte| byte != 0) {
                    std::os::unix::fs::FileExt::write_all_at(file, piece, at).map_err(shown)?;
                }
                at += piece.len() as u64;
            }
            if filled < buffer.len() {
                break;
            }
        }
        // Zeros at the end were not written.
        file.set_len(at).map_err(shown)?;
        self.at = at;
        Ok(Content::from_file(self.path.clone(), start, at - start))
    }
}

fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads the tar that `input` gives as a tree: plain, gzip or zstd.
///
/// What [`read_layer`](super::read_layer) refuses is refused here too, and so are names that mean
/// a removal in a layer. Directories that the tar implies have mode 0755 and time 0.
pub fn read_tree(input: impl Read, limits: Limits, spool: &mut Spool) -> Result<Tree, TarError> {
    let mut input = BufReader::with_capacity(1 << 18, input);
    match Compression::of(&mut input)? {
        Compression::None => whole(input, limits, &mut |_, size, reader| spool.keep(size, reader)),
        Compression::Gzip => {
            let input = flate2::bufread::MultiGzDecoder::new(input);
            whole(input, limits, &mut |_, size, reader| spool.keep(size, reader))
        }
        Compression::Zstd => {
            let input =
                zstd::Decoder::with_buffer(input).map_err(TarError::io("decompressing a tar"))?;
            whole(input, limits, &mut |_, size, reader| spool.keep(size, reader))
        }
    }
}

/// Reads the tar in a file as a tree, like [`read_tree`]. The contents of a plain tar stay where
/// they are: it must not change while the tree lives.
pub fn read_tree_from_file(
    path: &Path,
    limits: Limits,
    spool: &mut Spool,
) -> Result<Tree, TarError> {
    let mut file = File::open(path).map_err(TarError::io("opening a tar"))?;
    let plain = file.metadata().is_ok_and(|found| found.is_file())
        && matches!(Compression::of(&mut BufReader::new(&mut file))?, Compression::None);
    if !plain {
        // Opened again and not wound back: it may be a pipe.
        drop(file);
        let file = File::open(path).map_err(TarError::io("opening a tar"))?;
        return read_tree(file, limits, spool);
    }
    file.seek(SeekFrom::Start(0)).map_err(TarError::io("reading a tar"))?;
    let path: Arc<Path> = Arc::from(path);
    whole(file_reader(file), limits, &mut in_place(&path))
}

/// Buffers little: contents are read past, in pieces larger than that.
fn file_reader(file: File) -> BufReader<File> {
    BufReader::with_capacity(1 << 13, file)
}

/// Leaves contents where they are in the tar at `path`.
pub(crate) fn in_place(
    path: &Arc<Path>,
) -> impl FnMut(u64, u64, &mut dyn Read) -> io::Result<Content> + use<> {
    let path = path.clone();
    move |at, size, reader| {
        // Read to its end, so that one that is cut off is known now.
        let read = io::copy(reader, &mut io::sink())?;
        debug_assert_eq!(read, size);
        Ok(Content::from_file(path.clone(), at, size))
    }
}

fn whole(
    input: impl Read,
    limits: Limits,
    keep: super::import::Keep<'_>,
) -> Result<Tree, TarError> {
    let mut layer: LayerTree = entries(input, limits, false, keep)?;
    layer.settle_at(None)?;
    Ok(layer.tree)
}

/// What a tar is compressed with.
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Looks at the first bytes, which stay in the reader.
    pub(crate) fn of(input: &mut impl BufRead) -> Result<Self, TarError> {
        let magic = input.fill_buf().map_err(TarError::io("reading a tar"))?;
        for (other, name) in OTHERS {
            if magic.starts_with(other) {
                return Err(TarError::Compressed { name });
            }
        }
        Ok(match magic {
            magic if magic.starts_with(GZIP) => Self::Gzip,
            magic if magic.starts_with(ZSTD) => Self::Zstd,
            _ => Self::None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_keeps_contents_apart_and_zeros_as_holes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = Spool::new(&path);
        let mut contents = [b"small".to_vec(), vec![7; 5000], vec![0; 1 << 20], vec![9; 600]];
        contents[2][12_345] = 1;
        let kept: Vec<Content> = contents
            .iter()
            .map(|bytes| spool.keep(bytes.len() as u64, &mut &bytes[..]).unwrap())
            .collect();
        for (bytes, content) in contents.iter().zip(&kept) {
            assert_eq!(content.len(), bytes.len() as u64);
            assert!(content.read().unwrap() == *bytes);
        }
        let used = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap()) * 512;
        assert!(used < 100_000, "{used} bytes are taken");
    }

    #[test]
    fn a_spool_that_is_there_already_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        fs::write(&path, b"mine").unwrap();
        let bytes = [1; 1000];
        assert!(Spool::new(&path).keep(1000, &mut &bytes[..]).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
