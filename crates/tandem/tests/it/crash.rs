//! Killing what is Tandem, and what is not, without a warning.

use http::Method;
use nix::sys::signal::{Signal, kill};
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::connection::Question;
use tandem_testkit::installation::Installation;
use tandem_testkit::leftovers::Process;
use tandem_testkit::load::Mix;
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::screen::{PLAIN, ask, ids, instances, release_phases, say, with_plain};

/// The process of a role of this installation.
fn role(installation: &Installation, role: &str) -> Process {
    let processes = installation.traces().processes();
    let found = processes.into_iter().find(|process| {
        let mut words = process.words.split(' ');
        words.next().is_some_and(|program| program.ends_with("tandem")) && words.any(|word| word == role)
    });
    found.unwrap_or_else(|| panic!("no {role} runs"))
}

#[test]
fn traffic_outlives_the_server_and_the_next_start_adopts_everything() {
    let (mut installation, folder) = with_plain();
    let (web, worker) = (ids(&installation, "plain", "serving"), ids(&installation, "plain", "running"));
    installation.end(Signal::SIGKILL);
    let site = installation.site(PLAIN);
    assert_eq!(site.text("/"), "one\n", "served without a server");

    installation.start_again();
    eventually("the instances are seen again", || {
        let same = ids(&installation, "plain", "serving") == web;
        (same && ids(&installation, "plain", "running") == worker).then_some(())
    });
    for line in instances(&installation, "plain", "serving") {
        assert_eq!(line["restarts"], 0, "{line}");
    }
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    assert_eq!(site.text("/"), "two\n");
    let _ = installation.tandem(["rollback"]).expect_success();
    assert_eq!(ids(&installation, "plain", "serving"), web);
    installation.finish();
}

#[test]
fn a_killed_balancer_is_started_again() {
    let (installation, _folder) = with_plain();
    let balancer = role(&installation, "balancer");
    kill(balancer.id, Signal::SIGKILL).expect("the balancer runs");
    let site = installation.site(PLAIN);
    eventually("pages are served again", || {
        let answer = site.ask(Question::get("/")).ok()?;
        (answer.status == 200).then_some(())
    });
    assert_ne!(role(&installation, "balancer").id, balancer.id);
    installation.finish();
}

#[test]
fn everything_that_is_tandem_may_die_at_once() {
    let (mut installation, _folder) = with_plain();
    let web = ids(&installation, "plain", "serving");
    kill(role(&installation, "balancer").id, Signal::SIGKILL).expect("the balancer runs");
    installation.end(Signal::SIGKILL);
    installation.start_again();
    let site = installation.site(PLAIN);
    eventually("pages are served again", || (site.get("/").status == 200).then_some(()));
    eventually("the same instances", || (ids(&installation, "plain", "serving") == web).then_some(()));
    installation.finish();
}

#[test]
fn an_instance_that_ends_is_started_again_and_counted() {
    let (installation, _folder) = with_plain();
    let site = installation.site(PLAIN);
    // No answer can come of it, and what is no GET is not tried on another instance.
    let crash = Question { method: Method::POST, ..Question::get("/crash?7") };
    let _ = site.ask(crash);
    eventually("two ready instances, one of them started again", || {
        let lines = instances(&installation, "plain", "serving");
        let ready = lines.iter().filter(|line| line["state"] == "ready").count();
        let again = lines.iter().filter(|line| line["restarts"] == 1).count();
        (ready == 2 && again == 1).then_some(())
    });
    let logs = installation.tandem(["logs", "--process", "web"]).expect_success().stdout;
    assert!(logs.contains("exit code 7"), "why it ended stands in its log:\n{logs}");
    installation.finish();
}

#[test]
fn requests_wait_while_the_only_instance_is_started_again() {
    let (installation, _folder) = with_plain();
    let _ = installation.tandem(["scale", "web=1"]).expect_success();
    let load = ask(installation.ready().http, Mix::gets());
    let site = installation.site(PLAIN);
    let crash = Question { method: Method::POST, ..Question::get("/crash?7") };
    let _ = site.ask(crash);
    eventually("it was started again", || {
        let lines = instances(&installation, "plain", "serving");
        lines.iter().any(|line| line["state"] == "ready" && line["restarts"] == 1).then_some(())
    });
    assert_eq!(site.text("/"), "one\n");
    load.stop().expect_nothing_lost();
    installation.finish();
}

#[test]
fn a_release_phase_cut_off_by_a_crash_never_runs_twice() {
    let mut installation = Installation::start(TANDEM);
    let folder = AppFolder::fixture("plain");
    let command = "echo released >> /data/releases";
    folder.edit("tandem.toml", command, &format!("{command}; sleep 3"));
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let client = installation.program(["deploy", &path, "--json"]);
    let client = client.output(&installation.data().root().join("../client.log")).start();
    eventually("the release phase has begun", || {
        let volumes = installation.data().volumes();
        volumes.join("plain.production/data/releases").exists().then_some(())
    });
    installation.end(Signal::SIGKILL);
    drop(client);
    installation.start_again();
    eventually("the rollout ends", || {
        let rollouts = installation.tandem(["rollout", "list", "--json", "--app", "plain"]).expect_success();
        let state = rollouts.json()[0]["state"].as_str().expect("a rollout has a state").to_owned();
        assert!(!["reverted", "aborted"].contains(&state.as_str()), "{state}");
        (state == "completed" || state == "failed").then_some(())
    });
    let path = installation.data().volumes().join("plain.production/data/releases");
    let text = std::fs::read_to_string(path).expect("the volume stays");
    assert_eq!(text.lines().count(), 1, "{text}");
    installation.finish();
}

#[test]
fn a_rollout_cut_off_by_a_crash_is_carried_to_its_end() {
    let (mut installation, folder) = with_plain();
    say(&folder, "one", "two");
    folder.edit("server.py", "def main():\n", "def main():\n    time.sleep(3)\n");
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let log = installation.data().root().join("../client.log");
    let client = installation.program(["deploy", &path]).output(&log).start();
    eventually("new instances start", || {
        let starting = instances(&installation, "plain", "starting");
        (!starting.is_empty()).then_some(())
    });
    installation.end(Signal::SIGKILL);
    drop(client);
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    installation.start_again();
    let site = installation.site(PLAIN);
    eventually("the new release serves", || (site.text("/") == "two\n").then_some(()));
    assert_eq!(release_phases(&installation), 2);
    let _ = installation.tandem(["rollout", "watch"]).expect_success();
    installation.finish();
}
