//! The balancer as a process: who starts it again, where its lines go.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use nix::sys::signal::{Signal, kill};
use tandem_testkit::connection::Question;
use tandem_testkit::installation::Installation;
use tandem_testkit::leftovers::Process;
use tandem_testkit::site::Site;
use tandem_testkit::wait::eventually;

use crate::screen::{PLAIN, with_plain};

fn balancer(installation: &Installation) -> Option<Process> {
    let processes = installation.traces().processes();
    processes.into_iter().find(|process| process.words.split(' ').nth(1) == Some("balancer"))
}

/// Kills the balancer without a word, as the kernel does when memory is short.
fn kill_it(installation: &Installation) -> Process {
    let process = balancer(installation).expect("a balancer runs");
    kill(process.id, Signal::SIGKILL).expect("it can be killed");
    process
}

fn until_served(site: &Site) {
    eventually("pages are served", || {
        let answer = site.ask(Question::get("/")).ok()?;
        (answer.status == 200).then_some(())
    });
}

#[test]
fn a_balancer_that_was_taken_over_is_started_again_when_it_dies() {
    let (mut installation, _folder) = with_plain();
    let first = balancer(&installation).expect("a balancer runs").id;
    installation.end(Signal::SIGTERM);
    installation.start_again();
    assert_eq!(balancer(&installation).expect("it went on").id, first);
    let site = installation.site(PLAIN);
    for _ in 0..2 {
        let killed = kill_it(&installation);
        until_served(&site);
        assert_ne!(balancer(&installation).expect("there is another one").id, killed.id);
    }
    let log = installation.log();
    let at_once = log.lines().filter(|line| line.contains("starting it again at once")).count();
    assert_eq!(at_once, 1, "only the second death in a row is waited for:\n{log}");
    assert!(log.contains("starting it again in 100ms"), "{log}");
    installation.finish();
}

#[test]
fn what_tandem_up_is_told_of_proxies_and_logs_is_its_balancers_and_stays_so_until_it_is_told_otherwise() {
    let (mut installation, folder) = with_plain();
    let untold = balancer(&installation).expect("a balancer runs").id;
    let log = folder.path().join("access.log");
    installation.end(Signal::SIGTERM);
    let path = log.to_str().expect("text");
    let told = ["--proxy-from", "127.0.0.0/8", "--access-log", path, "--access-format", "combined"];
    installation.set_arguments(told);
    installation.start_again();
    // It may be there for a moment still.
    let process = eventually("the one that was not told is replaced", || {
        balancer(&installation).filter(|process| process.id != untold)
    });
    // The first line of a connection says who its client is, who then asks.
    let mut stream = TcpStream::connect(installation.ready().http).expect("it listens");
    let asked = format!("GET / HTTP/1.1\r\nHost: {PLAIN}\r\nConnection: close\r\n\r\n");
    write!(stream, "PROXY TCP4 192.0.2.7 192.0.2.1 5 80\r\n{asked}").expect("it takes them");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("it answers");
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    let is_logged = || fs::read_to_string(&log).is_ok_and(|text| text.starts_with("192.0.2.7 - - ["));
    eventually("the request is in the log", || is_logged().then_some(()));
    // The same words find the same one good enough; without them it is replaced.
    installation.end(Signal::SIGTERM);
    installation.start_again();
    assert_eq!(balancer(&installation).expect("it went on").id, process.id);
    installation.end(Signal::SIGTERM);
    installation.set_arguments([""; 0]);
    installation.start_again();
    until_served(&installation.site(PLAIN));
    installation.finish();
}

#[test]
fn a_balancer_puts_its_long_log_aside_while_it_runs() {
    let (mut installation, folder) = with_plain();
    let log = installation.data().balancer().join("balancer.log");
    let old = log.with_file_name("balancer.log.1");
    let first = balancer(&installation).expect("a balancer runs").id;
    // As after months. The balancer looks at its length now and then, and at its first line in any case.
    let mut file = OpenOptions::new().append(true).open(&log).expect("it has a log");
    file.write_all(&vec![b'\n'; 11 << 20]).expect("the disk takes it");
    installation.end(Signal::SIGKILL);
    kill(first, Signal::SIGKILL).expect("it can be killed");
    installation.start_again();
    until_served(&installation.site(PLAIN));
    eventually("the long one is put aside", || old.exists().then_some(()));
    let process = balancer(&installation).expect("another one runs");
    let stderr = format!("/proc/{}/fd/2", process.id);
    assert_eq!(fs::read_link(stderr).expect("it is open"), log, "panics follow");
    installation.deploy(folder.path());
    eventually("new lines are in the new file", || {
        let text = fs::read_to_string(&log).ok()?;
        (text.len() < 1 << 20 && text.contains("serving routing table")).then_some(())
    });
    installation.finish();
}
