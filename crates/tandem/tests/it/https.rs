//! HTTPS of managed apps: by the installation's own authority, and by one that speaks ACME (Debian's pebble).

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::pebble::{Looks, Pebble, REFUSED};
use tandem_testkit::program::{Outcome, Program};
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::clock::Hands;
use crate::screen::PLAIN;

/// The domain that an authority is asked for.
const SHOP: &str = "shop.example.org";
/// Seconds for which its certificate holds.
const DAYS: u32 = 90 * 24 * 3600;
/// Longest wait for the end of a balancer.
const END: Duration = Duration::from_secs(40);

/// An installation that serves HTTPS on a port of its own.
fn secure() -> Installation {
    let mut installation = Installation::prepare(Setting::of(TANDEM));
    installation.set_arguments(["--https", "127.0.0.1:0"]);
    installation.start_again();
    installation
}

fn app(domains: &[&str], besides: &str) -> AppFolder {
    let folder = AppFolder::fixture("plain");
    folder.edit("tandem.toml", "app = \"plain\"\n", &format!("app = \"plain\"\ndomains = {domains:?}\n"));
    folder.edit("tandem.toml", "[volumes]\n", &format!("{besides}\n[volumes]\n"));
    folder
}

/// Asks a domain over HTTPS, trusting these roots alone.
fn ask(installation: &Installation, roots: &Path, domain: &str) -> Outcome {
    ask_at(installation.ready().https.expect("it serves HTTPS").port(), roots, domain)
}

fn ask_at(port: u16, roots: &Path, domain: &str) -> Outcome {
    let place = format!("{domain}:{port}:127.0.0.1");
    let curl =
        Program::new("curl").arguments(["-sS", "-i", "--resolve", &place, "--cacert"]).arguments([roots]);
    curl.arguments([format!("https://{domain}:{port}/")]).run()
}

fn until_shown(installation: &Installation, roots: &Path, domain: &str) -> String {
    eventually(&format!("{domain} is shown by these roots"), || {
        let outcome = ask(installation, roots, domain);
        (outcome.code == Some(0)).then_some(outcome.stdout)
    })
}

fn trusted(installation: &Installation) -> PathBuf {
    try_trusted(installation).expect("there is an authority")
}

/// None: it is not made yet.
fn try_trusted(installation: &Installation) -> Option<PathBuf> {
    let file = installation.data().root().join("../authority.pem");
    let path = file.to_str().expect("a plain path");
    let outcome = installation.tandem(["trust", "--out", path, "--json"]);
    let told = (outcome.code == Some(0)).then(|| outcome.json())?;
    assert!(told["chromium"].as_str().expect("a line").contains("certutil"), "{told}");
    let port = installation.ready().https.expect("HTTPS").port();
    assert!(
        told["curl"].as_str().expect("a line").ends_with(&format!(" https://APP.localhost:{port}/")),
        "{told}"
    );
    Some(file)
}

fn status(installation: &Installation) -> Value {
    installation.tandem(["status", "--json"]).expect_success().json()
}

/// What `tandem status` says of a domain.
fn line(installation: &Installation, domain: &str) -> Value {
    let status = status(installation);
    let lines = status["certificates"].as_array().cloned().unwrap_or_default();
    lines.into_iter().find(|line| line["domain"] == domain).unwrap_or_default()
}

/// Has the installation ask an authority from its next start on, which looks at its ports.
fn authority_for(installation: &mut Installation, looks: impl FnOnce(Looks) -> Looks) -> Pebble {
    let ready = installation.ready();
    let (http, https) = (ready.http.port(), ready.https.expect("it serves HTTPS"));
    let pebble = Pebble::start(looks(Looks { http, https: https.port(), life: DAYS }));
    let roots = pebble.api_roots();
    let roots = roots.to_str().expect("a plain path");
    let https = https.to_string();
    let words =
        ["--https", &https, "--acme", &pebble.directory(), "--acme-ca", roots, "--acme-email", "a@b.org"];
    installation.set_arguments(words);
    pebble
}

fn restart(installation: &mut Installation) {
    installation.end(Signal::SIGTERM);
    installation.start_again();
}

