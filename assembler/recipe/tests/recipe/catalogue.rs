use stagex_recipe::{
    Document,
    boxes::Architecture,
    catalogue::{Catalogue, Node, Options, PackageText, Platform, Platforms, Reference},
};

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A package `root-name` with more lines of package.toml and a Containerfile.
fn package(id: &str, more: &str, containerfile: &str) -> PackageText {
    let (root, name) = id.split_once('-').unwrap();
    let head = if more.contains("version = ") || more.contains("version_from") {
        ""
    } else {
        "version = \"1.0\"\n"
    };
    let text = format!("[package]\nname = \"{name}\"\ndescription = \"x\"\n{head}{more}");
    PackageText {
        root: root.to_owned(),
        folder: name.to_owned(),
        package: Document::new(format!("{id}/package.toml"), text.replace("HASH", HASH)),
        containerfile: Document::new(format!("{id}/Containerfile"), containerfile),
    }
}

fn catalogue(packages: Vec<PackageText>) -> Catalogue {
    Catalogue::new(packages, Options::default())
}

/// What is wrong, each with file, line and column.
fn found(packages: Vec<PackageText>) -> Vec<String> {
    let place = |each: &stagex_recipe::Diagnostic| match each.location.as_deref() {
        Some(at) => format!("{}:{}:{}: {}", at.file, at.line, at.column, each.message),
        None => each.message.clone(),
    };
    catalogue(packages).check().iter().map(place).collect()
}

fn amd64() -> Platform {
    Platform::linux(Architecture::X86_64)
}

fn node(id: &str) -> Node {
    Node { id: id.to_owned(), platform: amd64() }
}

fn order(catalogue: &Catalogue, id: &str) -> Vec<String> {
    let plan = catalogue.plan(&[node(id)], &amd64()).unwrap_or_else(|errors| panic!("{errors}"));
    for (index, each) in plan.nodes.iter().enumerate() {
        assert!(each.needs.iter().all(|need| *need < index), "needs come first");
    }
    plan.nodes.into_iter().map(|each| each.node.id).collect()
}

#[test]
fn dependencies_are_what_stages_name() {
    let all = catalogue(vec![
        package("core-a", "", "FROM scratch\n"),
        package("core-b", "", "FROM stagex/core-a\n"),
        package("core-c", "", "FROM scratch\nCOPY --from=stagex/core-b:1.0@sha256:00 /x /y\n"),
        package(
            "user-d",
            "",
            "FROM scratch AS build\nRUN --mount=from=stagex/core-c,target=/x true\n\
             FROM stagex/core-a\nCOPY --from=build /x /y\n",
        ),
        package("user-e", "", "FROM scratch\n"),
    ]);
    assert!(all.check().is_empty(), "{}", all.check());
    assert_eq!(order(&all, "user-d"), ["core-a", "core-b", "core-c", "user-d"]);
    let needs = all.needs(&node("user-d"), &amd64()).unwrap();
    assert_eq!(needs.into_iter().map(|n| n.id).collect::<Vec<_>>(), ["core-a", "core-c"]);
}

#[test]
fn parts_need_only_what_their_stages_need() {
    let all = catalogue(vec![
        package("core-a", "", "FROM scratch\n"),
        package("core-b", "", "FROM scratch\n"),
        package(
            "kernel-linux",
            "subpackages = [\"linux-airgap\", \"linux-server\"]\n",
            "FROM stagex/core-a AS base\nFROM base AS one\nFROM stagex/core-b AS two\n\
             FROM scratch AS package-linux-airgap\nCOPY --from=one / /\n\
             FROM scratch AS package-linux-server\nCOPY --from=two / /\n",
        ),
        package("user-x", "", "FROM stagex/kernel-linux-airgap\n"),
    ]);
    assert!(all.check().is_empty(), "{}", all.check());
    assert_eq!(order(&all, "kernel-linux-airgap"), ["core-a", "kernel-linux-airgap"]);
    assert_eq!(order(&all, "kernel-linux-server"), ["core-b", "kernel-linux-server"]);
    assert_eq!(order(&all, "user-x"), ["core-a", "kernel-linux-airgap", "user-x"]);
    let (entry, stage) = all.target("kernel-linux-server").unwrap();
    assert_eq!((entry.id.as_str(), stage), ("kernel-linux", 4));
    let error = all.find("kernel-linux").unwrap_err();
    assert_eq!(error.message, "the package kernel-linux is published in parts");
    assert_eq!(error.help.unwrap(), "name one of kernel-linux-airgap, kernel-linux-server");
}

