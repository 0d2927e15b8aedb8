//! Source folders that cannot be deployed, or only after a word with their owner.

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::{Outcome, Program};

use crate::TANDEM;
use crate::screen::{PLAIN, with_plain};

fn refused(installation: &Installation, folder: &AppFolder, words: &[&str]) {
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let outcome = installation.tandem(["deploy", &path]).expect_code(1);
    for word in words.iter().chain(&["error: "]) {
        assert!(outcome.stderr.contains(word), "{word:?} is missing in {outcome}");
    }
}

#[test]
fn app_files_that_make_no_sense_are_refused_where_they_do_not() {
    let installation = Installation::start(TANDEM);
    let empty = AppFolder::empty("nothing");
    empty.write("notes.txt", "no app here\n");
    refused(&installation, &empty, &["Procfile", "tandem.toml", "manage.py", "hint: "]);

    let folder = AppFolder::fixture("plain");
    folder.edit("tandem.toml", "app = \"plain\"", "app = \"plain");
    refused(&installation, &folder, &["tandem.toml:1:13", "app = \"plain\n"]);

    let folder = AppFolder::fixture("plain");
    folder.edit("tandem.toml", "instances = 2", "instnces = 2");
    refused(&installation, &folder, &["tandem.toml:6:1", "instnces", "did you mean", "instances"]);
    installation.finish();
}

#[test]
fn a_domain_of_another_app_is_refused() {
    let (installation, _folder) = with_plain();
    let other = AppFolder::fixture("plain");
    other.edit("tandem.toml", "app = \"plain\"", "app = \"thief\"\ndomains = [\"plain.localhost\"]");
    refused(&installation, &other, &["plain.localhost", "plain", "hint: "]);
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    installation.finish();
}

/// A Python app whose dependencies are described by these files.
fn python_app(files: &[(&str, &str)]) -> AppFolder {
    let folder = AppFolder::fixture("plain");
    for (name, content) in files {
        folder.write(name, content);
    }
    folder
}

#[test]
fn a_dependency_that_does_not_build_shows_its_last_lines() {
    let installation = Installation::start(TANDEM);
    let folder = python_app(&[
        ("requirements.txt", "./broken\n"),
        ("broken/setup.py", "raise SystemExit('this package needs a magic compiler')\n"),
    ]);
    refused(&installation, &folder, &["magic compiler", "hint: "]);
    installation.finish();
}

#[test]
fn a_lock_file_that_is_out_of_date_is_refused() {
    let installation = Installation::start(TANDEM);
    let project = "[project]\nname = \"plain\"\nversion = \"0.1.0\"\nrequires-python = \">=3.11\"\n";
    let lock = "version = 1\nrequires-python = \">=3.11\"\n\n[[package]]\nname = \"plain\"\nversion = \"0.1.0\"\n\
                source = { virtual = \".\" }\n";
    let stale = format!("{project}dependencies = [\"sqlparse==0.6.1\"]\n");
    let folder = python_app(&[("pyproject.toml", &stale), ("uv.lock", lock)]);
    refused(&installation, &folder, &["uv.lock", "uv lock"]);
    folder.write("pyproject.toml", &format!("{project}dependencies = []\n"));
    installation.deploy(folder.path());
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    installation.finish();
}

#[test]
fn ignored_files_stay_at_home_and_uncommitted_ones_are_named() {
    let installation = Installation::start(TANDEM);
    let folder = AppFolder::fixture("plain");
    folder.write(".gitignore", "*.secret\n*.map\n");
    folder.edit("tandem.toml", "app = \"plain\"", "app = \"plain\"\n\n[source]\ninclude = [\"*.map\"]");
    folder.write("home.secret", "stays\n");
    folder.write("world.map", "comes\n");
    let git = |arguments: &[&str]| -> Outcome {
        let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
        let program = Program::new("git").arguments(identity).arguments(arguments);
        program.folder(folder.path()).run().expect_success()
    };
    let _ = git(&["init", "--quiet"]);
    let _ = git(&["add", "."]);
    let _ = git(&["commit", "--quiet", "-m", "Say one"]);
    folder.edit("server.py", "TEXT = \"one\"", "TEXT = \"uncommitted\"");
    installation.deploy(folder.path());
    let site = installation.site(PLAIN);
    assert_eq!(site.text("/"), "uncommitted\n");
    assert_eq!(site.text("/read?/app/world.map"), "comes\n\n");
    assert_ne!(site.get("/read?/app/home.secret").status, 200);
    let detail = installation.tandem(["release", "show", "r1", "--json"]).expect_success().json();
    assert_eq!(detail["build"]["source"]["subject"], "Say one");
    assert_eq!(detail["build"]["source"]["uncommitted"][0], "server.py");
    installation.finish();
}
