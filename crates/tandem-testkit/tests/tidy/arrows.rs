//! Which crate may import which: the table of the design, and the one home of each heavy dependency.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Crate → crates of ours that it may import. `*` stands for any.
const ARROWS: [(&str, &[&str]); 20] = [
    ("tandem-types", &[]),
    ("tandem-rules", &["types"]),
    ("tandem-kit", &["types"]),
    ("tandem-store", &["types", "kit"]),
    ("tandem-blobs", &["types", "kit"]),
    ("tandem-sandbox", &["types", "kit"]),
    ("tandem-toml", &["types", "kit"]),
    ("tandem-app-file", &["types", "kit", "toml"]),
    ("tandem-build", &["types", "kit", "app-file", "blobs", "sandbox"]),
    ("tandem-runner", &["types", "rules", "kit", "blobs", "sandbox"]),
    ("tandem-wire", &[]),
    ("tandem-record", &["types", "rules", "kit", "wire"]),
    ("tandem-static", &["types", "kit", "blobs"]),
    ("tandem-certificates", &["types", "kit"]),
    ("tandem-acme", &["types", "kit", "certificates"]),
    (
        "tandem-balancer",
        &["types", "rules", "kit", "blobs", "wire", "record", "static", "certificates", "toml"],
    ),
    ("tandem-control", &["types", "rules", "kit", "store", "blobs", "build", "certificates", "acme"]),
    ("tandem-web", &["types", "kit", "store", "blobs", "build", "control"]),
    ("tandem-testkit", &["*"]),
    ("tandem", &["*"]),
];

/// Dependencies that cost much to compile or tie code to one engine, and the only crate that has them.
const HOMES: [(&str, &str); 5] = [
    ("askama", "tandem-web"),
    ("axum", "tandem-web"),
    ("clap", "tandem"),
    ("indicatif", "tandem"),
    ("rusqlite", "tandem-store"),
];

/// What the pure crates must not see: whatever waits, reads a clock or touches the world.
const IMPURE: [&str; 6] = ["tokio", "hyper", "nix", "getrandom", "tempfile", "tracing"];

/// What is wrong with the manifests, by the crate's folder.
pub(crate) fn problems(manifests: &BTreeMap<String, Table>) -> Vec<String> {
    manifests.iter().flat_map(|(folder, manifest)| manifest_problems(folder, manifest)).collect()
}

fn manifest_problems(folder: &str, manifest: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    let name = manifest["package"]["name"].as_str().unwrap_or_default();
    if name != folder {
        problems.push(format!("{folder}: the crate is called {name:?}; folder and crate bear one name"));
    }
    if !inherits(manifest.get("lints")) {
        problems.push(format!("{folder}: add `[lints] workspace = true`, so that every lint holds here"));
    }
    for (dependency, value) in dependencies(manifest, "dependencies") {
        problems.extend(dependency_problem(folder, dependency));
        if !inherits(Some(value)) {
            let advice = "write `.workspace = true`; version and features stand in the root";
            problems.push(format!("{folder}: {dependency}: {advice}"));
        }
    }
    problems
}

fn dependency_problem(folder: &str, dependency: &str) -> Option<String> {
    if let Some((_, home)) = HOMES.iter().find(|(name, _)| *name == dependency) {
        return (*home != folder).then(|| format!("{folder}: {dependency} has its one home in {home}"));
    }
    if matches!(folder, "tandem-types" | "tandem-rules") && IMPURE.contains(&dependency) {
        return Some(format!("{folder}: {dependency} does not belong into a pure crate"));
    }
    let ours = dependency.strip_prefix("tandem-")?;
    if ours == "testkit" {
        return Some(format!("{folder}: tandem-testkit is for [dev-dependencies] only"));
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == folder) else {
        return Some(format!("{folder}: a new crate; give it a row in the table of tests/tidy/arrows.rs"));
    };
    let free = allowed.contains(&"*") || allowed.contains(&ours);
    (!free).then(|| format!("{folder}: must not import {dependency}; it may import {allowed:?}"))
}

fn dependencies<'a>(manifest: &'a Table, section: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let table = manifest.get(section).and_then(Value::as_table);
    table.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

#[test]
fn an_arrow_that_points_up_is_found() {
    let found = |folder: &str, dependencies: &str| {
        let manifest = format!(
            "[package]\nname = \"{folder}\"\n[lints]\nworkspace = true\n[dependencies]\n{dependencies}\n"
        );
        manifest_problems(folder, &manifest.parse().expect("a manifest"))
    };
    assert!(found("tandem-store", "tandem-kit.workspace = true").is_empty());
    for (folder, dependencies, why) in [
        ("tandem-kit", "tandem-store.workspace = true", "must not import"),
        ("tandem-balancer", "tandem-store.workspace = true", "must not import"),
        ("tandem-rules", "tokio.workspace = true", "pure crate"),
        ("tandem-control", "rusqlite.workspace = true", "one home"),
        ("tandem-kit", "tandem-testkit.workspace = true", "dev-dependencies"),
        ("tandem-kit", "serde = \"1\"", "workspace = true"),
        ("tandem-new", "tandem-kit.workspace = true", "a new crate"),
    ] {
        let problems = found(folder, dependencies);
        assert!(
            problems.iter().any(|problem| problem.contains(why)),
            "{folder} {dependencies}: {problems:?}"
        );
    }
}

#[test]
fn a_crate_outside_the_lints_or_under_another_name_is_found() {
    let manifest = "[package]\nname = \"tandem-cargo\"\n".parse().expect("a manifest");
    assert_eq!(manifest_problems("tandem-kit", &manifest).len(), 2);
}
