//! What a checkout promises.

use std::os::unix::fs::MetadataExt;

use tandem_types::tree::Tree;

use super::*;
use crate::cache::Spare;
use crate::ingest::{Rules, ingest_folder};
use crate::store::BlobStore;

struct Bench {
    folder: tempfile::TempDir,
    store: BlobStore,
    cache: LinkCache,
}

const PYTHON: &str = "/usr/bin/python3.11";

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path().join("blobs")).unwrap();
    let cache = LinkCache::open(folder.path().join("cache")).unwrap();
    fs::create_dir(folder.path().join("trees")).unwrap();
    Bench { folder, store, cache }
}

impl Bench {
    /// A folder with one of everything.
    fn sample(&self) -> Digest {
        let source = self.folder.path().join("source");
        fs::create_dir_all(source.join("pkg/empty_folder")).unwrap();
        write(&source.join("a.txt"), b"a", 0o644);
        write(&source.join("pkg/tool"), b"a", 0o755);
        write(&source.join("pkg/__init__.py"), b"", 0o600);
        symlink("../a.txt", source.join("pkg/link")).unwrap();
        symlink(PYTHON, source.join("python")).unwrap();
        let rules = Rules { interpreter: Some(PYTHON), leave_out: None };
        ingest_folder(&source, &self.store, &rules).unwrap().digest
    }

    fn check_out(&self, root: &Digest) -> Result<PathBuf, Error> {
        let destination = self.folder.path().join("trees").join(root.to_string());
        self.cache.fill_from(&self.store, root).unwrap();
        checkout(&self.cache, root, &destination, Some(PYTHON)).map(|()| destination)
    }

