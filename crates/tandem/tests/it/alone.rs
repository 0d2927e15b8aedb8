//! A balancer with a file of routes: no server, no data folder.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use tandem_testkit::connection::Question;
use tandem_testkit::load::{Load, Mix, Target};
use tandem_testkit::program::{Program, Running};
use tandem_testkit::site::Site;
use tandem_testkit::wait::eventually;

use crate::TANDEM;

/// Longest wait for a program to end.
const END: Duration = Duration::from_secs(40);

/// A web server of Python's own library that says its name: `app.py NAME tcp FILE`, which is told the port, or `app.py NAME
/// unix SOCKET`.
const APP: &str = r#"
import os, socket, socketserver, sys
from http.server import BaseHTTPRequestHandler

name, kind, path = sys.argv[1:]

class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = name.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return name
    def log_message(self, *words):
        pass

class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    daemon_threads = True
    request_queue_size = 128

server = Server(path if kind == "unix" else ("127.0.0.1", 0), Page)
if kind == "tcp":
    with open(path + ".new", "w") as file:
        file.write(str(server.server_address[1]))
    os.rename(path + ".new", path)
server.serve_forever()
"#;

/// A folder with a file of routes, and the programs that were started in it.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) apps: Vec<Running>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("there is room"), apps: Vec::new() };
        place.write("app.py", APP);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file as an editor would: whole or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) {
        tandem_kit::files::write_atomic(&self.path(name), text.as_bytes(), 0o644).expect("there is room");
    }

    fn app(&mut self, words: [&str; 3]) {
        let arguments = [&["app.py"], &words[..]].concat();
        self.apps.push(Program::new("python3").folder(self.folder.path()).arguments(arguments).start());
    }

    /// Starts an app on a port; returns it as a target is written.
    pub(crate) fn app_on_a_port(&mut self, name: &str) -> String {
        self.app([name, "tcp", name]);
        let port = eventually("the app listens", || fs::read_to_string(self.path(name)).ok());
        format!("http://127.0.0.1:{port}")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn balancer(&self) -> (Running, SocketAddr) {
        self.balancer_with(&[])
    }

    pub(crate) fn balancer_with(&self, more: &[&str]) -> (Running, SocketAddr) {
        let arguments =
            ["balancer", "--routes", "routes.toml", "--http", "127.0.0.1:0", "--ready-file", "ready.json"];
        let program = Program::new(TANDEM).folder(self.folder.path()).arguments(arguments).arguments(more);
        let running = program.unset("TANDEM_DATA").output(&self.path("log")).start();
        let ready = eventually("it serves", || fs::read_to_string(self.path("ready.json")).ok());
        let ready: serde_json::Value = serde_json::from_str(&ready).expect("it is JSON");
        let address = ready["http"].as_str().expect("it has an address").parse().expect("it is one");
        (running, address)
    }
}

pub(crate) fn route(domain: &str, targets: &[&str]) -> String {
    format!("[[route]]\ndomain = \"{domain}\"\ntargets = {targets:?}\n\n")
}

fn until_said(address: SocketAddr, host: &str, said: &str) {
    let site = Site::new(address, host);
    eventually(said, || {
        let answer = site.ask(Question::get("/")).ok()?;
        (answer.text() == said).then_some(())
    });
}

pub(crate) fn ends_well(mut balancer: Running) {
    balancer.signal(Signal::SIGTERM);
    assert_eq!(balancer.wait(END).code(), Some(0));
}

#[test]
fn a_file_that_changes_under_load_loses_nothing_and_one_with_a_mistake_changes_nothing() {
    let mut place = Place::new();
    let (one, two) = (place.app_on_a_port("one"), place.app_on_a_port("two"));
    let both = route("shop.example", &[&one, &two]);
    place.write("routes.toml", &both);
    let (balancer, address) = place.balancer();
    let load = Load::start(Target { address, host: "shop.example".to_owned() }, Mix::gets());
    let table = |number: usize| match number % 3 {
        0 => route("shop.example", &[&one]),
        1 => route("shop.example", &[&two]),
        _ => both.clone(),
    };
    for number in 0..9 {
        let mark = format!("mark-{number}.example");
        place.write("routes.toml", &(table(number) + &route(&mark, &[&one])));
        balancer_reads(&balancer);
        until_said(address, &mark, "one");
        let ended = load.ended();
        eventually("load goes on", || (load.ended() > ended + 10).then_some(()));
    }
    place.write("routes.toml", "[[route]]\ndomian = \"shop.example\"\n");
    eventually("the mistake is told", || {
        place.log().contains("routes.toml:2:1: unknown key `domian` in [[route]]").then_some(())
    });
    let ended = load.ended();
    eventually("it serves on", || (load.ended() > ended + 20).then_some(()));
    load.stop().expect_nothing_lost();
    ends_well(balancer);
}

