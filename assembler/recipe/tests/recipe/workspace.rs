use stagex_recipe::{Document, workspace::Workspace};

fn errors(text: &str) -> Vec<String> {
    let errors = Workspace::parse(&Document::new("stagex.toml", text)).expect_err("it has errors");
    let place = |error: &stagex_recipe::Diagnostic| {
        let location = error.location.as_deref().unwrap();
        format!("{}:{}: {}", location.line, location.column, error.message)
    };
    errors.iter().map(place).collect()
}

#[test]
fn everything_is_read() {
    let text = r#"
[packages]
core = "pallets/core"
kernel = "kernel"
[boxes]
folder = "machines"
default = "airgap"
[mirrors]
gnu = ["https://ftp.gnu.org/gnu", "file:///srv/gnu/"]
debian = "https://example.org/debian"
[build]
toolchain = "quick"
[toolchains.slow]
[toolchains.quick]
pallet-cc = "core-cc"
[images]
prefixes = ["stagex/", "docker.io/stagex/"]
"#;
    let workspace = Workspace::parse(&Document::new("stagex.toml", text)).unwrap();
    let roots: Vec<_> =
        workspace.packages.iter().map(|(name, folder)| (name.as_str(), folder.as_str())).collect();
    assert_eq!(roots, [("core", "pallets/core"), ("kernel", "kernel")]);
    assert_eq!(workspace.boxes, "machines");
    assert_eq!(workspace.default_box.unwrap().value, "airgap");
    assert_eq!(workspace.mirrors["gnu"], ["https://ftp.gnu.org/gnu/", "file:///srv/gnu/"]);
    assert_eq!(workspace.mirrors["debian"], ["https://example.org/debian/"]);
    assert_eq!(workspace.image_prefixes, ["stagex/", "docker.io/stagex/"]);
    assert_eq!(workspace.default_toolchain.unwrap().value, "quick");
    let names: Vec<_> = workspace.toolchains.keys().collect();
    assert_eq!(names, ["quick", "slow"]);
    assert_eq!(workspace.toolchains["quick"]["pallet-cc"].value, "core-cc");
    assert_eq!(Workspace::package_id("core", "busybox"), "core-busybox");
}

#[test]
fn most_has_a_default() {
    let text = "[packages]\ncore = \"core\"\n";
    let workspace = Workspace::parse(&Document::new("stagex.toml", text)).unwrap();
    assert_eq!(workspace.boxes, "boxes");
    assert_eq!(workspace.image_prefixes, ["stagex/"]);
    assert!(workspace.default_box.is_none() && workspace.mirrors.is_empty());
}

#[test]
fn what_cannot_be() {
    assert_eq!(errors(""), ["1:1: the file has no `packages`"]);
    assert_eq!(
        errors("[packages]\na-b = \"x\"\nc = \"../x\"\nd = \"/x\"\ne = [\"x\", \"y\"]\n"),
        [
            "2:1: `a-b` cannot name a package root",
            "3:5: `../x` is no folder of this workspace",
            "4:5: `/x` is no folder of this workspace",
            "5:1: the package root `e` is one folder",
        ]
    );
    assert_eq!(
        errors("[packages]\na = \"x\"\nb = \"x\"\n"),
        ["3:5: this folder is the package root `a` already"]
    );
    let mirrors = "[packages]\na = \"x\"\n[mirrors]\nhttps = \"https://x/\"\ngnu = \"gnu.org\"\n";
    assert_eq!(
        errors(mirrors),
        ["4:1: `https` cannot name a scheme", "5:7: `gnu.org` is no address of a mirror",]
    );
    assert_eq!(
        errors("[packages]\na = \"x\"\n[images]\nprefix = [\"x\"]\n"),
        ["4:1: [images] has no key `prefix`"]
    );
    assert_eq!(
        errors("[packages]\na = \"x\"\n[images]\nprefixes = [\"x\"]\n"),
        ["4:13: a prefix of images ends in /"]
    );
    assert_eq!(
        errors(
            "[packages]\na = \"x\"\n[build]\ntoolchain = \"debain\"\n\
             [toolchains.debian]\nx-y = [\"a\", \"b\"]\n"
        ),
        ["4:13: there is no toolchain `debain`", "6:1: one package stands for `x-y`"]
    );
    assert_eq!(
        errors("[packages]\na = \"x\"\n[packges]\n"),
        ["3:2: the file has no key `packges`"]
    );
}
