//! Data folders of other versions: one of the first version opens with everything in it, one of a newer version is refused
//! and left as it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;
use tandem_kit::env;
use tandem_kit::version::Version;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::program::{Outcome, Program, Running};
use tandem_testkit::wait::{PATIENCE, eventually};

use crate::TANDEM;
use crate::needs::{Need, are_met};
use crate::screen::{PLAIN, current, release_phases};

/// Written by version 0.1.0 before there were stamps: the fixture `plain` deployed twice, `COLOR=teal` set, scaled to one
/// instance, a failed deploy, a rollback to r2, and `tandem down`. Kept for ever; a later generation gets one of its own.
const FIRST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/data-folder-1.tar.gz");
/// The same of the second generation (one-off commands, deploy keys), where `tandem run -- sh -c 'echo golden; exit 3'` ended
/// before `tandem down`.
const SECOND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/data-folder-2.tar.gz");
/// A version that no folder of this one is older than.
const NEWER: &str = "9.0.0/9";

fn prepared() -> Installation {
    Installation::prepare(Setting::of(TANDEM))
}

/// An installation on a data folder of before, which this version has opened.
fn opened(folder: &str, check: impl FnOnce(&Path)) -> Installation {
    let mut installation = prepared();
    let root = installation.data().root().to_owned();
    let _ = Program::new("tar").arguments(["-xzpf", folder, "-C"]).arguments([&root]).run().expect_success();
    check(&root);
    installation.start_again();
    let stamp: Value = tandem_kit::files::read_json(&root.join("stamp.json")).expect("a stamp").expect("one");
    assert_eq!(stamp["generation"], Version::current().generation);
    installation
}

/// What every such folder has; at the end the release with the config is served.
fn expect_everything(installation: &Installation) {
    let site = installation.site(PLAIN);
    let answers = || site.ask(tandem_testkit::connection::Question::get("/")).is_ok_and(|a| a.status == 200);
    eventually("the app serves", || answers().then_some(()));
    assert_eq!(
        (site.text("/"), site.text("/environment?COLOR")),
        ("two\n".to_owned(), "(not set)\n".to_owned())
    );
    assert_eq!((current(installation, "plain").as_str(), release_phases(installation)), ("r2", 3));
    let shown = |words: &[&str]| installation.tandem(words).expect_success().stdout;
    let releases = shown(&["releases", "--json", "--app", "plain"]);
    assert_eq!(serde_json::from_str::<Value>(&releases).expect("JSON").as_array().map(Vec::len), Some(4));
    let journal = shown(&["journal", "--json"]);
    for action in ["app.create", "config.set", "scale.start", "rollback.start"] {
        assert!(journal.contains(&format!("\"{action}\"")), "{action} is missing in {journal}");
    }
    assert!(shown(&["config", "list", "--app", "plain", "--reveal"]).contains("teal"));
    assert!(shown(&["rollout", "list", "--app", "plain"]).contains("failed"));
    let _ = installation.tandem(["rollback", "r3", "--app", "plain"]).expect_success();
    assert_eq!(site.text("/environment?COLOR"), "teal\n");
}

#[test]
fn a_data_folder_of_the_first_version_opens_with_everything_in_it() {
    if !are_met(&[Need::Root]) {
        return;
    }
    let installation =
        opened(FIRST, |root| assert!(!root.join("stamp.json").exists(), "it is of before stamps"));
    expect_everything(&installation);
    installation.finish();
}

#[test]
fn a_data_folder_of_the_second_generation_opens_with_everything_in_it() {
    if !are_met(&[Need::Root]) {
        return;
    }
    let installation = opened(SECOND, |root| {
        let stamp = fs::read_to_string(root.join("stamp.json")).expect("a stamp");
        assert!(stamp.contains("\"generation\": 2") || stamp.contains("\"generation\":2"), "{stamp}");
    });
    expect_everything(&installation);
    let shown = |words: &[&str]| installation.tandem(words).expect_success().stdout;
    let sessions = shown(&["sessions", "--json", "--app", "plain"]);
    let sessions: Value = serde_json::from_str(&sessions).expect("JSON");
    assert_eq!((&sessions[0]["exit"]["code"], &sessions[0]["release"]), (&3.into(), &"r2".into()));
    assert!(shown(&["logs", "--process", "run", "--app", "plain"]).contains("golden"));
    installation.finish();
}

/// Every file and folder with its mode, times and content.
fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("nobody removes it").path();
        let about = fs::symlink_metadata(&path).expect("nobody removes it");
        let content = about.is_file().then(|| fs::read(&path).expect("it can be read"));
        let times = (about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec());
        if about.is_dir() {
            found.extend(tree(&path));
        }
        found.insert(path, format!("{:o} {times:?} {content:?}", about.mode()));
    }
    found
}