#[test]
fn names_of_images_follow_variables_and_platforms() {
    let cross = |arch: &str| package(&format!("pallet-gcc-{arch}"), "", "FROM scratch\n");
    let all = catalogue(vec![
        cross("amd64"),
        cross("arm64"),
        cross("riscv64"),
        package(
            "core-x",
            "",
            "ARG WHAT=gcc\nFROM --platform=$BUILDPLATFORM stagex/pallet-${WHAT}-${TARGETARCH} AS b\n\
             FROM b AS c\nFROM scratch\nCOPY --from=c /x /y\n",
        ),
    ]);
    assert!(all.check().is_empty(), "{}", all.check());
    let arm64 = Platform::linux(Architecture::Arm64);
    let wanted = Node { id: "core-x".to_owned(), platform: arm64.clone() };
    let plan = all.plan(&[wanted], &amd64()).unwrap();
    let nodes: Vec<_> = plan.nodes.iter().map(|each| each.node.clone()).collect();
    assert_eq!(nodes[0], node("pallet-gcc-arm64"), "built for the platform that it runs on");
    assert_eq!(nodes[1].platform, arm64);
    let (entry, _) = all.target("core-x").unwrap();
    let platforms = Platforms { target: arm64.clone(), build: amd64() };
    let links = all.links(entry, &platforms).unwrap();
    assert_eq!(links[1].platform, amd64(), "a stage inherits its base's platform");
    assert_eq!(links[1].base.reference, Reference::Stage(0));
    assert_eq!(links[2].platform, arm64);
}

#[test]
fn packages_with_their_own_platforms_are_built_for_those() {
    let all = catalogue(vec![
        package("bootstrap-a", "platforms = [\"linux/386\"]\n", "FROM scratch\n"),
        package("core-b", "", "FROM stagex/bootstrap-a\n"),
    ]);
    let plan = all.plan(&[node("core-b")], &amd64()).unwrap();
    assert_eq!(plan.nodes[0].node.platform.as_str(), "linux/386");
    assert_eq!(plan.nodes[1].node.platform.as_str(), "linux/amd64");
}

#[test]
fn platforms_have_one_spelling() {
    for (text, platform) in [
        ("linux/amd64", "linux/amd64"),
        ("Linux/x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm/v7", "linux/arm/v7"),
        ("i386", "linux/386"),
    ] {
        assert_eq!(Platform::parse(text).unwrap().as_str(), platform);
    }
    for text in ["", "/", "linux/", "a/b/c/d", "linux/a b"] {
        assert_eq!(Platform::parse(text), None, "{text}");
    }
    let arguments = Platforms::native(Platform::parse("linux/arm/v7").unwrap()).arguments();
    assert_eq!((&*arguments["TARGETARCH"], &*arguments["BUILDVARIANT"]), ("arm", "v7"));
}

