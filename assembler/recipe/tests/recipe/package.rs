use stagex_recipe::{
    Document,
    package::{Draft, Mirror, Package},
};

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn package(text: &str) -> Package {
    let text = text.replace("HASH", HASH);
    Package::parse(&Document::new("package.toml", text)).unwrap_or_else(|e| panic!("{e}"))
}

fn errors(text: &str) -> Vec<String> {
    let text = text.replace("HASH", HASH);
    let errors = Package::parse(&Document::new("package.toml", text)).expect_err("it has errors");
    let place = |error: &stagex_recipe::Diagnostic| {
        let location = error.location.as_deref().unwrap();
        format!("{}:{}: {}", location.line, location.column, error.message)
    };
    errors.iter().map(place).collect()
}

/// A package with these further lines in `[package]` and after it.
fn with(lines: &str) -> String {
    format!("[package]\nname = \"x\"\nversion = \"1.2.3\"\ndescription = \"X\"\n{lines}")
}

#[test]
fn everything_is_read() {
    let package = package(
        r#"
[package]
name = "linux"
version = "6.12.1"
description = "The kernel"
license = "GPL-2.0-only"
website = "https://kernel.org"
subpackages = ["linux-airgap", "gen_init"]
platforms = ["linux/amd64", "linux/386"]
network = true

[sources.linux]
hash = "HASH"
format = "tar.xz"
file = "linux-{version}.{format}"
mirrors = [
  "debian:pool/main/l/linux/linux_{version}.orig.{format}",
  "https://cdn.example.org/v{version_major}.x/{file}",
]

[sources.m2-libc]
hash = "sha256:HASH"
version = "2.0-rc.1"
git_sha = "0123"
mirrors = ["https://example.org/{version_strip_suffix}/m2_{version_under}.tgz?raw=1"]
"#,
    );
    assert_eq!(package.name.value, "linux");
    assert_eq!(package.version.as_deref(), Some("6.12.1"));
    assert_eq!(package.license.as_deref(), Some("GPL-2.0-only"));
    assert_eq!(package.website.as_deref(), Some("https://kernel.org"));
    assert!(package.network);
    let names: Vec<_> = package.subpackages.iter().map(|part| part.value.as_str()).collect();
    assert_eq!(names, ["linux-airgap", "gen_init"]);
    assert_eq!(package.platforms[1].value, "linux/386");

    let linux = &package.sources["linux"];
    assert_eq!(linux.hash.hex(), HASH);
    assert_eq!(linux.file, "linux-6.12.1.tar.xz");
    let mirrors: Vec<_> = linux.mirrors.iter().map(|mirror| mirror.value.clone()).collect();
    assert_eq!(
        mirrors,
        [
            Mirror::Scheme {
                scheme: "debian".to_owned(),
                path: "pool/main/l/linux/linux_6.12.1.orig.tar.xz".to_owned()
            },
            Mirror::Url("https://cdn.example.org/v6.x/linux-6.12.1.tar.xz".to_owned()),
        ]
    );
    assert_eq!(mirrors[0].to_string(), "debian:pool/main/l/linux/linux_6.12.1.orig.tar.xz");

    let libc = &package.sources["m2-libc"];
    assert_eq!(libc.file, "m2_2_0-rc_1.tgz", "by default the end of the first mirror's path");
    assert_eq!(libc.mirrors[0].value, {
        Mirror::Url("https://example.org/2.0/m2_2_0-rc_1.tgz?raw=1".to_owned())
    });

    let arguments: Vec<_> =
        package.build_args().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        arguments,
        [
            "LINUX_SOURCE=linux-6.12.1.tar.xz",
            "LINUX_VERSION=6.12.1",
            "M2_LIBC_GIT_SHA=0123",
            "M2_LIBC_SOURCE=m2_2_0-rc_1.tgz",
            "M2_LIBC_VERSION=2.0-rc.1",
            "VERSION=6.12.1",
            "VERSION_DASH=6-12-1",
            "VERSION_MAJOR=6",
            "VERSION_MAJOR_MINOR=6.12",
            "VERSION_STRIP_SUFFIX=6.12.1",
            "VERSION_UNDER=6_12_1",
        ]
    );
}

#[test]
fn a_crate_is_stored_as_a_crate() {
    let package = package(&with(
        "[sources.libc]\nversion = \"0.2.1\"\nhash = \"HASH\"\nmirrors = [\"crates:libc/{version}\"]\n",
    ));
    assert_eq!(package.sources["libc"].file, "libc-0.2.1.crate");
}

#[test]
fn little_is_enough() {
    let package = package("[package]\nname = \"stage0\"\ndescription = \"The seed\"\n");
    assert_eq!((package.version, package.license, package.network), (None, None, false));
    assert!(package.sources.is_empty());
}

#[test]
fn a_version_may_come_from_elsewhere() {
    let text = "[package]\nname = \"p\"\nversion_from = \"core-python\"\ndescription = \"P\"\n\
                [sources.a]\nhash = \"HASH\"\nmirrors = [\"https://x/a-{version}.tgz\"]\n";
    let document = Document::new("package.toml", text.replace("HASH", HASH));
    let draft = Draft::parse(&document).unwrap();
    assert_eq!(draft.version_from().unwrap().value, "core-python");
    let package = draft.clone().finish(Some("3.12".to_owned())).unwrap();
    assert_eq!(package.version.as_deref(), Some("3.12"));
    assert_eq!(package.sources["a"].file, "a-3.12.tgz");
    let errors = draft.finish(None).unwrap_err();
    assert_eq!(
        errors.iter().next().unwrap().message,
        "{version} is not known: there is no version"
    );
}

