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

#[test]
fn what_is_done_follows_from_what_is_there_and_what_was_noted() {
    for (found, noted, as_root, step) in [
        (None, None, true, Step::Make),
        (None, Some(UID), true, Step::Lost),
        (None, Some(UID), false, Step::Lost),
        // The earlier app of this name lost it, not this one.
        (None, Some(NAMESAKE), true, Step::Make),
        (Some(UID), None, true, Step::Use),
        (Some(UID), Some(UID), true, Step::Use),
        // Handed over by a person.
        (Some(UID), Some(NAMESAKE), true, Step::Use),
        (Some(0), None, true, Step::Give),
        (Some(0), Some(UID), true, Step::Give),
        (Some(NAMESAKE), None, true, Step::Foreign { owner: NAMESAKE }),
        (Some(NAMESAKE), Some(UID), true, Step::Foreign { owner: NAMESAKE }),
        (Some(1000), None, false, Step::Use),
        (Some(1000), Some(NAMESAKE), false, Step::Use),
    ] {
        assert_eq!(decide(found, noted, UID, as_root), step, "{found:?} {noted:?} {as_root}");
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
fn a_volume_that_was_lost_is_missed_until_a_person_makes_it_again() {
    let disk = Disk::new();
    let path = disk.ready(UID).expect("the disk has room");
    std::fs::remove_dir_all(disk.folder.path().join("volumes")).expect("it is ours");
    let error = disk.ready(UID).expect_err("it is gone").to_string();
    let expected = format!(
        "find the volume data: it has been here since 1970-01-01T00:00:00Z, and its folder is gone; put the folder back, or begin with an empty one: mkdir -p -m 700 '{}'",
        path.display()
    );
    assert_eq!(error, expected);
    assert!(!path.exists(), "nothing is made meanwhile");
    std::fs::create_dir_all(&path).expect("there is room");
    assert_eq!(disk.ready(UID).expect("it is there again"), path);
    assert!(!is_root() || owner(&path) == UID);
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
    let (quoted, hint) = (quoted(&path), "to give its data to this one: chown -Rh 70001:70001");
    assert!(error.contains(&format!("{hint} {quoted}; to begin with an empty one: mv {quoted}")), "{error}");
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
    assert!(matches!(disk.ready(UID), Err(Error::Lost { .. })));
}

#[test]
fn the_notes_keep_their_form() {
    let golden = r#"{"guestbook.production/data":{"uid":70000,"since":"1970-01-01T00:00:00Z"}}"#;
    let notes: Notes = serde_json::from_str(golden).expect("it is readable");
    assert_eq!(serde_json::to_string(&notes).expect("it is plain JSON"), golden);
    let disk = Disk::new();
    disk.ready(UID).expect("the disk has room");
    let written = std::fs::read_to_string(disk.folder.path().join("volumes.json"));
    assert_eq!(written.expect("it was just written"), golden);
}
