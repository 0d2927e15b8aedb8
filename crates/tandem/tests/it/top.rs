//! What requests come to: `tandem top`, and the access log of a balancer.

use std::fs;

use serde_json::{Value, json};
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Program;
use tandem_testkit::wait::{PATIENCE, eventually};

use crate::TANDEM;
use crate::run::person;
use crate::screen::{PLAIN, with_plain};

/// The line of a release in `top --json`, once it is there.
fn line(installation: &Installation, release: &str, fits: impl Fn(&Value) -> bool) -> (Value, Value) {
    eventually("the requests are told", || {
        let top = installation.tandem(["top", "--json", "--app", "plain"]).expect_success().json();
        let lines = top["releases"].as_array().expect("a list");
        let line = lines.iter().find(|line| line["release"] == release && fits(line))?.clone();
        Some((line, top))
    })
}

#[test]
fn requests_are_seen_by_app_and_release_within_seconds() {
    let (installation, _folder) = with_plain();
    let port = installation.ready().http.port();
    let empty = installation.tandem(["top"]).expect_success().stdout;
    assert_eq!(empty, format!("no requests yet: curl http://plain.localhost:{port}\n"));
    let site = installation.site(PLAIN);
    for _ in 0..5 {
        assert_eq!(site.get("/?token=secret").status, 200);
    }
    let _ = installation.site("nobodys.example").get("/");
    let (line, top) = line(&installation, "r1", |line| line["requests"] == 5);
    assert_eq!((&line["app"], &line["environment"]), (&json!("plain"), &json!("production")));
    assert_eq!((&line["classes"], &line["in_flight"]), (&json!([0, 0, 5, 0, 0, 0]), &json!(0)));
    assert!(line["p50_us"].as_u64() <= line["p99_us"].as_u64() && line["p50_us"].as_u64() > Some(0));
    for list in ["slowest", "latest"] {
        let record = &top[list][0];
        assert_eq!((&record["path"], &record["answered_by"]), (&json!("/"), &json!("instance")), "{top}");
    }
    let text = installation.tandem(["top"]).expect_success().stdout;
    assert!(text.contains("plain  r1") && text.contains("slowest of the last minute"), "{text}");
    assert!(text.contains("GET nobodys.example/") && !text.contains("secret"), "{text}");
    let log = installation.tandem(["top", "--slow", "--app", "plain", "--json"]).expect_success().json();
    assert_eq!(log[0]["slowest"].as_array().map(Vec::len), Some(5), "{log}");
    let slow = installation.tandem(["top", "--slow"]).expect_success().stdout;
    assert!(slow.starts_with("TIME") && slow.contains("GET nobodys.example/"), "{slow}");
    let slow = installation.tandem(["top", "--slow", "--env", "staging"]).expect_success().stdout;
    assert!(slow.starts_with("no requests in the last hour"), "{slow}");
    let staging = installation.tandem(["top", "--env", "staging"]).expect_success().stdout;
    assert!(staging.starts_with("no requests yet"), "{staging}");
    installation.finish();
}

#[test]
fn at_a_terminal_it_is_live_until_somebody_has_seen_enough() {
    let (installation, _folder) = with_plain();
    let site = installation.site(PLAIN);
    assert_eq!(site.get("/").status, 200);
    line(&installation, "r1", |_| true);
    let steps = json!([["see", "IN FLIGHT"], ["see", "slowest"], ["type", "\u{3}"]]);
    let outcome = person(&installation, &steps, &["top"]).run().expect_success();
    assert!(outcome.stdout.contains("\u{1b}[?1049h") && outcome.stdout.contains("code 0"), "{outcome:?}");
    let (_, end) = outcome.stdout.rsplit_once("\u{1b}[H").expect("it drew");
    assert!(end.contains("\u{1b}[?25h\u{1b}[?1049l"), "the screen of before comes back: {end:?}");
    installation.finish();
}

#[test]
fn a_balancer_alone_writes_an_access_log_in_either_format() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name);
    let routes = "[[route]]\ndomain = \"*\"\ntargets = [\"http://127.0.0.1:1\"]\n";
    tandem_kit::files::write_atomic_unsynced(&file("routes.toml"), routes.as_bytes(), 0o644)
        .expect("written");
    for (format, wanted) in [("json", "\"path\":\"/a\""), ("combined", "\"GET /a HTTP/1.1\" 503 ")] {
        let (log, ready) = (file(format), file(&format!("{format}.ready")));
        let program = Program::new(TANDEM).arguments(["balancer", "--http", "127.0.0.1:0", "--routes"]);
        let program = program.arguments([file("routes.toml")]).arguments(["--access-format", format]);
        let program = program.arguments(["--access-log".as_ref(), log.as_os_str()]);
        let program = program.arguments(["--ready-file".as_ref(), ready.as_os_str()]);
        let mut balancer = program.output(&file("output")).start();
        let address = eventually("it serves", || {
            let ready: Value = serde_json::from_slice(&fs::read(&ready).ok()?).ok()?;
            ready["http"].as_str()?.parse().ok()
        });
        let site = tandem_testkit::site::Site::new(address, "shop.example");
        assert_eq!(site.get("/a?token=secret").status, 503);
        balancer.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(balancer.wait(PATIENCE).success());
        let text = fs::read_to_string(&log).expect("there is a log");
        assert!(text.lines().count() == 1 && text.contains(wanted) && !text.contains("secret"), "{text}");
    }
    let missing = file("missing/access.log");
    let program = Program::new(TANDEM).arguments(["balancer", "--http", "127.0.0.1:0", "--routes"]);
    let program =
        program.arguments([file("routes.toml")]).arguments(["--access-log".as_ref(), missing.as_os_str()]);
    let refused = program.run().expect_code(1).stderr;
    assert!(refused.contains("open the access log") && refused.contains("hint: "), "{refused}");
}
