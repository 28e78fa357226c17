//! Any text as a word, with values from the text itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_recipe::{
    Document,
    containerfile::{Containerfile, Instruction},
};

fuzz_target!(|input: (String, String)| {
    let (word, value) = input;
    // One line, so that it is one word.
    let word: String = word.chars().filter(|c| !c.is_control()).collect();
    let document = Document::new("Containerfile", format!("FROM a\nUSER x{word}\n"));
    let Ok(file) = Containerfile::parse(&document) else { return };
    let Some(Instruction::User(word)) =
        file.stages[0].instructions.first().map(|instruction| &instruction.value)
    else {
        return;
    };
    let look = |name: &str| (name != "u").then(|| value.clone());
    if let Err(error) = word.expand(&look) {
        assert!(error.location.is_some() && !error.to_string().is_empty());
    }
    let _ = word.expand_words(&look);
    if let Some(literal) = word.literal() {
        assert_eq!(word.expand(&|_| None).ok(), Some(literal));
    }
});
