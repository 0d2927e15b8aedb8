//! Logs as they are written, read, followed and trimmed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_types::event::Stream;

use super::writer::DROPPED;
use super::{Follow, Position, Settings, Writer, chunks, fold, folded, tags, tail, trim};

const ENOUGH: Duration = Duration::from_secs(20);

fn settings(dir: &Path, chunk_bytes: u64) -> Settings {
    let tags = BTreeMap::from([("release".to_owned(), "r12".to_owned())]);
    Settings { dir: dir.join("log"), chunk_bytes, chunks: 3, tags }
}

fn texts(dir: &Path, count: usize) -> Vec<String> {
    tail(&dir.join("log"), count).unwrap().lines.into_iter().map(|line| line.text).collect()
}

/// The form on disk, version 1. A reader of a later version must read this file.
#[test]
fn the_form_of_a_chunk_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _hands) = Clock::manual("2026-11-21T01:02:03.1234567Z".parse().unwrap());
    let writer = Writer::start(settings(folder.path(), 1 << 20), clock).unwrap();
    writer.line(Stream::Stdout, "GET / 200");
    writer.line(Stream::Stderr, "  careful ");
    writer.line(Stream::Tandem, "");
    writer.flush(ENOUGH);
    let golden = include_str!("golden/chunk.log");
    assert_eq!(std::fs::read_to_string(folder.path().join("log/00000001.log")).unwrap(), golden);
    let lines = tail(&folder.path().join("log"), 10).unwrap().lines;
    let read: Vec<_> = lines.iter().map(|line| (line.stream, line.text.as_str())).collect();
    assert_eq!(read, [(Stream::Stdout, "GET / 200"), (Stream::Stderr, "  careful "), (Stream::Tandem, "")]);
}

#[test]
fn rotation_keeps_the_latest_lines_within_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::start(settings(folder.path(), 4096), Clock::system()).unwrap();
    for number in 0..2_000 {
        writer.line(Stream::Stdout, &format!("line {number}"));
    }
    writer.flush(ENOUGH);
    let numbers = chunks::list(&folder.path().join("log")).unwrap();
    assert_eq!(numbers.len(), 3, "{numbers:?}");
    for number in numbers {
        let chunk = std::fs::read_to_string(chunks::path(&folder.path().join("log"), number)).unwrap();
        assert!(chunk.starts_with("# tandem-log/1 ") && chunk.len() <= 4096 + 64, "{}", chunk.len());
    }
    assert_eq!(texts(folder.path(), 2), ["line 1998", "line 1999"]);
    assert!(texts(folder.path(), 150).len() == 150, "over the chunks' borders");
    assert_eq!(writer.dropped(), 0);
}

#[test]
fn the_next_start_goes_on_in_the_same_chunk_behind_a_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let first = Writer::start(settings(folder.path(), 1 << 20), Clock::system()).unwrap();
    first.line(Stream::Stdout, "before");
    first.flush(ENOUGH);
    let path = folder.path().join("log/00000001.log");
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend_from_slice(b"2026-11-21T01:02:03.123456Z o to");
    tandem_kit::files::write_atomic(&path, &torn, 0o600).unwrap();
    let second = Writer::start(settings(folder.path(), 1 << 20), Clock::system()).unwrap();
    second.line(Stream::Stdout, "after");
    second.flush(ENOUGH);
    assert_eq!(texts(folder.path(), 10), ["before", "to", "after"]);
    assert_eq!(chunks::list(&folder.path().join("log")).unwrap(), [1]);
}

