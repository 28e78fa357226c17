//! Deterministic writers of boot image formats.
