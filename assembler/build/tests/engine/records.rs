//! What is known of earlier builds: causes, and what commands gave.

use stagex_build::{Cause, Extent, first_difference};

use crate::support::Packages;

/// A chain of three packages.
fn chain() -> Packages {
    let packages = Packages::new();
    packages.write("core/low/files/patch", "first\n");
    packages.write("core/low/README", "no recipe takes it\n");
    packages.package(
        "low",
        "FROM stagex/core-base AS build\nCOPY files /files\nRUN <<-EOF\n\tset -eu\n\
         \tcat /files/* >/low\nEOF\nFROM scratch\nCOPY --from=build /low /\n",
    );
    packages.package("mid", "FROM stagex/core-base\nCOPY --from=stagex/core-low /low /\n");
    packages.package(
        "app",
        "FROM stagex/core-mid AS build\nRUN cat /low >/app\nFROM scratch\n\
         COPY --from=build /app /\n",
    );
    packages
}

/// Why packages would be built to have `core-app`: of each its causes, and the way to the first.
fn explain(packages: &Packages) -> Vec<(String, Vec<String>, String)> {
    let names = ["core-app".to_owned()];
    let (explained, steps) = packages.engine(2, |engine| engine.explain(&names).unwrap());
    assert!(steps.names.lock().unwrap().is_empty(), "it builds");
    let shown = explained.into_iter().map(|each| {
        let mut way = each.chain.join(" ");
        if let Some(root) = each.root {
            way = format!("{way}: {root}");
        }
        (each.package, each.causes.iter().map(Cause::to_string).collect(), way)
    });
    shown.collect()
}

#[test]
fn causes_are_named_and_the_way_to_them() {
    let packages = chain();
    let first = explain(&packages);
    assert_eq!(first.len(), 4);
    assert!(first.iter().all(|(_, causes, _)| *causes == ["it was not built here before"]));
    packages.build(2, &["core-app"]);
    assert_eq!(explain(&packages), []);

    let says = |cause: &str| {
        let one = |package: &str, cause: &str, way: &str| {
            (package.to_owned(), vec![cause.to_owned()], way.to_owned())
        };
        let expected = [
            one("core-low", cause, ""),
            one("core-mid", "core-low would be built", &format!("core-low: {cause}")),
            one("core-app", "core-mid would be built", &format!("core-mid core-low: {cause}")),
        ];
        assert_eq!(explain(&packages), expected);
    };
    packages.write("core/low/README", "still not\n");
    assert_eq!(explain(&packages), []);
    packages.write("core/low/files/patch", "second\n");
    says("file files/patch changed");
    packages.write("core/low/files/patch", "first\n");
    packages.write("core/low/files/more", "more\n");
    says("file files/more is new");
    packages.build(2, &["core-app"]);
    assert_eq!(explain(&packages), []);
    // A line within a command, which a comment moved.
    packages.package(
        "low",
        "# new\nFROM stagex/core-base AS build\nCOPY files /files\nRUN <<-EOF\n\tset -eux\n\
         \tcat /files/* >/low\nEOF\nFROM scratch\nCOPY --from=build /low /\n",
    );
    says("Containerfile line 5, stage build: `set -eux` was `set -eu`");
}

#[test]
fn a_toolchain_is_a_cause() {
    let mut packages = Packages::new();
    packages.package("cc", "FROM stagex/core-base\nRUN echo honest >/cc\n");
    packages.package(
        "seed",
        "FROM stagex/core-base\nLABEL org.stagex.seed=foreign\nRUN echo quick >/cc\n",
    );
    packages.package("app", "FROM stagex/core-cc\nRUN cat /cc >/app\n");
    let layers = packages.build(2, &["core-app"]).0["core-app"].clone();
    assert_eq!(packages.text(&layers, "app"), "honest\n");
    packages.stand_ins = [("core-cc".to_owned(), "core-seed".to_owned())].into();
    let (_, causes, _) = explain(&packages).pop().unwrap();
    assert_eq!(
        causes,
        ["core-seed would be built", "core-cc is needed no longer", "the toolchain is new"]
    );
    let names = ["core-app".to_owned(), "core-cc".to_owned()];
    let (built, _) = packages.engine(2, |engine| engine.build("test", &names).unwrap());
    assert_eq!(packages.text(&built["core-app"].layers, "app"), "quick\n");
    // A package that is asked for by its name is what stands for it, and is marked.
    assert_eq!(packages.text(&built["core-cc"].layers, "cc"), "quick\n");
    assert!(built.values().all(|built| built.seeds.contains("foreign")));
}

#[test]
fn what_varies_is_found_and_the_command_named() {
    let packages = chain();
    let again = |name: &str| {
        let names = [name.to_owned()];
        packages.engine(2, |engine| engine.again("test", &names, Extent::Named).unwrap())
    };
    let (varied, steps) = again("core-low");
    assert_eq!(varied, []);
    assert_eq!(steps.names.lock().unwrap().len(), 2, "once and once more");
    packages.package(
        "vary",
        "FROM stagex/core-base AS build\nRUN echo same >/a\n\
         RUN echo fine >/b; cat /proc/uptime >/time; seq 9 >/c\nRUN cat /time >/copy\n\
         FROM scratch\nCOPY --from=build /time /\n",
    );
    let (varied, _) = again("core-vary");
    // The command after it is given what the first build had, and varies in nothing.
    assert_eq!(varied.len(), 1, "{varied:?}");
    let found = &varied[0];
    assert_eq!(found.place, "core/vary/Containerfile:3:1");
    assert_eq!((found.step.stage.as_str(), found.step.number), ("build", 2));
    let tree = |layer: &Option<stagex_tree::Digest>| {
        let layers: Vec<_> = found.root.iter().chain(layer).copied().collect();
        packages.store.merged(&layers).unwrap()
    };
    let differs = first_difference(&tree(&found.first), &tree(&found.second)).unwrap().unwrap();
    assert_eq!((differs.path.to_string().as_str(), differs.count), ("/time", 1));
    // Nothing of the second time is taken for the first.
    let before = packages.text(&packages.build(2, &["core-vary"]).0["core-vary"], "time");
    assert_eq!(before, packages.text(&[found.first.unwrap()], "time"));
}

