//! What the store promises.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;

use tandem_types::tree::Entry;

use super::*;

struct Bench {
    _folder: tempfile::TempDir,
    store: BlobStore,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path().join("blobs")).unwrap();
    Bench { _folder: folder, store }
}

fn put_folder(store: &BlobStore, files: &[(&str, &[u8])]) -> Digest {
    let mut tree = Tree::default();
    for (name, bytes) in files {
        let entry =
            Entry::File { digest: store.put(bytes).unwrap(), size: bytes.len() as u64, executable: false };
        tree.entries.insert((*name).to_owned(), entry);
    }
    store.put_tree(&tree).unwrap()
}

fn put_parent(store: &BlobStore, children: &[(&str, Digest)]) -> Digest {
    let entries: BTreeMap<_, _> = children
        .iter()
        .map(|(name, digest)| ((*name).to_owned(), Entry::Folder { digest: *digest }))
        .collect();
    store.put_tree(&Tree { entries }).unwrap()
}

fn far_future() -> Timestamp {
    "2200-01-01T00:00:00Z".parse().unwrap()
}

#[test]
fn a_blob_comes_back_as_it_went_in_also_in_another_life_of_the_store() {
    let bench = bench();
    let large = vec![7; usize::try_from(IN_MEMORY_BYTES).unwrap() + 1];
    let file = bench.store.inner.directory.join("large");
    write(&file, &large);
    for (digest, bytes) in [
        (bench.store.put(b"hello").unwrap(), &b"hello"[..]),
        (bench.store.put(b"").unwrap(), b""),
        (bench.store.put_file(&file).unwrap().0, &large),
    ] {
        assert_eq!(bench.store.read(&digest).unwrap(), bytes);
        let mut copy = Vec::new();
        assert_eq!(bench.store.copy_to(&digest, &mut copy).unwrap(), bytes.len() as u64);
        assert_eq!(copy, bytes);
        let again = BlobStore::open(&bench.store.inner.directory).unwrap();
        assert_eq!(again.read(&digest).unwrap(), bytes);
    }
    bench.store.sync().unwrap();
    let aside = fs::read_dir(bench.store.inner.directory.join("aside")).unwrap().count();
    assert_eq!(aside, 0, "files were left aside");
}

fn write(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn the_first_seen_time_stays_when_a_blob_is_put_again() {
    let bench = bench();
    let digest = bench.store.put(b"hello").unwrap();
    let before = File::open(bench.store.path(&digest)).unwrap();
    let long_ago: Timestamp = "2001-02-03T04:05:06.789Z".parse().unwrap();
    before.set_modified(long_ago.into()).unwrap();
    bench.store.put(b"hello").unwrap();
    let mut aside = bench.store.aside().unwrap();
    aside.file.write_all(&packed::pack(b"hello").unwrap()).unwrap();
    bench.store.keep(aside, &digest).unwrap();
    assert_eq!(bench.store.first_seen(&digest).unwrap(), long_ago);
}

#[test]
fn many_writers_of_the_same_blobs_do_not_disturb_each_other() {
    let bench = bench();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let store = BlobStore::open(&bench.store.inner.directory).unwrap();
            scope.spawn(move || {
                for number in 0..50_u32 {
                    let bytes = number.to_le_bytes().repeat(1000);
                    let digest = store.put(&bytes).unwrap();
                    assert_eq!(store.read(&digest).unwrap(), bytes);
                }
            });
        }
    });
}

