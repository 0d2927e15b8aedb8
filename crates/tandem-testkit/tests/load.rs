//! The load against a site that behaves, one that fails, and one that closes kept connections.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tandem_testkit::load::{Kind, Load, Mix, Report, Target};
use tandem_testkit::wait::eventually;

/// How the site answers.
#[derive(Clone, Copy)]
struct Manner {
    status: &'static str,
    /// Answers on one connection before it is closed without a word.
    answers: usize,
    /// Whether it takes one more request before it closes.
    takes_another: bool,
}

const WELL: Manner = Manner { status: "200 OK", answers: usize::MAX, takes_another: false };

/// A site in a thread that lasts as long as the test.
fn site(manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(&stream, manner));
        }
    });
    address
}

fn serve(stream: &TcpStream, manner: Manner) {
    let mut reader = BufReader::new(stream);
    for _ in 0..manner.answers {
        let Some(method) = read_request(&mut reader) else { return };
        let body = "<input name=\"csrfmiddlewaretoken\" value=\"t0ken\">";
        let status = if method == "POST" { "302 Found" } else { manner.status };
        let head = format!("HTTP/1.1 {status}\r\nset-cookie: csrftoken=c\r\ncontent-length: {}", body.len());
        if write!(&mut &*stream, "{head}\r\n\r\n{body}").is_err() {
            return;
        }
    }
    if manner.takes_another {
        let _ = read_request(&mut reader);
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut first = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().ok()?;
        }
        if first.is_empty() {
            first.clone_from(&line);
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    first.split(' ').next().map(str::to_owned)
}

/// Loads the site until each kind of request was made some times.
fn load(manner: Manner) -> Report {
    let target = Target { address: site(manner), host: "site.localhost".to_owned() };
    let mix = Mix {
        pages: 100.0,
        writes: 50.0,
        slow: 50.0,
        slow_takes: Duration::ZERO,
        kept_clients: 2,
        // Slow enough for a connection to be seen closed before the next request.
        kept_pages: 5.0,
        ..Mix::default()
    };
    let load = Load::start(target, mix);
    eventually("requests of every kind", || (load.ended() >= 100).then_some(()));
    load.stop()
}

#[test]
fn a_site_that_behaves_has_no_failures_and_every_kind_was_asked() {
    let report = load(WELL);
    report.expect_no_failures();
    assert_eq!(report.stale, 0);
    for kind in [Kind::Page, Kind::Write, Kind::Slow, Kind::Kept] {
        assert!(report.latencies(kind).len() >= 2, "{:?}", report.counts());
    }
}

#[test]
fn every_answer_that_tells_of_an_error_is_counted() {
    let report = load(Manner { status: "503 Service Unavailable", ..WELL });
    let failed = report.failures();
    assert!(failed.iter().all(|sample| sample.outcome == Ok(503)), "{failed:?}");
    let read = report.samples.iter().filter(|sample| sample.kind != Kind::Write);
    assert_eq!(failed.len(), read.count(), "all but the writes");
}

#[test]
fn a_kept_connection_that_was_closed_is_stale_and_no_failure() {
    let report = load(Manner { answers: 1, ..WELL });
    assert!(report.failures().is_empty(), "{:?}", report.failures());
    assert!(report.stale > 0, "no kept connection was found closed");
}

#[test]
fn a_kept_request_that_was_taken_and_never_answered_is_lost_and_not_sent_again() {
    let report = load(Manner { answers: 1, takes_another: true, ..WELL });
    let failures = report.failures();
    assert!(!failures.is_empty() && failures.iter().all(|sample| sample.kind == Kind::Kept), "{failures:?}");
    assert_eq!(report.stale, 0);
}

#[test]
fn a_site_that_is_gone_fails_every_request() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let load = Load::start(Target { address, host: "site.localhost".to_owned() }, Mix::default());
    eventually("some requests", || (load.ended() >= 10).then_some(()));
    let report = load.stop();
    assert!(!report.samples.is_empty());
    assert_eq!(report.failures().len(), report.samples.len());
}
