//! How an app is asked to end.

use tandem_types::Span;

use super::harness::{Bench, end_of, stop};
use crate::tests::{can_isolate, eventually};

/// Says `NAME up`, and at SIGTERM `NAME bye` before it ends with code 0.
fn polite(name: &str) -> String {
    format!("sh -c 'trap \"echo {name} bye; exit 0\" TERM; echo {name} up; while :; do sleep 0.05; done'")
}

#[tokio::test]
async fn the_app_itself_sees_the_signal_and_ends_as_it_likes() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch(&format!("exec {}", polite("a"))).await;
    bench.said("a up").await;
    let record = stop(&handle).await;
    assert_eq!((record.exit.code, record.exit.signal), (Some(0), None));
    assert_eq!(bench.output(), ["a up", "a bye"]);
}

#[tokio::test]
async fn behind_a_shell_the_children_end_in_peace_and_the_next_command_never_begins() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch(&format!("echo first; {}; echo second", polite("a"))).await;
    bench.said("a up").await;
    let record = stop(&handle).await;
    assert_eq!(bench.output(), ["first", "a up", "a bye"]);
    assert_eq!(record.exit.signal, Some(15), "the shell itself: {record:?}");
}

#[tokio::test]
async fn every_branch_behind_a_shell_is_asked() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch(&format!("{} & {} & wait", polite("a"), polite("b"))).await;
    bench.said("a up").await;
    bench.said("b up").await;
    stop(&handle).await;
    let output = bench.output();
    assert!(output.contains(&"a bye".to_owned()) && output.contains(&"b bye".to_owned()), "{output:?}");
}

#[tokio::test]
async fn who_handles_the_signal_is_in_charge_of_its_workers() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    // As celery: the parent lets its worker finish; the worker would die of the signal.
    let worker = "sh -c \"echo worker up; sleep 1; echo task done\"";
    let command = format!("trap 'echo told; wait; exit 0' TERM; {worker} & wait; wait");
    let handle = bench.launch(&command).await;
    bench.said("worker up").await;
    let record = stop(&handle).await;
    assert_eq!(bench.output(), ["worker up", "told", "task done"]);
    assert_eq!(record.exit.code, Some(0));
}

#[tokio::test]
async fn what_does_not_end_in_time_is_killed() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch("trap '' TERM; echo up; while :; do sleep 0.05; done").await;
    bench.said("up").await;
    handle.stop(15, Span::millis(300)).await.unwrap();
    let record = end_of(&handle).await;
    assert_eq!((record.exit.signal, record.timed_out), (Some(9), false));
}

#[tokio::test]
async fn asking_twice_signals_once_and_shortens_the_wait() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch("trap 'echo told' TERM; echo up; while :; do sleep 0.05; done").await;
    bench.said("up").await;
    handle.stop(15, Span::minutes(10)).await.unwrap();
    bench.said("told").await;
    handle.stop(15, Span::millis(300)).await.unwrap();
    let record = end_of(&handle).await;
    assert_eq!(record.exit.signal, Some(9));
    let told = bench.output().iter().filter(|line| *line == "told").count();
    assert_eq!(told, 2, "at once, and shortly before the end; not in between");
    let remarks = bench.remarks();
    assert!(
        remarks.iter().any(|text| text.ends_with("left: sent SIGTERM to all, killed soon")),
        "{remarks:?}"
    );
}

#[tokio::test]
async fn who_is_left_near_the_end_gets_sigterm_whatever_the_signal_was_and_wherever_it_stands() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    // Takes the stop signal for a reload and tells nobody; its worker would end on SIGTERM.
    let worker = polite("worker");
    let command = format!("trap 'echo reloaded' INT TERM; {worker} & while :; do sleep 0.05; done");
    let handle = bench.launch(&command).await;
    bench.said("worker up").await;
    handle.stop(2, Span::millis(900)).await.unwrap();
    bench.said("worker bye").await;
    let record = end_of(&handle).await;
    assert_eq!(record.exit.signal, Some(9), "who stays is killed");
    assert_eq!(bench.output().iter().filter(|line| *line == "reloaded").count(), 2);
}

#[tokio::test]
async fn who_starts_its_workers_anew_at_the_signal_is_gone_with_all_of_them_in_the_end() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let command = "worker() { sh -c 'trap \"exit 0\" TERM; echo worker up; while :; do sleep 0.05; done' & }; \
        trap 'echo reloading; kill $!; worker' TERM; worker; while :; do wait; done";
    let handle = bench.launch(command).await;
    bench.said("worker up").await;
    handle.stop(15, Span::millis(900)).await.unwrap();
    let record = end_of(&handle).await;
    assert_eq!(record.exit.signal, Some(9));
    assert!(bench.output().contains(&"reloading".to_owned()));
    assert!(handle.processes().is_empty(), "{:?}", handle.processes());
}

#[tokio::test]
async fn a_script_of_several_commands_ends_with_the_one_that_runs() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let command = format!("cd / && echo migrated && FLAG=1 {} && echo never", polite("a"));
    let handle = bench.launch(&command).await;
    bench.said("a up").await;
    stop(&handle).await;
    assert_eq!(bench.output(), ["migrated", "a up", "a bye"]);
}

#[tokio::test]
async fn behind_npm_start_the_server_itself_is_asked_and_waited_for() {
    if !can_isolate() || !has_npm() {
        return;
    }
    let bench = Bench::new();
    let server = "process.on(\"SIGTERM\", () => { console.log(\"told\"); setTimeout(() => { \
        console.log(\"bye\"); process.exit(0) }, 300) }); setInterval(() => {}, 1000); console.log(\"up\")";
    let package =
        serde_json::json!({"name": "app", "version": "1.0.0", "scripts": {"start": "node server.js"}});
    let command = format!(
        "cd /tmp && echo '{package}' >package.json && echo '{server}' >server.js && npm start --silent"
    );
    let handle = bench.launch(&command).await;
    bench.said("up").await;
    stop(&handle).await;
    let output = bench.output();
    assert!(output.ends_with(&["told".to_owned(), "bye".to_owned()]), "{output:?}");
}

/// Where it is not installed nobody can start an app by it either.
fn has_npm() -> bool {
    ["/usr/bin/npm", "/usr/local/bin/npm"].iter().any(|path| std::path::Path::new(path).exists())
}

#[tokio::test]
async fn a_bare_signal_reaches_every_process() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let deaf = "sh -c 'trap \"echo inner hup\" HUP; echo inner up; while :; do sleep 0.05; done'";
    let handle =
        bench.launch(&format!("trap 'echo outer hup' HUP; {deaf} & while :; do sleep 0.05; done")).await;
    bench.said("inner up").await;
    handle.signal(1).await.unwrap();
    bench.said("inner hup").await;
    bench.said("outer hup").await;
    handle.stop(9, Span::seconds(1)).await.unwrap();
    assert_eq!(end_of(&handle).await.exit.signal, Some(9));
    assert!(handle.signal(1).await.is_err(), "nobody is there to be signaled");
}

#[tokio::test]
async fn a_shim_that_is_told_to_end_lets_its_app_end_first() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch(&format!("exec {}", polite("a"))).await;
    bench.said("a up").await;
    let shim = nix::unistd::Pid::from_raw(handle.pid());
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(end_of(&handle).await.exit.code, Some(0));
    eventually("the app said goodbye", || bench.output() == ["a up", "a bye"]).await;
}