#[tokio::test]
async fn a_follower_sees_every_line_once_across_rotations() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path(), 4096);
    settings.chunks = 1_000;
    let writer = Writer::start(settings, Clock::system()).unwrap();
    writer.line(Stream::Stdout, "old");
    writer.line(Stream::Stdout, "last");
    writer.flush(ENOUGH);
    let dir = folder.path().join("log");
    let seen = tail(&dir, 1).unwrap();
    assert_eq!(seen.lines[0].text, "last");
    let mut follow = Follow::new(&dir, seen.position).unwrap();
    let lines = std::thread::spawn(move || {
        for number in 0..1_000 {
            writer.line(Stream::Stdout, &number.to_string());
        }
        writer.flush(ENOUGH);
    });
    for number in 0..1_000 {
        let line = tokio::time::timeout(ENOUGH, follow.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(line.text, number.to_string());
    }
    lines.join().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(tokio::time::timeout(ENOUGH, follow.next()).await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn a_follower_from_the_beginning_waits_for_the_first_line() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::start(settings(folder.path(), 4096), Clock::system()).unwrap();
    let mut follow = Follow::new(&folder.path().join("log"), Position::default()).unwrap();
    {
        let early = follow.next();
        assert!(tokio::time::timeout(Duration::from_millis(20), early).await.is_err());
    }
    writer.line(Stream::Stdout, "first");
    let line = tokio::time::timeout(ENOUGH, follow.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(line.text, "first");
}

#[test]
fn trimming_deletes_the_oldest_closed_chunks_only() {
    let folder = tempfile::tempdir().unwrap();
    let dirs: Vec<_> = ["a", "b"].iter().map(|name| folder.path().join(name)).collect();
    let age = |path: &Path, seconds: u64| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    for (dir, ages) in dirs.iter().zip([[1, 4, 5], [2, 3, 0]]) {
        std::fs::create_dir(dir).unwrap();
        for (number, seconds) in (1..).zip(ages) {
            let path = chunks::path(dir, number);
            tandem_kit::files::write_atomic(&path, &[b'x'; 100], 0o600).unwrap();
            age(&path, seconds);
        }
    }
    assert_eq!(trim(&dirs, 600).unwrap(), 0);
    assert_eq!(trim(&dirs, 350).unwrap(), 300);
    assert_eq!(chunks::list(&dirs[0]).unwrap(), [2, 3]);
    assert_eq!(chunks::list(&dirs[1]).unwrap(), [3], "the oldest of all, but being written");
    assert_eq!(trim(&dirs, 0).unwrap(), 100);
    assert_eq!(trim(&[folder.path().join("missing")], 0).unwrap(), 0);
}

#[test]
fn a_full_disk_costs_lines_which_are_counted_and_nothing_else() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let disk = Disk::new(4096);
    let filler = disk.folder.path().join("filler");
    let writer = Writer::start(settings(disk.folder.path(), 4 << 20), Clock::system()).unwrap();
    writer.line(Stream::Stdout, "first");
    writer.flush(ENOUGH);
    disk.fill(&filler);
    let line = "x".repeat(1_000);
    for _ in 0..3_000 {
        writer.line(Stream::Stdout, &line);
    }
    let dropped = writer.dropped();
    assert!(dropped > 900, "{dropped}");
    let clock = Clock::system();
    let refused = clock.monotonic();
    writer.flush(ENOUGH);
    assert!(clock.monotonic().elapsed_since(refused) < ENOUGH, "nobody waits for a disk that refuses");
    std::fs::remove_file(&filler).unwrap();
    // One remark for each gap; how many there are, and whether the last is behind all lines, depends on when the
    // writer came by.
    let remark = |text: &String| {
        let count = text.strip_suffix(DROPPED)?;
        count.trim_end().parse::<u64>().ok()
    };
    let told = || {
        let lines = texts(disk.folder.path(), 10_000);
        let dropped = lines.iter().filter_map(remark).sum::<u64>();
        (lines.iter().filter(|text| **text == line).count() as u64, dropped)
    };
    while told() != (3_000 - dropped, dropped) {
        assert!(clock.monotonic().elapsed_since(refused) < ENOUGH, "it is tried again");
        std::thread::sleep(Duration::from_millis(10));
    }
    writer.flush(ENOUGH);
    writer.line(Stream::Stdout, "again");
    writer.flush(ENOUGH);
    let lines = texts(disk.folder.path(), 10_000);
    assert_eq!((lines[0].as_str(), lines[lines.len() - 1].as_str()), ("first", "again"));
    assert_eq!(told(), (3_000 - dropped, dropped));
}

/// A small disk in memory.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(kib: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={kib}k");
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), folder.path(), Some("tmpfs"), flags, Some(options.as_str()))
            .unwrap();
        Self { folder }
    }

    fn fill(&self, filler: &Path) {
        let mut file = std::fs::File::create(filler).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        nix::mount::umount2(self.folder.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

#[tokio::test]
async fn a_log_that_is_over_is_one_file_and_read_to_its_end_by_who_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("log");
    let writer = Writer::start(settings(folder.path(), 1 << 20), Clock::system()).unwrap();
    writer.line(Stream::Stdout, "first");
    writer.flush(ENOUGH);
    let mut follow = Follow::new(&dir, Position::default()).unwrap();
    writer.line(Stream::Stdout, "last");
    writer.flush(ENOUGH);
    drop(writer);
    let before = (tail(&dir, 9).unwrap().lines, tags(&dir));
    assert!(fold(&dir).unwrap());
    assert!(fold(&dir).unwrap(), "once more, as after a crash");
    std::fs::remove_dir(&dir).unwrap();
    assert_eq!((tail(&folded(&dir), 9).unwrap().lines, tags(&folded(&dir))), before);
    assert_eq!(before.1.unwrap()["release"], "r12");
    for expected in [Some("first"), Some("last"), None] {
        let line = tokio::time::timeout(ENOUGH, follow.next()).await.unwrap().unwrap();
        assert_eq!(line.as_ref().map(|line| line.text.as_str()), expected);
    }
    assert_eq!(trim(&[folded(&dir)], 0).unwrap() > 0, !folded(&dir).exists());
    assert!(!folded(&dir).exists(), "nobody writes it, so it may go");
}

#[test]
fn a_log_of_several_chunks_or_without_a_head_or_folded_before_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("log");
    let chunk = |number, text: &str| {
        tandem_kit::files::ensure_dir(&dir, 0o700).unwrap();
        tandem_kit::files::write_atomic_unsynced(&chunks::path(&dir, number), text.as_bytes(), 0o600)
            .unwrap();
    };
    assert!(!fold(&dir).unwrap(), "there is none");
    chunk(1, "2026-11-21T01:02:03.123456Z o torn head\n");
    assert!(!fold(&dir).unwrap());
    chunk(1, "# tandem-log/1 {}\n");
    chunk(2, "# tandem-log/1 {}\n");
    assert!(!fold(&dir).unwrap());
    std::fs::remove_file(chunks::path(&dir, 2)).unwrap();
    assert!(fold(&dir).unwrap());
    chunk(1, "# tandem-log/1 {}\n");
    assert!(!fold(&dir).unwrap(), "the first lines would be lost");
}