#[test]
fn a_damaged_blob_is_reported_once_and_missing_from_then_on() {
    for damage in ["empty", "cut head", "cut tail", "other frame", "noise", "deleted"] {
        let bench = bench();
        let bytes: Vec<u8> =
            (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let root = put_folder(&bench.store, &[("a", &bytes)]);
        let digest = tree::digest_of(&bytes);
        let path = bench.store.path(&digest);
        let packed = fs::read(&path).unwrap();
        match damage {
            "empty" => write(&path, b""),
            "cut head" => write(&path, &packed[100..]),
            "cut tail" => write(&path, &packed[..packed.len() - 100]),
            "other frame" => write(&path, &packed::pack(b"other").unwrap()),
            "noise" => write(&path, b"noise"),
            _ => fs::remove_file(&path).unwrap(),
        }
        let error = bench.store.read(&digest).unwrap_err();
        assert!(error.is_missing(), "{damage}: {error}");
        if !matches!(damage, "empty" | "deleted") {
            assert!(matches!(error, Error::Damaged { .. }), "{damage}: {error}");
        }
        assert!(!bench.store.has(&[digest])[0], "{damage}");
        assert_eq!(bench.store.missing(&[root]).unwrap(), [root], "{damage}");
        bench.store.put(&bytes).unwrap();
        assert_eq!(bench.store.missing(&[root]).unwrap(), [], "{damage}");
        assert_eq!(bench.store.read(&digest).unwrap(), bytes, "{damage}");
    }
}

#[test]
fn a_tree_counts_as_missing_until_everything_below_it_is_here() {
    let bench = bench();
    let child = put_folder(&bench.store, &[("a", b"a"), ("b", b"b")]);
    let root = put_parent(&bench.store, &[("x", child), ("y", child)]);
    assert_eq!(bench.store.missing(&[root, child]).unwrap(), []);
    let absent = tree::digest_of(b"absent");
    let broken = put_parent(&bench.store, &[("x", root), ("y", absent)]);
    assert_eq!(bench.store.missing(&[root, broken, absent]).unwrap(), [broken, absent]);
    let looks_so = bench.store.put(b"{\"entries\":{ is how this text begins").unwrap();
    assert_eq!(bench.store.missing(&[looks_so]).unwrap(), [looks_so]);
    assert!(!bench.store.is_complete(&looks_so).unwrap());
}

#[test]
fn a_file_that_vanished_is_looked_for_again_once_somebody_missed_it() {
    let bench = bench();
    let root = put_folder(&bench.store, &[("a", b"a")]);
    assert!(bench.store.is_complete(&root).unwrap());
    let file = tree::digest_of(b"a");
    fs::remove_file(bench.store.path(&file)).unwrap();
    assert_eq!(bench.store.has(&[file]), [false]);
    assert!(!bench.store.is_complete(&root).unwrap());
}

#[test]
fn a_summary_counts_what_is_there_twice_twice() {
    let bench = bench();
    let child = put_folder(&bench.store, &[("a", b"aa"), ("b", b"bbb")]);
    let root = put_parent(&bench.store, &[("x", child), ("y", child)]);
    let summary = bench.store.summary(&root).unwrap();
    assert_eq!((summary.files, summary.folders, summary.bytes), (4, 2, 10));
    assert_eq!(bench.store.walk(&root).unwrap().len(), 4);
}

#[test]
fn a_path_leads_through_the_folders_of_a_tree() {
    let bench = bench();
    let child = put_folder(&bench.store, &[("a", b"aa")]);
    let root = put_parent(&bench.store, &[("x", child)]);
    let file = Entry::File { digest: tree::digest_of(b"aa"), size: 2, executable: false };
    assert_eq!(bench.store.lookup(&root, "x/a").unwrap(), Some(file));
    assert_eq!(bench.store.lookup(&root, "x").unwrap(), Some(Entry::Folder { digest: child }));
    assert_eq!(bench.store.lookup(&root, "").unwrap(), Some(Entry::Folder { digest: root }));
    for nowhere in ["y", "x/b", "x/a/b", ".."] {
        assert_eq!(bench.store.lookup(&root, nowhere).unwrap(), None, "{nowhere}");
    }
}

#[test]
fn a_small_tree_that_names_millions_of_files_is_refused() {
    let bench = bench();
    let mut root = put_folder(&bench.store, &[("a", b"a")]);
    for _ in 0..30 {
        root = put_parent(&bench.store, &[("x", root), ("y", root)]);
    }
    assert!(matches!(bench.store.summary(&root), Err(Error::TooBig(_))));
    for _ in 0..tree::MAX_DEPTH {
        root = put_parent(&bench.store, &[("x", root)]);
    }
    assert!(matches!(bench.store.walk(&root), Err(Error::TooBig(_))));
    assert!(!bench.store.is_complete(&root).unwrap());
}

#[test]
fn a_tree_that_is_too_deep_only_the_second_time_is_refused() {
    let bench = bench();
    let below =
        |levels: usize, inner| (0..levels).fold(inner, |inner, _| put_parent(&bench.store, &[("x", inner)]));
    let leaf = put_folder(&bench.store, &[("a", b"a")]);
    let (half, rest) = (below(70, leaf), tree::MAX_DEPTH - 71);
    let fits = put_parent(&bench.store, &[("a", half), ("b", below(rest, half))]);
    assert!(bench.store.summary(&fits).is_ok());
    let deeper = put_parent(&bench.store, &[("a", half), ("b", below(rest + 1, half))]);
    assert!(matches!(bench.store.summary(&deeper), Err(Error::TooBig(_))));
}

#[test]
fn what_is_too_long_for_a_listing_is_refused_before_it_is_unpacked() {
    let bench = bench();
    let zeros = vec![0; usize::try_from(tree::MAX_TREE_BYTES).unwrap() + 1];
    let digest = bench.store.put(&zeros).unwrap();
    let refused = bench.store.read_tree(&digest);
    assert!(matches!(refused, Err(Error::Tree { source: tree::Error::TooLong(_), .. })), "{refused:?}");
    assert_eq!(bench.store.read(&digest).unwrap().len(), zeros.len(), "as a file it is fine");
}

#[test]
fn a_sweep_removes_what_is_neither_live_nor_young() {
    let bench = bench();
    let live = put_folder(&bench.store, &[("a", b"live"), ("b", b"shared")]);
    let dead = put_folder(&bench.store, &[("a", b"dead"), ("b", b"shared")]);
    assert_eq!(bench.store.sweep(&[live], Timestamp::UNIX_EPOCH).unwrap(), Swept::default());
    let swept = bench.store.sweep(&[live], far_future()).unwrap();
    assert_eq!(swept.blobs, 2);
    assert!(bench.store.is_complete(&live).unwrap());
    assert_eq!(bench.store.missing(&[dead]).unwrap(), [dead]);
}

#[test]
fn a_live_tree_that_lacks_a_listing_keeps_what_is_known_below_it_and_nothing_from_being_swept() {
    let bench = bench();
    let [gone, here] = [b"gone", b"here"].map(|text| put_folder(&bench.store, &[("a", text)]));
    let live = put_parent(&bench.store, &[("gone", gone), ("here", here)]);
    let dead = put_folder(&bench.store, &[("a", b"dead")]);
    fs::remove_file(bench.store.path(&gone)).unwrap();
    let swept = bench.store.sweep(&[live, here], far_future()).unwrap();
    assert_eq!(
        (swept.blobs, swept.lacking),
        (3, vec![live]),
        "what only the lost listing named is garbage, too"
    );
    assert!(bench.store.is_complete(&here).unwrap() && !bench.store.has(&[dead])[0]);
    let swept = bench.store.sweep(&[dead], Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(swept.lacking, [dead], "a root that is gone altogether is told like any other");
    put_folder(&bench.store, &[("a", b"gone")]);
    assert!(bench.store.is_complete(&live).unwrap(), "the rest of it was kept");

    let unreadable = bench.store.path(&here);
    fs::remove_file(&unreadable).unwrap();
    fs::create_dir(&unreadable).unwrap();
    assert!(bench.store.sweep(&[here], far_future()).is_err(), "what the disk refuses is not gone");
    assert!(bench.store.has(&[live])[0], "nothing was removed");
}

#[test]
fn sweeps_take_turns_and_never_lose_what_the_other_was_told_of() {
    let bench = bench();
    let blob = put_folder(&bench.store, &[("a", b"old")]);
    let long_ago: Timestamp = "2001-02-03T04:05:06Z".parse().unwrap();
    let since: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    let times = fs::FileTimes::new().set_accessed(long_ago.into()).set_modified(long_ago.into());
    for (digest, _) in bench.store.walk(&blob).unwrap() {
        File::open(bench.store.path(&digest)).unwrap().set_times(times).unwrap();
    }
    // A young blob that a sweep begins to read, and cannot go on until it is written: the first one stands behind its list.
    let gate = bench.store.path(&tree::digest_of(b"gate"));
    fs::create_dir_all(gate.parent().unwrap()).unwrap();
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| bench.store.sweep(&[], since).unwrap());
        let mut open = File::options();
        open.write(true).custom_flags(nix::libc::O_NONBLOCK);
        let held = loop {
            match open.open(&gate) {
                Ok(held) => break held,
                Err(_) => assert!(!first.is_finished(), "it reads what is young"),
            }
        };
        let (sender, ended) = std::sync::mpsc::channel();
        let (store, live) = (&bench.store, [blob]);
        let second = scope.spawn(move || {
            store.sweep(&live, far_future()).unwrap();
            let _ = sender.send(());
        });
        let early = ended.recv_timeout(std::time::Duration::from_millis(300));
        assert!(early.is_err(), "the second waits for the first");
        assert_eq!(bench.store.missing(&[blob]).unwrap(), []);
        drop(held);
        assert_eq!(first.join().unwrap().blobs, 0);
        second.join().unwrap();
    });
    assert!(bench.store.is_complete(&blob).unwrap());
}

