//! Archives out and in: what comes back is what was there, and what is hostile is refused.

use std::fs::{self, Permissions};
use std::io::Cursor;
use std::io::Write;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::unistd::Uid;
use tandem_kit::files;
use tandem_types::Timestamp;
use tar::{Builder, EntryType, Header};

use super::pack::{Databases, pack, survey};
use super::unpack::{Unpacked, stays, unpack};
use super::{Volumes, Wanted};
use crate::intent::Place;

/// SQLite is the store's: here a database is copied as any file, with a mark behind it.
const DATABASES: Databases = Databases {
    check: |path| if path.ends_with("broken.db") { Err("it is broken".to_owned()) } else { Ok(()) },
    copy: |from, to| {
        let text = [fs::read(from).map_err(|error| error.to_string())?, b"copied".to_vec()].concat();
        files::write_atomic_unsynced(to, &text, 0o600).map_err(|error| error.to_string())
    },
    pace: Duration::from_secs(10),
};

fn write(path: &Path, text: &[u8]) {
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("there is room");
    files::write_atomic_unsynced(path, text, 0o640).expect("there is room");
}

fn packed(root: &Path) -> Vec<u8> {
    let mut archive = Vec::new();
    pack(root, DATABASES, &mut archive).expect("it can be read");
    archive
}

#[test]
fn what_is_taken_out_and_put_back_is_what_it_was() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let long = "long/".repeat(40);
    write(&from.path().join("media/ä b.txt"), b"hello");
    write(&from.path().join(&long).join("deep"), b"down");
    fs::create_dir(from.path().join("empty")).unwrap();
    fs::set_permissions(from.path().join("media/ä b.txt"), Permissions::from_mode(0o6755)).unwrap();
    symlink("../media/ä b.txt", from.path().join("empty/link")).unwrap();
    let contents = survey(from.path(), DATABASES).unwrap();
    assert_eq!((contents.files, contents.bytes, contents.remarks.len()), (2, 9, 0));
    let unpacked = unpack(to.path(), Cursor::new(packed(from.path()))).unwrap();
    assert_eq!(unpacked, Unpacked { files: 2, bytes: 9 });
    assert_eq!(fs::read(to.path().join("empty/link")).unwrap(), b"hello");
    assert_eq!(fs::read(to.path().join(&long).join("deep")).unwrap(), b"down");
    let about = fs::metadata(to.path().join("media/ä b.txt")).unwrap();
    assert_eq!(about.mode() & 0o7777, 0o755, "no set-user-id comes along");
    let before = fs::metadata(from.path().join("media/ä b.txt")).unwrap();
    assert_eq!(about.mtime(), before.mtime());
}

#[test]
fn databases_are_copied_by_who_knows_them_and_what_lies_beside_them_stays() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let database = [b"SQLite format 3\0".as_slice(), b"rows"].concat();
    write(&from.path().join("a.db"), &database);
    write(&from.path().join("a.db-wal"), b"wal");
    write(&from.path().join("a.db-shm"), b"shm");
    write(&from.path().join("fresh.db"), b"");
    write(&from.path().join("fresh.db-wal"), b"all of it");
    write(&from.path().join("broken.db"), &database);
    write(&from.path().join("broken.db-journal"), b"undo");
    write(&from.path().join("broken.db-wal"), b"rows that are here alone");
    write(&from.path().join("my-journal"), b"dear diary");
    symlink("/etc/passwd", from.path().join("out")).unwrap();
    nix::unistd::mkfifo(&from.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let contents = survey(from.path(), DATABASES).unwrap();
    assert_eq!((contents.files, contents.databases), (6, 2));
    assert_eq!(
        contents.remarks,
        [
            "broken.db is sent as it is, with -wal and -journal: it is broken",
            "out is left out: it is a link that leaves the volume",
            "pipe is left out: it is no file, folder or link"
        ]
    );
    unpack(to.path(), Cursor::new(packed(from.path()))).unwrap();
    let mut names: Vec<_> = fs::read_dir(to.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a.db", "broken.db", "broken.db-journal", "broken.db-wal", "fresh.db", "my-journal"]);
    assert!(fs::read(to.path().join("a.db")).unwrap().ends_with(b"rowscopied"));
    assert_eq!(fs::read(to.path().join("fresh.db")).unwrap(), b"copied");
    assert!(!from.path().join(".tandem-export").exists(), "the copy is gone");
}

/// Set once something was sent while a database is copied.
static SENT: AtomicBool = AtomicBool::new(false);

/// Waits for the second comment.
struct Listener(Vec<u8>);

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let text = String::from_utf8_lossy(&self.0);
        SENT.store(text.matches("comment=copying").count() > 1, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn whoever_takes_an_archive_hears_of_it_while_a_large_database_is_copied() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&from.path().join("a.db"), b"SQLite format 3\0");
    let slow = Databases {
        copy: |from, to| {
            while !SENT.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            (DATABASES.copy)(from, to)
        },
        pace: Duration::from_millis(1),
        ..DATABASES
    };
    let mut sent = Listener(Vec::new());
    pack(from.path(), slow, &mut sent).expect("it can be read");
    assert_eq!(unpack(to.path(), Cursor::new(&sent.0)).unwrap().files, 1);
    assert!(fs::read(to.path().join("a.db")).unwrap().ends_with(b"copied"));
}