#[test]
fn names_that_lead_nowhere() {
    assert_eq!(
        found(vec![
            package("core-busybox", "", "FROM scratch\n"),
            package(
                "core-x",
                "",
                "FROM stagex/core-busybx AS build\nFROM biuld\nFROM later\n\
                 COPY --from=9 /a /b\nCOPY --from=core-busybox /a /b\nFROM scratch AS later\n",
            ),
        ]),
        [
            "core-x/Containerfile:1:6: there is no package core-busybx",
            "core-x/Containerfile:2:6: there is no stage `biuld`",
            "core-x/Containerfile:3:6: the stage `later` begins later, on line 6",
            "core-x/Containerfile:4:13: there is no stage 9",
            "core-x/Containerfile:5:13: there is no stage `core-busybox`",
        ]
    );
    assert_eq!(
        found(vec![package("core-x", "", "ARG A\nFROM $A\nFROM ${B:?no-b}\n")]),
        [
            "core-x/Containerfile:2:6: FROM names nothing: A is not set",
            "core-x/Containerfile:3:6: B: no-b",
        ]
    );
    assert_eq!(
        found(vec![package(
            "core-x",
            "",
            "FROM --platform=lin scratch\nFROM --platform=a/b/c/d x/y@sha256:0\n"
        )]),
        ["core-x/Containerfile:2:17: `a/b/c/d` is no platform"],
        "one word is an architecture"
    );
}

#[test]
fn what_only_some_architectures_have_is_no_error() {
    let all = catalogue(vec![
        package("core-gcc-amd64", "", "FROM scratch\n"),
        package("core-x", "", "FROM stagex/core-gcc-${TARGETARCH}\n"),
    ]);
    assert!(all.check().is_empty(), "{}", all.check());
    let arm64 = Platform::linux(Architecture::Arm64);
    let errors =
        all.plan(&[Node { id: "core-x".to_owned(), platform: arm64 }], &amd64()).unwrap_err();
    assert_eq!(errors.iter().next().unwrap().message, "there is no package core-gcc-arm64");
}

#[test]
fn cycles_are_named() {
    let packages = vec![
        package("core-a", "", "FROM scratch\nCOPY --from=stagex/core-b / /\n"),
        package("core-b", "", "FROM stagex/core-c\n"),
        package("core-c", "", "FROM stagex/core-a\n"),
        package("core-d", "", "FROM stagex/core-d\n"),
    ];
    assert_eq!(
        found(packages.clone()),
        [
            "core-a/Containerfile:2:13: packages need each other: core-a → core-b → core-c → core-a",
            "core-d/Containerfile:1:6: packages need each other: core-d → core-d",
        ]
    );
    let errors = catalogue(packages).plan(&[node("core-b")], &amd64()).unwrap_err();
    assert_eq!(errors.len(), 1);
    let stages = "FROM scratch AS a\nCOPY --from=c / /\nFROM scratch AS b\nCOPY --from=a / /\n\
                  FROM b AS c\nFROM scratch AS d\nCOPY --from=3 / /\n";
    assert_eq!(
        found(vec![package("core-x", "", stages)]),
        [
            "core-x/Containerfile:2:13: stages need each other: a → c → b → a",
            "core-x/Containerfile:7:13: stages need each other: d → d",
        ]
    );
}

#[test]
fn versions_are_taken_from_other_packages() {
    let all = catalogue(vec![
        package("core-python", "version = \"3.12\"\n", "FROM scratch\n"),
        package("pallet-python", "version_from = \"core-python\"\n", "FROM scratch\n"),
        package("pallet-more", "version_from = \"pallet-python\"\n", "FROM scratch\n"),
    ]);
    assert!(all.check().is_empty(), "{}", all.check());
    assert_eq!(all.packages()["pallet-more"].package.version.as_deref(), Some("3.12"));
    let mut bare = package("core-bare", "", "FROM scratch\n");
    bare.package = Document::new("bare", "[package]\nname = \"bare\"\ndescription = \"x\"\n");
    assert_eq!(
        found(vec![
            bare,
            package("pallet-a", "version_from = \"pallet-b\"\n", "FROM scratch\n"),
            package("pallet-b", "version_from = \"pallet-a\"\n", "FROM scratch\n"),
            package("pallet-c", "version_from = \"core-bear\"\n", "FROM scratch\n"),
            package("pallet-d", "version_from = \"core-bare\"\n", "FROM scratch\n"),
        ]),
        [
            "pallet-a/package.toml:4:16: versions are taken in a circle: pallet-a → pallet-b → pallet-a",
            "pallet-b/package.toml:4:16: versions are taken in a circle: pallet-b → pallet-a → pallet-b",
            "pallet-c/package.toml:4:16: there is no package core-bear",
            "pallet-d/package.toml:4:16: core-bare has no version to take",
        ]
    );
}