#[test]
fn an_upload_that_broke_off_keeps_what_it_brought_for_a_while() {
    let bench = bench();
    let upload = bench.store.begin_upload();
    let root = put_folder(&bench.store, &[("a", b"early")]);
    drop(upload);
    assert_eq!(bench.store.sweep(&[], far_future()).unwrap().blobs, 0);
    assert!(bench.store.is_complete(&root).unwrap());
    bench.store.end_lingering();
    assert_eq!(bench.store.sweep(&[], far_future()).unwrap().blobs, 2, "room is needed");
    let upload = bench.store.begin_upload();
    put_folder(&bench.store, &[("a", b"early")]);
    upload.finish();
    assert_eq!(bench.store.sweep(&[], far_future()).unwrap().blobs, 2, "who asks next says so");
}

#[test]
fn asking_for_a_tree_keeps_everything_below_it() {
    let bench = bench();
    let root = put_folder(&bench.store, &[("a", b"old")]);
    let long_ago: Timestamp = "2001-02-03T04:05:06Z".parse().unwrap();
    let since: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    let times = fs::FileTimes::new().set_accessed(long_ago.into()).set_modified(long_ago.into());
    for (digest, _) in bench.store.walk(&root).unwrap() {
        File::open(bench.store.path(&digest)).unwrap().set_times(times).unwrap();
    }
    assert_eq!(bench.store.missing(&[root]).unwrap(), []);
    assert_eq!(bench.store.first_seen(&root).unwrap(), long_ago);
    assert_eq!(bench.store.sweep(&[], since).unwrap().blobs, 0);
}