#[test]
fn a_laptop_has_https_by_an_authority_that_people_may_trust() {
    let mut installation = secure();
    let roots = eventually("the authority is there before any app", || try_trusted(&installation));
    let folder = app(&[PLAIN, "*.plain.localhost"], "[https]\nredirect = true\nhsts = \"30d\"\n");
    installation.deploy(folder.path());
    let answer = until_shown(&installation, &roots, PLAIN);
    assert!(answer.contains("\r\nstrict-transport-security: max-age=2592000\r\n"), "{answer}");
    let _ = until_shown(&installation, &roots, "any.plain.localhost");
    let (http, https) = (installation.ready().http.port(), installation.ready().https.expect("HTTPS").port());
    let site = installation.site(&format!("{PLAIN}:{http}"));
    let sent = site.get("/a?b=c");
    let location = format!("https://{PLAIN}:{https}/a?b=c");
    assert_eq!((sent.status.as_u16(), sent.header("location")), (308, location.as_str()));
    let path = site.get("/.well-known/acme-challenge/of-an-app");
    assert_ne!(path.status, 308, "an authority may look by HTTP alone");
    let shown = installation.tandem(["status"]).expect_success().stdout;
    assert!(shown.contains("all is well") && shown.contains("plain.localhost    local"), "{shown}");
    assert_eq!(line(&installation, PLAIN)["signer"], "local");
    // The same authority after a crash, and what the balancer kept while no server was there.
    installation.end(Signal::SIGKILL);
    assert_eq!(ask(&installation, &roots, PLAIN).code, Some(0), "the balancer needs no server");
    installation.start_again();
    let _ = until_shown(&installation, &roots, PLAIN);
    let again = std::fs::read(trusted(&installation)).expect("it is written");
    assert_eq!(again, std::fs::read(&roots).expect("it is there"));
    installation.finish();
}

#[test]
fn an_authority_signs_by_http_01_and_a_refusal_is_told_and_keeps_nobody_waiting() {
    let mut installation = secure();
    let local = eventually("the authority is there", || try_trusted(&installation));
    let pebble = authority_for(&mut installation, |looks| looks);
    restart(&mut installation);
    let folder = app(&[REFUSED, SHOP, "*.shop.example.org", PLAIN], "[https]\nredirect = true\n");
    installation.deploy(folder.path());
    let _ = until_shown(&installation, &pebble.roots(), SHOP);
    assert_eq!(line(&installation, SHOP)["signer"], "acme");
    let refused = eventually("the refusal is told", || {
        let line = line(&installation, REFUSED);
        line["problem"].is_string().then_some(line)
    });
    assert!(refused["problem"].as_str().expect("it is").contains("rejectedIdentifier"), "{refused}");
    assert!(refused["next_attempt"].is_string() && refused["signer"] == "local", "{refused}");
    let problems = status(&installation)["problems"].to_string();
    assert!(
        problems.contains("refused.example.org is not to be had") && problems.contains("--acme-dns-hook"),
        "{problems}"
    );
    assert_eq!(
        line(&installation, PLAIN)["problem"],
        Value::Null,
        "nobody asks for what ends with localhost"
    );
    for domain in [PLAIN, REFUSED] {
        let _ = until_shown(&installation, &local, domain);
    }
    let asked = pebble.log().matches("POST /sign-me-up").count() + pebble.log().matches("newAccount").count();
    assert!(asked <= 2, "one account for all: {}", pebble.log());
    let journal = installation.tandem(["journal", "--json"]).expect_success().stdout;
    assert!(journal.contains("certificate.write") && !journal.contains("PRIVATE KEY"), "{journal}");
    installation.finish();
}

#[test]
fn an_authority_signs_by_tls_alpn_01_where_no_port_of_http_is_to_be_had() {
    let mut installation = secure();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let pebble = authority_for(&mut installation, |looks| Looks { http: nobody, ..looks });
    let ready = installation.ready().https.expect("it serves HTTPS").to_string();
    let roots = pebble.api_roots();
    let words =
        ["--https", &ready, "--acme", &pebble.directory(), "--acme-challenge", "tls-alpn-01", "--acme-ca"];
    installation.set_arguments(words.iter().map(Into::into).chain([roots.into_os_string()]));
    restart(&mut installation);
    installation.deploy(app(&[SHOP], "").path());
    let _ = until_shown(&installation, &pebble.roots(), SHOP);
    installation.finish();
}

#[test]
fn a_wildcard_is_signed_by_a_record_that_the_hook_sets_and_removes() {
    let mut installation = secure();
    let pebble = authority_for(&mut installation, |looks| looks);
    let ready = installation.ready().https.expect("it serves HTTPS").to_string();
    let (roots, hook) = (pebble.api_roots(), pebble.dns_hook());
    let words = ["--https", &ready, "--acme", &pebble.directory(), "--acme-ca"].map(Into::into).into_iter();
    let words = words.chain([roots.into_os_string(), "--acme-dns-hook".into(), hook.into_os_string()]);
    installation.set_arguments(words);
    restart(&mut installation);
    installation.deploy(app(&["*.shop.example.org"], "").path());
    let _ = until_shown(&installation, &pebble.roots(), "any.shop.example.org");
    eventually("the record is removed", || {
        (pebble.calls_of_hook()
            == "set _acme-challenge.shop.example.org\nremove _acme-challenge.shop.example.org\n")
            .then_some(())
    });
    installation.finish();
}

