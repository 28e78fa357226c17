//! What is known of earlier builds: causes, and what commands gave.

use stagex_build::{Cause, first_difference};

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
        packages.engine(2, |engine| engine.again("test", &names).unwrap())
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

#[test]
fn the_number_of_cores_is_varied() {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(cores > 1, "this test needs two cores");
    let packages = Packages::new();
    packages.package("app", "FROM stagex/core-base\nRUN nproc >/cores\n");
    let names = ["core-app".to_owned()];
    let (varied, _) = packages.engine(2, |engine| engine.again("test", &names).unwrap());
    assert_eq!(varied.len(), 1);
}
