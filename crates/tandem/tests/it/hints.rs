//! What people are told when something is not as they think: no server here, a port that is taken, a balancer that is gone
//! for good.

use std::net::TcpListener;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;
use tandem_kit::api::{Client, Server};
use tandem_testkit::installation::Installation;
use tandem_testkit::leftovers::Traces;
use tandem_testkit::program::{Outcome, Program};
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::screen::with_plain;

fn typed(words: &[&str], data: &Path) -> Outcome {
    let program = Program::new(TANDEM).arguments(words).arguments(["--data"]).arguments([data]);
    program.unset("TANDEM_SERVER").set("NO_COLOR", "1").run()
}

fn expect_words(outcome: &Outcome, words: &[&str]) {
    for word in words {
        assert!(outcome.stderr.contains(word), "{word:?} is missing in {outcome}");
    }
}

#[test]
fn never_started_stopped_and_running_elsewhere_are_told_apart() {
    let mut installation = Installation::start(TANDEM);
    let data = installation.data().root().to_owned();
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    let never = folder.path().join("never");
    let outcome = typed(&["status"], &never).expect_code(1);
    let (never_shown, data_shown) = (never.display(), data.display());
    expect_words(
        &outcome,
        &[
            &format!("error: Tandem has never run on the data folder {never_shown}"),
            &format!("the Tandem on {data_shown} (process "),
            "hint: add `--data /",
            &format!("`tandem up --data {never_shown}` starts it"),
        ],
    );
    assert!(!never.exists(), "nothing is made where nothing is");

    let down = typed(&["down"], &never).expect_code(1);
    expect_words(&down, &["nothing runs: there is no data folder", "hint: "]);
    let other = folder.path().join("other");
    drop(tandem_kit::paths::DataDir::open(&other).expect("a new data folder opens"));
    let down = typed(&["down"], &other).expect_success();
    expect_words(&down, &[&format!("`tandem down --data {data_shown}` stops it")]);

    installation.end(Signal::SIGTERM);
    let outcome = typed(&["ps", "--app", "plain"], &data).expect_code(1);
    let stopped = format!("error: Tandem is stopped on the data folder {data_shown}");
    let start = format!("`tandem up --data {data_shown}` starts it, with its apps");
    expect_words(&outcome, &[&stopped, &start]);
    let _ = installation.tandem(["down"]).expect_success();
    let link = installation.data().socket_link();
    assert!(std::fs::symlink_metadata(link).is_err(), "no link dangles");
    expect_words(&typed(&["ps", "--app", "plain"], &data).expect_code(1), &[&stopped, &start]);
    installation.finish();
}

#[test]
fn the_process_that_has_a_port_is_named_and_the_port_that_is_offered_works() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    let any = "127.0.0.1:0";
    for (flag, words) in [
        ("--http", ["up", "--http", address.as_str(), "--api", any]),
        ("--api", ["up", "--api", address.as_str(), "--http", any]),
    ] {
        let outcome = typed(&words, folder.path()).expect_code(1);
        let holder = format!("{address}: process {} (", std::process::id());
        expect_words(&outcome, &[&holder, &format!("hint: `{flag} 127.0.0.1:"), &format!("`{flag} {any}`")]);
    }
    let data = tandem_kit::paths::DataDir::open(folder.path()).expect("the folder is ours");
    let traces = Traces::of(&data);
    assert_eq!(traces.leftovers(), Vec::<String>::new());
    traces.clean();
}

#[test]
fn a_folder_of_somebody_else_is_no_data_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    let mode = || std::fs::metadata(folder.path()).expect("it is there").permissions().mode() & 0o777;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    tandem_kit::files::write_atomic_unsynced(&folder.path().join("photo.jpg"), b"", 0o644).expect("a file");
    for words in [&["up", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0"][..], &["down"]] {
        let outcome = typed(words, folder.path()).expect_code(1);
        expect_words(&outcome, &["it holds files of others", "hint: "]);
        assert_eq!(mode(), 0o755, "{outcome}");
    }
}

/// Takes the part of a balancer that says something once and is never heard of again.
fn report_once(installation: &Installation, name: &str) {
    let status = installation.tandem(["status", "--json"]).expect_success().json();
    let mut ghost: Value = status["balancers"][0]["status"].clone();
    ghost["balancer"] = name.into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("descriptors");
    runtime.block_on(async {
        let client = Client::new(Server::Unix(installation.data().socket_link()));
        let path = format!("/v1/balancers/{name}");
        let () = client.put(&path, &ghost).await.expect("the server takes reports in");
    });
}

fn web_instances(installation: &Installation) -> usize {
    let lines = installation.tandem(["ps", "--json", "--app", "plain"]).expect_success().json();
    let lines = lines.as_array().expect("ps prints a list").clone();
    lines.iter().filter(|line| line["name"].as_str().is_some_and(|name| name.starts_with("web."))).count()
}

#[test]
fn a_balancer_that_is_gone_for_good_is_removed_and_what_waited_for_it_goes_on() {
    let (installation, _folder) = with_plain();
    report_once(&installation, "ghost");
    let early = installation.tandem(["balancer", "remove", "ghost", "--confirm", "ghost"]).expect_code(1);
    expect_words(
        &early,
        &["the balancer ghost was not removed: it runs and reports", "hint: stop its process"],
    );
    let status = eventually("the balancer is missed", || {
        let status = installation.tandem(["status"]).expect_success();
        status.stdout.contains("the balancer ghost does not report").then_some(status)
    });
    assert!(status.stdout.contains("`tandem balancer remove ghost`"), "{status}");
    let _ = installation.tandem(["scale", "web=1"]).expect_success();
    assert_eq!(web_instances(&installation), 2, "it may still be routed to");

    let unsure = installation.tandem(["balancer", "remove", "ghost"]).expect_code(1);
    expect_words(&unsure, &["was not confirmed", "`tandem balancer remove ghost --confirm ghost`"]);
    let removed = installation.tandem(["balancer", "remove", "ghost", "--confirm", "ghost", "--json"]);
    let removed = removed.expect_success();
    assert_eq!(removed.json(), serde_json::json!({"balancer": "ghost", "state": "removed"}), "{removed}");
    eventually("what only it could route to is stopped", || {
        (web_instances(&installation) == 1).then_some(())
    });
    let journal = installation.tandem(["journal"]).expect_success().stdout;
    assert!(journal.contains("balancer.forget"), "{journal}");
    let unknown = installation.tandem(["balancer", "remove", "ghost", "--confirm", "ghost"]).expect_code(1);
    expect_words(&unknown, &["there is no balancer ghost", "balancers that the server knows: "]);
    installation.finish();
}
