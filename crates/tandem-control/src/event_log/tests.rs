//! Stories are whole, followed to their end, and never another app's.

use futures_util::StreamExt;
use tandem_kit::clock::Clock;
use tandem_types::rollout::{RolloutState, Verdict};

use super::*;

fn key() -> Key {
    ("shop".parse().expect("a name"), EnvironmentName::production(), RolloutNumber(3))
}

fn line(text: &str) -> Event {
    Event::Line { source: "build".to_owned(), text: text.to_owned() }
}

fn finished() -> Event {
    Event::Finished { state: RolloutState::Completed, verdict: Verdict::Pass, problem: None }
}

fn logs(folder: &tempfile::TempDir) -> EventLogs {
    EventLogs::new(folder.path().join("rollouts"), Steady::new(Clock::system()))
}

fn long_ago() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

async fn texts(log: &EventLog, after: u64, follow: bool) -> Vec<String> {
    let text = |event: Arc<RolloutEvent>| match &event.event {
        Event::Line { text, .. } | Event::Warning { text } => text.clone(),
        other => format!("{other:?}").split_whitespace().next().unwrap_or_default().to_owned(),
    };
    log.stream(after, follow).map(text).collect().await
}

#[tokio::test]
async fn a_follower_gets_what_was_and_what_comes_until_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = logs(&folder).log(&key(), long_ago()).expect("a log");
    log.append(line("one")).expect("appended");
    let follower = log.clone();
    let (seen, ()) = tokio::join!(texts(&follower, 0, true), async {
        tokio::task::yield_now().await;
        log.append(line("two")).expect("appended");
        log.append(finished()).expect("appended");
        log.append(line("too late")).expect("passed over");
    });
    assert_eq!(seen, ["one", "two", "Finished"]);
    assert_eq!(texts(&log, 1, true).await, ["two", "Finished"]);
    assert_eq!(texts(&log, 9, false).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_log_is_read_again_after_a_crash_without_its_torn_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = logs(&folder).log(&key(), long_ago()).expect("a log");
    log.append(line("one")).expect("appended");
    let path = log.shared.path.clone();
    drop(log);
    let mut file = std::fs::File::options().append(true).open(&path).expect("the file");
    file.write_all(b"{\"sequence\":2,\"ti").expect("half a line");
    let log = logs(&folder).log(&key(), long_ago()).expect("the same log");
    log.append(line("two")).expect("appended");
    assert_eq!(texts(&logs(&folder).log(&key(), long_ago()).expect("again"), 0, false).await, ["one", "two"]);
}

#[tokio::test]
async fn a_flood_of_output_is_bounded_and_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = logs(&folder).log(&key(), long_ago()).expect("a log");
    for _ in 0..LINES_MOST + 5 {
        log.append(line("x")).expect("appended");
    }
    log.append(finished()).expect("appended");
    let seen = texts(&log, LINES_MOST - 1, true).await;
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen[1].contains("the rest is not kept"));

    let long = "x".repeat(16 << 10);
    let folder = tempfile::tempdir().expect("a folder");
    let log = logs(&folder).log(&key(), long_ago()).expect("a log");
    for _ in 0..LINE_BYTES_MOST / long.len() as u64 + 5 {
        log.append(line(&long)).expect("appended");
    }
    log.append(finished()).expect("appended");
    let seen = texts(&log, LINE_BYTES_MOST / long.len() as u64 - 1, true).await;
    assert_eq!(seen.len(), 3, "{} events", seen.len());
    assert_eq!(seen[1], "more than 8 MiB of output; the rest is not kept");
}

#[tokio::test]
async fn a_story_that_is_older_than_its_rollout_is_thrown_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = logs(&folder);
    for open in [false, true] {
        let old = logs.log(&key(), long_ago()).expect("a log");
        old.append(line("old")).expect("appended");
        if !open {
            old.append(finished()).expect("appended");
            logs.close(&key());
        }
        let new = logs.log(&key(), logs.clock.now()).expect("a new log");
        new.append(line("new")).expect("appended");
        assert_eq!(texts(&new, 0, false).await, ["new"]);
        logs.close(&key());
        assert_eq!(texts(&logs.log(&key(), long_ago()).expect("again"), 0, false).await, ["new"]);
    }
}

#[tokio::test]
async fn removing_what_is_older_spares_what_has_begun_since() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = logs(&folder);
    let (app, environment, _) = key();
    let at = |number| (app.clone(), environment.clone(), RolloutNumber(number));
    logs.log(&at(1), long_ago()).expect("a log").append(line("old")).expect("appended");
    let since = logs.clock.now();
    logs.log(&at(2), long_ago()).expect("a log").append(line("new")).expect("appended");
    logs.remove_older(&app, &environment, since).expect("removed");
    assert_eq!(texts(&logs.log(&at(1), long_ago()).expect("a log"), 0, false).await, Vec::<String>::new());
    assert_eq!(texts(&logs.log(&at(2), long_ago()).expect("a log"), 0, false).await, ["new"]);
}
