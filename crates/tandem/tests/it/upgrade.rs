//! Tandem replaced by another version and back: no request is lost, no app is started again, and what the other version
//! started is served on.
//!
//! Two versions here are two files of one program that take themselves for different versions: what runs is told from
//! what should run by the file, and both sides of everything that is stored or sent are there.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tandem_testkit::connection::Question;
use tandem_testkit::installation::Installation;
use tandem_testkit::load::{Kind, Load, Mix, Report};
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::screen::{PLAIN, ask, current, ids, instances, release_phases, say, with_plain};

/// The versions that come and go.
struct Versions {
    old: (PathBuf, &'static str),
    new: (PathBuf, &'static str),
}

impl Versions {
    fn of(installation: &Installation) -> Self {
        let new = installation.copy_of_binary("tandem-new");
        Self { old: (TANDEM.into(), "0.1.0"), new: (new, "0.2.0") }
    }
}

/// As a service manager does it: ends the server alone, starts the other one.
fn change_to(installation: &mut Installation, (binary, version): &(PathBuf, &'static str)) {
    let before = serving(installation);
    installation.end(Signal::SIGTERM);
    installation.change_to(binary, version);
    installation.start_again();
    let after = serving(installation);
    assert_ne!(after.0, before.0, "a balancer of the other version serves");
    assert_eq!(after.1, *version);
    let program = fs::read_link(format!("/proc/{}/exe", after.0)).expect("it runs");
    assert_eq!(&program, binary);
    let log = installation.log();
    assert!(!log.contains("ERROR") && !log.contains("connections are refused"), "{log}");
}

/// Process id and version of the balancer that serves.
fn serving(installation: &Installation) -> (u32, String) {
    let state = installation.data().balancer();
    let process =
        tandem_balancer::Process::find(&state).expect("its folder can be read").expect("one serves");
    (process.pid, process.version)
}

/// Every process of the apps and every shim, with the time of its start in ticks.
fn apps(installation: &Installation) -> BTreeMap<i32, u64> {
    let processes = installation.traces().processes().into_iter();
    let apps = processes.filter(|process| [".py", " shim"].iter().any(|word| process.words.contains(word)));
    apps.map(|process| (process.id.as_raw(), process.started)).collect()
}

fn load(installation: &Installation) -> Load {
    let mix = Mix { posts: 20.0, kept_clients: 8, kept_posts: true, ..Mix::gets() };
    ask(installation.ready().http, mix)
}

fn some_more(load: &Load) {
    let before = load.ended();
    eventually("requests are answered", || (load.ended() > before + 30).then_some(()));
}

/// Nothing failed, and each kind was asked.
fn expect_nothing_lost(report: &Report) {
    report.expect_nothing_lost();
    for kind in [Kind::Page, Kind::Post, Kind::Kept, Kind::KeptPost] {
        assert!(report.counts().contains_key(&kind), "{:?}", report.counts());
    }
}

#[test]
fn two_versions_follow_each_other_twice_under_load_and_nothing_is_lost() {
    let (mut installation, folder) = with_plain();
    let versions = Versions::of(&installation);
    let (before, serving_before) = (apps(&installation), ids(&installation, "plain", "serving"));
    assert!(before.len() >= 6, "two web instances and a worker with their shims: {before:?}");
    let load = load(&installation);
    for round in 0..2 {
        change_to(&mut installation, &versions.new);
        some_more(&load);
        if round == 0 {
            assert_eq!(apps(&installation), before, "nothing of the apps was started again");
            say(&folder, "one", "two");
            installation.deploy(folder.path());
            assert_eq!(installation.site(PLAIN).text("/"), "two\n");
        }
        change_to(&mut installation, &versions.old);
        some_more(&load);
        if round == 0 {
            let _ = installation.tandem(["rollback"]).expect_success();
            assert_eq!(installation.site(PLAIN).text("/"), "one\n");
            assert_eq!(ids(&installation, "plain", "serving"), serving_before, "the first ones, kept warm");
        }
    }
    expect_nothing_lost(&load.stop());
    for line in instances(&installation, "plain", "serving") {
        assert_eq!(line["restarts"], 0, "{line}");
    }
    assert_eq!(release_phases(&installation), 2);
    installation.finish();
}

#[test]
fn what_another_version_started_is_served_on() {
    let (mut installation, _folder) = with_plain();
    let versions = Versions::of(&installation);
    let before = apps(&installation);
    change_to(&mut installation, &versions.new);
    assert_eq!(apps(&installation), before);
    let site = installation.site(PLAIN);
    // How it ends is told by its shim of the other version, and its lines are read from there.
    let crash = Question { method: Method::POST, ..Question::get("/crash?7") };
    let _ = site.ask(crash);
    eventually("it is started again", || {
        let lines = instances(&installation, "plain", "serving");
        let again = lines.iter().any(|line| line["restarts"] == 1 && line["state"] == "ready");
        (again && lines.len() == 2).then_some(())
    });
    assert_eq!(site.text("/"), "one\n");
    let logs = installation.tandem(["logs", "--process", "web"]).expect_success().stdout;
    assert!(logs.contains("listening, text one") && logs.contains("exit code 7"), "{logs}");
    // A change of config replaces them: the old ones are stopped in their own time.
    let _ = installation.tandem(["config", "set", "COLOR=teal"]).expect_success();
    assert_eq!(site.text("/environment?COLOR"), "teal\n");
    let _ = installation.tandem(["scale", "worker=2"]).expect_success();
    change_to(&mut installation, &versions.old);
    let after = apps(&installation);
    let worker_gone = before.iter().any(|(pid, started)| after.get(pid) != Some(started));
    assert!(worker_gone, "the worker of the first release has been stopped");
    let _ = installation.tandem(["restart"]).expect_success();
    assert_eq!(site.text("/environment?COLOR"), "teal\n");
    installation.finish();
}

#[test]
fn a_rollout_under_way_is_carried_to_its_end_by_the_other_version() {
    let (mut installation, folder) = with_plain();
    let versions = Versions::of(&installation);
    let load = load(&installation);
    say(&folder, "one", "two");
    folder.edit("server.py", "def main():\n", "def main():\n    time.sleep(3)\n");
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let log = installation.data().root().join("../client.log");
    let client = installation.program(["deploy", &path]).output(&log).start();
    eventually("new instances start", || {
        (!instances(&installation, "plain", "starting").is_empty()).then_some(())
    });
    change_to(&mut installation, &versions.new);
    drop(client);
    let site = installation.site(PLAIN);
    eventually("the new release serves", || (site.text("/") == "two\n").then_some(()));
    change_to(&mut installation, &versions.old);
    some_more(&load);
    expect_nothing_lost(&load.stop());
    assert_eq!((release_phases(&installation), current(&installation, "plain")), (2, "r2".to_owned()));
    let _ = installation.tandem(["rollout", "watch"]).expect_success();
    installation.finish();
}

#[test]
fn another_address_is_served_without_a_gap_at_the_one_that_stays() {
    let (mut installation, _folder) = with_plain();
    let load = load(&installation);
    let first = serving(&installation).0;
    let also = free_address();
    for more in [&[also][..], &[]] {
        installation.end(Signal::SIGTERM);
        installation.serve_also(more);
        installation.start_again();
        some_more(&load);
        let site = tandem_testkit::site::Site::new(also, PLAIN);
        assert_eq!(site.ask(Question::get("/")).is_ok(), !more.is_empty());
    }
    assert_ne!(serving(&installation).0, first);
    expect_nothing_lost(&load.stop());
    installation.finish();
}

/// The balancer among the children of a process.
fn child_balancer(parent: Pid) -> Option<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).expect("it runs").flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<i32> =
        children.flat_map(|all| all.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect();
    let is_balancer = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1) == Some(b"balancer")
    };
    children.into_iter().find(is_balancer).map(Pid::from_raw)
}

