use proptest::prelude::*;
use stagex_recipe::{
    Document,
    boxes::BoxRecipe,
    catalogue::{Catalogue, Options, PackageText},
    containerfile::{Containerfile, CopySource, Instruction, Word},
    package::Package,
    workspace::Workspace,
};

/// A Containerfile with something of everything, to be damaged.
const SEED: &str = "# escape=\\\nARG A=1 B\nFROM --platform=$BUILDPLATFORM a:${A:-x} AS one\n\
    ENV X=\"a b\" Y='c'\nLABEL k v w\nRUN --mount=type=cache,target=/c,mode=0755 --network=none \\\n\
    # comment\n  x && y\nRUN python3 <<EOF 3<<-\"END\"\n$x\nEOF\n\ty\n\tEND\n\
    COPY --from=one --chown=1:2 a* [\"b\"] <<F /d/\n${v%%.*}\nF\nADD [\"a\", \"b\"]\n\
    HEALTHCHECK --interval=1m CMD [\"x\"]\nONBUILD RUN <<E\nz\nE\nSHELL [\"/bin/sh\"]\n\
    EXPOSE 80 $P\nVOLUME /v\nUSER ${u:?no}\nWORKDIR ${w//a/b}\nFROM scratch\n";

const PACKAGE: &str = "[package]\nname = \"x\"\nversion = \"1.2\"\ndescription = \"d\"\n\
    subpackages = [\"a\"]\nplatforms = [\"linux/386\"]\nnetwork = true\n[sources.s]\n\
    hash = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
    format = \"tgz\"\nfile = \"s-{version}.{format}\"\n\
    mirrors = [\"https://x/{file}\", \"debian:pool/s_{version_dash}\"]\n";

const BOX: &str = "[box]\nname = \"b\"\nversion = \"1\"\narchitectures = [\"arm64\"]\n\
    outputs = [\"iso\", \"disk\"]\n[layers]\npackages = [\"core-x\"]\n[kernel]\npackage = \"kernel-l\"\n\
    cmdline = \"quiet\"\n[firmware]\narm64 = \"firmware-e\"\n[rootfs]\nformat = \"erofs\"\n\
    verity = true\ncompress = \"zstd:3\"\ncluster = \"64K\"\n[disk]\nsize = \"4G\"\nab = true\n[[disk.partitions]]\nrole = \"esp\"\n\
    [[disk.partitions]]\nrole = \"root\"\nname = \"r\"\n[[disk.partitions]]\n\
    role = \"root-verity\"\nsize = \"8M\"\n[[files]]\npath = \"/a\"\nsource = \"b\"\nmode = \"0644\"\n[test]\n\
    expect = [\"x\"]\ntimeout = 9\n";

const WORKSPACE: &str = "[packages]\ncore = \"a/b\"\n[boxes]\nfolder = \"c\"\ndefault = \"d\"\n\
    [mirrors]\ngnu = [\"https://x\"]\n[images]\nprefixes = [\"s/\"]\n";

/// Looks at all of a Containerfile, as whoever builds it would.
fn exercise(file: &Containerfile) {
    let look = |name: &str| (name.len() % 2 == 0).then(|| format!("{name} 1.2/3"));
    let word = |word: &Word| {
        let _ = word.expand(&look);
        let _ = word.expand_words(&look);
        let _ = (word.variables(), word.literal());
        assert!(word.span().end <= file.document.text().len());
        assert!(word.span().start <= word.span().end);
    };
    let sources = |sources: &[CopySource]| {
        for source in sources {
            match source {
                CopySource::Path(path) => word(path),
                CopySource::Heredoc(heredoc) => {
                    let _ = heredoc.expand(&look);
                    assert_eq!(file.document.slice(heredoc.span), heredoc.raw);
                }
            }
        }
    };
    assert!(!file.stages.is_empty());
    for stage in &file.stages {
        word(&stage.base);
        for instruction in &stage.instructions {
            assert!(!file.document.slice(instruction.span).is_empty());
            match &instruction.value {
                Instruction::Run(run) => {
                    let _ = run.invocation();
                    run.mounts.iter().for_each(|mount| drop(mount.resolve(&look)));
                    for heredoc in &run.heredocs {
                        assert_eq!(file.document.slice(heredoc.span), heredoc.raw);
                    }
                }
                Instruction::Copy(copy) => sources(&copy.sources),
                Instruction::Add(add) => sources(&add.sources),
                Instruction::Env(list) | Instruction::Label(list) => {
                    list.iter().for_each(|each| (word(&each.key), word(&each.value)).1);
                }
                Instruction::User(text) | Instruction::Workdir(text) => word(text),
                Instruction::Expose(list) | Instruction::Volume(list) => {
                    list.iter().for_each(word);
                }
                _ => {}
            }
        }
    }
}

