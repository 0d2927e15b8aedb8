//! Limits and ends.

use tandem_types::Span;

use super::harness::{Place, can_isolate, run_spec};
use crate::run::{Limit, Options, run, run_unless};
use crate::{Limits, cgroup};

#[tokio::test]
async fn a_fork_loop_ends_at_the_limit_of_processes() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let mut spec = place.spec("/usr/bin/python3 -c \"$SCRIPT\"");
    let script = "import os, time\n\
        made = 0\n\
        try:\n\
        \x20   while made < 200:\n\
        \x20       if os.fork() == 0: time.sleep(60); os._exit(0)\n\
        \x20       made += 1\n\
        except BlockingIOError: pass\n\
        print(made)\n";
    spec.environment.insert("SCRIPT".to_owned(), script.to_owned());
    spec.limits = Limits { pids: Some(20), ..Limits::default() };
    let outcome = run_spec(spec).await;
    // One is Python itself.
    assert_eq!(outcome.last_lines, ["19"], "{outcome:?}");
    assert_eq!(cgroup::list(&place.cgroup_parent).unwrap(), [""; 0], "the children went with it");
}

#[tokio::test]
async fn memory_over_the_limit_ends_the_command_and_is_named_as_the_cause() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let mut spec = place.spec("/usr/bin/python3 -c 'x = bytearray(200 << 20)'");
    spec.limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    let outcome = run_spec(spec).await;
    assert!(outcome.exit.out_of_memory, "{outcome:?}");
    assert_eq!(outcome.exit.to_string(), "killed: out of memory");
    let fine = place.run("/usr/bin/python3 -c 'x = bytearray(200 << 20)'").await;
    assert!(fine.succeeded() && !fine.exit.out_of_memory, "{fine:?}");
}

/// Fails at once when it may not fork.
const FORKS: &str = "/usr/bin/python3 -c 'import os\nwhile True:\n    if os.fork() == 0: os.pause()'";

#[tokio::test]
async fn the_limit_that_made_a_command_fail_is_named_and_one_that_did_not_is_not() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let met = async |command: &str| {
        let mut spec = place.spec(command);
        spec.limits = Limits { pids: Some(20), memory_bytes: Some(64 << 20), ..Limits::default() };
        let options = Options { timeout: Span::seconds(60), output_bytes: 1 << 20, last_lines: 1 };
        let outcome = run(spec, options, &mut |_, _| {}).await.unwrap();
        assert_eq!(cgroup::list(&place.cgroup_parent).unwrap(), [""; 0], "{command} left its group");
        outcome.met
    };
    let hog = "/usr/bin/python3 -c 'x = bytearray(200 << 20)'";
    assert_eq!(met(FORKS).await, Some(Limit::Processes));
    assert_eq!(met(hog).await, Some(Limit::Memory));
    assert_eq!(met(&format!("{FORKS}; {hog}; true")).await, None, "it came to its end all the same");
    assert_eq!(met("exit 3").await, None);
    for flood in ["yes", "cat /dev/zero", "cat /dev/urandom >&2", "trap '' TERM; yes & yes >&2"] {
        assert_eq!(met(flood).await, Some(Limit::Output), "{flood}");
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_has_ended_when_it_is_told() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let writes = "while :; do (setsid sh -c ': > $HOME/$$; sleep 9' &) ; done";
    let spec = place.spec(&format!("echo begun; {writes}"));
    let home = spec.home.clone();
    let (begun, mut began) = tokio::sync::mpsc::unbounded_channel();
    let mut on_line = move |_, _: &str| begun.send(()).unwrap_or_default();
    let options = Options { timeout: Span::seconds(600), output_bytes: 1 << 20, last_lines: 0 };
    let stop = async { began.recv().await };
    let ended = run_unless(spec, options, &mut on_line, stop).await.unwrap();
    assert_eq!((ended.stopped, ended.outcome.exit.signal), (Some(Some(())), Some(9)));
    assert_eq!(cgroup::list(&place.cgroup_parent).unwrap(), [""; 0]);
    std::fs::remove_dir_all(home).expect("nobody writes there any more");
}

#[tokio::test]
async fn a_run_is_what_the_kernel_kills_first() {
    if !can_isolate() {
        return;
    }
    let outcome = Place::new().run("cat /proc/self/oom_score_adj").await;
    assert_eq!(outcome.last_lines, ["1000"]);
}

#[tokio::test]
async fn codes_and_signals_are_told_apart() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    for (command, code, signal) in [
        ("exit 7", Some(7), None),
        ("true", Some(0), None),
        ("kill -ABRT $$", None, Some(6)),
        ("nothing-like-it", Some(127), None),
    ] {
        let outcome = place.run(command).await;
        assert_eq!((outcome.exit.code, outcome.exit.signal), (code, signal), "{command}: {outcome:?}");
    }
}

#[tokio::test]
async fn at_the_end_of_its_time_everything_is_killed() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let spec = place.spec("trap '' TERM INT HUP; (setsid sleep 1000 &) ; echo begun; sleep 1000");
    let options = Options { timeout: Span::seconds(1), output_bytes: 1 << 30, last_lines: 10 };
    let outcome = run(spec, options, &mut |_, _| {}).await.unwrap();
    assert!(outcome.met == Some(Limit::Time) && !outcome.succeeded(), "{outcome:?}");
    assert_eq!(outcome.exit.signal, Some(9));
    assert_eq!(outcome.last_lines, ["begun"]);
    assert_eq!(cgroup::list(&place.cgroup_parent).unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_dropped_run_takes_its_processes_with_it() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let spec = place.spec("(setsid sleep 1000 &); echo begun; sleep 1000");
    let group = cgroup::Group::open(&spec.cgroup_parent, &spec.id);
    let (begun, mut began) = tokio::sync::mpsc::unbounded_channel();
    {
        let options = Options { timeout: Span::seconds(600), output_bytes: 1 << 30, last_lines: 0 };
        let mut on_line = move |_, _: &str| begun.send(()).unwrap_or_default();
        let running = run(spec, options, &mut on_line);
        tokio::select! {
            outcome = running => panic!("it ended: {outcome:?}"),
            _ = began.recv() => {}
        }
    }
    super::harness::eventually("the group is gone", || !group.exists()).await;
}

#[tokio::test]
async fn all_output_arrives_however_much_and_however_it_ends() {
    if !can_isolate() {
        return;
    }
    let place = Place::new();
    let spec = place.spec("seq 1 50000; printf last; printf oops >&2");
    let mut count = 0_u32;
    let options = Options { timeout: Span::seconds(60), output_bytes: 1 << 30, last_lines: 2 };
    let mut outcome = run(spec, options, &mut |_, _| count += 1).await.unwrap();
    assert_eq!(count, 50_002);
    outcome.last_lines.sort();
    assert_eq!(outcome.last_lines, ["last", "oops"]);
}
