//! Deploys that go well.

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::load::{Load, Mix, Target};

use crate::TANDEM;
use crate::screen::{PLAIN, current, ids, instances, release_phases, say, with_plain};

#[test]
fn a_first_deploy_runs_the_release_phase_once_and_serves() {
    let installation = Installation::start(TANDEM);
    let folder = AppFolder::fixture("plain");
    let result = installation.deploy(folder.path());
    assert_eq!(result["app"], "plain");
    assert_eq!(result["environment"], "production");
    assert_eq!(result["release"], "r1");
    assert_eq!(result["build"], "b1");
    assert_eq!(result["verdict"], "pass");
    assert!(result["duration_ms"].as_u64().is_some_and(|millis| millis > 0), "{result}");
    let address = format!("http://{PLAIN}:{}", installation.ready().http.port());
    assert_eq!(result["addresses"][0], address.as_str());

    let site = installation.site(PLAIN);
    assert_eq!(site.text("/"), "one\n");
    assert_eq!(site.text("/environment?TANDEM_RELEASE"), "r1\n");
    assert_eq!(release_phases(&installation), 1);
    assert_eq!(instances(&installation, "plain", "serving").len(), 2);
    assert_eq!(instances(&installation, "plain", "running").len(), 1, "the worker");
    installation.finish();
}

#[test]
fn a_second_deploy_moves_the_traffic_and_keeps_the_first_release_warm() {
    let (installation, folder) = with_plain();
    let first = ids(&installation, "plain", "serving");
    say(&folder, "one", "two");
    assert_eq!(installation.deploy(folder.path())["release"], "r2");
    assert_eq!(installation.site(PLAIN).text("/"), "two\n");
    assert_eq!(ids(&installation, "plain", "warm"), first, "the old web instances wait");
    assert_eq!(instances(&installation, "plain", "running").len(), 1, "the old worker is gone");
    assert_eq!(release_phases(&installation), 2);
    installation.finish();
}

#[test]
fn the_same_source_gives_the_same_digest() {
    let (installation, folder) = with_plain();
    installation.deploy(folder.path());
    let digest = |release: &str| {
        let detail = installation.tandem(["release", "show", release, "--json"]).expect_success().json();
        detail["build"]["digest"].as_str().expect("a build has a digest").to_owned()
    };
    assert_eq!(digest("r1"), digest("r2"));
    installation.finish();
}

#[test]
fn each_step_is_told_with_its_time_to_people() {
    let installation = Installation::start(TANDEM);
    let folder = AppFolder::fixture("plain");
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let outcome = installation.tandem(["deploy", &path, "-m", "the first"]).expect_success();
    for step in ["build", "stag", "releas", "start"] {
        let told = |line: &str| line.contains(step) && (line.contains(" ms") || line.contains(" s"));
        let lines = outcome.stderr.to_lowercase();
        assert!(lines.lines().any(told), "{step} with its time in\n{outcome}");
    }
    assert!(outcome.stdout.contains("r1 is live"), "{outcome}");
    let journal = installation.tandem(["journal", "--app", "plain"]).expect_success().stdout;
    assert!(journal.contains("the first"), "the reason in\n{journal}");
    installation.finish();
}

#[test]
fn an_app_moves_to_a_new_domain_and_leaves_the_old_one() {
    let (installation, folder) = with_plain();
    folder.edit("tandem.toml", "app = \"plain\"", "app = \"plain\"\ndomains = [\"other.localhost\"]");
    installation.deploy(folder.path());
    assert_eq!(installation.site("other.localhost").text("/"), "one\n");
    assert_eq!(installation.site(PLAIN).get("/").status, 404);
    installation.finish();
}

#[test]
fn environments_of_one_app_live_apart() {
    let (installation, folder) = with_plain();
    say(&folder, "one", "two");
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let result = installation.tandem(["deploy", &path, "--env", "staging", "--json"]).expect_success().json();
    assert_eq!(result["release"], "r1", "releases are counted per environment");
    let staging = installation.site("staging.plain.localhost");
    assert_eq!(staging.text("/"), "two\n");
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    let uid = |text: String| text.split_whitespace().last().expect("a uid").to_owned();
    let (one, other) = (staging.text("/identity"), installation.site(PLAIN).text("/identity"));
    assert_ne!(uid(one), uid(other), "each environment has a user id of its own");
    installation.finish();
}

#[test]
fn no_request_fails_while_deploys_and_rollbacks_go_on() {
    let installation = Installation::start(TANDEM);
    let folder = AppFolder::guestbook();
    installation.deploy(folder.path());
    let host = "guestbook.localhost".to_owned();
    let load = Load::start(Target { address: installation.ready().http, host }, Mix::default());
    for round in 0..2 {
        folder.greet(&format!("Round {round}"));
        installation.deploy(folder.path());
        let _ = installation.tandem(["rollback", "--json"]).expect_success();
    }
    load.stop().expect_no_failures();
    assert_eq!(current(&installation, "guestbook"), "r1", "back from r3 to what served before it");
    installation.finish();
}
