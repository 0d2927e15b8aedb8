//! Killing Tandem, or everything, in the middle of what is not a plain deploy: an abort, a change of config, a cold rollback,
//! a release phase, the destruction of an app.

use nix::sys::signal::Signal;
use serde_json::Value;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Running;
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::screen::{PLAIN, current, instances, release_phases, say, with_plain};

/// What dies: `tandem up` alone, or the balancer, the shims and the apps with it, as when the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    Up,
    Everything,
}

/// Kills, and starts `tandem up` again.
fn crash(installation: &mut Installation, death: Death) {
    installation.end(Signal::SIGKILL);
    if death == Death::Everything {
        let _ = installation.traces().kill_all();
    }
    installation.start_again();
}

/// A verb that runs beside the scenario.
fn start(installation: &Installation, words: &[&str]) -> Running {
    let client = installation.program(words.iter().chain(&["--app", "plain"]));
    client.output(&installation.data().root().join("../client.log")).start()
}

fn latest(installation: &Installation) -> Value {
    let rollouts =
        installation.tandem(["rollout", "list", "--json", "--app", "plain"]).expect_success().json();
    rollouts[0].clone()
}

fn wait_for_state(installation: &Installation, state: &str) -> Value {
    eventually(state, || {
        let rollout = latest(installation);
        let (found, wanted) = (rollout["state"].as_str().expect("a state"), state);
        let ended = ["completed", "failed", "aborted", "reverted"].contains(&found);
        assert!(found == wanted || !ended, "{found} instead of {wanted}: {rollout}");
        (found == wanted).then_some(rollout)
    })
}

/// Instances of `plain` take three seconds from their start to their first answer.
fn start_slowly(folder: &AppFolder) {
    folder.edit("server.py", "def main():\n", "def main():\n    time.sleep(3)\n");
}

fn wait_for_starting(installation: &Installation) {
    eventually("new instances start", || {
        (!instances(installation, "plain", "starting").is_empty()).then_some(())
    });
}

fn serves(installation: &Installation, text: &str) {
    let site = installation.site(PLAIN);
    eventually("pages are served", || {
        let answer = site.ask(tandem_testkit::connection::Question::get("/")).ok()?;
        (answer.status == 200).then(|| assert_eq!(answer.text(), text))
    });
}

fn an_abort_is_carried_to_its_end(death: Death) {
    let (mut installation, folder) = with_plain();
    say(&folder, "one", "two");
    // They never listen, and take their time to stop: the abort lasts.
    let stubborn = "def main():\n    signal.signal(signal.SIGTERM, lambda *_: None)\n    time.sleep(3600)\n";
    folder.edit("server.py", "def main():\n", stubborn);
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let deploy = start(&installation, &["deploy", &path]);
    wait_for_starting(&installation);
    let abort = start(&installation, &["rollout", "abort", "-m", "wrong branch"]);
    wait_for_state(&installation, "cleaning");
    crash(&mut installation, death);
    drop((deploy, abort));
    let rollout = wait_for_state(&installation, "aborted");
    assert!(
        rollout["problem"]["title"].as_str().is_some_and(|title| title.contains("wrong branch")),
        "{rollout}"
    );
    serves(&installation, "one\n");
    assert_eq!(current(&installation, "plain"), "r1");
    eventually("the new instances are gone", || {
        let lines = installation.tandem(["ps", "--json", "--app", "plain"]).expect_success().json();
        lines.as_array().expect("a list").iter().all(|line| line["release"] == "r1").then_some(())
    });
    folder.edit("server.py", stubborn, "def main():\n");
    installation.deploy(folder.path());
    serves(&installation, "two\n");
    installation.finish();
}

#[test]
fn an_abort_outlives_the_server() {
    an_abort_is_carried_to_its_end(Death::Up);
}

#[test]
fn an_abort_outlives_everything() {
    an_abort_is_carried_to_its_end(Death::Everything);
}

fn a_change_of_config_is_carried_to_its_end(death: Death) {
    let mut installation = Installation::start(TANDEM);
    let folder = AppFolder::fixture("plain");
    start_slowly(&folder);
    installation.deploy(folder.path());
    let client = start(&installation, &["config", "set", "COLOR=teal"]);
    wait_for_starting(&installation);
    crash(&mut installation, death);
    drop(client);
    wait_for_state(&installation, "completed");
    serves(&installation, "one\n");
    assert_eq!(installation.site(PLAIN).text("/environment?COLOR"), "teal\n");
    assert_eq!(current(&installation, "plain"), "r2");
    let listing = installation.tandem(["config", "list", "--json"]).expect_success().json();
    assert_eq!(listing["pending"], serde_json::json!([]), "{listing}");
    installation.finish();
}

#[test]
fn a_change_of_config_outlives_the_server() {
    a_change_of_config_is_carried_to_its_end(Death::Up);
}

#[test]
fn a_change_of_config_outlives_everything() {
    a_change_of_config_is_carried_to_its_end(Death::Everything);
}