    fn left_aside(&self) -> usize {
        let names = fs::read_dir(self.folder.path().join("trees")).unwrap();
        names.filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')).count()
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    io::Write::write_all(&mut File::create(path).unwrap(), bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_of_another_size_than_its_tree_says_is_refused_and_not_copied_for_ever() {
    let bench = bench();
    let digest = bench.store.put(b"content").unwrap();
    let entry = Entry::File { digest, size: 8, executable: false };
    let root = bench.store.put_tree(&Tree { entries: [("a".to_owned(), entry)].into() }).unwrap();
    let filled = bench.cache.fill_from(&bench.store, &root);
    assert!(matches!(filled, Err(cache::Error::Missing(missing)) if missing == digest));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_checkout_has_the_content_modes_links_and_times_of_its_tree() {
    let bench = bench();
    let root = bench.sample();
    let out = bench.check_out(&root).unwrap();
    assert_eq!(fs::read(out.join("a.txt")).unwrap(), b"a");
    assert_eq!(fs::read(out.join("pkg/link")).unwrap(), b"a");
    assert_eq!(fs::read_link(out.join("python")).unwrap(), Path::new(PYTHON));
    assert_eq!(mode(&out.join("a.txt")), modes::file(false));
    assert_eq!(mode(&out.join("pkg/tool")), modes::file(true));
    assert_eq!(mode(&out.join("pkg/__init__.py")), modes::file(false));
    assert_eq!(mode(&out.join("pkg/empty_folder")), modes::folder());
    let seen = bench.store.first_seen(&crate::tree::digest_of(b"a")).unwrap();
    for file in ["a.txt", "pkg/tool"] {
        let modified = fs::metadata(out.join(file)).unwrap().modified().unwrap();
        assert_eq!(Timestamp::try_from(modified).unwrap(), seen, "{file}");
    }
    assert_ne!(
        fs::metadata(out.join("a.txt")).unwrap().ino(),
        fs::metadata(out.join("pkg/tool")).unwrap().ino(),
        "one inode cannot be executable here and not there"
    );
    assert_eq!(bench.left_aside(), 0);
}

#[test]
fn files_that_an_earlier_version_has_put_into_the_cache_get_the_permissions_of_today() {
    let bench = bench();
    let root = bench.sample();
    bench.check_out(&root).unwrap();
    let kept = bench.cache.path(&crate::tree::digest_of(b"a"), false);
    fs::set_permissions(&kept, Permissions::from_mode(0o400)).unwrap();
    let other = bench.folder.path().join("trees/other");
    checkout(&bench.cache, &root, &other, Some(PYTHON)).unwrap();
    assert_eq!(mode(&other.join("a.txt")), modes::file(false));
}

#[test]
fn two_checkouts_share_their_files_and_a_second_of_the_same_changes_nothing() {
    let bench = bench();
    let root = bench.sample();
    let first = bench.check_out(&root).unwrap();
    let again = bench.check_out(&root).unwrap();
    assert_eq!(first, again);
    let other = bench.folder.path().join("trees/other");
    checkout(&bench.cache, &root, &other, Some(PYTHON)).unwrap();
    let inode = |path: &Path| fs::metadata(path.join("a.txt")).unwrap().ino();
    assert_eq!(inode(&first), inode(&other));
    assert_eq!(fs::metadata(first.join("pkg/__init__.py")).unwrap().nlink(), 1, "empty files are not linked");
    remove(&first).unwrap();
    remove(&first).unwrap();
    assert_eq!(fs::read(other.join("a.txt")).unwrap(), b"a");
    assert_eq!(bench.left_aside(), 0);
}

#[test]
fn a_file_whose_source_has_no_more_links_is_copied_like_it() {
    let bench = bench();
    let (source, to) = (bench.folder.path().join("s"), bench.folder.path().join("t"));
    write(&source, b"x", 0o555);
    let time: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    File::open(&source).unwrap().set_modified(time.into()).unwrap();
    copy(&source, &to).unwrap();
    assert_eq!((mode(&to), fs::read(&to).unwrap()), (0o555, b"x".to_vec()));
    assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), time.into());
    assert_ne!(fs::metadata(&to).unwrap().ino(), fs::metadata(&source).unwrap().ino());
}

#[test]
fn more_links_than_the_file_system_allows_are_no_failure() {
    let bench = bench();
    let source = bench.folder.path().join("source");
    write(&source, b"x", 0o444);
    // ext4 ends at 65,000 links; others go on, and then one more is a link like all before.
    let link_to = |number: u32| fs::hard_link(&source, bench.folder.path().join(number.to_string()));
    let is_full = (0..65_000).any(|number| link_to(number).is_err());
    let to = bench.folder.path().join("one more");
    link(&source, &to).unwrap();
    assert_eq!((mode(&to), fs::read(&to).unwrap()), (0o444, b"x".to_vec()));
    assert_eq!(fs::metadata(&to).unwrap().nlink() == 1, is_full);
}

#[test]
fn links_out_of_the_tree_are_refused_and_nothing_stays() {
    let bench = bench();
    for target in ["/etc/passwd", "../x", "/usr/bin/python3.12"] {
        let entry = Entry::Link { target: target.to_owned() };
        let tree = Tree { entries: [("bad".to_owned(), entry)].into_iter().collect() };
        let root = bench.store.put_tree(&tree).unwrap();
        assert!(matches!(bench.check_out(&root), Err(Error::Link { .. })), "{target}");
        assert!(!bench.folder.path().join("trees").join(root.to_string()).exists());
        assert_eq!(bench.left_aside(), 0);
    }
}

#[test]
fn a_blob_cut_by_a_crash_is_fetched_again() {
    let bench = bench();
    let root = bench.sample();
    bench.cache.fill_from(&bench.store, &root).unwrap();
    let blob = bench.cache.path(&crate::tree::digest_of(b"a"), false);
    fs::remove_file(&blob).unwrap();
    write(&blob, b"", 0o444);
    let listing = bench.cache.path(&root, false);
    fs::set_permissions(&listing, Permissions::from_mode(0o644)).unwrap();
    write(&listing, b"{\"entries\":{}}", 0o444);
    assert_eq!(bench.cache.missing(&root).unwrap(), [root]);
    let out = bench.check_out(&root).unwrap();
    assert_eq!(fs::read(out.join("a.txt")).unwrap(), b"a");
    assert_eq!(fs::read(out.join("pkg/tool")).unwrap(), b"a");
}

#[test]
fn leftovers_of_a_crash_are_removed_and_checkouts_are_not() {
    let bench = bench();
    let root = bench.sample();
    let out = bench.check_out(&root).unwrap();
    fs::create_dir_all(bench.folder.path().join("trees/.aside-1-2-3/sub")).unwrap();
    remove_leftovers(&bench.folder.path().join("trees")).unwrap();
    assert_eq!(bench.left_aside(), 0);
    assert!(out.exists());
}

#[test]
fn a_sweep_of_the_cache_keeps_what_checkouts_link_to() {
    let bench = bench();
    let root = bench.sample();
    let out = bench.check_out(&root).unwrap();
    let swept = bench.cache.sweep(&nothing_but(&[], far_future())).unwrap();
    assert!(swept.files > 0, "folder listings are linked by nobody");
    assert!(bench.cache.path(&crate::tree::digest_of(b"a"), true).exists());
    assert_eq!(fs::read(out.join("pkg/tool")).unwrap(), b"a");
    assert_eq!(bench.cache.missing(&root).unwrap(), [root]);
}

fn far_future() -> Timestamp {
    "2200-01-01T00:00:00Z".parse().unwrap()
}

fn nothing_but(roots: &[Digest], since: Timestamp) -> Spare<'_> {
    Spare { roots, roots_since: Timestamp::UNIX_EPOCH, since }
}

#[test]
fn a_sweep_of_the_cache_leaves_what_is_likely_to_come_again_and_what_nobody_here_made() {
    let bench = bench();
    let root = bench.sample();
    remove(&bench.check_out(&root).unwrap()).unwrap();
    let cache = bench.folder.path().join("cache");
    let theirs = ["notes.txt", "aside/photo.jpg"].map(|name| cache.join(name));
    theirs.iter().for_each(|path| write(path, b"theirs", 0o600));
    let swept = bench.cache.sweep(&nothing_but(&[root], far_future())).unwrap();
    assert_eq!((swept.files, swept.strangers.len()), (0, 2));
    assert_eq!(bench.cache.missing(&root).unwrap(), []);
    let swept = bench.cache.sweep(&nothing_but(&[], far_future())).unwrap();
    assert!(swept.files > 0);
    assert_eq!(bench.cache.missing(&root).unwrap(), [root]);
    assert!(theirs.iter().all(|path| path.exists()));
}

#[test]
fn a_sweep_goes_on_where_files_vanish_under_it() {
    let bench = bench();
    let (root, cache) = (bench.sample(), bench.cache.clone());
    bench.cache.fill_from(&bench.store, &root).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Each blob that comes is written aside first, where it vanishes at any moment.
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                drop(cache.aside().unwrap());
            }
        });
        for _ in 0..300 {
            bench.cache.sweep(&nothing_but(&[], Timestamp::UNIX_EPOCH)).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
