//! Deterministic writers of boot image formats.
//!
//! Every writer works in two passes. `layout` takes a validated [`Tree`](stagex_tree::Tree) and
//! parameters, refuses what the format cannot hold (naming the path and the limit), and fixes
//! every offset, so that the exact length is known. [`Image::write`] then emits the image in one
//! forward sweep, contents streamed from where they lie. Memory grows with the number of files,
//! never with their bytes, and the work with files and bytes alone, whatever the shape of the
//! directories. Nothing here reads a clock, a random source or the environment: the same tree and
//! parameters give the same bytes on every machine.

pub mod compress;
pub mod cpio;
pub mod disk;
pub mod eif;
pub mod erofs;
pub mod ext4;
pub mod fat;
pub mod gpt;
pub mod identity;
pub mod iso;
pub mod squashfs;
pub mod uki;
pub mod variables;
pub mod verity;
pub mod vmdisk;

mod blocks;
mod emit;
mod index;
mod lz4;
mod ordered;
mod parallel;
mod path_check;
mod scratch;
mod sparse;
mod time;

use std::io::{self, Write};

use stagex_tree::Content;

/// The examples of the README, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// Something of a known length that can be written in one forward sweep.
pub trait Image {
    /// The exact number of bytes that [`Image::write`] emits.
    fn len(&self) -> u64;

    /// Writes the image to `out`.
    ///
    /// Fails only where `out` does, or where a content can no longer be read as it was laid out.
    fn write(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Whether the image has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Image for Content {
    fn len(&self) -> u64 {
        Content::len(self)
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.copy_to(out)
    }
}

/// Writes several images one after another, each padded with zeros to a multiple of `align` bytes.
///
/// This is how an initramfs is put together from several archives, some compressed: Linux skips
/// zeros between them and expects each to begin on a multiple of 4 bytes.
pub fn concatenate(parts: &[&dyn Image], align: u64, out: &mut dyn Write) -> io::Result<u64> {
    let mut emitter = emit::Emitter::new(out);
    for part in parts {
        emitter.image(*part)?;
        emitter.align(align)?;
    }
    emitter.finish()
}
