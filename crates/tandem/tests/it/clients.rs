//! Clients that people have, against a balancer with a file of routes, over HTTP and HTTPS, IPv4 and IPv6: curl, a browser,
//! libraries of Python, h2load.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tandem_testkit::program::{Outcome, Program, Running};
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::alone::{Place, ends_well, route};

/// Versions that were there when this was written: what is tested is the balancer.
const LIBRARIES: [&str; 3] = ["requests==2.34.2", "httpx==0.28.1", "websockets==17.4"];

/// A balancer with a certificate for `localhost`, an app that says what it was asked, and one for websockets.
struct Clients {
    place: Place,
    balancer: Running,
    http: String,
    https: String,
}

impl Clients {
    fn new() -> Self {
        let mut place = Place::new();
        for (name, text) in [
            ("echo.py", include_str!("clients/echo.py")),
            ("repeat.py", include_str!("clients/repeat.py")),
            ("ask.py", include_str!("clients/ask.py")),
        ] {
            place.write(name, text);
        }
        install(&place);
        certify(&place);
        let echo = start((&mut place, "venv/bin/python"), &["echo.py", "echo", "result"]);
        let repeat = start((&mut place, "venv/bin/python"), &["repeat.py", "repeat"]);
        let socket = route("localhost", &[&repeat]).replace("\n\n", "\nprefix = \"/socket\"\n\n");
        let certificate =
            "[[certificate]]\ndomains = [\"localhost\"]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";
        place.write("routes.toml", &(route("localhost", &[&echo]) + &socket + certificate));
        let (balancer, http, https) = balance(&place);
        Self { place, balancer, http, https }
    }

    fn bases(&self) -> [&str; 2] {
        [&self.http, &self.https]
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Outcome {
        Program::new(program).folder(self.place.folder.path()).arguments(arguments).run().expect_success()
    }

    fn curl(&self, arguments: &[&str]) -> Outcome {
        let always = ["--silent", "--show-error", "--fail", "--cacert", "cert.pem", "--noproxy", "*"];
        self.run("curl", &[&always, arguments].concat())
    }
}

/// Python's libraries, from where people have them.
fn install(place: &Place) {
    let run = |program: &str, arguments: &[&str]| {
        let outcome = Program::new(program).folder(place.folder.path()).arguments(arguments).run();
        let _ = outcome.expect_success();
    };
    run("/usr/bin/python3", &["-m", "venv", "venv"]);
    run("venv/bin/pip", &[&["install", "--quiet", "--disable-pip-version-check"][..], &LIBRARIES].concat());
}

/// A certificate for `localhost` that signs itself.
fn certify(place: &Place) {
    let request = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ];
    let _ = Program::new("openssl").folder(place.folder.path()).arguments(request).run().expect_success();
}

/// Starts an app that writes its port to the file that is named behind its own; returns it as a target is written.
fn start((place, python): (&mut Place, &str), words: &[&str]) -> String {
    let program = Program::new(python).folder(place.folder.path()).arguments(words);
    place.apps.push(program.start());
    let port = eventually("the app listens", || fs::read_to_string(place.path(words[1])).ok());
    format!("http://127.0.0.1:{port}")
}

/// Starts a balancer on both families; returns where it serves.
fn balance(place: &Place) -> (Running, String, String) {
    let arguments = [
        "balancer",
        "--routes",
        "routes.toml",
        "--http",
        "127.0.0.1:0",
        "--http",
        "[::1]:0",
        "--https",
        "127.0.0.1:0",
        "--https",
        "[::1]:0",
        "--ready-file",
        "ready.json",
    ];
    let program = Program::new(TANDEM).folder(place.folder.path()).arguments(arguments);
    let running = program.unset("TANDEM_DATA").output(&place.path("log")).start();
    let ready = eventually("it serves", || fs::read_to_string(place.path("ready.json")).ok());
    let ready: serde_json::Value = serde_json::from_str(&ready).expect("it is JSON");
    let port = |scheme: &str| {
        ready[scheme].as_str().and_then(|at| at.rsplit(':').next()).expect("a port").to_owned()
    };
    let at = |scheme: &str| format!("{scheme}://localhost:{}", port(scheme));
    let (http, https) = (at("http"), at("https"));
    (running, http, https)
}

#[test]
fn clients_that_people_have_are_served() {
    let clients = Clients::new();
    for base in clients.bases() {
        let is_plain = base == clients.http;
        for version in ["--http1.1", if is_plain { "--http2-prior-knowledge" } else { "--http2" }] {
            by_curl(&clients, base, version);
        }
        by_h2load(&clients, base);
        for library in ["requests", "httpx", "websockets"] {
            let said = clients.run("venv/bin/python", &["ask.py", library, base, "cert.pem"]);
            assert_eq!(said.stdout, "well\n", "{base}: {said}");
        }
        by_browser(&clients, base);
    }
    let Clients { balancer, place, .. } = clients;
    assert!(!place.log().contains("panicked"), "{}", place.log());
    ends_well(balancer);
}

