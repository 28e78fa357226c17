//! Any text as a scenario: read, or refused with the file's name.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use stagex_boot::scenario::Scenario;

fuzz_target!(|text: &str| {
    match Scenario::parse(Path::new("scenario.toml"), text) {
        Ok(scenario) => assert!(!scenario.architectures.is_empty()),
        Err(error) => assert!(error.to_string().contains("scenario.toml")),
    }
});