#[test]
fn one_process_after_another_serves_on_the_same_sockets_and_loses_nothing() {
    let mut place = Place::new();
    let app = place.app_on_a_port("app");
    place.write("routes.toml", &route("shop.example", &[&app]));
    let start = |threads: &str| {
        let _ = fs::remove_file(place.path("ready.json"));
        place.balancer_with(&["--handover", "handover", "--threads", threads])
    };
    let (mut balancer, address) = start("1");
    let load = Load::start(Target { address, host: "shop.example".to_owned() }, Mix::gets());
    for threads in ["2", "1"] {
        let ended = load.ended();
        eventually("load goes on", || (load.ended() > ended + 20).then_some(()));
        let (next, at) = start(threads);
        assert_eq!(at, address);
        let mut before = std::mem::replace(&mut balancer, next);
        assert_eq!(before.wait(END).code(), Some(0), "{}", place.log());
    }
    let ended = load.ended();
    eventually("load goes on", || (load.ended() > ended + 20).then_some(()));
    load.stop().expect_nothing_lost();
    ends_well(balancer);
}

fn balancer_reads(balancer: &Running) {
    nix::sys::signal::kill(balancer.id(), Signal::SIGHUP).expect("it runs");
}

#[test]
fn sockets_folders_and_wildcards_are_served_without_any_server() {
    let mut place = Place::new();
    place.app(["socket", "unix", "app.sock"]);
    eventually("the app listens", || place.path("app.sock").exists().then_some(()));
    fs::create_dir(place.path("www")).expect("there is room");
    place.write("www/index.html", "a file");
    place.write("secret", "secret");
    std::os::unix::fs::symlink("../secret", place.path("www/link")).expect("there is room");
    let folder = "[[route]]\ndomain = \"*\"\nfolder = \"www\"\n\n";
    place.write("routes.toml", &(route("*.shop.example", &["unix:app.sock"]) + folder));
    let (balancer, address) = place.balancer();
    until_said(address, "a.b.shop.example", "socket");
    until_said(address, "shop.example", "a file");
    let link = Site::new(address, "any").ask(Question::get("/link")).expect("it answers");
    assert_eq!(link.status, 404, "{}", link.text());
    let left: Vec<_> = fs::read_dir(place.folder.path()).expect("it is there").flatten().collect();
    let names: Vec<_> =
        left.iter().map(|entry| entry.file_name().into_string().unwrap_or_default()).collect();
    assert_eq!(names.len(), 7, "nothing of its own is left: {names:?}");
    ends_well(balancer);
}

#[test]
fn what_browsers_will_say_against_certificates_is_in_the_log_before() {
    let place = Place::new();
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3 -subj /CN=shop.example -addext \
                   subjectAltName=DNS:shop.example -keyout key.pem -out cert.pem";
    let made = Program::new("openssl").folder(place.folder.path()).arguments(request.split_whitespace());
    let _ = made.run().expect_success();
    place.write("routes.toml", "[[route]]\ndomain = \"shop.example\"\nfolder = \".\"\n");
    let (balancer, _) = place.balancer_with(&["--https", "127.0.0.1:0"]);
    let is_told = |part: &str| eventually(part, || place.log().contains(part).then_some(()));
    is_told("nobody gets anything over HTTPS: routes.toml has no [[certificate]]");
    let domains = r#"domains = ["shop.example", "*.shop.example"]"#;
    let certificate = format!("[[certificate]]\n{domains}\ncert = \"cert.pem\"\nkey = \"key.pem\"\n");
    place.write("routes.toml", &certificate);
    is_told("routes.toml: it names no route, and 1 are served");
    place.write("routes.toml", &(route("shop.example", &["http://127.0.0.1:9"]) + &certificate));
    is_told("browsers refuse the certificate of shop.example, *.shop.example, or will soon: it ends at 2");
    is_told("*.shop.example is not among its names");
    ends_well(balancer);
}

#[test]
fn a_mistake_at_the_start_is_shown_with_its_line() {
    let place = Place::new();
    place.write("routes.toml", "[[route]]\ndomain = \"a.org\"\ntargets = [\"127.0.0.1:80\"]\n");
    let arguments = ["balancer", "--routes", "routes.toml", "--http", "127.0.0.1:0"];
    let outcome = Program::new(TANDEM).folder(Path::new(place.folder.path())).arguments(arguments).run();
    let outcome = outcome.expect_code(1);
    for part in [
        "error: routes.toml:3:12: \"127.0.0.1:80\" is not a target",
        "3 | targets = [\"127.0.0.1:80\"]",
        "hint: such as \"http://127.0.0.1:9000\"",
    ] {
        assert!(outcome.stderr.contains(part), "{part}\n{outcome}");
    }
}
