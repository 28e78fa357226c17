//! Any texts as two packages that may name each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagex_recipe::{
    Document,
    boxes::Architecture,
    catalogue::{Catalogue, Node, Options, PackageText, Platform},
};

fuzz_target!(|input: (String, String, String)| {
    let (table, one, two) = input;
    let text = |folder: &str, package: String, containerfile: String| PackageText {
        root: "a".to_owned(),
        folder: folder.to_owned(),
        package: Document::new(format!("{folder}/package.toml"), package),
        containerfile: Document::new(format!("{folder}/Containerfile"), containerfile),
    };
    let plain = "[package]\nname = \"y\"\nversion = \"1\"\ndescription = \"y\"\n".to_owned();
    let table = format!("[package]\nname = \"x\"\ndescription = \"x\"\n{table}");
    let texts = vec![text("x", table, one), text("y", plain, two)];
    let catalogue = Catalogue::new(texts, Options::default());
    let found = catalogue.check();
    let _ = found.to_string();
    let platform = Platform::linux(Architecture::X86_64);
    for id in catalogue.targets() {
        let node = Node { id: id.to_owned(), platform: platform.clone() };
        if let Ok(plan) = catalogue.plan(&[node], &platform) {
            for (index, each) in plan.nodes.iter().enumerate() {
                assert!(each.needs.iter().all(|need| *need < index));
            }
        }
    }
});
