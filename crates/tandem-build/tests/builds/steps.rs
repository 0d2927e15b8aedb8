//! Declared commands, and Node: what they see, what becomes of what they leave, and what people read when they fail.

use std::path::Path;

use tandem_types::ProcessType;
use tandem_types::tree::Entry;

use crate::bench::Bench;
use crate::layout::{has, part};

/// A package of the registry without packages of its own, and its lock.
const LOCKED: &str = r#"{"name": "x", "lockfileVersion": 3, "requires": true, "packages": {
    "": {"name": "x", "dependencies": {"is-number": "7.0.0"}},
    "node_modules/is-number": {"version": "7.0.0", "resolved": "https://registry.npmjs.org/is-number/-/is-number-7.0.0.tgz",
    "integrity": "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="}}}"#;

fn package(scripts: &str) -> String {
    format!(
        r#"{{"name": "x", "engines": {{"node": ">=16"}}, "scripts": {{{scripts}}}, "dependencies": {{"is-number": "7.0.0"}}}}"#
    )
}

/// Node is no part of every machine that builds Tandem.
#[expect(clippy::print_stdout, reason = "a test that is left out says so")]
fn has_node() -> bool {
    let has = Path::new("/usr/bin/node").exists() && Path::new("/usr/bin/npm").exists();
    if !has {
        println!("left out: there is no /usr/bin/node with npm");
    }
    has
}

#[tokio::test]
async fn what_commands_make_is_built_and_collected_and_what_is_made_after_that_is_served() {
    let bench = Bench::new().await;
    crate::django::write_project(&bench);
    bench.write(
        "tandem.toml",
        "[build]\ncommands = [\"mkdir -p made && echo 'X = 1' > made/__init__.py\", \"echo 'a { }' > assets/made.css; rm shop/views.py\"]\n\
         after_collectstatic = [\"echo 'b { }' > collected/after.css\", \"python -c 'import django' && echo two > after.txt\"]\n",
    );
    bench.write("shop/urls.py", "import made\nurlpatterns = []\n");
    let build = bench.build().await.unwrap();
    for path in ["made/__init__.py", "after.txt", "assets/made.css"] {
        assert!(has(&bench.store, &build, "app", path), "{path}");
    }
    assert!(!has(&bench.store, &build, "app", "shop/views.py"), "a command removed it");
    for path in ["made.css", "after.css", "shop.css"] {
        assert!(has(&bench.store, &build, "static", path), "{path}");
    }
    assert!(bench.parts("command").len() == 4, "{:?}", bench.parts("command"));
    let again = bench.build().await.unwrap();
    assert_eq!(build.digest, again.digest, "the same source, the same commands");
    assert!(bench.note("static files").ends_with(", cached"), "{}", bench.note("static files"));
}

#[tokio::test]
async fn a_command_that_fails_is_named_with_its_last_lines_and_what_it_wants() {
    let bench = Bench::new().await;
    bench.write("Procfile", "web: ./serve\n");
    bench.write("wants.py", "import os\nos.environ[\"API_KEY\"]\n");
    let command =
        |command: &str| bench.write("tandem.toml", &format!("[build]\ncommands = ['''{command}''']\n"));
    for (text, title, hint) in [
        (
            "echo before; exit 3",
            "the build command `echo before; exit 3` failed: exit code 3",
            "the lines above",
        ),
        ("sassc x.scss", "failed: exit code 127", "there is no sassc on the server"),
        ("python3 wants.py", "failed: exit code 1", "wants the variable API_KEY"),
        ("echo > .venv/x; echo > /usr/x", "failed", "the lines above"),
    ] {
        command(text);
        let problem = bench.build().await.unwrap_err().to_problem();
        assert_eq!(problem.code, "command_failed", "{problem:?}");
        assert!(problem.title.contains(title) && problem.hint.contains(hint), "{problem:?}");
    }
    command("ln -s /etc/passwd leak");
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "build_unfit", "{problem:?}");
    // The pipe ends with the last program's code, as sh has it: what `yes` says to the end of it does not matter.
    command("yes | head -n 1 > answer");
    let build = bench.build().await.unwrap();
    assert!(has(&bench.store, &build, "app", "answer"));
}