fn read_containerfile(text: &str) {
    match Containerfile::parse(&Document::new("f", text)) {
        Ok(file) => exercise(&file),
        Err(errors) => assert!(errors.has_errors() && !errors.to_string().is_empty()),
    }
}

/// A text with pieces cut out, doubled or overwritten.
fn damaged(seed: &'static str) -> impl Strategy<Value = String> {
    let edit = (
        0..seed.len(),
        0..12_usize,
        prop_oneof![
            Just(String::new()),
            "[\\\\$'\"{}<>\n\t #=-]{1,4}",
            "\\PC{1,6}",
            Just("<<EOF".to_owned()),
            Just("${a:-".to_owned()),
        ],
    );
    proptest::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut text: Vec<char> = seed.chars().collect();
        for (at, cut, put) in edits {
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_containerfiles_never_panic(text in damaged(SEED)) {
        read_containerfile(&text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(document) = Document::from_bytes("f", bytes) {
            read_containerfile(document.text());
            let _ = Package::parse(&document);
            let _ = BoxRecipe::parse(&document);
            let _ = Workspace::parse(&document);
        }
    }

    #[test]
    fn damaged_tables_never_panic(
        package in damaged(PACKAGE), r#box in damaged(BOX), workspace in damaged(WORKSPACE)
    ) {
        if let Err(errors) = Package::parse(&Document::new("p", package)) {
            prop_assert!(errors.has_errors() && !errors.to_string().is_empty());
        }
        if let Err(errors) = BoxRecipe::parse(&Document::new("b", r#box)) {
            prop_assert!(errors.has_errors() && !errors.to_string().is_empty());
        }
        if let Err(errors) = Workspace::parse(&Document::new("w", workspace)) {
            prop_assert!(errors.has_errors() && !errors.to_string().is_empty());
        }
    }

    #[test]
    fn damaged_packages_can_be_checked(package in damaged(PACKAGE), file in damaged(SEED)) {
        let text = PackageText {
            root: "core".to_owned(),
            folder: "x".to_owned(),
            package: Document::new("p", package),
            containerfile: Document::new("c", file),
        };
        let catalogue = Catalogue::new(vec![text], Options::default());
        let _ = catalogue.check().to_string();
    }

    #[test]
    fn a_text_in_single_quotes_expands_to_itself(text in "[^'\n\r\\\\]{0,30}") {
        let document = Document::new("f", format!("FROM a\nUSER x'{text}'x\n"));
        let file = Containerfile::parse(&document).unwrap();
        let Instruction::User(word) = &file.stages[0].instructions[0].value else { panic!() };
        let expected = format!("x{text}x");
        prop_assert_eq!(word.expand(&|_| Some("no".to_owned())).unwrap(), expected);
    }

    #[test]
    fn a_text_with_every_character_escaped_expands_to_itself(text in "[^\n\r]{1,30}") {
        let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
        let document = Document::new("f", format!("FROM a\nENV X=x{escaped}x\n"));
        let file = Containerfile::parse(&document).unwrap();
        let Instruction::Env(list) = &file.stages[0].instructions[0].value else { panic!() };
        let expected = format!("x{text}x");
        prop_assert_eq!(list[0].value.expand(&|_| Some("no".to_owned())).unwrap(), expected);
    }

    #[test]
    fn quoted_heredocs_keep_every_byte(lines in proptest::collection::vec("[^\n]{0,20}", 0..6)) {
        let lines: Vec<_> = lines.into_iter().filter(|line| line.trim() != "EOF").collect();
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let text = format!("FROM a\nCOPY <<'EOF' /x\n{body}EOF\n");
        let file = Containerfile::parse(&Document::new("f", text)).unwrap();
        let Instruction::Copy(copy) = &file.stages[0].instructions[0].value else { panic!() };
        let CopySource::Heredoc(heredoc) = &copy.sources[0] else { panic!() };
        prop_assert_eq!(heredoc.expand(&|_| Some("no".to_owned())).unwrap(), body);
    }

    #[test]
    fn continuing_a_line_changes_nothing(words in proptest::collection::vec("[a-z$\"]{1,5}", 1..8)) {
        let joined = format!("FROM a\nRUN x {}\n", words.join(" "));
        let split = format!("FROM a\nRUN x {}\n", words.join(" \\\n# why\n"));
        let command = |text: String| {
            let file = Containerfile::parse(&Document::new("f", text)).unwrap();
            let Instruction::Run(run) = &file.stages[0].instructions[0].value else { panic!() };
            run.invocation()
        };
        prop_assert_eq!(command(joined), command(split));
    }
}