#[test]
fn parts_need_stages_and_ids_of_their_own() {
    assert_eq!(
        found(vec![
            package("core-a", "subpackages = [\"x\", \"y\"]\n", "FROM scratch AS package-x\n"),
            package("core-x", "", "FROM scratch\n"),
        ]),
        [
            "core-a/package.toml:5:21: no stage builds the part `y`",
            "core-x/package.toml:2:8: core-x is provided by the package core-a already",
        ]
    );
    let mut moved = package("core-a", "", "FROM scratch\n");
    moved.folder = "b".to_owned();
    assert_eq!(found(vec![moved]), ["core-a/package.toml:2:8: `a` lies in a folder named `b`"]);
}

#[test]
fn a_package_that_cannot_be_read_is_told_once() {
    let mut broken = package("core-a", "", "FROM scratch\n");
    broken.package = Document::new("core-a/package.toml", "[package]\n");
    let user = package("user-b", "", "FROM stagex/core-a\nCOPY --from=stagex/core-part / /\n");
    let found = found(vec![broken, user]);
    assert!(found.iter().all(|each| each.starts_with("core-a/package.toml")), "{found:?}");
    let half = package("core-a", "", "FORM scratch\n");
    let user = package("user-b", "version_from = \"core-a\"\n", "FROM stagex/core-a\n");
    let all = catalogue(vec![half, user]);
    assert_eq!(all.check().len(), 1, "{}", all.check());
    assert_eq!(all.packages()["user-b"].package.version.as_deref(), Some("1.0"));
    let errors = all.plan(&[node("user-b")], &amd64()).unwrap_err();
    assert_eq!(errors.iter().next().unwrap().message, "the package core-a could not be read");
}

#[test]
fn sources_and_what_takes_them() {
    let sources = "[sources.one]\nhash = \"HASH\"\nmirrors = [\"https://x/one-{version}.tgz\"]\n\
                   [sources.two]\nhash = \"HASH\"\nmirrors = [\"https://x/two.patch\"]\n";
    let check =
        |lines: &str| found(vec![package("core-x", sources, &format!("FROM scratch\n{lines}"))]);
    let none: [&str; 0] = [];
    assert_eq!(
        check("ARG VERSION\nADD fetch/one-${VERSION}.tgz .\nCOPY ./fetch/two.patch /p\n"),
        none
    );
    assert_eq!(
        check("ARG ONE_SOURCE TWO_SOURCE\nADD fetch/$ONE_SOURCE fetch/$TWO_SOURCE .\n"),
        none
    );
    assert_eq!(check("ADD fetch/*.tgz fetch/*.patch .\n"), none);
    for all in ["COPY . .", "COPY fetch /f", "COPY fetch/ /f", "COPY * /f", "COPY --from=fetch . ."]
    {
        assert_eq!(check(&format!("{all}\n")), none, "{all}");
    }
    assert_eq!(check("RUN --mount=type=bind,target=/src true\n"), none);
    assert_eq!(check("ARG N\nADD fetch/$N .\n"), none, "what is not known may be any");
    assert_eq!(
        check("COPY --from=fetch two.patch .\nADD fetch/one-1.0.tgz https://x/fetch/y .\n"),
        none
    );
    assert_eq!(
        check("ADD fetch/one-1.1.tgz fetch/two.patch .\nADD fetch/*.zip .\n"),
        [
            "core-x/Containerfile:2:5: no source gives `fetch/one-1.1.tgz`",
            "core-x/Containerfile:3:5: no source matches `fetch/*.zip`",
            "core-x/package.toml:5:10: nothing takes `one-1.0.tgz` of the source `one`",
        ]
    );
    assert_eq!(check("ARG ONE_SORCE\nARG THREE_VERSION=3\nCOPY . .\n"), none);
    assert_eq!(
        check("ARG OEN_SOURCE\nCOPY . .\n"),
        ["core-x/Containerfile:2:5: nothing sets OEN_SOURCE"]
    );
}

