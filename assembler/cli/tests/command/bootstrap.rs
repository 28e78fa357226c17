//! The ladder: the rungs below tcc, which need no source from elsewhere, in a project of their
//! own.

use std::{fs, path::Path};

use crate::support::{Project, run};

/// The ladder of this tree.
fn stage0() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../bootstrap/stage0"))
}

/// A project with the ladder up to the compilers. `more` is added to the stage of the assembler,
/// before its command.
fn project(more: &str) -> Project {
    let project = Project::new();
    project.write("stagex.toml", "[packages]\nbootstrap = \"bootstrap\"\n");
    let folder = project.root.join("bootstrap/stage0");
    fs::create_dir_all(&folder).unwrap();
    for part in ["seed", "hex1", "asm", "cc1", "common", "cc2", "run", "edit"] {
        run(std::process::Command::new("cp").arg("-r").arg(stage0().join(part)).arg(&folder))
            .code(0);
    }
    let text = |name: &str| fs::read_to_string(stage0().join(name)).unwrap();
    let containerfile = text("Containerfile");
    let containerfile = containerfile.split_once("# What is compiled").unwrap().0;
    let assembling = "RUN [\"/bin/hex1\"";
    assert_eq!(containerfile.matches(assembling).count(), 1);
    let containerfile = containerfile.replace(assembling, &format!("{more}{assembling}"));
    project.write(
        "bootstrap/stage0/Containerfile",
        &format!("{containerfile}FROM scratch AS package-stage0\nCOPY --from=cc2 /bin /bin\n"),
    );
    let rungs = text("rungs.toml");
    project.write(
        "bootstrap/stage0/rungs.toml",
        rungs.split_once("[[rung]]\nname = \"copy\"").unwrap().0,
    );
    project.write(
        "bootstrap/stage0/package.toml",
        "[package]\nname = \"stage0\"\nversion = \"1.0.0\"\ndescription = \"The ladder\"\n\
         license = \"MIT\"\nsubpackages = [\"stage0\"]\n",
    );
    project
}

/// The row of a rung.
fn row<'a>(table: &'a str, rung: &str) -> Vec<&'a str> {
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.find(|row| row.first() == Some(&rung)).unwrap_or_else(|| panic!("no {rung} in\n{table}"))
}

#[test]
fn the_ladder_is_built_measured_and_compared() {
    let project = project("");
    project.stagex(["bootstrap"]).code(3).says(&["hex0: is not locked", "bootstrap --digests"]);
    let digests = project.stagex(["bootstrap", "--digests"]).code(0).stdout;
    let rungs: Vec<&str> = digests.lines().filter_map(|line| line.split('/').nth(1)).collect();
    assert_eq!(rungs, ["hex0", "hex1", "asm", "cc1", "cc2", "run", "edit"]);
    project.write("digests/stage0.txt", &digests);
    let ended = project.stagex(["bootstrap"]).code(0);
    let table = &ended.stdout;
    assert!(table.contains("all digests are those of digests/stage0.txt"), "{table}");
    // Measured here by other means.
    let seed = fs::read(stage0().join("seed/hex0")).unwrap();
    let listing = fs::read_to_string(stage0().join("seed/hex0.hex0")).unwrap();
    let found = row(table, "hex0");
    assert_eq!(found[1], "hex0");
    assert_eq!(found[2], listing.lines().count().to_string());
    assert_eq!(found[3], seed.len().to_string());
    assert_eq!(found[4], stagex_tree::Digest::of(&seed).hex());
    assert_eq!(row(table, "cc2")[1], "cc1");
    // One rung differs: it is named, and the others are not.
    let line = digests.lines().nth(1).unwrap();
    let other = format!("{} bootstrap-stage0/hex1", "0".repeat(64));
    project.write("digests/stage0.txt", &digests.replace(line, &other));
    let wrong = format!("hex1: locked is {}, built was {}", &other[..64], &line[..64]);
    project.stagex(["bootstrap"]).code(3).says(&[&wrong]).says_nothing_of("asm:");
}

#[test]
fn a_changed_source_changes_its_rung() {
    let project = project("");
    let digests = project.stagex(["bootstrap", "--digests"]).code(0).stdout;
    project.write("digests/stage0.txt", &digests);
    let path = "bootstrap/stage0/edit/edit.c";
    let text = fs::read_to_string(project.root.join(path)).unwrap();
    project.write(path, &text.replacen("usage: edit", "usage: Edit", 1));
    project.stagex(["bootstrap"]).code(3).says(&["edit: locked is"]).says_nothing_of("run:");
    project.write(path, &text.replacen("long main(", "long main(long, ", 1));
    project.stagex(["bootstrap"]).code(1).says(&["edit.c:"]);
}

#[test]
fn roots_hold_what_was_made_and_sources() {
    let project = project("");
    let listing = project.stagex(["bootstrap", "--roots"]).code(0).stdout;
    let first = "== stage hex0, instruction 3: /bin/hex0 /src/hex0.hex0 /bin/again\n\
         seed     /bin/hex0\nsource   /src/hex0.hex0  seed/hex0.hex0\n==";
    assert!(listing.starts_with(first), "{listing}");
    assert!(listing.contains("made     /bin/hex1  stage hex1, instruction 3\n"), "{listing}");
    assert!(!listing.contains("UNKNOWN"), "{listing}");
}

#[test]
fn an_intruder_in_a_root_is_found() {
    let project = project("COPY sh /bin/\n");
    fs::copy("/bin/busybox", project.root.join("bootstrap/stage0/sh")).unwrap();
    let ended = project.stagex(["bootstrap", "--roots"]).code(1);
    assert!(ended.stdout.contains("\nUNKNOWN  /bin/sh\n"), "{}", ended.stdout);
    ended
        .says(&["stage asm, instruction 4: /bin/sh is neither made by an earlier step nor source"]);
    // A text that no rung owns up to.
    project.write("bootstrap/stage0/sh", "more");
    project
        .stagex(["bootstrap", "--roots"])
        .code(1)
        .says(&["/bin/sh is sh, which no rung names as its source"]);
}

#[test]
fn rungs_are_explained() {
    let project = project("");
    let text = project.stagex(["bootstrap", "--explain", "asm"]).code(0).stdout;
    for part in
        ["built by hex1", "A macro assembler", "bootstrap/stage0/asm/asm.hex1", "builds cc1"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    // Nothing was built for it.
    assert!(!project.cache.join("store").exists());
    project
        .stagex(["bootstrap", "--explain", "hex2"])
        .code(2)
        .says(&["there is no rung hex2", "did you mean `hex"]);
    let elsewhere = Project::new();
    elsewhere.stagex(["bootstrap"]).code(2).says(&["no package bootstrap-stage0"]);
}