#[test]
fn what_an_upload_or_a_build_began_with_stays_until_it_ends() {
    let bench = bench();
    let in_use = bench.store.begin_use();
    let root = put_folder(&bench.store, &[("a", b"early")]);
    assert_eq!(bench.store.sweep(&[], far_future()).unwrap().blobs, 0);
    assert!(bench.store.is_complete(&root).unwrap());
    drop(in_use);
    assert_eq!(bench.store.sweep(&[], far_future()).unwrap().blobs, 2);
}

#[test]
fn a_sweep_that_was_killed_after_any_removal_leaves_a_store_that_works() {
    let dead_files: [(&str, &[u8]); 3] = [("a", b"dead"), ("b", b"deader"), ("c", b"shared")];
    for killed_after in 0..=3 {
        let bench = bench();
        let live = put_folder(&bench.store, &[("a", b"live"), ("b", b"shared")]);
        let dead = put_folder(&bench.store, &dead_files);
        let shared = bench.store.walk(&live).unwrap();
        let mut only_dead = bench.store.walk(&dead).unwrap();
        only_dead.retain(|blob| !shared.contains(blob));
        assert_eq!(only_dead.len(), 3);
        for (digest, _) in only_dead.into_iter().take(killed_after) {
            fs::remove_file(bench.store.path(&digest)).unwrap();
        }
        let store = BlobStore::open(bench.store.inner.directory.clone()).unwrap();
        assert!(store.is_complete(&live).unwrap());
        let missing = store.missing(&[dead]).unwrap();
        assert_eq!(missing.is_empty(), killed_after == 0, "what is not whole is asked for");
        store.sweep(&[live], far_future()).unwrap();
        assert!(store.is_complete(&live).unwrap());
        assert_eq!(put_folder(&store, &dead_files), dead);
        assert!(store.is_complete(&dead).unwrap(), "it can be sent anew");
    }
}

#[test]
fn what_nobody_here_made_is_left_alone_and_named() {
    let bench = bench();
    let folder = &bench.store.inner.directory;
    let _ = put_folder(&bench.store, &[("a", b"dead")]);
    let theirs = ["README", "aside/notes", "damaged/photo.jpg", "ab/cd"].map(|name| folder.join(name));
    fs::create_dir_all(folder.join("ab")).unwrap();
    for path in &theirs {
        File::create(path).unwrap();
    }
    File::create(folder.join("aside").join(crate::aside::unique_name())).unwrap();
    let swept = bench.store.sweep(&[], far_future()).unwrap();
    assert_eq!(swept.blobs, 2);
    let told: std::collections::BTreeSet<_> = swept.strangers.into_iter().collect();
    assert_eq!(told, theirs.clone().into());
    assert!(theirs.iter().all(|path| path.exists()));
    assert_eq!(fs::read_dir(folder.join("aside")).unwrap().count(), 1, "what a dead writer left is gone");
}
