//! The command line without a server, without rights, and with words that it does not know.

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

#[test]
fn whatever_is_mistyped_is_told_with_a_way_out() {
    let (installation, folder) = with_plain();
    let file = folder.path().join("server.py").display().to_string();
    let empty = tempfile::tempdir().expect("the temporary folder takes files");
    let empty_shown = empty.path().canonicalize().expect("it is there").display().to_string();
    let table: &[(&[&str], i32, &[&str])] = &[
        (&["deplyo"], 2, &["deplyo", "'deploy'"]),
        (&["logs", "worker"], 2, &["--process worker", "--app worker"]),
        (&["ps", "--app", "plane"], 1, &["there is no app plane", "plain"]),
        (&["logs", "--process", "wrker"], 1, &["no process type wrker", "hint: it has web, worker"]),
        (&["logs", "-f", "--process", "wrker"], 1, &["no process type wrker"]),
        (&["logs", "-f", "--instance", "i999"], 1, &["no instance i999", "tandem ps"]),
        (&["rollback", "r999"], 1, &["no release r999", "tandem releases"]),
        (&["scale", "worker=-1"], 2, &["a whole number from 0 on, such as worker=3"]),
        (&["config", "set", "COLOR"], 2, &["COLOR is given no value", "hint: write COLOR=VALUE"]),
        (&["config", "set", "1A=hush"], 2, &["\"1A\" is no name", "no digit first"]),
        (&["config", "unset", ""], 1, &["no name for a config value", "hint: "]),
        (&["deploy", "/nonexistent"], 1, &["there is no folder /nonexistent", "tandem deploy PATH"]),
        (&["deploy", &file], 1, &["is not a folder", "tandem deploy PATH"]),
        (&["deploy", &empty_shown], 1, &["nothing in ", &empty_shown, "Procfile"]),
        (&["status", "--server", "nonsense"], 2, &["is not a server address", "hint: "]),
        (&["status", "--server", "http://127.0.0.1:1"], 1, &["http://127.0.0.1:1", "hint: "]),
        (&["status", "--token", "two\nlines", "--server", "http://127.0.0.1:1"], 2, &["the token", "hint: "]),
    ];
    for (words, code, parts) in table {
        let outcome = installation.tandem(*words).expect_code(*code);
        for part in parts.iter().chain(&["error: "]) {
            assert!(outcome.stderr.contains(part), "{part:?} is missing in {outcome}");
        }
        assert!(!outcome.stderr.contains("hush"), "a value that is refused is not shown: {outcome}");
        assert_eq!(outcome.stdout, "", "{outcome}");
    }
    installation.finish();
}
