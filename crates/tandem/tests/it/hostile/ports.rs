//! An app that takes ports which others are about to get: those of instances, and Tandem's own while that is away.

use std::net::TcpStream;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tandem_sandbox::listener;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::connection::Question;
use tandem_testkit::installation::Installation;
use tandem_testkit::wait::eventually;

use super::{HOSTILE, NEIGHBOR, ask, installation, tell};
use crate::needs::{Need, are_met};
use crate::screen::{instances, say};

#[test]
fn ports_taken_by_an_app_are_passed_over_and_never_trusted() {
    if !are_met(&[Need::Isolation]) {
        return;
    }
    let installation = installation();
    let taken = ask(&installation.site(HOSTILE), "/squat/next", &json!({ "from": next_port(&installation) }));
    assert!(taken.as_u64().is_some_and(|taken| taken >= 200), "most of the ports were free: {taken}");
    let folder = AppFolder::fixture("plain");
    folder.edit("tandem.toml", "app = \"plain\"", "app = \"neighbor\"");
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    assert_eq!(installation.site(NEIGHBOR).text("/"), "two\n");
    assert!(!instances(&installation, "neighbor", "serving").is_empty());
    installation.finish();
}

/// The port after those that were given.
fn next_port(installation: &Installation) -> u64 {
    let state = installation.data().runner().join("state.json");
    let text = std::fs::read_to_string(&state).expect("the runner keeps it");
    let state: Value = serde_json::from_str(&text).expect("it is JSON");
    state["ports"]["next"].as_u64().expect("a port comes next")
}

#[test]
fn ports_of_tandem_that_an_app_takes_while_it_is_away_are_taken_back() {
    if !are_met(&[Need::Isolation]) {
        return;
    }
    let mut installation = installation();
    let (http, api) = (installation.ready().http.port(), installation.ready().api.port());
    let ports = json!({ "ports": [http, api] });
    let _ = ask(&installation.site(HOSTILE), "/squat/always", &ports);

    // The balancer alone: it starts again within milliseconds, and who lurks is quicker.
    let balancer = holder(http);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(balancer), Signal::SIGKILL).expect("it runs");
    let mut others = 0;
    eventually("the balancer has its port again", || {
        let answer = installation.site(NEIGHBOR).ask(Question::get("/"));
        others += u32::from(answer.is_err());
        answer.is_ok_and(|answer| answer.text() == "one\n").then_some(())
    });
    tell(&format!("the balancer away: {others} visitors without an answer"));

    // Everything: the app goes on.
    eventually("the hostile app lurks again", || lurks(&installation, &ports));
    let balancer = holder(http);
    let _ = installation.end(Signal::SIGKILL);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(balancer), Signal::SIGKILL).expect("it runs");
    for port in [http, api] {
        eventually("the hostile app has it", || TcpStream::connect(("127.0.0.1", port)).ok());
    }
    installation.start_again();
    assert_eq!((installation.ready().http.port(), installation.ready().api.port()), (http, api));
    eventually("the neighbor is served", || {
        let answer = installation.site(NEIGHBOR).ask(Question::get("/"));
        answer.is_ok_and(|answer| answer.text() == "one\n").then_some(())
    });
    let log = installation.log();
    assert!(log.contains("which is Tandem's own: ending it"), "{log}");
    installation.finish();
}

/// The process of Tandem's that listens on the port. The app has it on the other family of addresses.
fn holder(port: u16) -> i32 {
    let holders = listener::processes_on_port(port).expect("proc can be read");
    let is_tandem = |process: &i32| {
        std::fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.trim() == "tandem")
    };
    holders.into_iter().find(is_tandem).expect("the balancer listens")
}

fn lurks(installation: &Installation, ports: &Value) -> Option<()> {
    let mut question = Question::get("/squat/always");
    question.method = http::Method::POST;
    question.body = ports.to_string().into();
    let answer = installation.site(HOSTILE).ask(question);
    answer.is_ok_and(|answer| answer.status == 200).then_some(())
}