#[test]
fn what_an_export_left_that_was_killed_with_its_runner_goes_with_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    let volume = root.path().join("volumes/shop.production/data");
    write(&volume.join(".tandem-export"), b"as large as a database");
    write(&volume.join(".tandem-export-wal"), b"wal");
    write(&volume.join("kept"), b"the app's");
    drop(volumes(root.path()));
    assert_eq!(fs::read_dir(&volume).unwrap().count(), 1);
}

/// An entry whose path is not looked at by who makes the archive.
fn entry(path: &str, kind: EntryType, link: &str, text: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    let raw = header.as_gnu_mut().expect("it was made as one");
    raw.name[..path.len()].copy_from_slice(path.as_bytes());
    raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, text).unwrap();
    let mut all = builder.into_inner().unwrap();
    all.truncate(all.len() - 1024);
    all
}

fn refusal(entries: &[Vec<u8>]) -> String {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("volume");
    fs::create_dir(&root).unwrap();
    let archive = [entries.concat(), vec![0; 1024]].concat();
    let said = unpack(&root, Cursor::new(archive)).map_err(|error| error.to_string());
    let beside = fs::read_dir(parent.path()).unwrap().count();
    assert_eq!(beside, 1, "nothing is written outside");
    said.err().unwrap_or_default()
}

#[test]
fn hostile_archives_are_refused_with_the_entry() {
    let file = |path: &str| entry(path, EntryType::Regular, "", b"x");
    let link = |path: &str, target: &str| entry(path, EntryType::Symlink, target, b"");
    for (entries, why) in [
        (vec![file("../evil")], "leads out"),
        (vec![file("/etc/evil")], "leads out"),
        (vec![file("a/../../evil")], "leads out"),
        (vec![link("l", "/etc")], "a link that leads out"),
        (vec![link("a/l", "../../x")], "a link that leads out"),
        (vec![link("l", "a/../..")], "a link that leads out"),
        (vec![link("l", ".."), file("l/evil")], "a link that leads out"),
        (vec![link("l", "a"), file("l/evil")], "is on its way"),
        (vec![file("f"), file("f/x")], "is on its way"),
        (vec![entry("d", EntryType::Directory, "", b""), link("d", "x")], "in its place"),
        (vec![entry("dev", EntryType::Block, "", b"")], "no file, folder or link"),
        (vec![entry("dev", EntryType::Char, "", b"")], "no file, folder or link"),
        (vec![entry("pipe", EntryType::Fifo, "", b"")], "no file, folder or link"),
        (vec![entry("h", EntryType::Link, "/etc/passwd", b"")], "leads out"),
        (vec![link("l", "f"), entry("h", EntryType::Link, "l", b"")], "did not come before"),
        (vec![entry("s", EntryType::GNUSparse, "", b"")], "sparse"),
        (vec![entry("n", EntryType::GNULongName, "", &vec![b'a'; 2 << 20])], "too long"),
        (vec![entry("n", EntryType::XHeader, "", b"17 size=99999999\n")], "PAX form"),
    ] {
        let said = refusal(&entries);
        assert!(said.contains(why), "{why:?} is missing in {said:?}");
    }
    assert_eq!(refusal(&[file("good"), file("good"), entry("again", EntryType::Link, "good", b"")]), "");
    assert!(refusal(&[b"this is no archive at all".repeat(40)]).starts_with("read the archive"));
}

