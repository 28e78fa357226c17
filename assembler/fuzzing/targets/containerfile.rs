//! Any bytes as a Containerfile: it is read or refused, and what was read can be evaluated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_recipe::{
    Document,
    containerfile::{Containerfile, CopySource, Instruction},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::from_bytes("Containerfile", bytes.to_vec()) else { return };
    let look = |name: &str| (name.len() % 2 == 0).then(|| format!("{name} 1.2/3"));
    match Containerfile::parse(&document) {
        Err(errors) => assert!(errors.has_errors() && !errors.to_string().is_empty()),
        Ok(file) => {
            for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
                assert!(!document.slice(instruction.span).is_empty());
                match &instruction.value {
                    Instruction::Run(run) => {
                        let _ = run.invocation();
                        run.mounts.iter().for_each(|mount| drop(mount.resolve(&look)));
                        for heredoc in &run.heredocs {
                            assert_eq!(document.slice(heredoc.span), heredoc.raw);
                        }
                    }
                    Instruction::Copy(copy) => {
                        for source in &copy.sources {
                            match source {
                                CopySource::Path(word) => drop(word.expand(&look)),
                                CopySource::Heredoc(heredoc) => drop(heredoc.expand(&look)),
                            }
                        }
                    }
                    Instruction::Env(list) => {
                        list.iter().for_each(|each| drop(each.value.expand(&look)));
                    }
                    _ => {}
                }
            }
        }
    }
});
