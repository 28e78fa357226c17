//! Recipes that are wrong: exit code 2, the place with a caret, and what to do.

use crate::support::Project;

/// Builds `core-app` with this Containerfile, which cannot be.
#[track_caller]
fn refused(containerfile: &str, texts: &[&str]) {
    let project = Project::new();
    project.package("app", "", containerfile);
    project.stagex(["build", "core-app"]).code(2).says(texts).says_nothing_of("panicked");
    // Nothing was begun for it.
    assert_eq!(project.paths(&project.cache.join("store/layers")), Vec::<String>::new());
    assert!(!project.root.join("out").exists());
}

#[test]
fn a_heredoc_that_never_ends() {
    refused(
        "FROM stagex/core-base\nRUN <<EOF\necho\n",
        &["core/app/Containerfile:2:5", "| RUN <<EOF", "^", "EOF"],
    );
}

#[test]
fn an_unknown_stage() {
    refused(
        "FROM stagex/core-base AS builder\nFROM scratch\nCOPY --from=bulider / /\n",
        &["core/app/Containerfile:3:13", "bulider", "^", "builder"],
    );
}

#[test]
fn an_unknown_package() {
    refused(
        "FROM stagex/core-bsae\n",
        &["core/app/Containerfile:1:6", "core-bsae", "^", "core-base"],
    );
}

#[test]
fn an_image_from_elsewhere() {
    refused("FROM debian:12\n", &["core/app/Containerfile:1:6", "debian:12", "help: "]);
}

#[test]
fn an_unknown_instruction() {
    refused("FROM scratch\nCOYP a /\n", &["core/app/Containerfile:2:1", "COYP", "COPY"]);
}

#[test]
fn stages_in_a_circle() {
    refused(
        "FROM stagex/core-base AS one\nCOPY --from=two / /\nFROM one AS two\nRUN true\n",
        &["core/app/Containerfile", "two"],
    );
}

#[test]
fn a_file_that_the_folder_lacks() {
    let project = Project::new();
    project.package("app", "", "FROM scratch\nCOPY lacking /\n");
    project.stagex(["build", "core-app"]).code(2).says(&[
        "core/app/Containerfile:2:",
        "COPY lacking /",
        "lacking",
        "^",
    ]);
}

#[test]
fn packages_in_a_circle() {
    let project = Project::new();
    project.package("one", "", "FROM stagex/core-two\n");
    project.package("two", "", "FROM scratch\nCOPY --from=stagex/core-three / /\n");
    project.package("three", "", "FROM stagex/core-one\n");
    let names = ["core-one", "core-two", "core-three"];
    project.stagex(["build", "core-two"]).code(2).says(&names);
    let checked = project.stagex(["check"]).code(2);
    assert!(names.iter().all(|name| checked.stdout.contains(name)), "{}", checked.stdout);
    // Others are not in its way.
    project.stagex(["build", "core-base"]).code(0);
}

#[test]
fn unknown_keys_and_values_of_package_toml() {
    let project = Project::new();
    project.package("app", "licence = \"MIT\"\n", "FROM scratch\n");
    let ended = project.stagex(["build", "core-app"]).code(2);
    ended.says(&["core/app/package.toml:7:1", "licence", "license", "^"]);
}

#[test]
fn a_package_that_cannot_be_read_is_explained_to_who_needs_it() {
    let project = Project::new();
    project.package("app", "", "FROM stagex/core-broken\n");
    project.package("broken", "", "FROM scratch\nCOYP a /\n");
    project.package("other", "", "FROM scratch\nCOPY --from=nowhere a /\n");
    let ended = project.stagex(["build", "core-app"]).code(2);
    ended.says(&["core/broken/Containerfile:2:1", "COPY"]).says_nothing_of("core/other");
    project.stagex(["build", "core-base"]).code(0);
}

#[test]
fn check_tells_all_at_once() {
    let project = Project::new();
    project.package("a", "", "FROM debian:12\n");
    project.package("b", "", "FROM scratch\nRUN <<EOF\n");
    project.package("c", "licence = \"MIT\"\n", "FROM scratch\nCOYP a /\n");
    project.write("core/d/package.toml", "[package\n");
    project.write("core/d/Containerfile", "FROM scratch\n");
    project.write("core/e/package.toml", "[package]\n");
    project.write("boxes/b/box.toml", "[box]\nname = \"b\"\noutput = [\"iso\"]\n");
    let ended = project.stagex(["check"]).code(2);
    for place in [
        "core/a/Containerfile:1:6",
        "core/b/Containerfile:2:5",
        "core/c/package.toml:7:1",
        "core/c/Containerfile:2:1",
        "core/d/package.toml:1:",
        "core/e/Containerfile",
        "boxes/b/box.toml:3:1",
    ] {
        assert!(ended.stdout.contains(place), "{place}:\n{}", ended.stdout);
    }
    let last = ended.stdout.lines().last().unwrap();
    assert!(last.contains(": 10 errors, "), "{last}");
    assert!(!ended.stdout.contains("core/base/"), "{}", ended.stdout);
}

#[test]
fn what_is_right_is_said_to_be() {
    let project = Project::new();
    crate::building::add_all(&project);
    let ended = project.stagex(["check"]).code(0);
    assert_eq!(ended.stdout, "2 packages and 0 boxes read: 0 errors, 0 warnings\n");
    let folder = project.root.join("core");
    let ended = project.stagex(["check", folder.to_str().unwrap()]).code(0);
    assert!(ended.stdout.contains("2 packages"), "{}", ended.stdout);
}
