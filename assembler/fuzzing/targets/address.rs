//! Any text as an address of a source, and as apt's lists.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_sources::{Address, Mirrors, debian_mirrors};

fuzz_target!(|input: (String, String)| {
    let (address, lists) = input;
    let mirrors: Mirrors =
        [("debian".to_owned(), debian_mirrors([&lists[..]]))].into_iter().collect();
    for mirror in mirrors.values().flatten() {
        assert!(mirror.contains(':') && !mirror.contains(char::is_whitespace), "{mirror:?}");
    }
    if let Ok(address) = Address::parse(&address) {
        if let Ok(found) = address.resolve(&mirrors) {
            assert!(found.iter().all(|url| !url.is_empty()));
        }
    }
});
