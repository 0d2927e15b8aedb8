//! The log as a program that reads it meets it: lines, a full disk, a file that is moved away.

use std::os::unix::fs::symlink;

use http::StatusCode;
use tandem_types::traffic::AnsweredBy;

use super::*;

fn config(path: &Path) -> AccessLogConfig {
    AccessLogConfig { path: path.to_owned(), format: AccessFormat::Json, with_query: false }
}

fn put(log: &AccessLog, thread: usize, target: &str) {
    let facts = Facts {
        at_us: 0,
        instance: None,
        status: Some(StatusCode::OK),
        by: AnsweredBy::Balancer,
        retried: false,
        cut: false,
        bytes_in: 0,
        bytes_out: 0,
        queue_us: 0,
        connect_us: 0,
        first_byte_us: 0,
        total_us: 0,
    };
    log.write(thread, None, (&facts, &Seen { method: "GET", target, ..Seen::default() }));
}

/// The paths in a log, in order.
fn paths(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    text.lines().map(|line| value(line)["path"].as_str().unwrap().to_owned()).collect()
}

fn until(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not take that long");
}

#[test]
fn lines_of_all_threads_are_in_the_file_when_it_ends_and_behind_those_that_were_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    for round in ["/a", "/b"] {
        let (log, writing) = AccessLog::open(config(&path), 2).unwrap();
        put(&log, 0, round);
        put(&log, 1, round);
        drop(writing);
    }
    assert_eq!(paths(&path), ["/a", "/a", "/b", "/b"]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777 & !MODE, 0);
}

#[test]
fn who_renames_the_file_gets_a_new_one_and_no_line_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let (log, _writing) = AccessLog::open(config(&path), 1).unwrap();
    put(&log, 0, "/a");
    until(|| paths(&path) == ["/a"]);
    fs::rename(&path, &old).unwrap();
    put(&log, 0, "/b");
    until(|| paths(&path) == ["/b"]);
    assert_eq!(paths(&old), ["/a"]);
    fs::remove_file(&path).unwrap();
    put(&log, 0, "/c");
    until(|| paths(&path) == ["/c"]);
}

#[test]
fn a_hangup_opens_the_file_anew_without_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let (log, _writing) = AccessLog::open(config(&path), 1).unwrap();
    fs::rename(&path, &old).unwrap();
    log.reopen.store(true, Ordering::Relaxed);
    until(|| path.exists());
}

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (path, real) = (folder.path().join("access.log"), folder.path().join("real"));
    symlink("/dev/full", &path).unwrap();
    let (log, writing) = AccessLog::open(config(&path), 1).unwrap();
    put(&log, 0, "/lost");
    put(&log, 0, "/lost too");
    until(|| log.lost.load(Ordering::Relaxed) == 2);
    symlink(&real, folder.path().join("next")).unwrap();
    fs::rename(folder.path().join("next"), &path).unwrap();
    put(&log, 0, "/kept");
    drop(writing);
    assert_eq!(paths(&real), ["/kept"]);
    assert_eq!(log.lost.load(Ordering::Relaxed), 2);
}

#[test]
fn a_line_that_was_cut_in_two_does_not_spoil_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let (log, writing) = AccessLog::open(config(&path), 1).unwrap();
    drop(writing);
    let mut writer =
        Writer { log, file: open(&path).unwrap(), torn: false, failing: None, spare: Vec::new() };
    writer.file.write_all(b"whole\nhal").unwrap();
    writer.lose(b"f\nlost\n", b"whole\nhalf\nlost\n", &io::ErrorKind::StorageFull.into());
    writer.write(b"next\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nhal\nnext\n");
    assert_eq!(writer.log.lost.load(Ordering::Relaxed), 2);
}

#[test]
fn a_disk_that_hangs_costs_lines_and_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let (log, writing) = AccessLog::open(config(&path), 1).unwrap();
    // Nobody takes them.
    drop(writing);
    let target = format!("/{}", "a".repeat(60_000));
    (0..200).for_each(|_| put(&log, 0, &target));
    let waiting = lock(&log.waiting[0]).lines.len();
    assert!(waiting <= MOST_WAITING + 61_000, "{waiting}");
    let kept = waiting / 60_000;
    assert_eq!(log.lost.load(Ordering::Relaxed), 200 - kept as u64);
}

#[test]
fn a_folder_that_is_missing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/access.log");
    let error = AccessLog::open(config(&path), 1).unwrap_err();
    assert_eq!(error.to_string(), format!("open the access log {}", path.display()));
}