/// How many commands vary of a package whose stage `build` logs another time each time it is built,
/// and in which `line` follows.
fn varies(line: &str) -> usize {
    let packages = Packages::new();
    packages.package(
        "app",
        &format!(
            "FROM stagex/core-base AS build\n\
             RUN mkdir /out; echo a >/out/a; cat /proc/uptime >/log; cat /log >/out/log\n{line}"
        ),
    );
    let names = ["core-app".to_owned()];
    let again =
        |engine: &stagex_build::Engine<'_>| engine.again("test", &names, Extent::Named).unwrap();
    packages.engine(2, again).0.len()
}

#[test]
fn what_stays_behind_in_a_stage_may_vary() {
    let taken = |copy: &str| varies(&format!("FROM scratch\nCOPY --from=build {copy}\n"));
    assert_eq!(taken("/out/a /"), 0);
    assert_eq!(taken("--exclude=**/log /out /"), 0);
    assert_eq!(taken("/out/a* /b/"), 0);
    assert_eq!(
        varies("COPY --from=stagex/core-base / /x/\nFROM scratch\nCOPY --from=build /x /\n"),
        0
    );
    // All of it is an image, or goes into one.
    assert_eq!(varies(""), 1);
    assert_eq!(taken("/ /"), 1);
    assert_eq!(taken("/out /"), 1);
    assert_eq!(taken("/out/* /b/"), 1);
    assert_eq!(varies("FROM build\nENV a=b\n"), 1);
    // A later command may have read it.
    assert_eq!(varies("RUN true\nFROM scratch\nCOPY --from=build /out/a /\n"), 1);
    assert_eq!(varies("FROM stagex/core-base\nRUN --mount=from=build,target=/m true\n"), 1);
    // Of several that take of it, one takes the log.
    let both = "FROM scratch AS one\nCOPY --from=build /out/a /\nFROM scratch\n\
                COPY --from=one / /\nCOPY --from=build /log /\n";
    assert_eq!(varies(both), 1);
}

#[test]
fn what_is_made_with_a_toolchain_is_run_again_and_the_toolchain_is_not() {
    let mut packages = Packages::new();
    packages.package("seed", "FROM stagex/core-base\nRUN echo quick >/cc\n");
    packages.package("quick", "FROM stagex/core-seed\nRUN echo quicker >>/cc\n");
    packages.package("cc", "FROM stagex/core-base\nRUN echo honest >/cc\n");
    packages.package("tool", "FROM stagex/core-base\nRUN echo tool >/tool\n");
    packages
        .package("lib", "FROM stagex/core-cc\nCOPY --from=stagex/core-tool . /\nRUN cat /cc >/a\n");
    packages.package("app", "FROM stagex/core-lib\nRUN cat /cc /a >/app\n");
    let names = ["core-app".to_owned()];
    let run = |packages: &Packages, extent| {
        packages.engine(2, |engine| engine.build("test", &names).unwrap());
        let (varied, steps) =
            packages.engine(2, |engine| engine.again("test", &names, extent).unwrap());
        assert_eq!(varied, []);
        let mut ran = steps.names.lock().unwrap().clone();
        ran.sort();
        ran
    };
    let app = "core-app RUN cat /cc /a >/app";
    assert_eq!(run(&packages, Extent::Named), [app]);
    packages.stand_ins = [("core-cc".to_owned(), "core-quick".to_owned())].into();
    assert_eq!(run(&packages, Extent::Named), [app]);
    let below = ["core-lib RUN cat /cc >/a", "core-tool RUN echo tool >/tool"];
    assert_eq!(run(&packages, Extent::AboveToolchain), [app, below[0], below[1]]);
    // By its name a package of the toolchain is run again, too.
    let named = ["core-app".to_owned(), "core-cc".to_owned()];
    let again = |engine: &stagex_build::Engine<'_>| {
        engine.again("test", &named, Extent::AboveToolchain).unwrap()
    };
    let (_, steps) = packages.engine(2, again);
    let ran = steps.names.lock().unwrap();
    assert!(ran.contains(&"core-quick RUN echo quicker >>/cc".to_owned()), "{ran:?}");
    assert_eq!(ran.len(), 4, "{ran:?}");
}

#[test]
fn the_number_of_cores_is_varied() {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(cores > 1, "this test needs two cores");
    let packages = Packages::new();
    packages.package("app", "FROM stagex/core-base\nRUN nproc >/cores\n");
    let names = ["core-app".to_owned()];
    let (varied, _) =
        packages.engine(2, |engine| engine.again("test", &names, Extent::Named).unwrap());
    assert_eq!(varied.len(), 1);
}