fn a_cold_rollback_is_carried_to_its_end(death: Death) {
    let mut installation = Installation::start(TANDEM);
    let folder = AppFolder::fixture("plain");
    start_slowly(&folder);
    installation.deploy(folder.path());
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    say(&folder, "two", "three");
    installation.deploy(folder.path());
    eventually("only the release before is warm", || {
        let warm = instances(&installation, "plain", "warm");
        (warm.len() == 2 && warm.iter().all(|line| line["release"] == "r2")).then_some(())
    });
    let client = start(&installation, &["rollback", "r1"]);
    wait_for_starting(&installation);
    crash(&mut installation, death);
    drop(client);
    let rollout = wait_for_state(&installation, "completed");
    assert_eq!(rollout["kind"], "rollback", "{rollout}");
    serves(&installation, "one\n");
    assert_eq!(current(&installation, "plain"), "r1");
    assert_eq!(release_phases(&installation), 3, "a rollback has no release phase");
    installation.finish();
}

#[test]
fn a_cold_rollback_outlives_the_server() {
    a_cold_rollback_is_carried_to_its_end(Death::Up);
}

#[test]
fn a_cold_rollback_outlives_everything() {
    a_cold_rollback_is_carried_to_its_end(Death::Everything);
}

#[test]
fn a_release_phase_that_died_with_everything_is_unknown_and_never_tried_again() {
    let (mut installation, folder) = with_plain();
    say(&folder, "one", "two");
    let (quick, slow) = ("echo released >> /data/releases", "echo begun >> /data/releases; sleep 3600");
    folder.edit("tandem.toml", quick, slow);
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let client = start(&installation, &["deploy", &path]);
    let releases = installation.data().volumes().join("plain.production/data/releases");
    let phases = || std::fs::read_to_string(&releases).unwrap_or_default();
    eventually("the release phase has begun", || phases().contains("begun").then_some(()));
    crash(&mut installation, Death::Everything);
    drop(client);
    let rollout = wait_for_state(&installation, "failed");
    let problem = &rollout["problem"];
    assert_eq!(problem["code"], "release_unknown", "{rollout}");
    assert!(
        problem["title"].as_str().is_some_and(|title| title.starts_with("nobody knows how")),
        "{problem}"
    );
    let hint = problem["hint"].as_str().expect("a hint");
    assert!(hint.contains("look at the database") && hint.contains("never repeated"), "{hint}");
    let watched = installation.tandem(["rollout", "watch", "--app", "plain"]).expect_code(1);
    assert!(watched.stderr.contains("nobody knows how") && watched.stderr.contains(hint), "{watched}");
    serves(&installation, "one\n");
    assert_eq!(current(&installation, "plain"), "r1");
    // Neither by itself nor by another start.
    crash(&mut installation, Death::Up);
    serves(&installation, "one\n");
    assert_eq!(phases().matches("begun").count(), 1, "it ran once");

    folder.edit("tandem.toml", slow, quick);
    installation.deploy(folder.path());
    serves(&installation, "two\n");
    assert_eq!(phases(), "released\nbegun\nreleased\n");
    installation.finish();
}

fn a_destruction_is_carried_to_its_end(death: Death) {
    let mut installation = Installation::start(TANDEM);
    let folder = AppFolder::fixture("plain");
    let sleep = "    time.sleep(float(seconds))\n";
    folder.edit("server.py", sleep, &format!("    print(\"slow begins\", flush=True)\n{sleep}"));
    installation.deploy(folder.path());
    let (address, log) = (installation.ready().http, installation.data().root().join("../client.log"));
    // Under way when the app goes: it gets its answer as long as its instance lives.
    let slow = std::thread::spawn(move || {
        let site = tandem_testkit::site::Site::new(address, PLAIN);
        site.ask(tandem_testkit::connection::Question::get("/slow?8")).ok().map(|answer| answer.text())
    });
    eventually("the app has the request", || {
        let logs = installation.tandem(["logs", "--app", "plain"]).expect_success().stdout;
        logs.contains("slow begins").then_some(())
    });
    let words = ["app", "destroy", "plain", "--confirm", "plain"];
    let mut client = installation.program(words).output(&log).start();
    eventually("the destruction waits", || {
        assert!(client.ended().is_none(), "it ended: {}", std::fs::read_to_string(&log).unwrap_or_default());
        std::fs::read_to_string(&log).ok().filter(|text| text.contains("waiting: "))
    });
    assert!(!slow.is_finished(), "the request is under way");
    crash(&mut installation, death);
    let answer = slow.join().expect("the thread only asks");
    assert!(death == Death::Everything || answer.as_deref() == Some("one\n"), "{answer:?}");
    eventually("the app is gone", || {
        let apps = installation.tandem(["app", "list", "--json"]).expect_success().json();
        apps.as_array().is_some_and(Vec::is_empty).then_some(())
    });
    drop(client);
    eventually("its instances are gone", || {
        let runs = |process: &tandem_testkit::leftovers::Process| process.words.contains("server.py");
        (!installation.traces().processes().iter().any(runs)).then_some(())
    });
    assert_ne!(installation.site(PLAIN).get("/").status, 200);
    let volume = installation.data().volumes().join("plain.production/data/releases");
    assert!(volume.exists(), "volumes stay");
    installation.finish();
}

#[test]
fn a_destruction_outlives_the_server() {
    a_destruction_is_carried_to_its_end(Death::Up);
}

#[test]
fn a_destruction_outlives_everything() {
    a_destruction_is_carried_to_its_end(Death::Everything);
}
