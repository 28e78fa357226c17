//! Fetches sources by sha256.
