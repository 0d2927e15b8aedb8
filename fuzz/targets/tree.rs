//! Trees: one spelling each, no name that leaves its folder, and no set of listings that makes the store or a host write
//! outside of the folder it was told to, climb too deep or go on for ever.

#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use tandem_blobs::cache::LinkCache;
use tandem_blobs::ingest::{Rules, ingest_folder};
use tandem_blobs::{BlobStore, checkout, export, store, tree};
use tandem_types::Digest;
use tandem_types::tree::{Entry, Tree};

/// Larger trees are looked at, but not written to the disk thousands of times a minute.
const MOST_WRITTEN: u64 = 300;

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((b'{', _)) => listing(data),
        Some((_, plan)) => folders(plan),
        None => {}
    }
});

/// Bytes as a listing.
fn listing(bytes: &[u8]) {
    let Ok(tree) = tree::decode(bytes) else { return };
    assert_eq!(tree::encode(&tree), bytes, "one spelling");
    for name in tree.entries.keys() {
        assert!(tree::is_name(name));
        let path = Path::new("/root").join(name);
        let below: Vec<_> = path.strip_prefix("/root").expect("below the root").components().collect();
        assert!(matches!(below[..], [Component::Normal(part)] if part == name.as_str()), "{name:?}");
    }
}

/// Bytes as a plan of folders, each of which may hold those made before it.
fn folders(plan: &[u8]) {
    let scratch = tempfile::tempdir().expect("there is room");
    let store = BlobStore::open(scratch.path().join("blobs")).expect("there is room");
    let (root, honest) = make(plan, &store);
    let whole = store.missing(&[root]).expect("the disk is fine").is_empty();
    let summary = store.summary(&root);
    let walked = store.walk(&root);
    let entries = match &summary {
        Ok(summary) => {
            assert!(whole && walked.is_ok(), "{summary:?}, whole: {whole}, {walked:?}");
            summary.files + summary.folders + summary.links
        }
        Err(store::Error::TooBig(_)) => u64::MAX,
        // Not known where a listing is none: a short plan cannot name many.
        Err(_) => plan.len() as u64 * 4,
    };
    assert!(summary.is_err() || entries <= tree::MAX_ENTRIES);
    if entries > MOST_WRITTEN {
        return;
    }
    let (out, host) = (scratch.path().join("out"), scratch.path().join("host"));
    if export::export(&store, &root, &out, export::Options::default()).is_ok() {
        stays_inside(&out, 0);
        let again = ingest_folder(&out, &store, &Rules::default()).expect("an export can be taken in");
        assert!(!honest || again.digest == root, "another tree comes back");
    }
    let cache = LinkCache::open(scratch.path().join("cache")).expect("there is room");
    // What cannot be filled may still be checked out as far as it goes, and must fail then.
    let filled = cache.fill_from(&store, &root).is_ok();
    fs::create_dir(&host).expect("there is room");
    if checkout::checkout(&cache, &root, &host.join("tree"), None).is_ok() {
        assert!(filled && whole, "a whole tree");
        stays_inside(&host.join("tree"), 0);
        let again = ingest_folder(&host.join("tree"), &store, &Rules::default());
        assert_eq!(again.expect("a checkout can be taken in").digest, root, "the same tree comes back");
    }
    for entry in fs::read_dir(&host).expect("it is there") {
        assert_eq!(entry.expect("it is there").file_name(), "tree", "nothing is left aside");
    }
    checkout::remove(&host.join("tree")).expect("it can be removed");
    let mut names: Vec<_> =
        fs::read_dir(scratch.path()).expect("it is there").flatten().map(|e| e.file_name()).collect();
    names.retain(|name| !["blobs", "out", "cache", "host"].iter().any(|known| name == known));
    assert!(names.is_empty(), "written outside of its folder: {names:?}");
}

/// Makes folders by a plan of bytes and returns the last one, and whether all files have the sizes that listings tell.
/// Names come from a list of awkward ones; digests that are no folder's are used as folders, too.
fn make(plan: &[u8], store: &BlobStore) -> (Digest, bool) {
    const NAMES: [&str; 12] =
        ["a", "b", "manage.py", "..", ".", "", "a/b", "../x", "\0", "ü", "\u{202e}", "-rf"];
    const TARGETS: [&str; 10] =
        ["a", "../a", "../../a", "/etc/passwd", "a/../b", "", ".", "..", "b/./a", "/usr/bin/python3"];
    let file = store.put(b"content").expect("there is room");
    let mut made = vec![file, store.put(b"").expect("there is room")];
    let (mut tree, mut honest) = (Tree::default(), true);
    for step in plan.chunks_exact(3).take(400) {
        let [what, name, which] = *step else { continue };
        let name = NAMES[usize::from(name) % NAMES.len()].to_owned();
        let digest = made[usize::from(which) % made.len()];
        match what % 8 {
            0 => {
                tree.entries.insert(name, Entry::File { digest, size: u64::from(which), executable: false });
                honest = false;
            }
            1 => drop(tree.entries.insert(name, Entry::File { digest: file, size: 7, executable: true })),
            2 | 3 => {
                drop(tree.entries.insert(name, Entry::Folder { digest: *made.last().expect("not empty") }))
            }
            4 => drop(tree.entries.insert(name, Entry::Folder { digest })),
            5 => {
                let target = TARGETS[usize::from(which) % TARGETS.len()].to_owned();
                tree.entries.insert(name, Entry::Link { target });
            }
            // Deep: so many folders, each around the last one.
            6 => {
                for _ in 0..which {
                    let inner = Entry::Folder { digest: *made.last().expect("not empty") };
                    made.push(
                        store
                            .put_tree(&Tree { entries: BTreeMap::from([(name.clone(), inner)]) })
                            .expect("room"),
                    );
                }
            }
            _ => made.push(store.put_tree(&std::mem::take(&mut tree)).expect("there is room")),
        }
    }
    if tree.entries.is_empty() && made.len() > 2 {
        return (*made.last().expect("not empty"), honest);
    }
    (store.put_tree(&tree).expect("there is room"), honest)
}

/// Every link leads to something below the folder, by its text alone; nothing is deeper than allowed.
fn stays_inside(folder: &Path, depth: usize) {
    assert!(depth <= tree::MAX_DEPTH, "deeper than {}", tree::MAX_DEPTH);
    for entry in fs::read_dir(folder).expect("it was made") {
        let path = entry.expect("it was made").path();
        let kind = fs::symlink_metadata(&path).expect("it was made").file_type();
        if kind.is_symlink() {
            let target = fs::read_link(&path).expect("it is a link");
            assert!(target.is_relative(), "{target:?}");
            let up = target.components().filter(|part| *part == Component::ParentDir).count();
            assert!(up <= depth, "{target:?} in {path:?}");
        } else if kind.is_dir() {
            stays_inside(&path, depth + 1);
        } else {
            assert!(kind.is_file());
        }
    }
}