#[tokio::test]
async fn packages_of_node_are_a_part_that_is_kept() {
    if !has_node() {
        return;
    }
    let bench = Bench::new().await;
    bench.write("package.json", &package(r#""start": "node server.js", "build": "node build.js""#));
    bench.write("package-lock.json", LOCKED);
    bench.write("server.js", "require('is-number');\n");
    // npm would leave out what builds.
    let build = "if (process.env.NODE_ENV) process.exit(9);\nrequire('fs').writeFileSync('built', String(require('is-number')(7)));\n";
    bench.write("build.js", build);
    let build = bench.build().await.unwrap();
    assert_eq!(build.spec.environment["NODE_ENV"], "production", "where it runs");
    assert_eq!(build.spec.processes[&ProcessType::web()].command, "npm start");
    assert_eq!(bench.note("node modules"), "1 package");
    assert!(has(&bench.store, &build, "app", "built"));
    assert_eq!(part(&build, "node_modules").unwrap().mount, "/app/node_modules");
    assert!(has(&bench.store, &build, "node_modules", "is-number/package.json"));
    assert!(build.node.as_deref().unwrap().starts_with("Node "), "{:?}", build.node);
    assert!(build.spec.path.contains(&"/usr/bin".to_owned()), "{:?}", build.spec.path);

    bench.write("build.js", "require('fs').writeFileSync('built', 'other');\n");
    let other = bench.build().await.unwrap();
    assert_eq!(bench.note("node modules"), "1 package, cached");
    assert_eq!(part(&build, "node_modules"), part(&other, "node_modules"));
    assert_ne!(build.digest, other.digest);

    bench.write("package.json", &package(r#""start": "node server.js""#).replace("7.0.0", "6.0.0"));
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "dependency_failed", "{problem:?}");
    assert!(problem.hint.starts_with("package-lock.json does not fit package.json"), "{problem:?}");

    bench.write("package.json", &package("").replace(">=16", "^99"));
    bench.write("Procfile", "web: node server.js\n");
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "node_missing", "{problem:?}");
    assert!(problem.title.contains("^99") && problem.detail.contains("/usr/bin/node"), "{problem:?}");
}

#[tokio::test]
async fn node_that_only_builds_is_no_part_of_what_runs() {
    if !has_node() {
        return;
    }
    let bench = Bench::new().await;
    bench.write("Procfile", "web: python3 -m http.server $PORT --bind 127.0.0.1\n");
    bench.write("package.json", &package(r#""build": "node build.js""#));
    bench.write("package-lock.json", LOCKED);
    bench.write("build.js", "require('fs').writeFileSync('index.html', String(require('is-number')(7)));\n");
    bench.write("tandem.toml", "[build]\ncommands = [\"npm ci\", \"npm run build\"]\n");
    let build = bench.build().await.unwrap();
    assert!(has(&bench.store, &build, "app", "index.html"));
    assert!(part(&build, "node_modules").is_none() && build.node.is_none(), "{:?}", build.subtrees);
    bench.write("tandem.toml", "[build]\ncommands = [\"npm ci --omit=dev && npm run build\"]\n");
    let own = bench.build().await.unwrap();
    assert!(has(&bench.store, &own, "app", "index.html"));
    let app = part(&own, "app").unwrap();
    assert_eq!(
        bench.store.lookup(&app.tree, "node_modules").unwrap(),
        None,
        "what its command installed neither"
    );
}

#[tokio::test]
async fn a_link_to_a_folder_of_the_host_in_place_of_node_modules_is_refused() {
    if !has_node() {
        return;
    }
    let secret = tempfile::tempdir().unwrap();
    let bench = Bench::new().await;
    let script = format!("rm -rf node_modules; ln -s {} node_modules", secret.path().display());
    bench.write("package.json", &format!(r#"{{"name": "x", "scripts": {{"postinstall": "{script}"}}}}"#));
    bench.write(
        "package-lock.json",
        r#"{"name": "x", "lockfileVersion": 3, "packages": {"": {"name": "x"}}}"#,
    );
    bench.write("Procfile", "web: node server.js\n");
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "build_unfit", "{problem:?}");
    assert!(problem.title.ends_with("named node_modules where a folder has to be"), "{problem:?}");
}

#[tokio::test]
async fn packages_that_lie_in_the_source_are_linked_and_those_of_a_workspace_installed_at_its_top() {
    if !has_node() {
        return;
    }
    let bench = Bench::new().await;
    let web = r#"{"name": "web", "scripts": {"start": "node x.js"}, "dependencies": {"x": "file:../../x"}}"#;
    bench.write("x/package.json", r#"{"name": "x", "version": "1.0.0", "main": "x.js"}"#);
    bench.write("x/x.js", "module.exports = 1;\n");
    bench.write("apps/web/package.json", web);
    bench.write("apps/web/x.js", "require('x');\n");
    bench.write("tandem.toml", "root = \"apps/web\"\n");
    for (top, place) in
        [(None, "apps/web/node_modules/x"), (Some(r#"{"workspaces": ["apps/*"]}"#), "node_modules/x")]
    {
        top.iter().for_each(|top| bench.write("package.json", top));
        let build = bench.build().await.unwrap();
        let app = part(&build, "app").unwrap();
        let link = bench.store.lookup(&app.tree, place).unwrap();
        assert!(matches!(link, Some(Entry::Link { .. })), "{place}: {link:?}");
        assert!(part(&build, "node_modules").is_none(), "{:?}", build.subtrees);
    }
}

#[tokio::test]
async fn nothing_is_mounted_behind_a_link_that_an_earlier_command_left() {
    if !has_node() || !crate::hostile::is_sandboxed() {
        return;
    }
    let secret = tempfile::tempdir().unwrap();
    let bench = Bench::new().await;
    bench.write("Procfile", "web: cd front && npm start\n");
    bench.write("front/package.json", r#"{"name": "x"}"#);
    bench.write(
        "front/package-lock.json",
        r#"{"name": "x", "lockfileVersion": 3, "packages": {"": {"name": "x"}}}"#,
    );
    // Where who mounts would find the host's root.
    let link = format!("mv front f; ln -s ../../oldroot{} front", secret.path().display());
    bench.write("tandem.toml", &format!("[build]\ncommands = [\"{link}\", \"true\"]\n"));
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(std::fs::read_dir(secret.path()).unwrap().count(), 0, "a folder was made on the host");
    assert_eq!(problem.code, "build_unfit", "{problem:?}");
    assert!(problem.title.starts_with("an earlier command left a link or a file named front"), "{problem:?}");
}
