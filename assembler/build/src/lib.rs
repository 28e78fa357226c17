//! Builds packages.
