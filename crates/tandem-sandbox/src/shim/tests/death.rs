//! Shims that die, and those who come after.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tandem_types::instance::Isolation;

use super::harness::{Bench, ENOUGH};
use crate::cgroup;
use crate::process::Stat;
use crate::shim::{Adopted, Error, ShimHandle, adopt};
use crate::tests::{can_isolate, eventually};

fn dead(processes: &[i32]) -> bool {
    processes.iter().all(|pid| Stat::of(*pid).is_none_or(|stat| !stat.lives()))
}

/// Kills the shim and waits until all of its app is dead.
async fn kill_shim(handle: &ShimHandle, at_least: usize) {
    eventually("all of it runs", || handle.processes().len() >= at_least).await;
    let processes = handle.processes();
    kill(Pid::from_raw(handle.pid()), Signal::SIGKILL).unwrap();
    let waited = tokio::time::timeout(ENOUGH, handle.wait_exit()).await.unwrap();
    assert!(matches!(waited, Err(Error::Gone)), "{waited:?}");
    eventually("the app died with its shim", || dead(&processes)).await;
}

#[tokio::test]
async fn the_death_of_the_shim_is_the_death_of_the_app() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch("(setsid sleep 1000 &); echo up; sleep 1000; true").await;
    bench.said("up").await;
    kill_shim(&handle, 3).await;
    assert!(matches!(adopt(&bench.dir()).await.unwrap(), Adopted::Gone { ran: true }));
    assert_eq!(cgroup::list(&bench.place.cgroup_parent).unwrap(), [""; 0]);
    assert!(matches!(handle.status().await, Err(Error::Gone)));
}

#[tokio::test]
async fn also_without_isolation() {
    let bench = Bench::new();
    let mut spec = bench.spec("sleep 1000 & echo up; sleep 1000; true");
    spec.sandbox.isolation = Isolation::Plain;
    let handle = bench.try_launch(&spec).await.unwrap();
    bench.said("up").await;
    kill_shim(&handle, 3).await;
}

#[tokio::test]
async fn a_folder_that_never_had_a_shim_tells_that_nothing_ran() {
    let bench = Bench::new();
    assert!(matches!(adopt(&bench.dir()).await.unwrap(), Adopted::Gone { ran: false }));
}

/// Taken for one that is not there, it would be started twice; taken for one that is gone, never again.
#[tokio::test]
async fn a_shim_whose_runner_died_before_it_had_begun_is_waited_for() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::of_slow_shims();
    bench.launch_and_die(&bench.spec("echo up; sleep 1000")).await;
    let folder = bench.dir();
    let (found, ()) = tokio::join!(adopt(&folder), async { bench.let_go() });
    let Ok(Adopted::Live(handle)) = found else { panic!("it lives, and is {found:?}") };
    // Adopted is the shim; its command may not have said anything yet.
    bench.said("up").await;
    super::harness::stop(&handle).await;
    assert_eq!(bench.output(), ["up"]);
}

#[tokio::test]
async fn a_shim_that_was_killed_before_it_had_begun_ran_nothing() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::of_slow_shims();
    bench.launch_and_die(&bench.spec("echo up; sleep 1000")).await;
    let folder = bench.dir();
    let killed = async {
        let is_shim = |pid: &i32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(&*folder.to_string_lossy())
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let shim = pids.into_iter().find(is_shim).expect("it waits");
        kill(Pid::from_raw(shim), Signal::SIGKILL).unwrap();
    };
    let (found, ()) = tokio::join!(adopt(&folder), killed);
    assert!(matches!(found, Ok(Adopted::Gone { ran: false })), "{found:?}");
    bench.let_go();
    let again = bench.launch("echo up; sleep 1000").await;
    super::harness::stop(&again).await;
}

#[tokio::test]
async fn a_shim_whose_folder_was_removed_ends_with_its_app() {
    let bench = Bench::new();
    let mut spec = bench.spec("echo up; sleep 1000; true");
    spec.sandbox.isolation = Isolation::Plain;
    let handle = bench.try_launch(&spec).await.unwrap();
    bench.said("up").await;
    let app: Vec<_> = handle.processes().into_iter().filter(|pid| *pid != handle.pid()).collect();
    std::fs::remove_dir_all(bench.dir()).unwrap();
    for pid in app {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    eventually("the shim has gone", || dead(&[handle.pid()])).await;
}

#[tokio::test]
async fn the_same_instance_starts_anew_where_its_predecessor_left_processes() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch("echo up; sleep 1000").await;
    bench.said("up").await;
    kill(Pid::from_raw(handle.pid()), Signal::SIGKILL).unwrap();
    eventually("the shim is dead", || dead(&[handle.pid()])).await;
    let again = bench.launch("echo up again; sleep 1000").await;
    bench.said("up again").await;
    assert_eq!(bench.output(), ["up", "up again"], "one log");
    super::harness::stop(&again).await;
}

#[tokio::test]
async fn a_shim_takes_orders_from_its_own_user_and_root_only() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch("sleep 1000").await;
    let socket = bench.place.path().join("i1.sock");
    for (path, mode) in [(bench.place.path(), 0o755), (&socket, 0o777)] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let script = format!(
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('{}')\n\
         s.sendall(b'{{\"ask\":\"what\"}}\\n'); print(s.recv(1000).decode().strip())",
        socket.display()
    );
    let ask = |uid: &str| {
        let setpriv =
            crate::tool::Tool::new("setpriv").args([format!("--reuid={uid}"), "--clear-groups".to_owned()]);
        setpriv.args(["/usr/bin/python3", "-c", &script]).run(tandem_types::Span::seconds(30))
    };
    let own = String::from_utf8(ask("0").await.unwrap().stdout).unwrap();
    assert!(own.starts_with("{\"answer\":\"refused\",\"reason\":\"unknown request"), "{own}");
    let other = ask("65534").await.unwrap();
    assert!(other.stdout.trim_ascii().is_empty(), "{other:?}");
    super::harness::stop(&handle).await;
}