fn start_newer(installation: &Installation) -> Running {
    let ready = installation.data().root().join("../newer.json");
    let words = ["up", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--ready-file"];
    let up = installation.program(words.map(Into::into).into_iter().chain([ready.clone().into_os_string()]));
    let log = installation.data().root().join("../newer.log");
    let mut up = up.set(env::TANDEM_CLAIM_VERSION, NEWER).output(&log).start();
    eventually("the newer version gets ready", || {
        assert!(up.ended().is_none(), "{}", fs::read_to_string(&log).unwrap_or_default());
        ready.exists().then_some(())
    });
    up
}

fn expect_refused(outcome: Outcome, root: &Path) {
    let outcome = outcome.expect_code(1);
    let words = [
        &format!("error: the data folder {} was written by Tandem 9.0.0, this is ", root.display()),
        "hint: nothing was changed; use Tandem 9.0.0 or newer",
        &format!("`tandem store restore --data {}`", root.display()),
    ];
    for words in words {
        assert!(outcome.stderr.contains(words), "{words:?} is missing in {outcome}");
    }
}

#[test]
fn a_newer_versions_data_folder_is_refused_and_left_as_it_is() {
    let mut installation = prepared();
    let root = installation.data().root().to_owned();
    let mut newer = start_newer(&installation);
    expect_refused(installation.tandem(["down"]), &root);
    let status = installation.tandem(["status", "--json"]).expect_success().json();
    assert_eq!(status["version"], "9.0.0", "what it serves is understood, and it was not ended");
    let _ = installation.program(["down"]).set(env::TANDEM_CLAIM_VERSION, NEWER).run().expect_success();
    assert!(newer.wait(PATIENCE).success());

    let before = tree(&root);
    let state = root.join("balancer");
    let balancer = ["balancer", "--name", "box", "--http", "127.0.0.1:0", "--server", "unix:/x", "--state"];
    let balancer = Program::new(TANDEM).arguments(balancer).arguments([&state]).run();
    expect_refused(balancer, &root);
    for words in [&["up"][..], &["down"], &["status"], &["ps", "--app", "plain"]] {
        expect_refused(installation.tandem(words), &root);
    }
    assert_eq!(tree(&root), before);
    assert!(!installation.data().runtime().exists(), "nothing is made beside it either");
    installation.expect_nothing_left();
    installation.abandon();
}

#[test]
fn within_a_generation_people_go_to_another_version_and_back() {
    let mut installation = prepared();
    let stamp = installation.data().root().join("stamp.json");
    let version = || fs::read_to_string(&stamp).expect("a stamp");
    installation.start_again();
    assert!(version().contains(env!("CARGO_PKG_VERSION")), "{}", version());
    installation.end(Signal::SIGTERM);
    let words = ["up", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--ready-file"];
    let ready = installation.data().root().join("../other.json");
    let up = installation.program(words.map(Into::into).into_iter().chain([ready.clone().into_os_string()]));
    let mut up = up.set(env::TANDEM_CLAIM_VERSION, "0.1.7").silent().start();
    eventually("the other version gets ready", || ready.exists().then_some(()));
    assert!(version().contains("0.1.7"), "{}", version());
    up.signal(Signal::SIGTERM);
    up.wait(PATIENCE);
    installation.start_again();
    assert!(version().contains(env!("CARGO_PKG_VERSION")), "{}", version());
    installation.finish();
}

#[test]
fn from_a_newer_generation_people_go_back_with_the_snapshot_from_before_it() {
    let mut installation = prepared();
    let root = installation.data().root().to_owned();
    installation.start_again();
    installation.end(Signal::SIGTERM);
    let mut newer = start_newer(&installation);
    let take = installation.program(["store", "snapshot", "--json"]).set(env::TANDEM_CLAIM_VERSION, NEWER);
    let taken = take.run().expect_success().json();
    newer.signal(Signal::SIGTERM);
    newer.wait(PATIENCE);
    for verb in [&["up"][..], &["store", "check"], &["store", "snapshot"]] {
        expect_refused(installation.tandem(verb), &root);
    }

    let taken = taken["path"].as_str().expect("a snapshot has a path");
    let refused = installation.tandem(["store", "restore", taken]).expect_code(1);
    assert!(refused.stderr.contains("is of Tandem 9.0.0, this is "), "{refused}");
    let list = installation.tandem(["store", "restore", "--list", "--json"]).expect_success().json();
    let paths = list.as_array().expect("a list").iter().map(|one| one["path"].as_str().expect("a path"));
    let before: Vec<_> = paths.filter(|path| path.contains("_upgrade_")).collect();
    let name = Path::new(before[0]).file_name().and_then(|name| name.to_str()).expect("a name");
    let restored = installation.tandem(["store", "restore", "--confirm", name]).expect_success();
    assert!(
        restored.stdout.contains(name),
        "the latest is the one that this version understands: {restored}"
    );
    installation.start_again();
    let stamp: Value = tandem_kit::files::read_json(&root.join("stamp.json")).expect("a stamp").expect("one");
    assert_eq!(stamp["generation"], Version::current().generation);
    installation.finish();
}

#[test]
fn an_upgrade_without_a_snapshot_says_so() {
    let mut installation = prepared();
    let root = installation.data().root().to_owned();
    installation.start_again();
    installation.end(Signal::SIGTERM);
    let snapshots = root.join("snapshots");
    if snapshots.exists() {
        fs::remove_dir_all(&snapshots).expect("they are ours");
    }
    fs::File::create(&snapshots).expect("a file where the folder should be");
    let mut newer = start_newer(&installation);
    let told = fs::read_to_string(root.join("../newer.log")).expect("its words");
    assert!(told.contains("goes on without a snapshot from before it"), "{told}");
    let _ = installation.program(["down"]).set(env::TANDEM_CLAIM_VERSION, NEWER).run().expect_success();
    assert!(newer.wait(PATIENCE).success());
    installation.expect_nothing_left();
    installation.abandon();
}
