//! Runs one command in a rootless, hermetic Linux sandbox.
