//! Volumes are made once, given once, and missed.

use tandem_types::Timestamp;

use super::*;

const UID: u32 = 70_000;
const NAMESAKE: u32 = 70_001;

struct Disk {
    folder: tempfile::TempDir,
    place: Place,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let name = "guestbook".parse().expect("it is a name");
        Self { folder, place: Place { app: name, environment: "production".parse().expect("it is a name") } }
    }

    /// As a runner that has just started does.
    fn ready(&self, uid: u32) -> Result<PathBuf, Error> {
        let root = self.folder.path().join("volumes");
        let volumes = Volumes::open(root, self.folder.path().join("volumes.json")).expect("it is readable");
        volumes.ready(Wanted { place: &self.place, name: "data", uid }, Timestamp::UNIX_EPOCH)
    }
}

fn is_root() -> bool {
    Uid::effective().is_root()
}

fn owner(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").uid()
}

/// Types the command of an error into a shell.
fn type_command(error: &Error) {
    let text = error.to_string();
    let command = text.split('`').nth(1).expect("it names one");
    assert!(text.ends_with('`'), "it is at the end: {text}");
    #[expect(clippy::disallowed_methods, reason = "a person's shell, which is done before this returns")]
    let typed = std::process::Command::new("sh").args(["-c", command]).status();
    assert!(typed.expect("there is a shell").success(), "{command}");
}

#[test]
fn what_is_done_follows_from_what_is_there_and_what_was_noted() {
    let there = |owner| Some(Found { owner, own_disk: false });
    let mounted = |owner| Some(Found { owner, own_disk: true });
    let noted = |own_disk| Some(Note { uid: UID, since: Timestamp::UNIX_EPOCH, own_disk });
    let (old, here, apart) = (noted(None), noted(Some(false)), noted(Some(true)));
    for (found, noted, as_root, step) in [
        (None, &None, true, Step::Make),
        (None, &old, true, Step::Lost),
        (None, &here, false, Step::Lost),
        (None, &apart, true, Step::Lost),
        // Noted for nobody or for a namesake; the latter lost it, not this one.
        (there(UID), &None, true, Step::Use),
        (there(0), &None, true, Step::Give),
        (mounted(0), &None, true, Step::Give),
        (there(NAMESAKE), &None, true, Step::Foreign { owner: NAMESAKE }),
        (there(1000), &None, false, Step::Use),
        // Noted for this one.
        (there(UID), &old, true, Step::Use),
        (there(UID), &here, true, Step::Use),
        (mounted(UID), &here, true, Step::Use),
        (mounted(UID), &apart, true, Step::Use),
        (there(UID), &apart, true, Step::Withdraw),
        (there(UID), &apart, false, Step::Use),
        (there(0), &old, true, Step::Bare),
        (there(0), &here, true, Step::Bare),
        (there(0), &apart, true, Step::Bare),
        (mounted(0), &apart, true, Step::Bare),
        (there(NAMESAKE), &here, true, Step::Foreign { owner: NAMESAKE }),
        (there(1000), &here, false, Step::Use),
    ] {
        assert_eq!(decide(found, noted.as_ref(), UID, as_root), step, "{found:?} {noted:?} {as_root}");
    }
}

#[test]
fn a_volume_is_made_once_and_given_to_its_user() {
    let disk = Disk::new();
    let path = disk.ready(UID).expect("the disk has room");
    std::fs::File::create(path.join("db.sqlite3")).expect("the disk has room");
    assert_eq!(disk.ready(UID).expect("it is there"), path);
    assert!(path.join("db.sqlite3").exists());
    if is_root() {
        assert_eq!((owner(&path), owner(&path.join("db.sqlite3"))), (UID, 0));
    }
}

#[test]
fn of_many_that_start_at_once_none_meets_a_volume_that_is_half_made() {
    for _ in 0..50 {
        let disk = Disk::new();
        let root = disk.folder.path().join("volumes");
        let volumes = Volumes::open(root, disk.folder.path().join("volumes.json")).expect("it is readable");
        let wanted = Wanted { place: &disk.place, name: "data", uid: UID };
        let ready = || volumes.ready(wanted, Timestamp::UNIX_EPOCH).expect("it is made once");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(ready);
            }
        });
    }
}

#[test]
fn a_volume_that_was_lost_is_missed_until_a_person_makes_it_again() {
    let disk = Disk::new();
    let path = disk.ready(UID).expect("the disk has room");
    std::fs::remove_dir_all(disk.folder.path().join("volumes")).expect("it is ours");
    let error = disk.ready(UID).expect_err("it is gone");
    let path_word = path.display();
    let give = if is_root() { format!(" && chown 70000:70000 '{path_word}'") } else { String::new() };
    let expected = format!(
        "find the volume data: its folder is gone, which was here since 1970-01-01T00:00:00Z; put it back, or begin with an empty one: `mkdir -p -m 700 '{path_word}'{give}`"
    );
    assert_eq!(error.to_string(), expected);
    assert!(!path.exists(), "nothing is made meanwhile");
    type_command(&error);
    assert_eq!(disk.ready(UID).expect("it is there again"), path);
    assert!(!is_root() || owner(&path) == UID);
}