fn unpacked(archive: &[u8]) -> Result<Unpacked, String> {
    let root = tempfile::tempdir().unwrap();
    unpack(root.path(), Cursor::new(archive)).map_err(|error| error.to_string())
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_refused_and_an_empty_volume_is_none() {
    let from = tempfile::tempdir().unwrap();
    let empty = packed(from.path());
    assert_eq!(unpacked(&empty), Ok(Unpacked::default()), "an empty volume comes back");
    write(&from.path().join("a"), &[7; 700]);
    write(&from.path().join("b"), b"");
    write(&from.path().join("c"), &[0; 4096]);
    let whole = packed(from.path());
    assert_eq!(unpacked(&whole), Ok(Unpacked { files: 3, bytes: 4796 }));
    for length in (0..whole.len()).filter(|length| length % 512 < 2) {
        let said = unpacked(&whole[..length]).expect_err("it is not whole");
        assert!(said.starts_with(super::CUT), "{length}: {said}");
    }
    let padded = [whole, vec![0; 8192]].concat();
    assert_eq!(unpacked(&padded), Ok(Unpacked { files: 3, bytes: 4796 }), "as GNU tar fills its records");
    let said = unpacked(&[0; 10_240]).expect_err("GNU tar makes it of no files at all");
    assert!(said.contains("nothing in it"), "{said}");
}

#[test]
fn a_size_that_no_disk_has_is_refused() {
    let mut huge = entry("huge", EntryType::Regular, "", b"");
    let mut header = Header::from_byte_slice(&huge[..512]).clone();
    header.set_size(u64::MAX - 4096);
    header.set_cksum();
    huge[..512].copy_from_slice(header.as_bytes());
    let said = refusal(&[huge]);
    assert!(said.contains("disk of the volumes would be full"), "{said}");
}

#[test]
fn links_stay_where_they_lead_up_only_in_the_beginning() {
    for (path, target, good) in [
        ("a/l", "../b", true),
        ("a/l", "b/c", true),
        ("l", "./a", true),
        ("a/b/l", "../..", true),
        ("l", "..", false),
        ("a/l", "../..", false),
        ("a/b/l", "c/../d", false),
        ("l", "/a", false),
        ("l", "", false),
    ] {
        assert_eq!(stays(Path::new(path), Path::new(target)), good, "{path} → {target}");
    }
}

fn volumes(root: &Path) -> Volumes {
    Volumes::open(root.join("volumes"), root.join("volumes.json")).unwrap()
}

#[test]
fn another_content_takes_the_place_and_what_was_there_is_kept_until_the_next() {
    let root = tempfile::tempdir().unwrap();
    let volumes = volumes(root.path());
    let place = Place { app: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
    let uid = if Uid::effective().is_root() { 70_000 } else { Uid::effective().as_raw() };
    let wanted = Wanted { place: &place, name: "data", uid };
    let now = Timestamp::UNIX_EPOCH;
    let import = |text: &[u8]| {
        let incoming = volumes.begin_import(wanted).unwrap();
        write(&incoming.join("f"), text);
        volumes.settle_import(wanted).unwrap();
        let before = volumes.finish_import(wanted, now).unwrap();
        volumes.clear_import(wanted);
        before
    };
    assert_eq!(import(b"one"), None, "there was nothing");
    let folder = volumes.ready(wanted, now).expect("it is the app's");
    assert_eq!(fs::metadata(&folder).unwrap().uid(), uid);
    let before = import(b"two").expect("the first is kept");
    let half = volumes.begin_import(wanted).unwrap();
    write(&half.join("f"), b"never in place");
    volumes.settle_import(wanted).unwrap();
    assert!(before.join("f").exists(), "what is kept outlives an import that does not come to its end");
    assert_eq!(
        (fs::read(folder.join("f")).unwrap(), fs::read(before.join("f")).unwrap()),
        (b"two".to_vec(), b"one".to_vec())
    );
    let before = import(b"three").expect("the second is kept");
    assert_eq!(
        (fs::read(folder.join("f")).unwrap(), fs::read(before.join("f")).unwrap()),
        (b"three".to_vec(), b"two".to_vec())
    );
    let found = volumes.found();
    assert_eq!((found.len(), found[0].name.as_str(), found[0].seen.files), (1, "data", 1));
    assert!(found[0].seen.before_import_bytes.is_some());
    assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 2, "no more than two are kept");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(import(b"four"), None, "one that was lost is brought back");
    volumes.ready(wanted, now).expect("and is the app's");
}

#[test]
fn an_import_that_was_killed_leaves_the_volume_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let place = Place { app: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
    let uid = if Uid::effective().is_root() { 70_000 } else { Uid::effective().as_raw() };
    let wanted = Wanted { place: &place, name: "data", uid };
    let now = Timestamp::UNIX_EPOCH;
    let folder = volumes(root.path()).ready(wanted, now).unwrap();
    write(&folder.join("f"), b"old");
    let incoming = volumes(root.path()).begin_import(wanted).unwrap();
    write(&incoming.join("f"), b"half");
    let again = volumes(root.path());
    assert_eq!(again.ready(wanted, now).unwrap(), folder);
    assert_eq!(fs::read(folder.join("f")).unwrap(), b"old");
    assert_eq!(again.found().len(), 1, "what is not in its place yet is none");
    let incoming = again.begin_import(wanted).unwrap();
    assert_eq!(fs::read_dir(incoming).unwrap().count(), 0, "the next one begins anew");
    again.give_up_import(wanted);
    assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1);
}
