//! Any bytes as a box.toml.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_recipe::{Document, boxes::BoxRecipe};

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::from_bytes("box.toml", bytes.to_vec()) else { return };
    match BoxRecipe::parse(&document) {
        Err(errors) => assert!(errors.has_errors() && !errors.to_string().is_empty()),
        Ok(recipe) => {
            assert!(recipe.kernel.cmdline.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            assert!(recipe.files.iter().all(|file| file.path.starts_with('/')));
        }
    }
});