/// Where a disk is to be mounted, there was a folder before: root's, or the app's where it ran without the disk once.
#[test]
fn what_a_missing_disk_leaves_behind_is_not_used_until_a_person_says_so() {
    if !is_root() {
        return;
    }
    let disk = Disk::new();
    let path = disk.ready(UID).expect("the disk has room");
    std::fs::remove_dir(&path).expect("it is empty");
    let elsewhere = tempfile::tempdir_in("/dev/shm").expect("there is room");
    chown(elsewhere.path(), Some(UID), Some(UID)).expect("we are root");
    let mount = || {
        std::fs::remove_dir(&path).or_else(|_| std::fs::remove_file(&path)).ok();
        std::os::unix::fs::symlink(elsewhere.path(), &path).expect("there is room");
    };
    let unmount = |user| {
        std::fs::remove_file(&path).expect("it is there");
        std::fs::create_dir(&path).expect("there is room");
        chown(&path, Some(user), Some(user)).expect("we are root");
    };
    mount();
    assert!(look(&path, &disk.folder.path().join("volumes")).expect("it is there").expect("it is").own_disk);
    for user in [UID, 0] {
        disk.ready(UID).expect("the disk is there");
        unmount(user);
        for _ in 0..2 {
            let error = disk.ready(UID).expect_err("the disk is not there");
            assert!(matches!(error, Error::Bare { .. }), "{error}");
            assert_eq!(owner(&path), 0);
        }
        mount();
    }
    disk.ready(UID).expect("the disk is there again");
    assert_eq!(owner(elsewhere.path()), UID);
    unmount(UID);
    type_command(&disk.ready(UID).expect_err("the disk is not there"));
    for _ in 0..2 {
        assert_eq!(disk.ready(UID).expect("a person said so"), path);
    }
    assert_eq!(owner(&path), UID);
}

#[test]
fn a_volume_that_is_older_than_the_notes_is_taken_up_into_them() {
    let disk = Disk::new();
    let path = disk.ready(UID).expect("the disk has room");
    std::fs::remove_file(disk.folder.path().join("volumes.json")).expect("it is there");
    std::fs::File::create(path.join("db.sqlite3")).expect("the disk has room");
    disk.ready(UID).expect("it is taken as it is");
    assert!(path.join("db.sqlite3").exists());
    std::fs::remove_dir_all(&path).expect("it is ours");
    assert!(matches!(disk.ready(UID), Err(Error::Lost { .. })));
}

#[test]
fn a_volume_that_was_emptied_is_still_there() {
    let disk = Disk::new();
    let path = disk.ready(UID).expect("the disk has room");
    std::fs::File::create(path.join("db.sqlite3")).expect("the disk has room");
    std::fs::remove_file(path.join("db.sqlite3")).expect("it is ours");
    assert_eq!(disk.ready(UID).expect("it is there"), path);
}

#[test]
fn an_app_of_the_same_name_does_not_get_the_data_of_the_one_before_unasked() {
    if !is_root() {
        return;
    }
    let disk = Disk::new();
    let path = disk.ready(UID).expect("the disk has room");
    let error = disk.ready(NAMESAKE).expect_err("it is another's").to_string();
    let quoted = quoted(&path);
    let commands = [format!("`chown -Rh 70001:70001 {quoted}`"), format!("`mv {quoted} {quoted}.70000`")];
    assert!(commands.iter().all(|command| error.contains(command)), "{error}");
    assert_eq!(owner(&path), UID);
    let aside = path.with_extension("70000");
    std::fs::rename(&path, &aside).expect("it is ours");
    let new = disk.ready(NAMESAKE).expect("it gets one of its own");
    assert_eq!((owner(&new), owner(&aside)), (NAMESAKE, UID));
}

#[test]
fn a_link_to_another_disk_is_a_volume_and_one_that_leads_nowhere_is_not_made_anew() {
    let disk = Disk::new();
    let path = disk.ready(UID).expect("the disk has room");
    let large = disk.folder.path().join("large");
    std::fs::rename(&path, &large).expect("it is ours");
    std::os::unix::fs::symlink(&large, &path).expect("there is room");
    assert_eq!(disk.ready(UID).expect("it is there"), path);
    std::fs::remove_dir(&large).expect("it is empty");
    let error = disk.ready(UID).expect_err("it is gone");
    assert!(matches!(error, Error::Lost { .. }), "{error}");
    type_command(&error);
    assert!(large.is_dir());
    assert_eq!(disk.ready(UID).expect("it is there again"), path);
}

#[test]
fn the_notes_keep_their_form() {
    let old = r#"{"guestbook.production/data":{"uid":70000,"since":"1970-01-01T00:00:00Z"}}"#;
    let golden =
        r#"{"guestbook.production/data":{"uid":70000,"since":"1970-01-01T00:00:00Z","own_disk":false}}"#;
    for text in [old, golden] {
        let notes: Notes = serde_json::from_str(text).expect("it is readable");
        assert_eq!(serde_json::to_string(&notes).expect("it is plain JSON"), text);
    }
    let disk = Disk::new();
    let notes = disk.folder.path().join("volumes.json");
    files::write_atomic_unsynced(&notes, old.as_bytes(), 0o600).expect("there is room");
    let folder = disk.folder.path().join("volumes/guestbook.production/data");
    std::fs::create_dir_all(&folder).expect("there is room");
    if is_root() {
        chown(&folder, Some(UID), Some(UID)).expect("we are root");
    }
    disk.ready(UID).expect("the disk has room");
    let written = std::fs::read_to_string(disk.folder.path().join("volumes.json"));
    assert_eq!(written.expect("it was just written"), golden);
}