/// Whether SIGTERM waits for a process that is stopped.
fn is_asked_to_end(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it is there");
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("the kernel tells");
    let pending = u64::from_str_radix(pending.trim(), 16).expect("a hexadecimal number");
    pending & (1 << (Signal::SIGTERM as u64 - 1)) != 0
}

fn free_address() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address")
}

#[test]
fn a_new_version_whose_balancer_does_not_start_leaves_the_old_one_serving() {
    let (mut installation, _folder) = with_plain();
    let load = load(&installation);
    let before = serving(&installation);
    let versions = Versions::of(&installation);
    // A file where it wants a folder: only a start looks.
    let folder = installation.data().balancer().join("static");
    let aside = folder.with_file_name("aside");
    fs::rename(&folder, &aside).expect("it is a folder");
    drop(fs::File::create(&folder).expect("the name is free"));
    installation.end(Signal::SIGTERM);
    installation.change_to(&versions.new.0, versions.new.1);
    installation.start_again();
    some_more(&load);
    assert_eq!(serving(&installation), before);
    let log = installation.log();
    assert!(log.contains("the new one does not start") && log.contains("goes on"), "{log}");
    fs::remove_file(&folder).and_then(|()| fs::rename(&aside, &folder)).expect("as it was");
    installation.end(Signal::SIGTERM);
    installation.start_again();
    assert_ne!(serving(&installation), before);
    some_more(&load);
    expect_nothing_lost(&load.stop());
    installation.finish();
}