#[test]
fn unknown_keys_and_wrong_types() {
    assert_eq!(
        errors(&with("verison = \"2\"\nnetwork = \"yes\"\nplatforms = \"linux/386\"\n")),
        [
            "5:1: [package] has no key `verison`",
            "6:11: `network` is true or false, not a string",
            "7:13: `platforms` is a list of strings, not a string",
        ]
    );
    assert_eq!(errors(&with("[source.x]\nhash = \"\"\n")), ["5:2: the file has no key `source`"]);
    assert_eq!(
        errors(&with("subpackages = [\"a\", 1]\n")),
        ["5:21: `subpackages` is a list of strings, not a whole number"]
    );
    assert_eq!(
        errors(&with("[sources.x]\nhash = \"HASH\"\nmirror = [\"https://x/y\"]\n")),
        ["5:10: [sources.x] has no `mirrors`", "7:1: [sources.x] has no key `mirror`",]
    );
    assert_eq!(errors(&with("sources = 1\n")), ["5:1: [package] has no key `sources`"]);
    assert_eq!(
        errors("sources = 1\n[package]\nname=\"x\"\ndescription=\"y\"\n"),
        ["1:11: `sources` is a table, not a whole number"]
    );
}

#[test]
fn what_is_missing_or_empty() {
    assert_eq!(errors(""), ["1:1: the file has no `package`"]);
    assert_eq!(
        errors("[package]\n"),
        ["1:2: [package] has no `description`", "1:2: [package] has no `name`",]
    );
    assert_eq!(errors("[package]\nname = \"\"\ndescription = \"x\"\n"), ["2:8: `name` is empty"]);
    assert_eq!(
        errors(&with("[sources.x]\nmirrors = []\n")),
        ["5:10: [sources.x] has no `hash`", "5:10: a source needs a mirror",]
    );
}

#[test]
fn values_that_cannot_be() {
    let bad_hash = with("[sources.x]\nhash = \"abc\"\nmirrors = [\"https://x/y\"]\n");
    assert_eq!(
        errors(&bad_hash),
        ["6:8: \"abc\" is not a sha256: 64 lower-case hexadecimal digits are expected"]
    );
    assert_eq!(errors(&with("version_from = \"core-y\"\n")), ["5:16: `version` is set already"]);
    assert_eq!(errors(&with("platforms = [\"amd64\"]\n")), ["5:14: `amd64` is no platform"]);
    assert_eq!(
        errors(&with("subpackages = [\"a\", \"a\", \"../b\"]\n")),
        ["5:21: `a` stands here already", "5:26: `../b` cannot name a part of a package",]
    );
    assert_eq!(
        errors(&with("[sources.\"a/b\"]\nhash=\"HASH\"\nmirrors=[\"https://x/y\"]\n")),
        ["5:10: `a/b` cannot name a source"]
    );
    assert_eq!(
        errors("[package]\nname = \"a b\"\nversion = \"1;rm\"\ndescription = \"x\"\n"),
        ["2:8: `a b` cannot name a package", "3:11: `1;rm` cannot be a version"]
    );
}

#[test]
fn addresses_that_lead_nowhere() {
    for (address, message) in [
        ("example.org/x", "this is no address"),
        ("https://", "this address has no host"),
        ("https:///x", "this address has no host"),
        ("git://x/y", "sources cannot be had by git://"),
        ("https://x/a b", "an address cannot hold ' '"),
        ("debian:/pool/x", "`/pool/x` is no path on a mirror"),
        ("debian:pool/../../etc", "`pool/../../etc` is no path on a mirror"),
        ("debian:", "`` is no path on a mirror"),
        ("De bian:x", "an address cannot hold ' '"),
        ("Debian:x", "`Debian` cannot name a scheme"),
        ("crates:serde", "`serde` is no crate"),
        ("https://x/{verison}", "there is no placeholder {verison}"),
        ("https://x/{file}", "{file} is not known here"),
        ("https://x/{", "a brace without its partner"),
    ] {
        let text = with(&format!("[sources.x]\nhash = \"HASH\"\nmirrors = [\"{address}\"]\n"));
        assert_eq!(errors(&text), [format!("7:12: {message}")], "{address}");
    }
}

#[test]
fn files_land_in_one_folder_under_their_own_names() {
    for (file, shown) in [("a/b", "a/b"), ("..", ".."), ("", ""), ("a\\u0000", "a\\0")] {
        let text = with(&format!(
            "[sources.x]\nhash = \"HASH\"\nfile = \"{file}\"\nmirrors = [\"https://x/y\"]\n"
        ));
        assert_eq!(errors(&text), [format!("7:8: `{shown}` is no file name")]);
    }
    let bare = with("[sources.x]\nhash = \"HASH\"\nmirrors = [\"https://x/\"]\n");
    assert_eq!(errors(&bare), ["7:12: `` is no file name"]);
    let other = HASH.replace('b', "c");
    let twice = with(&format!(
        "[sources.a]\nhash = \"HASH\"\nmirrors = [\"https://x/y\"]\n\
         [sources.b]\nhash = \"{other}\"\nmirrors = [\"https://z/y\"]\n"
    ));
    assert_eq!(errors(&twice), ["8:10: another source is stored as `y` already"]);
    let clash = with(
        "[sources.a-b]\nhash = \"HASH\"\nmirrors = [\"https://x/y\"]\n\
         [sources.a_b]\nhash = \"HASH\"\nmirrors = [\"https://x/y\"]\n",
    );
    assert_eq!(errors(&clash), ["8:10: the sources `a-b` and `a_b` are both A_B_SOURCE"]);
}

#[test]
fn syntax_errors_stand_alone() {
    let errors = errors("[package\nname = \"x\"\nwrong = 1\n");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("1:9: this is not TOML: "), "{errors:?}");
}
