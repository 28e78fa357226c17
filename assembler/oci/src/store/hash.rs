//! Reads a layer's files in parallel while its tar is hashed.
//!
//! The tar's digest needs every byte in order, so that much is serial; files are read, placed
//! and hashed on their own by other threads, a few batches ahead.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::mpsc,
};

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use stagex_tree::{Content, Digest, DigestWriter, Entry, InodeId};

use super::StoreError;
use crate::{
    LayerTree,
    tar::{TarError, write_layer},
};

/// Files up to this many bytes are passed on in memory.
pub(super) const SMALL: u64 = 4 << 20;
/// Bytes and files of one batch: what two or three of them hold in memory is the peak.
const BATCH_BYTES: u64 = 8 << 20;
const BATCH_FILES: usize = 512;
/// As many files, with as many bytes, are read before threads have been woken to do it.
const FEW_FILES: usize = 16;
const FEW_BYTES: u64 = 256 << 10;
/// Bytes read at once from larger files.
const CHUNK: usize = 1 << 20;

/// The bytes of one file, once it is where it belongs.
pub(super) enum Loaded {
    /// All of them.
    Bytes(Vec<u8>),
    /// Where they can be read.
    Stream(PathBuf),
}

/// What was learned of a layer.
pub(super) struct Hashed {
    pub(super) digest: Digest,
    pub(super) tar_len: u64,
    pub(super) content_len: u64,
    pub(super) digests: BTreeMap<InodeId, Digest>,
}

/// What loads one file: called once for each inode, in no certain order.
pub(super) type Load<'a> = dyn Fn(Entry<'_>, &Content) -> Result<Loaded, StoreError> + Sync + 'a;

struct Piece {
    loaded: Loaded,
    digest: Option<Digest>,
}

