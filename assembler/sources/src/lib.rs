//! Fetches sources by sha256 from mirrors, caches and local folders.
//!
//! A source is named by its digest; where its bytes come from does not matter. [`Fetcher::fetch`]
//! looks, in this order, in the cache, in the folders of local files the user gave, in local git
//! clones, and at every mirror in the order the recipe names them. What arrives is hashed while it
//! streams, and enters the cache under its digest only when that digest is the expected one.
//!
//! An interrupted download is resumed. Several processes may share one cache.

mod address;
mod apt;
mod cache;
mod download;
mod error;
mod fetcher;
mod git;
mod local;

pub use address::{Address, Mirrors};
pub use apt::debian_mirrors;
pub use error::{Attempt, Cause, Error};
pub use fetcher::{Fetcher, Observer, Options, Quiet, Request};
pub use git::Clone as GitClone;
