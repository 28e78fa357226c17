//! The in-memory file tree that every stage of stagex passes to the next.
//!
//! A [`Tree`] is a complete description of a file hierarchy: sorted paths, metadata, and file
//! contents by reference. It can be read from a layer, composed with others, and written as any
//! image format. Building one never touches the file system; only reading a [`Content`] does, and
//! [`read_folder`], which makes a tree of what lies on a disk.
//!
//! Order is part of the type: paths iterate in component order, a directory immediately before
//! what it holds, so a writer that walks a tree is deterministic without sorting anything.

mod builder;
mod content;
mod digest;
mod folder;
mod naming;
mod path;
mod tree;

pub use builder::TreeBuilder;
pub use content::{Content, Source};
pub use digest::{Digest, DigestReader, DigestWriter, ParseDigestError};
pub use folder::{FolderError, read_folder};
pub use path::{PathError, TreePath};
pub use tree::{Device, Entry, Inode, InodeId, Kind, Metadata, Tree, TreeError};
