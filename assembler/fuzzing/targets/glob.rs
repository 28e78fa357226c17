//! Any pattern of COPY against any paths: it ends, and a path matches itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_build::fuzzing::matching;
use stagex_tree::TreePath;

fuzz_target!(|input: (String, Vec<String>)| {
    let (pattern, texts) = input;
    let paths: Vec<TreePath> = texts.iter().filter_map(|text| TreePath::new(text).ok()).collect();
    if let Some(count) = matching(&pattern, &paths) {
        assert!(count <= paths.len());
    }
    assert_eq!(matching("**", &paths), Some(paths.len()));
    for (text, path) in texts.iter().zip(&paths) {
        let plain = !text.contains(['*', '?', '[', '\\']);
        if plain && TreePath::new(text).as_ref() == Ok(path) {
            assert_eq!(matching(text, std::slice::from_ref(path)), Some(1));
        }
    }
});
