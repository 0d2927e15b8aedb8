//! The command line without a server, on a taken port, and with words that it does not know.

use std::net::TcpListener;

use tandem_testkit::installation::Installation;
use tandem_testkit::program::Program;

use crate::TANDEM;
use crate::screen::with_plain;

#[test]
fn without_a_server_every_verb_says_how_to_start_one() {
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    let data = folder.path().to_str().expect("a plain path").to_owned();
    for verb in ["status", "ps", "releases", "journal"] {
        let outcome = Program::new(TANDEM).arguments([verb, "--data", &data, "--app", "shop"]).run();
        let outcome = outcome.expect_code(1);
        assert!(outcome.stderr.starts_with("error: ") && outcome.stderr.contains("tandem up"), "{outcome}");
    }
}

#[test]
fn a_refusal_is_an_object_when_json_is_asked_for() {
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    let data = folder.path().to_str().expect("a plain path").to_owned();
    let outcome = Program::new(TANDEM).arguments(["status", "--json", "--data", &data]).run().expect_code(1);
    let problem = outcome.json()["problem"].clone();
    assert_eq!(problem["code"], "server_not_running", "{outcome}");
    for field in ["title", "detail", "hint"] {
        assert!(problem[field].is_string(), "{field} in {outcome}");
    }
    assert!(outcome.stderr.contains("error: "), "people are told all the same: {outcome}");
}

#[test]
fn the_usage_shows_only_what_was_typed() {
    let program = Program::new(TANDEM).arguments(["config", "set"]).set("TANDEM_DATA", "/nowhere");
    let outcome = program.run().expect_code(2);
    assert!(!outcome.stderr.contains("--data"), "{outcome}");
}

#[test]
fn the_balancer_is_told_from_the_api_and_an_unknown_app_is_said_to_be_one() {
    let installation = Installation::start(TANDEM);
    let server = format!("http://{}", installation.ready().http);
    let outcome = Program::new(TANDEM).arguments(["status", "--server", &server]).run().expect_code(1);
    assert!(outcome.stderr.contains("not Tandem's API") && outcome.stderr.contains("hint: "), "{outcome}");
    for unknown in [&["journal", "--app", "nope"][..], &["app", "destroy", "nope"]] {
        let outcome = installation.tandem(unknown).expect_code(1);
        assert!(outcome.stderr.contains("no app nope"), "{outcome}");
    }
    let silent = installation.tandem(["journal", "-n", "0"]).expect_success();
    assert_eq!((silent.stdout.as_str(), silent.stderr.as_str()), ("", ""));
    installation.finish();
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    let data = folder.path().to_str().expect("a plain path").to_owned();
    for flag in ["--http", "--api"] {
        let other = if flag == "--http" { "--api" } else { "--http" };
        let addresses = [flag, &address, other, "127.0.0.1:0"];
        let outcome = Program::new(TANDEM).arguments(["up", "--data", &data]).arguments(addresses).run();
        let outcome = outcome.expect_code(1);
        let told = outcome.stderr.contains(&address) && outcome.stderr.contains("hint: ");
        assert!(told, "{outcome}");
    }
    let data = tandem_kit::paths::DataDir::open(folder.path()).expect("the folder is ours");
    let traces = tandem_testkit::leftovers::Traces::of(&data);
    assert_eq!(traces.leftovers(), Vec::<String>::new());
    traces.clean();
}

#[test]
fn one_data_folder_has_one_tandem_up() {
    let installation = Installation::start(TANDEM);
    let second = installation.program(["up", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0"]).run();
    let second = second.expect_code(1);
    assert!(second.stderr.contains("error: ") && second.stderr.contains("hint: "), "{second}");
    installation.finish();
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&["deply"][..], &["scale", "web"], &["config", "set", "1A=x"], &["rollback", "b7"]] {
        let outcome = Program::new(TANDEM).arguments(arguments).run().expect_code(2);
        assert!(outcome.stderr.contains("error"), "{outcome}");
    }
}

#[test]
fn every_list_is_json_when_asked() {
    let (installation, _folder) = with_plain();
    for arguments in [
        &["status"][..],
        &["ps"],
        &["releases"],
        &["release", "show", "r1"],
        &["rollout", "list"],
        &["journal"],
        &["config", "list"],
        &["app", "list"],
        &["token", "list"],
        &["logs"],
    ] {
        let outcome = installation.tandem(arguments.iter().chain(&["--json"])).expect_success();
        let value = outcome.json();
        assert!(value.is_object() || value.is_array(), "{outcome}");
    }
    let status = installation.tandem(["status", "--json"]).expect_success().json();
    assert_eq!(status["problems"].as_array().map(Vec::len), Some(0), "{status}");
    installation.finish();
}

#[test]
fn the_api_over_tcp_wants_a_token() {
    let (installation, _folder) = with_plain();
    let server = format!("http://{}", installation.ready().api);
    let over_tcp = |token: Option<&str>| {
        let program = Program::new(TANDEM).arguments(["ps", "--app", "plain", "--server", &server, "--json"]);
        let program = program.unset("TANDEM_TOKEN").unset("TANDEM_SERVER").unset("TANDEM_DATA");
        match token {
            Some(token) => program.set("TANDEM_TOKEN", token).run(),
            None => program.run(),
        }
    };
    let refused = over_tcp(None).expect_code(1);
    assert!(refused.stderr.contains("token"), "{refused}");
    let created = installation.tandem(["token", "create", "ci", "--json"]).expect_success().json();
    let token = created["token"].as_str().expect("the token is shown once").to_owned();
    assert!(!over_tcp(Some(&token)).expect_success().json().as_array().expect("a list").is_empty());
    let _ = over_tcp(Some("tandem_wrong")).expect_code(1);
    let _ = installation.tandem(["token", "revoke", "ci"]).expect_success();
    let _ = over_tcp(Some(&token)).expect_code(1);
    installation.finish();
}
