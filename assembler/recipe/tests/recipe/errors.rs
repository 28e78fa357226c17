use stagex_recipe::{
    Diagnostic, Diagnostics, Document, Span, containerfile::Containerfile, nearest,
    package::Package,
};

fn containerfile(text: &str) -> String {
    let document = Document::new("pallets/core/x/Containerfile", text);
    Containerfile::parse(&document).unwrap_err().to_string()
}

#[test]
fn an_unknown_instruction() {
    assert_eq!(
        containerfile("FROM scratch\n  COPPY a b\n"),
        "error: `COPPY` is no instruction
 --> pallets/core/x/Containerfile:2:3
  |
2 |   COPPY a b
  |   ^^^^^
  = help: did you mean `COPY`?"
    );
}

#[test]
fn an_unknown_flag() {
    assert_eq!(
        containerfile("FROM scratch\nRUN --netwrok=none \\\n  true\n"),
        "error: RUN has no flag --netwrok
 --> pallets/core/x/Containerfile:2:5
  |
2 | RUN --netwrok=none \\
  |     ^^^^^^^^^^^^^^
  = help: did you mean `--network`?"
    );
}

#[test]
fn a_heredoc_that_never_ends() {
    assert_eq!(
        containerfile("FROM scratch\nRUN <<EOF\n  true\n  EOF\n"),
        "error: the heredoc `EOF` never ends
 --> pallets/core/x/Containerfile:2:5
  |
2 | RUN <<EOF
  |     ^^^^^
  = help: the line with `EOF` must hold nothing else, not even blanks; <<- allows tabs before it"
    );
}

#[test]
fn an_unknown_key() {
    let text = "[package]\nname = \"x\"\nlicence = \"MIT\"\ndescription = \"x\"\n";
    let errors = Package::parse(&Document::new("package.toml", text)).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "error: [package] has no key `licence`
 --> package.toml:3:1
  |
3 | licence = \"MIT\"
  | ^^^^^^^
  = help: did you mean `license`?"
    );
}

#[test]
fn several_errors_are_told_in_order() {
    let text = "[package]\nname = 1\nversion = \"1\"\n[sources.x]\nhash = \"00\"\nmirrors = [\"https://x/y\"]\n";
    let errors = Package::parse(&Document::new("package.toml", text)).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "error: [package] has no `description`
 --> package.toml:1:2
  |
1 | [package]
  |  ^^^^^^^
  = help: say in a sentence what it is

error: `name` is a string, not a whole number
 --> package.toml:2:8
  |
2 | name = 1
  |        ^

error: \"00\" is not a sha256: 64 lower-case hexadecimal digits are expected
 --> package.toml:5:8
  |
5 | hash = \"00\"
  |        ^^^^
  = help: a sha256 has 64 digits, this has 2"
    );
    assert_eq!((errors.len(), errors.errors()), (3, 3));
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let text =
        format!("FROM scratch\nCOPY --from=x {} --bad {}\n", "a".repeat(300), "b".repeat(300));
    let document = Document::new("f", text);
    let at = document.text().find("--bad").unwrap();
    let shown = document.error(Span::new(at, at + 5), "no").to_string();
    let lines: Vec<&str> = shown.lines().collect();
    let caret = lines[4].chars().position(|c| c == '^').unwrap();
    let under: String = lines[3].chars().skip(caret).take(5).collect();
    assert_eq!((under.as_str(), lines[4].matches('^').count()), ("--bad", 5));
    assert!(lines.iter().all(|line| line.chars().count() < 140), "{shown}");
    assert!(lines[3].contains("| …a") && lines[3].ends_with("b…"), "{shown}");
}

#[test]
fn nothing_reaches_the_terminal_that_it_would_obey() {
    let document = Document::new("f\u{1b}[2J", "a\tb\u{1b}[31mc\u{202e}d é\n");
    let shown = document.error(Span::new(2, 3), "x\u{7}\ny").with_help("\u{9b}z").to_string();
    assert_eq!(
        shown,
        "error: x\u{fffd}\u{fffd}y
 --> f\u{fffd}[2J:1:3
  |
1 | a b\u{fffd}[31mc\u{fffd}d é
  |   ^
  = help: \u{fffd}z"
    );
}

#[test]
fn columns_count_characters() {
    let document = Document::new("f", "éé x\nlast");
    let x = document.position(5);
    assert_eq!((x.line, x.column), (1, 4));
    let end = document.position(1_000);
    assert_eq!((end.line, end.column), (2, 5));
    assert_eq!((document.line(1), document.line(2), document.line(3)), ("éé x", "last", ""));
    let shown = document.error(Span::new(0, 4), "x").to_string();
    assert!(shown.ends_with("1 | éé x\n  | ^^"), "{shown}");
}

#[test]
fn spans_that_lie_elsewhere_do_no_harm() {
    let document = Document::new("f", "é\n");
    for (start, end) in [(1, 1), (1, 2), (9, 3), (0, 999), (usize::MAX, usize::MAX)] {
        assert!(document.error(Span::new(start, end), "x").to_string().starts_with("error: x"));
        assert!(document.slice(Span::new(start, end)).len() <= 3);
    }
}

#[test]
fn bytes_that_are_no_text() {
    let error = Document::from_bytes("f", b"ok\n\xc3\xa9 \xff\n".to_vec()).unwrap_err();
    let location = error.location.as_ref().unwrap();
    assert_eq!(error.message, "byte 0xff is not UTF-8");
    assert_eq!((location.line, location.column), (2, 3));
    assert!(Document::from_bytes("f", b"fine".to_vec()).is_ok());
}

#[test]
fn diagnostics_are_sorted_and_told_once() {
    let (a, b) = (Document::new("a", "1\n2\n"), Document::new("b", "1\n"));
    let all = Diagnostics::new(vec![
        Diagnostic::error("nowhere"),
        b.error(Span::new(0, 1), "b1"),
        a.error(Span::new(2, 3), "a2"),
        a.warning(Span::new(0, 1), "a1w"),
        a.error(Span::new(0, 1), "a1"),
        a.error(Span::new(2, 3), "a2"),
    ]);
    let order: Vec<&str> = all.iter().map(|each| each.message.as_str()).collect();
    assert_eq!(order, ["a1", "a1w", "a2", "b1", "nowhere"]);
    assert_eq!((all.errors(), all.has_errors()), (4, true));
    let warning = Diagnostics::new(vec![a.warning(Span::new(0, 1), "x")]);
    assert!(!warning.has_errors() && !warning.is_empty());
    assert!(warning.to_string().starts_with("warning: x\n --> a:1:1\n"));
}

#[test]
fn only_near_words_are_suggested() {
    let known = ["version", "version_from", "website", "name"];
    assert_eq!(nearest("versoin", known), Some("version"));
    assert_eq!(nearest("NAME", known), Some("name"));
    assert_eq!(nearest("versionfrom", known), Some("version_from"));
    assert_eq!(nearest("colour", known), None);
    assert_eq!(nearest("", known), None);
}