/// Hashes the layer's tar and its files.
pub(super) fn hash(layer: &LayerTree, epoch: u64, load: &Load<'_>) -> Result<Hashed, StoreError> {
    let mut seen = BTreeSet::new();
    let files: Vec<(Entry<'_>, &Content)> = layer
        .tree
        .iter()
        .filter_map(|entry| Some((entry, entry.inode.content()?)))
        .filter(|(entry, _)| layer.tree.links(entry.id) == 1 || seen.insert(entry.id))
        .collect();
    let mut state = State {
        digests: BTreeMap::new(),
        content_len: 0,
        ready: Vec::new().into_iter(),
        failed: None,
    };
    let few = files.len() <= FEW_FILES
        && files.iter().map(|(_, content)| content.len()).sum::<u64>() <= FEW_BYTES;
    if few {
        let pieces = files.iter().map(|(entry, content)| piece(*entry, content, load));
        state.ready = pieces.collect::<Vec<_>>().into_iter();
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let (result, out) = std::thread::scope(|scope| {
        if !few {
            let files = &files;
            scope.spawn(move || produce(files, load, &sender));
        }
        let mut out = DigestWriter::new(io::sink());
        let result = write_layer(layer, epoch, &mut out, &mut |entry, content, out| {
            state.next(entry, content, out, &receiver)
        });
        // A producer that waits to send must not wait for ever.
        drop(receiver);
        (result, out)
    });
    match (result, state.failed) {
        (_, Some(error)) => return Err(error),
        (Err(error), None) => return Err(error.into()),
        (Ok(()), None) => {}
    }
    let (_, digest, tar_len) = out.finish();
    Ok(Hashed { digest, tar_len, content_len: state.content_len, digests: state.digests })
}

fn produce(
    files: &[(Entry<'_>, &Content)],
    load: &Load<'_>,
    sender: &mpsc::SyncSender<Vec<Result<Piece, StoreError>>>,
) {
    let mut rest = files;
    while !rest.is_empty() {
        let mut bytes = 0;
        let mut count = 0;
        for (_, content) in rest.iter().take(BATCH_FILES) {
            count += 1;
            bytes += if content.len() > SMALL { 0 } else { content.len() };
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        let (batch, after) = rest.split_at(count);
        rest = after;
        let pieces = batch
            .par_iter()
            .with_min_len(8)
            .map(|(entry, content)| piece(*entry, content, load))
            .collect();
        if sender.send(pieces).is_err() {
            return;
        }
    }
}

fn piece(entry: Entry<'_>, content: &Content, load: &Load<'_>) -> Result<Piece, StoreError> {
    let loaded = load(entry, content)?;
    let digest = match (content.known_digest(), &loaded) {
        (Some(digest), _) => Some(digest),
        (None, Loaded::Bytes(bytes)) => Some(Digest::of(bytes)),
        (None, Loaded::Stream(_)) => None,
    };
    Ok(Piece { loaded, digest })
}

struct State {
    digests: BTreeMap<InodeId, Digest>,
    content_len: u64,
    ready: std::vec::IntoIter<Result<Piece, StoreError>>,
    failed: Option<StoreError>,
}

impl State {
    fn next<W: Write>(
        &mut self,
        entry: Entry<'_>,
        content: &Content,
        out: &mut W,
        receiver: &mpsc::Receiver<Vec<Result<Piece, StoreError>>>,
    ) -> io::Result<()> {
        let ended = || io::Error::other("the reading of a layer's files ended early");
        let piece = loop {
            if let Some(piece) = self.ready.next() {
                break piece;
            }
            self.ready = receiver.recv().map_err(|_| ended())?.into_iter();
        };
        let result = piece.and_then(|piece| write_piece(piece, content, entry, out));
        match result {
            Ok(digest) => {
                self.digests.insert(entry.id, digest);
                self.content_len += content.len();
                Ok(())
            }
            Err(error) => {
                self.failed = Some(error);
                Err(ended())
            }
        }
    }
}

fn write_piece<W: Write>(
    piece: Piece,
    content: &Content,
    entry: Entry<'_>,
    out: &mut W,
) -> Result<Digest, StoreError> {
    let sink = |error| StoreError::Tar(TarError::io("hashing a layer")(error));
    let (digest, len) = match piece.loaded {
        Loaded::Bytes(bytes) => {
            out.write_all(&bytes).map_err(sink)?;
            let digest = piece.digest.unwrap_or_else(|| Digest::of(&bytes));
            (digest, bytes.len() as u64)
        }
        Loaded::Stream(path) => stream(&path, piece.digest, out)?,
    };
    if len != content.len() {
        let path = PathBuf::from(entry.path.to_string());
        let why = format!("it has {len} bytes where {} were expected", content.len());
        return Err(StoreError::Damaged { path, why });
    }
    Ok(digest)
}

/// Writes a file's bytes to `out`, hashing them by themselves where their digest is not known.
fn stream<W: Write>(
    path: &Path,
    known: Option<Digest>,
    out: &mut W,
) -> Result<(Digest, u64), StoreError> {
    let fail = |error| StoreError::at("reading", path)(error);
    let mut file = File::open(path).map_err(fail)?;
    let mut own = Sha256::new();
    let mut len = 0;
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut filled = 0;
        while filled < CHUNK {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(fail(error)),
            }
        }
        if filled == 0 {
            break;
        }
        let bytes = &buffer[..filled];
        len += filled as u64;
        let written = if known.is_some() {
            out.write_all(bytes)
        } else {
            std::thread::scope(|scope| {
                let hashing = scope.spawn(|| own.update(bytes));
                let written = out.write_all(bytes);
                // It cannot panic, and if it did, the scope would.
                let _ = hashing.join();
                written
            })
        };
        written.map_err(|error| StoreError::Tar(TarError::io("hashing a layer")(error)))?;
    }
    let digest = known.unwrap_or_else(|| Digest::from_bytes(own.finalize().into()));
    Ok((digest, len))
}