#[test]
fn scopes_are_followed_through_stages() {
    let sources = "[sources.one]\nhash = \"HASH\"\nmirrors = [\"https://x/one-{version}.tgz\"]\n";
    let text = "ARG V=1\nFROM scratch AS base\nARG V\nENV NAME=one-$V\n\
                FROM base\nENV NAME=x ALSO=$NAME\nADD fetch/${ALSO}.0.tgz .\n";
    let none: [&str; 0] = [];
    assert_eq!(found(vec![package("core-x", sources, text)]), none);
    let text = text.replace(".0.tgz", ".9.tgz");
    assert_eq!(found(vec![package("core-x", sources, &text)])[0], {
        "core-x/Containerfile:7:5: no source gives `fetch/one-1.9.tgz`"
    });
}

#[test]
fn images_from_elsewhere_should_be_pinned() {
    let text = "FROM docker.io/library/alpine:3\nCOPY --from=quay.io/a/b@sha256:00 / /\n";
    assert_eq!(
        found(vec![package("core-x", "", text)]),
        ["core-x/Containerfile:1:6: the image `docker.io/library/alpine:3` is not pinned"]
    );
    let all = catalogue(vec![package("core-x", "", text)]);
    assert_eq!(order(&all, "core-x"), ["core-x"]);
}

#[test]
fn our_images_may_have_several_prefixes() {
    let options = Options {
        image_prefixes: vec!["docker.io/stagex/".to_owned(), "stagex/".to_owned()],
        ..Options::default()
    };
    let all = Catalogue::new(vec![package("core-a", "", "FROM scratch\n")], options);
    for name in ["stagex/core-a", "docker.io/stagex/core-a:1", "stagex/core-a:1@sha256:00"] {
        assert_eq!(all.package_of(name).as_deref(), Some("core-a"), "{name}");
    }
    assert_eq!(all.package_of("other/core-a"), None);
    assert_eq!(all.package_of("stagex/"), None);
}

#[test]
fn a_toolchain_stands_for_what_recipes_name() {
    let packages = vec![
        package("core-cc", "", "FROM scratch\n"),
        package("core-quick", "", "FROM stagex/core-cc\n"),
        package("core-app", "", "FROM scratch\nCOPY --from=stagex/core-cc . /\n"),
    ];
    let with = |stand_in: &str| {
        let stand_ins = [("core-cc".to_owned(), stand_in.to_owned())].into();
        Catalogue::new(packages.clone(), Options { stand_ins, ..Options::default() })
    };
    assert_eq!(order(&with("core-cc"), "core-app"), ["core-cc", "core-app"]);
    // What stands for a package may build on it.
    let quick = with("core-quick");
    assert_eq!(order(&quick, "core-app"), ["core-cc", "core-quick", "core-app"]);
    assert_eq!((quick.stand_in("core-cc"), quick.stand_in("core-x")), ("core-quick", "core-x"));
    assert!(quick.check().is_empty());
    let wrong = with("core-qiuck").check();
    let errors: Vec<String> = wrong.iter().map(|each| each.message.clone()).collect();
    assert_eq!(errors, ["there is no package core-qiuck"; 2]);
    assert!(wrong.to_string().contains("the toolchain in use has it stand for core-cc"), "{wrong}");
}