#[test]
fn a_proxy_header_of_curl_is_heard_from_who_is_trusted_and_from_nobody_else() {
    let mut place = Place::new();
    place.write("echo.py", include_str!("clients/echo.py"));
    let echo = start((&mut place, "/usr/bin/python3"), &["echo.py", "echo", "result"]);
    let asked = |place: &Place, address: SocketAddr, arguments: &[&str]| {
        let always = ["--silent", "--noproxy", "*", "--write-out", " %{http_code}"];
        let url = format!("http://{address}/");
        let program = Program::new("curl").folder(place.folder.path()).arguments(always);
        program.arguments(arguments).arguments([url]).run().stdout
    };
    for (from, with, without) in [("127.0.0.0/8", "200", "400"), ("10.0.0.0/8", "400", "200")] {
        let _ = fs::remove_file(place.path("ready.json"));
        let trusted = format!("[proxy_protocol]\nfrom = [\"{from}\"]\n\n");
        place.write("routes.toml", &(trusted + &route("*", &[&echo])));
        let (balancer, address) = place.balancer();
        let said = asked(&place, address, &["--haproxy-protocol"]);
        assert!(said.ends_with(with), "{from}: {said}");
        assert_eq!(said.contains("\"for\": \"127.0.0.1\""), with == "200", "{said}");
        let said = asked(&place, address, &[]);
        assert!(said.ends_with(without), "{from}: {said}");
        ends_well(balancer);
    }
}

fn by_curl(clients: &Clients, base: &str, version: &str) {
    let curl = |arguments: &[&str]| clients.curl(&[&[version], arguments].concat());
    let scheme = base.split(':').next().expect("an address");
    for family in ["-4", "-6"] {
        let said = curl(&[family, &format!("{base}/a?b")]).json();
        let own = if family == "-4" { "127.0.0.1" } else { "::1" };
        assert_eq!(
            (&said["path"], &said["for"], &said["proto"]),
            (&"/a?b".into(), &own.into(), &scheme.into())
        );
    }
    // curl 7.88 cannot use such a connection twice, whoever serves (seen with HAProxy as well).
    if version != "--http2-prior-knowledge" {
        by_one_connection(&curl, base, if version == "--http2" { "2" } else { "1.1" });
    }
    // A body of a length that is told, one in chunks, and one that waits until it is asked for.
    clients.place.write("upload", &"0123456789".repeat(200_000));
    let to = format!("{base}/upload");
    for how in ["Expect:", "Transfer-Encoding: chunked", "Expect: 100-continue"] {
        let said = curl(&["--data-binary", "@upload", "-H", how, &to]).json();
        assert_eq!((&said["method"], &said["length"]), (&"POST".into(), &2_000_000.into()), "{how:?}");
    }
    let _ = curl(&["--output", "big", &format!("{base}/big")]);
    assert_eq!(fs::metadata(clients.place.path("big")).expect("it was written").len(), 2 << 20);
    let head = curl(&["--head", &format!("{base}/big")]);
    assert!(head.stdout.to_lowercase().contains("content-length: 2097152\r\n"), "{head}");
    let old = clients.curl(&["--http1.0", &format!("{base}/old")]).json();
    assert_eq!(old["path"], "/old");
    let unknown = curl(&["--no-fail", "-H", "Host: other.example", &format!("{base}/")]);
    assert!(unknown.stdout.contains("other.example"), "{unknown}");
}

fn by_one_connection(curl: &impl Fn(&[&str]) -> Outcome, base: &str, spoken: &str) {
    let (many, told) = (format!("{base}/[1-50]"), "%{http_code} %{num_connects} %{http_version}\n");
    let counted = curl(&["--output", "/dev/null", "--write-out", told, &many]);
    let lines: Vec<_> = counted.stdout.lines().collect();
    let (first, others) = (format!("200 1 {spoken}"), format!("200 0 {spoken}"));
    assert!(
        lines.len() == 50 && lines[0] == first && lines[1..].iter().all(|line| *line == others),
        "{counted}"
    );
}

fn by_h2load(clients: &Clients, base: &str) {
    for how in [&["--h1", "-c", "50"][..], &["-c", "5", "-m", "100"]] {
        let to = format!("{base}/");
        let arguments = [how, &["-n", "5000", "-t", "1", &to]].concat();
        let said = clients.run("h2load", &arguments);
        assert!(said.stdout.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
        assert!(said.stdout.contains("status codes: 5000 2xx"), "{said}");
    }
}

/// A page asks for fifty others at a time, sends a body, opens a websocket and hears events.
fn by_browser(clients: &Clients, base: &str) {
    let result = clients.place.path("result");
    let _ = fs::remove_file(&result);
    let profile = format!("--user-data-dir={}", clients.place.path("profile").display());
    let browser = Program::new("chromium").folder(clients.place.folder.path()).arguments([
        "--headless",
        // As root it has no sandbox of its own; nothing but our own page is opened.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--no-proxy-server",
        "--ignore-certificate-errors",
        "--remote-debugging-port=0",
        &profile,
        &format!("{base}/page"),
    ]);
    let mut browser = browser.output(&clients.place.path("browser.log")).start();
    let said = tandem_testkit::wait::within(Duration::from_secs(60), || fs::read_to_string(&result).ok());
    let log = || fs::read_to_string(clients.place.path("browser.log")).unwrap_or_default();
    let said = said.unwrap_or_else(|| panic!("the page told nothing: {}", log()));
    let said: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    let scheme = base.split(':').next().expect("an address");
    let expected =
        serde_json::json!({"many": 50, "post": 300_000, "proto": scheme, "socket": true, "events": "0,1,2"});
    assert_eq!(said, expected);
    browser.signal(nix::sys::signal::Signal::SIGTERM);
    let _ = browser.wait(Duration::from_secs(20));
}
