//! Any bytes as a package.toml, and as a stagex.toml.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_recipe::{Document, package::Package, workspace::Workspace};

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::from_bytes("package.toml", bytes.to_vec()) else { return };
    match Package::parse(&document) {
        Err(errors) => assert!(errors.has_errors() && !errors.to_string().is_empty()),
        Ok(package) => {
            let arguments = package.build_args();
            for source in package.sources.values() {
                assert!(!source.file.contains('/') && !source.mirrors.is_empty());
                assert!(arguments.values().any(|value| *value == source.file));
            }
        }
    }
    if let Err(errors) = Workspace::parse(&document) {
        assert!(errors.has_errors());
    }
});
