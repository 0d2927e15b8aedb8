//! What apps keep: taken out while they write, put back, and left alone by everything else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Program;
use tandem_testkit::site::{FormToken, Site};

use crate::TANDEM;
use crate::needs::{Need, are_met};

const HOST: &str = "guestbook.localhost";

fn sign(site: &Site, token: &FormToken, number: u32) {
    assert_eq!(site.sign(token, "Ada", &format!("Row+number+{number}.")).status, 302);
}

/// The numbers of the rows that the page, or a database, has.
fn rows(text: &str) -> BTreeSet<u32> {
    let ends = text.split("Row number ").skip(1);
    ends.filter_map(|rest| rest.split_once('.')?.0.parse().ok()).collect()
}

fn archive(installation: &Installation, name: &str) -> PathBuf {
    installation.data().root().join("..").join(name)
}

fn rows_of_archive(archive: &Path) -> BTreeSet<u32> {
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    let tar = Program::new("tar").arguments(["-xf"]).arguments([archive]).arguments(["-C"]);
    let _ = tar.arguments([folder.path()]).run().expect_success();
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("it was unpacked")
        .map(|e| e.expect("it is there").path())
        .collect();
    let database = names.iter().find(|path| path.extension().is_some_and(|end| end == "sqlite3"));
    let database = database.unwrap_or_else(|| panic!("no database among {names:?}"));
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
        assert db.execute('PRAGMA integrity_check').fetchone() == ('ok',); \
        print(*(row[0] for row in db.execute('SELECT message FROM entries_entry')), sep='\\n')";
    let python = Program::new("/usr/bin/python3").arguments(["-c", script]).arguments([database]);
    rows(&python.run().expect_success().stdout)
}

#[test]
fn an_export_under_load_has_every_row_that_was_acknowledged_before_it_and_comes_back_whole() {
    if !are_met(&[Need::Root]) {
        return;
    }
    let installation = Installation::start(TANDEM);
    installation.deploy(AppFolder::guestbook().path());
    let site = installation.site(HOST);
    let token = site.form_token();
    (1..=20).for_each(|number| sign(&site, &token, number));
    let file = archive(&installation, "data.tar");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 100;
            while !done.load(Ordering::Relaxed) {
                sign(&site, &token, number);
                number += 1;
            }
        });
        let path = file.to_str().expect("a plain path");
        let outcome = installation.tandem(["volume", "export", "data", path, "--app", "guestbook", "--json"]);
        done.store(true, Ordering::Relaxed);
        let told = outcome.expect_success().json();
        assert_eq!(told["databases"], 1, "{told}");
    });
    let exported = rows_of_archive(&file);
    assert!((1..=20).all(|number| exported.contains(&number)), "{exported:?}");

    sign(&site, &token, 9000);
    let path = file.to_str().expect("a plain path");
    let outcome = installation.tandem(["volume", "import", "data", path, "--app", "guestbook", "--json"]);
    let told = outcome.expect_success().json();
    assert!(told["restarted"].as_u64() >= Some(2), "{told}");
    let before = PathBuf::from(told["before"].as_str().expect("what was there is kept"));
    assert!(before.join("..").is_dir() && before.is_dir(), "{told}");
    let page = tandem_testkit::wait::eventually("the app serves again", || {
        let answer = site.ask(tandem_testkit::connection::Question::get("/")).ok()?;
        (answer.status == 200).then(|| answer.text())
    });
    assert!(!page.contains("Row number 9000."), "what came after the export is in what was kept alone");
    let token = site.form_token();
    sign(&site, &token, 9001);
    assert!(site.text("/").contains("Row number 9001."), "the app may write to what was put back");
    let journal = installation.tandem(["journal", "--json"]).expect_success().stdout;
    for action in ["volume.export", "volume.import", "volume.imported"] {
        assert!(journal.contains(&format!("\"{action}\"")), "{action} is missing in {journal}");
    }
    let listed = installation.tandem(["volume", "list", "--json"]).expect_success().json();
    let line = &listed.as_array().expect("a list")[0];
    assert_eq!((&line["name"], &line["path"]), (&Value::from("data"), &Value::from("/data")));
    assert!(line["bytes"].as_u64() > Some(0) && line["releases"][0] == "r1", "{listed}");
    installation.finish();
}

#[test]
fn an_archive_that_leaves_the_volume_changes_nothing() {
    if !are_met(&[Need::Root]) {
        return;
    }
    let installation = Installation::start(TANDEM);
    installation.deploy(AppFolder::guestbook().path());
    let site = installation.site(HOST);
    sign(&site, &site.form_token(), 1);
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("out")).expect("there is room");
    let file = archive(&installation, "evil.tar");
    let tar = Program::new("tar").arguments(["-cf"]).arguments([&file]).arguments(["-C"]);
    let _ = tar.arguments([folder.path()]).arguments(["out"]).run().expect_success();
    let path = file.to_str().expect("a plain path");
    let outcome =
        installation.tandem(["volume", "import", "data", path, "--app", "guestbook"]).expect_code(1);
    assert!(
        outcome.stderr.contains("unpack \"out\": it is a link that leads out of the volume"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("nothing was changed"), "{outcome}");
    assert!(site.text("/").contains("Row number 1."));
    installation.finish();
}

#[test]
fn a_volume_survives_whatever_is_done_to_its_app() {
    if !are_met(&[Need::Root]) {
        return;
    }
    let mut installation = Installation::start(TANDEM);
    let folder = AppFolder::guestbook();
    installation.deploy(folder.path());
    let site = installation.site(HOST);
    sign(&site, &site.form_token(), 1);
    let there = |what: &str| {
        let page = tandem_testkit::wait::eventually("the app serves", || {
            let answer = site.ask(tandem_testkit::connection::Question::get("/")).ok()?;
            (answer.status == 200).then(|| answer.text())
        });
        assert!(page.contains("Row number 1."), "{what}: {page}");
    };
    folder.greet("Another greeting");
    installation.deploy(folder.path());
    there("a deploy");
    for words in [&["rollback"][..], &["restart"], &["scale", "web=1"]] {
        let words = words.iter().copied().chain(["--app", "guestbook"]);
        let _ = installation.tandem(words).expect_success();
        there("a rollback, a restart, a change of scale");
    }
    let _ = installation.end(nix::sys::signal::Signal::SIGKILL);
    installation.start_again();
    let _ = installation.tandem(["app", "destroy", "guestbook", "--confirm", "guestbook"]).expect_success();
    let listed = installation.tandem(["volume", "list", "--json"]).expect_success().json();
    let line = &listed.as_array().expect("a list")[0];
    assert!(
        line["releases"].as_array().is_some_and(Vec::is_empty) && line["files"].as_u64() > Some(0),
        "{listed}"
    );
    let path = installation.data().volumes().join("guestbook.production/data");
    assert!(std::fs::read_dir(path).expect("it is there").count() > 0, "the end of its app leaves it");
    installation.finish();
}
