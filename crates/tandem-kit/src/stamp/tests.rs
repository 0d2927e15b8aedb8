//! Old and new versions that meet the folders of each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;

fn version(name: &str, generation: u32) -> Version {
    Version { name: name.to_owned(), generation }
}

fn put(root: &Path, name: &str, content: &str) {
    files::write_atomic_unsynced(&root.join(name), content.as_bytes(), 0o600).unwrap();
}

/// Every file with its content.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| tree(folder));
    let folders = folders.iter().map(|folder| (folder.clone(), Vec::new()));
    let files = files.iter().map(|file| (file.clone(), std::fs::read(file).unwrap()));
    folders.chain(files).chain(below).collect()
}

#[test]
fn the_stamp_of_generation_1_stays_readable() {
    let golden = include_str!("golden/stamp.json").trim_end();
    let stamp: Stamp = serde_json::from_str(golden).unwrap();
    assert_eq!(serde_json::to_string(&stamp).unwrap(), golden);
    let unfinished = r#"{"generation":2,"version":"0.2.0","from":1}"#;
    let stamp: Stamp = serde_json::from_str(unfinished).unwrap();
    assert_eq!((stamp.from, serde_json::to_string(&stamp).unwrap()), (Some(1), unfinished.to_owned()));
    let later = r#"{"generation":9,"version":"2.0.0","host":"box","from":null}"#;
    assert_eq!(serde_json::from_str::<Stamp>(later).unwrap().version, "2.0.0");
}

#[test]
fn the_folder_of_a_newer_generation_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    std::fs::create_dir(&root).unwrap();
    put(&root, "stamp.json", r#"{"generation":4000000000,"version":"7.0.0"}"#);
    put(&root, "tandem.sqlite3", "theirs");
    let before = tree(folder.path());
    let mode = std::fs::metadata(&root).unwrap().permissions();
    let Err(crate::paths::Error::Stamp(error)) = DataDir::open(&root) else { panic!("it was opened") };
    let own = &Version::current().name;
    let told = format!("the data folder {} was written by Tandem 7.0.0, this is {own}", root.display());
    assert_eq!(error.to_string(), told);
    assert!(error.hint().contains("use Tandem 7.0.0 or newer"), "{}", error.hint());
    assert_eq!(tree(folder.path()), before);
    assert_eq!(std::fs::metadata(&root).unwrap().permissions(), mode);
}

#[test]
fn a_stamp_that_says_nothing_is_refused_too() {
    let folder = tempfile::tempdir().unwrap();
    for damaged in ["", "{", "[]", r#"{"generation":"1"}"#, r#"{"version":"0.1.0"}"#] {
        put(folder.path(), "stamp.json", damaged);
        let error = check(folder.path()).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{damaged:?}: {error}");
        assert!(error.hint().contains("stamp.json"), "{}", error.hint());
    }
}

#[test]
fn a_folder_of_before_stamps_is_of_the_first_generation_and_a_new_one_of_none() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    assert_eq!(Arrival::at(&data).unwrap().previous, None);
    put(folder.path(), "tandem.sqlite3", "");
    let old = Stamp { generation: 1, version: "0.1.0".to_owned(), from: None };
    assert_eq!(Arrival::at(&data).unwrap().previous, Some(old.clone()));
    Arrival::of(&data, &version("0.1.0", 1)).unwrap().settle(&data).unwrap();
    assert!(folder.path().join("stamp.json").exists(), "it has one from now on");
    assert_eq!(Stamp::read(folder.path()).unwrap(), Some(old));
    data.remove_runtime().unwrap();
}

#[test]
fn another_version_is_told_and_within_a_generation_people_may_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    for (own, before) in
        [("0.1.0", None), ("0.2.0", Some("0.1.0")), ("0.2.0", None), ("0.1.0", Some("0.2.0"))]
    {
        let arrival = Arrival::of(&data, &version(own, 1)).unwrap();
        assert_eq!(arrival.other_version(), before, "{own}");
        arrival.settle(&data).unwrap();
    }
    data.remove_runtime().unwrap();
}

fn first(data: &DataDir) -> io::Result<()> {
    put(data.root(), "first", "done");
    Ok(())
}

fn second(data: &DataDir) -> io::Result<()> {
    std::fs::metadata(data.root().join("room")).map(drop)
}

#[test]
fn an_older_folder_is_brought_up_step_by_step_and_a_failed_step_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    put(folder.path(), "tandem.sqlite3", "");
    let newer = version("0.3.0", 3);
    let steps: &[Step] = &[first, second];
    let error = Arrival::of(&data, &newer).unwrap().settle_by(&data, steps).unwrap_err();
    assert!(matches!(error, Error::BringUp { from: 1, .. }), "{error}");
    let half = Stamp::read(folder.path()).unwrap().unwrap();
    assert_eq!((half.generation, half.from), (3, Some(1)), "an older version keeps out already");
    assert!(matches!(check_for(folder.path(), &version("0.2.0", 2)), Err(Error::Newer { .. })));
    put(folder.path(), "room", "");
    Arrival::of(&data, &newer).unwrap().settle_by(&data, steps).unwrap();
    assert_eq!(Stamp::read(folder.path()).unwrap().unwrap(), Stamp::of(&newer));
    std::fs::remove_file(folder.path().join("first")).unwrap();
    Arrival::of(&data, &newer).unwrap().settle_by(&data, steps).unwrap();
    assert!(!folder.path().join("first").exists(), "no step runs twice once all are done");
    data.remove_runtime().unwrap();
}