#[test]
fn an_authority_may_look_at_either_balancer_of_a_pair_and_both_show_what_it_signed() {
    let mut installation = secure();
    let folder = installation.data().root().join("../second");
    let ready = installation.data().root().join("../second.json");
    let words =
        ["balancer", "--name", "second", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--server"];
    let server = format!("unix:{}", installation.ready().socket);
    let files =
        ["--state".into(), folder.into_os_string(), "--ready-file".into(), ready.clone().into_os_string()];
    let words = words.map(OsString::from).into_iter().chain([server.into()]).chain(files);
    let mut second = installation.program(words).start();
    let at: Value =
        eventually("the second one serves", || tandem_kit::files::read_json(&ready).ok().flatten());
    let port = |scheme: &str| -> u16 {
        at[scheme].as_str().and_then(|text| text.rsplit(':').next()?.parse().ok()).expect("a port")
    };
    let pebble = authority_for(&mut installation, |looks| Looks { http: port("http"), ..looks });
    restart(&mut installation);
    eventually("both report", || {
        let live =
            status(&installation)["balancers"].as_array()?.iter().filter(|one| one["live"] == true).count();
        (live == 2).then_some(())
    });
    installation.deploy(app(&[SHOP], "").path());
    let roots = pebble.roots();
    let _ = until_shown(&installation, &roots, SHOP);
    eventually("the second one shows it", || {
        let outcome = ask_at(port("https"), &roots, SHOP);
        (outcome.code == Some(0)).then_some(())
    });
    second.signal(Signal::SIGTERM);
    assert!(second.wait(END).success());
    installation.finish();
}

#[test]
fn a_certificate_is_renewed_before_its_end_and_shown_without_a_restart() {
    let mut installation = secure();
    // It is renewed after two thirds, which is when 20 s are left.
    let pebble = authority_for(&mut installation, |looks| Looks { life: 60, ..looks });
    restart(&mut installation);
    installation.deploy(app(&[SHOP], "").path());
    let roots = pebble.roots();
    let _ = until_shown(&installation, &roots, SHOP);
    let first = line(&installation, SHOP)["not_after"].clone();
    eventually("there is another one", || (line(&installation, SHOP)["not_after"] != first).then_some(()));
    assert_eq!(ask(&installation, &roots, SHOP).code, Some(0), "at every moment one that holds is shown");
    installation.finish();
}

#[test]
fn a_server_that_is_killed_while_it_asks_leaves_a_time_before_which_nobody_asks_again() {
    let mut installation = Installation::prepare(Setting::of(TANDEM));
    let hands = Hands::on(&mut installation);
    installation.set_arguments(["--https", "127.0.0.1:0"]);
    installation.start_again();
    // Takes connections and says nothing: the authority waits there for its answer.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("it has an address").port();
    let mut pebble = authority_for(&mut installation, |looks| Looks { http: port, ..looks });
    restart(&mut installation);
    installation.deploy(app(&[SHOP], "").path());
    let _asked = silent.accept().expect("the authority looks");
    // Others do not wait until it has an answer.
    installation.deploy(app(&[SHOP, PLAIN], "").path());
    let _ = until_shown(&installation, &trusted(&installation), PLAIN);
    installation.end(Signal::SIGKILL);
    drop(silent);
    let http = installation.ready().http.port();
    let https = installation.ready().https.expect("it serves HTTPS").port();
    // It has forgotten everybody, too: the account is made anew.
    pebble.look_at(Looks { http, https, life: DAYS });
    installation.start_again();
    let line = line(&installation, SHOP);
    assert_eq!((&line["signer"], &line["problem"]), (&"local".into(), &Value::Null), "{line}");
    let attempts = installation.log().matches("asking for a certificate").count();
    assert_eq!(attempts, 1, "{}", installation.log());
    for ahead in [120, 600] {
        installation.end(Signal::SIGTERM);
        hands.set(ahead);
        installation.start_again();
        if ahead == 120 {
            eventually("the account is unknown by now", || {
                installation.log().contains("accountDoesNotExist").then_some(())
            });
        }
    }
    let _ = until_shown(&installation, &pebble.roots(), SHOP);
    installation.finish();
}
