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
    assert_eq!(bench.output(), ["up", "told"]);
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
