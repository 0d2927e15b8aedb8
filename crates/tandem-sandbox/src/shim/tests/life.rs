//! A shim that lives as it should.

use tandem_types::Span;
use tandem_types::instance::Isolation;

use super::harness::{Bench, end_of, stop};
use crate::listener::Owner;
use crate::logs::tail;
use crate::shim::{Adopted, Error, LaunchError, adopt};
use crate::tests::{can_isolate, eventually};
use crate::{Mount, Weight, cgroup};

#[tokio::test]
async fn an_app_starts_tells_of_itself_and_ends_with_its_code_and_its_last_line() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch("echo out; echo err >&2; printf last; exit 3").await;
    let record = end_of(&handle).await;
    assert_eq!((record.exit.code, record.exit.signal, record.timed_out), (Some(3), None, false));
    let mut output = bench.output();
    output.sort();
    assert_eq!(output, ["err", "last", "out"]);
    let status = handle.status().await.unwrap();
    assert_eq!(
        (status.version, status.shim_pid, status.child_pid),
        (tandem_types::shim::VERSION, handle.pid(), None)
    );
    assert_eq!(status.exit, Some(record.exit.clone()));
    assert!(matches!(adopt(&bench.dir()).await.unwrap(), Adopted::Live(_)));
    handle.dismiss().await.unwrap();
    eventually("the shim leaves", || crate::process::Stat::of(handle.pid()).is_none()).await;
    assert!(!bench.place.path().join("i1.sock").exists());
    handle.dismiss().await.unwrap();
    let Adopted::Ended(again) = adopt(&bench.dir()).await.unwrap() else { panic!("there is a record") };
    assert_eq!(again, record);
    assert_eq!(cgroup::list(&bench.place.cgroup_parent).unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_shim_outlives_the_runner_that_launched_it() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let spec = bench.spec("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done");
    let runner = super::harness::launch_in_a_runner(&bench, &spec).await;
    bench.said("up").await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(runner), nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("the runner is dead", || crate::process::Stat::of(runner).is_none_or(|stat| !stat.lives()))
        .await;
    let Adopted::Live(handle) = adopt(&bench.dir()).await.unwrap() else { panic!("the shim lives") };
    assert_eq!(handle.status().await.unwrap().exit, None);
    let shim = crate::process::Stat::of(handle.pid()).unwrap();
    assert_eq!((shim.session, shim.parent != runner), (runner_session(&shim), true));
    let record = stop(&handle).await;
    assert_eq!(record.exit.code, Some(5));
    assert_eq!(bench.output(), ["up", "bye"]);
}

/// A detached shim is alone in a session that nobody else leads.
fn runner_session(shim: &crate::process::Stat) -> i32 {
    assert_ne!(shim.session, crate::process::Stat::of(std::process::id() as i32).unwrap().session);
    shim.session
}

#[tokio::test]
async fn the_listening_socket_is_known_to_be_the_apps() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let mut spec = bench.spec("/usr/bin/python3 -c \"$SCRIPT\"");
    let script = "import socket, time\n\
        s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); time.sleep(1000)\n";
    spec.sandbox.environment.insert("SCRIPT".to_owned(), script.to_owned());
    let handle = bench.try_launch(&spec).await.unwrap();
    eventually("it listens", || !bench.output().is_empty()).await;
    let port: u16 = bench.output()[0].parse().unwrap();
    assert_eq!(handle.owner_of_port(port).unwrap(), Owner::Ours);
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = stranger.local_addr().unwrap().port();
    assert_eq!(handle.owner_of_port(other).unwrap(), Owner::Stranger);
    assert_eq!(handle.processes().len(), 1, "python alone: no shell, no bubblewrap");
    handle.set_weight(Weight::Lowest).unwrap();
    stop(&handle).await;
}

#[tokio::test]
async fn a_long_data_folder_is_no_trouble() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let deep = bench.place.path().join("d".repeat(200)).join("e".repeat(200));
    let mut spec = bench.spec("cat /data/x");
    spec.log.dir = deep.join("i1/log");
    spec.sandbox.home = deep.join("i1/home");
    tandem_kit::files::ensure_dir(&deep.join("data"), 0o755).unwrap();
    tandem_kit::files::write_atomic(&deep.join("data/x"), b"deep\n", 0o444).unwrap();
    spec.sandbox.mounts.push(Mount::read_only(deep.join("data"), "/data"));
    let binary = bench.place.path().join("tandem");
    let handle = crate::shim::launch(&binary, &deep.join("i1"), &spec).await.unwrap();
    assert_eq!(end_of(&handle).await.exit.code, Some(0));
    handle.dismiss().await.unwrap();
    eventually("the shim leaves", || crate::process::Stat::of(handle.pid()).is_none()).await;
    assert_eq!(tail(&deep.join("i1/log"), 2).unwrap().lines[0].text, "deep");
}

#[tokio::test]
async fn a_marked_command_is_started_once_and_never_again() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let mut spec = bench.spec("echo ran");
    let marker = bench.place.path().join("started");
    spec.marker = Some(marker.clone());
    let missing = bench.place.path().join("missing");
    spec.sandbox.mounts.push(Mount::read_only(&missing, "/missing"));
    let error = bench.try_launch(&spec).await.unwrap_err();
    assert!(matches!(&error, LaunchError::NotStarted { reason } if reason.contains("/missing")), "{error}");
    assert!(!marker.exists(), "what never ran is not marked");
    assert!(matches!(adopt(&bench.dir()).await.unwrap(), Adopted::Gone { ran: false }));
    spec.sandbox.mounts.pop();
    let handle = bench.try_launch(&spec).await.unwrap();
    assert!(marker.exists());
    end_of(&handle).await;
    handle.dismiss().await.unwrap();
    eventually("the shim leaves", || crate::process::Stat::of(handle.pid()).is_none()).await;
    let error = bench.try_launch(&spec).await.unwrap_err();
    assert!(matches!(&error, LaunchError::NotStarted { reason } if reason.contains("only once")), "{error}");
    assert_eq!(bench.output(), ["ran"]);
}

#[tokio::test]
async fn one_folder_has_one_shim() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch("sleep 1000").await;
    let error = bench.try_launch(&bench.spec("sleep 1000")).await.unwrap_err();
    assert!(matches!(error, LaunchError::NotStarted { .. }), "{error}");
    assert!(matches!(handle.dismiss().await, Err(Error::Refused { .. })), "it still runs");
    stop(&handle).await;
}

#[tokio::test]
async fn a_plain_app_has_a_shim_too_which_reaps_its_orphans() {
    let bench = Bench::new();
    let mut spec = bench.spec("(sleep 0.01 & ) ; (setsid sh -c 'sleep 1000' &) ; echo up; exec sleep 1000");
    spec.sandbox.isolation = Isolation::Plain;
    let handle = bench.try_launch(&spec).await.unwrap();
    bench.said("up").await;
    let zombies = || {
        let children = crate::process::descendants(handle.pid());
        children.len() == 2 || children.len() == 3
    };
    eventually("only the living are left", zombies).await;
    handle.stop(15, Span::seconds(15)).await.unwrap();
    end_of(&handle).await;
    assert_eq!(handle.processes(), [0; 0], "also the one in a session of its own");
}