#[test]
fn ctrl_c_while_another_balancer_takes_over_leaves_none() {
    let mut installation = Installation::start(TANDEM);
    let versions = Versions::of(&installation);
    for (binary, version) in [&versions.new, &versions.old] {
        let before = serving(&installation).0;
        installation.end(Signal::SIGTERM);
        installation.change_to(binary, version);
        let http = installation.ready().http.to_string();
        let log = installation.data().root().join("../second.log");
        let up = installation.program(["up", "--http", &http, "--api", "127.0.0.1:0"]).output(&log);
        let mut up = up.start();
        // Looked for with hardly a pause: it serves a moment later.
        let new =
            eventually("another balancer is started", || (0..1000).find_map(|_| child_balancer(up.id())));
        // It comes to nothing until everything else that is to be stopped is, or it is asked to end itself.
        kill(new, Signal::SIGSTOP).expect("it runs");
        up.signal(Signal::SIGINT);
        eventually("balancers are stopped", || {
            let old_ended = !std::path::Path::new(&format!("/proc/{before}")).exists();
            (old_ended || is_asked_to_end(new)).then_some(())
        });
        kill(new, Signal::SIGCONT).expect("it is there");
        let status = up.wait(Duration::from_secs(60));
        assert!(status.success(), "{status}:\n{}", fs::read_to_string(log).unwrap_or_default());
        installation.expect_nothing_left();
        installation.start_again();
    }
    installation.finish();
}

/// Slow, because it is about requests that are longer than an app's stop time.
mod long {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn an_open_request_is_not_forgotten_when_the_balancer_that_took_over_dies() {
        let (mut installation, _folder) = with_plain();
        let versions = Versions::of(&installation);
        let client = ask_slowly(&installation);
        change_to(&mut installation, &versions.new);
        let killed = serving(&installation).0;
        kill(Pid::from_raw(killed.cast_signed()), Signal::SIGKILL).expect("it runs");
        eventually("another one serves", || {
            let state = installation.data().balancer();
            let process = tandem_balancer::Process::find(&state).ok()??;
            (process.pid != killed).then_some(())
        });
        // The old instances are stopped once nobody has a request with them; their own stop time is 10 s.
        let _ = installation.tandem(["restart"]).expect_success();
        expect_answer(client);
        installation.finish();
    }

    #[test]
    fn of_three_balancers_in_a_row_the_first_is_heard_also_when_the_second_dies() {
        let (mut installation, _folder) = with_plain();
        let versions = Versions::of(&installation);
        let of_first = ask_slowly(&installation);
        change_to(&mut installation, &versions.new);
        let of_second = ask_slowly(&installation);
        let second = serving(&installation).0;
        change_to(&mut installation, &versions.old);
        kill(Pid::from_raw(second.cast_signed()), Signal::SIGKILL).expect("it finishes a request");
        let _ = installation.tandem(["restart"]).expect_success();
        expect_answer(of_first);
        drop(of_second);
        installation.finish();
    }

    /// Begins a request that is longer than the app's stop time, and waits until who serves has accepted it.
    fn ask_slowly(installation: &Installation) -> TcpStream {
        let mut client = TcpStream::connect(installation.ready().http).expect("it listens");
        let request = format!("GET /slow?25 HTTP/1.1\r\nHost: {PLAIN}\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).expect("it takes a request");
        let (pid, port) = (serving(installation).0, client.local_addr().expect("it is connected").port());
        eventually("it is accepted", || has_client(pid, port).then_some(()));
        client
    }

    fn expect_answer(mut client: TcpStream) {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("the connection stays whole");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("one\n"), "{answer}");
    }

    /// Whether a process has accepted the connection of a client that has this port.
    fn has_client(pid: u32, port: u16) -> bool {
        let end = format!(":{port:04X}");
        let connections = fs::read_to_string("/proc/net/tcp").expect("the kernel tells");
        let fields = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut accepted = fields.filter(|fields| fields.get(2).is_some_and(|remote| remote.ends_with(&end)));
        accepted.any(|fields| {
            let socket = format!("socket:[{}]", fields[9]);
            let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
            open.filter_map(|file| fs::read_link(file.path()).ok())
                .any(|link| link.as_os_str() == socket.as_str())
        })
    }
}
