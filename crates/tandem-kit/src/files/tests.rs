//! Content is whole or old, modes are exact, locks are exclusive.

use super::*;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_replaced_file_has_the_new_content_the_exact_mode_and_nothing_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    write_atomic(&path, b"one", 0o600).unwrap();
    assert_eq!(mode(&path), 0o600);
    write_atomic(&path, b"two", 0o666).unwrap();
    write_atomic_unsynced(&folder.path().join("other"), b"", 0o444).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"two");
    assert_eq!(mode(&path), 0o666, "the umask does not matter");
    assert_eq!(names(folder.path()), ["other", "state.json"]);
}

#[test]
fn a_failed_replacement_leaves_the_old_state_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    std::fs::create_dir_all(path.join("inside")).unwrap();
    let error = write_atomic(&path, b"new", 0o600).unwrap_err();
    assert_eq!(error.to_string(), format!("rename {}", path.display()));
    assert_eq!(names(folder.path()), ["taken"], "nothing is left aside");
    assert!(write_atomic(Path::new("/"), b"", 0o600).is_err());
}

#[test]
fn json_files_round_trip_and_a_missing_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.json");
    assert_eq!(read_json::<Vec<u32>>(&path).unwrap(), None);
    write_json(&path, &[1, 2, 3], 0o600).unwrap();
    assert_eq!(read_json::<Vec<u32>>(&path).unwrap(), Some(vec![1, 2, 3]));
    let error = read_json::<String>(&path).unwrap_err();
    assert_eq!(error.doing, "decode");
    assert!(!error.is_not_found());
}

#[test]
fn folders_get_their_mode_also_when_they_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/c");
    ensure_dir(&path, 0o755).unwrap();
    ensure_dir(&path, 0o700).unwrap();
    assert_eq!(mode(&path), 0o700);
    let file = folder.path().join("file");
    write_atomic(&file, b"", 0o600).unwrap();
    assert!(ensure_dir(&file, 0o700).is_err());
}

#[test]
fn a_lock_is_held_by_one_and_ends_with_its_guard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let held = lock_exclusive(&path).unwrap();
    assert!(held.is_some());
    assert!(lock_exclusive(&path).unwrap().is_none());
    drop(held);
    assert!(lock_exclusive(&path).unwrap().is_some());
}

#[test]
fn a_lock_that_is_shared_keeps_out_only_who_wants_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let (one, two) = (lock_shared(&path).unwrap(), lock_shared(&path).unwrap());
    assert!(one.is_some() && two.is_some());
    drop(one);
    assert!(lock_exclusive(&path).unwrap().is_none());
    drop(two);
    let _alone = lock_exclusive(&path).unwrap().unwrap();
    assert!(lock_shared(&path).unwrap().is_none());
}

#[test]
fn a_lock_that_was_sent_on_stays_until_its_last_holder_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let mut first = lock_exclusive(&path).unwrap().unwrap();
    first.share();
    let inherited = LockGuard::inherit(first.as_fd().try_clone_to_owned().unwrap());
    drop(inherited);
    assert!(lock_exclusive(&path).unwrap().is_none(), "who got it gave up, the first one still has it");
    let inherited = LockGuard::inherit(first.as_fd().try_clone_to_owned().unwrap());
    drop(first);
    assert!(lock_exclusive(&path).unwrap().is_none());
    drop(inherited);
    assert!(lock_exclusive(&path).unwrap().is_some());
}

#[test]
fn links_are_replaced_and_files_in_their_place_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("socket");
    replace_symlink(Path::new("/one"), &link).unwrap();
    replace_symlink(Path::new("/two"), &link).unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("/two"));
    let file = folder.path().join("file");
    write_atomic(&file, b"mine", 0o600).unwrap();
    assert!(replace_symlink(Path::new("/one"), &file).is_err());
    assert_eq!(names(folder.path()), ["file", "socket"]);
}

#[test]
fn what_a_killed_process_left_aside_is_removed_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let ours = aside(&path("state.json")).unwrap();
    let theirs = aside(&path("exit.json")).unwrap();
    let others = ["state.json", ".state.json", ".state.json.tmp", ".state.json.12.tmp", "a.0123abcd.tmp"];
    for file in [&ours, &theirs].into_iter().cloned().chain(others.map(path)) {
        File::create(file).unwrap();
    }
    remove_aside(folder.path(), |name| name == "state.json").unwrap();
    assert!(!ours.exists() && theirs.exists());
    assert!(others.iter().all(|name| path(name).exists()));
    remove_aside(folder.path(), |_| true).unwrap();
    assert!(!theirs.exists());
    assert!(others.iter().all(|name| path(name).exists()));
    remove_aside(&path("missing"), |_| true).unwrap();
}
