//! What is in a scan and what is not.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use super::*;

struct Source {
    folder: tempfile::TempDir,
}

fn source(files: &[(&str, &str)]) -> Source {
    let source = Source { folder: tempfile::tempdir().unwrap() };
    files.iter().for_each(|(path, content)| source.write(path, content));
    source
}

impl Source {
    fn root(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        io::Write::write_all(&mut File::create(path).unwrap(), content.as_bytes()).unwrap();
    }

    fn scan_below(&self, folder: &str, include: &[&str]) -> Result<Scan, Error> {
        let include: Vec<String> = include.iter().map(|pattern| (*pattern).to_owned()).collect();
        let options = Options { include: &include, cache: None, clock: &Clock::system() };
        scan_source(&self.root().join(folder), &options)
    }

    fn names(&self, include: &[&str]) -> BTreeSet<String> {
        names(&self.scan_below("", include).unwrap())
    }
}

/// Paths of everything but folders.
fn names(scan: &Scan) -> BTreeSet<String> {
    fn collect(scan: &Scan, tree: &Digest, prefix: &str, names: &mut BTreeSet<String>) {
        let Some(Origin::Tree { bytes }) = scan.origins.get(tree) else { panic!("no listing") };
        for (name, entry) in tree::decode(bytes).unwrap().entries {
            let path = format!("{prefix}{name}");
            match entry {
                Entry::Folder { digest } => collect(scan, &digest, &format!("{path}/"), names),
                Entry::File { digest, .. } => {
                    assert!(matches!(scan.origins[&digest], Origin::File { .. }), "{path}");
                    names.insert(path);
                }
                Entry::Link { .. } => drop(names.insert(path)),
            }
        }
    }
    let mut all = BTreeSet::new();
    collect(scan, &scan.root, "", &mut all);
    all
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn ignore_files_count_also_nested_ones_and_without_a_repository() {
    let source = source(&[
        (".gitignore", "*.log\n/build/\nsecret*\n!secret.example\n"),
        ("a.py", ""),
        ("debug.log", ""),
        ("build/x", ""),
        ("sub/build/x", "x"),
        ("sub/.gitignore", "!keep.log\nlocal\n"),
        ("sub/keep.log", ""),
        ("sub/local", ""),
        ("secret.txt", ""),
        ("secret.example", ""),
        (".hidden", ""),
    ]);
    let expected = set(&[
        ".gitignore",
        ".hidden",
        "a.py",
        "secret.example",
        "sub/.gitignore",
        "sub/build/x",
        "sub/keep.log",
    ]);
    assert_eq!(source.names(&[]), expected);
}

#[test]
fn a_folder_within_a_repository_obeys_the_ignores_above_it_up_to_the_repository() {
    let source = source(&[(".gitignore", "*.sqlite3\n"), ("apps/one/a.py", ""), ("apps/one/db.sqlite3", "")]);
    assert_eq!(names(&source.scan_below("apps/one", &[]).unwrap()), set(&["a.py", "db.sqlite3"]));
    source.write(".git/HEAD", "");
    assert_eq!(names(&source.scan_below("apps/one", &[]).unwrap()), set(&["a.py"]));
}

#[test]
fn what_tools_keep_beside_a_source_is_never_taken() {
    let source = source(&[
        ("a.py", ""),
        (".git/config", ""),
        ("sub/.git", "gitdir: elsewhere"),
        ("pkg/__pycache__/a.pyc", ""),
        ("env/pyvenv.cfg", ""),
        ("env/lib/x.py", ""),
    ]);
    fs::create_dir_all(source.root().join("empty/folder")).unwrap();
    assert_eq!(source.names(&["*"]), set(&["a.py"]));
}

#[test]
fn include_patterns_bring_ignored_files_back() {
    let source = source(&[
        (".gitignore", "dist/\nstatic/*.css\nnode_modules/\n*.key\n"),
        ("dist/a/b.js", ""),
        ("dist/.gitignore", "*\n"),
        ("static/build.css", ""),
        ("static/other.css", ""),
        ("node_modules/deep/x.css", ""),
        ("certs/demo.key", ""),
    ]);
    assert_eq!(source.names(&[]), set(&[".gitignore"]));
    let whole = set(&[".gitignore", "dist/.gitignore", "dist/a/b.js"]);
    assert_eq!(source.names(&["dist/"]), whole);
    assert_eq!(source.names(&["/dist"]), whole);
    assert_eq!(source.names(&["dist/**/*.js"]), set(&[".gitignore", "dist/a/b.js"]));
    assert_eq!(source.names(&["static/build.css"]), set(&[".gitignore", "static/build.css"]));
    assert_eq!(source.names(&["demo.key"]), set(&[".gitignore", "certs/demo.key"]));
    assert_eq!(source.names(&["dist/", "!dist/a/"]), whole, "what is named whole comes back whole");
}

#[test]
fn links_are_kept_unfollowed_and_must_stay_inside() {
    let source = source(&[("a/x", "x")]);
    symlink("a", source.root().join("b")).unwrap();
    symlink("../a/x", source.root().join("a/y")).unwrap();
    symlink("gone", source.root().join("dangling")).unwrap();
    assert_eq!(source.names(&[]), set(&["a/x", "a/y", "b", "dangling"]));
    for target in ["/etc/passwd", "../outside"] {
        let bad = source.root().join("bad");
        symlink(target, &bad).unwrap();
        let error = source.scan_below("", &[]).unwrap_err();
        assert!(matches!(error, Error::Link { .. }), "{error}");
        assert!(error.hint().unwrap().contains("/bad"));
        fs::remove_file(bad).unwrap();
    }
}

#[test]
fn names_that_are_not_text_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let source = source(&[("a", "")]);
    File::create(source.root().join(std::ffi::OsStr::from_bytes(b"\xFF"))).unwrap();
    assert!(matches!(source.scan_below("", &[]), Err(Error::NotUtf8(_))));
}

#[test]
fn the_same_content_has_the_same_digest_wherever_it_lies() {
    let files = [("a.py", "x = 1"), ("pkg/b.py", ""), ("pkg/c.py", "x = 1")];
    let (one, other) = (source(&files), source(&files));
    let scan = one.scan_below("", &[]).unwrap();
    assert_eq!(scan.root, other.scan_below("", &[]).unwrap().root);
    assert_eq!((scan.files, scan.bytes), (3, 10));
    other.write("a.py", "x = 2");
    assert_ne!(scan.root, other.scan_below("", &[]).unwrap().root);
    fs::set_permissions(one.root().join("a.py"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_ne!(scan.root, one.scan_below("", &[]).unwrap().root);
}

#[test]
fn an_unchanged_file_is_not_read_again_and_a_young_one_always_is() {
    let source = source(&[("a.py", "1"), ("b.py", "2")]);
    let cache = source.folder.path().join("cache/digests.json");
    let scan = |clock: &Clock| {
        let options = Options { include: &[], cache: Some(&cache), clock };
        scan_source(&source.root(), &options).unwrap()
    };
    let now = Clock::system();
    assert_eq!(scan(&now).hashed, 2);
    assert_eq!(scan(&now).hashed, 2, "files of the last two seconds are not trusted");
    let (later, _) = Clock::manual(now.now() + std::time::Duration::from_secs(10));
    assert_eq!(scan(&later).hashed, 2);
    let before = scan(&later);
    assert_eq!(before.hashed, 0);
    source.write("a.py", "3");
    let after = scan(&later);
    assert_eq!(after.hashed, 1);
    assert_ne!(before.root, after.root);
    source.write("../cache/digests.json", "{ damaged");
    let again = scan(&later);
    assert_eq!((again.hashed, again.root), (2, after.root));
}

#[test]
fn a_folder_with_nothing_in_it_is_an_empty_tree() {
    let source = source(&[]);
    fs::create_dir_all(source.root()).unwrap();
    let scan = source.scan_below("", &[]).unwrap();
    assert_eq!(scan.root, tree::digest_of(b"{\"entries\":{}}"));
    assert!(source.scan_below("nowhere", &[]).is_err());
}

#[test]
fn files_with_environment_variables_are_taken_only_where_they_are_named() {
    let source = source(&[
        (".gitignore", "web/.env\n"),
        (".env", "A=1\n"),
        (".env.example", ""),
        ("web/.env", ""),
        ("web/.env.local", ""),
        ("web/app.py", ""),
    ]);
    let scan = source.scan_below("", &[]).unwrap();
    assert_eq!(scan.left_out, [".env", "web/.env.local"], "what is ignored needs no word");
    assert_eq!(names(&scan), [".env.example", ".gitignore", "web/app.py"].map(str::to_owned).into());
    let scan = source.scan_below("", &["/.env", "web/.env"]).unwrap();
    assert_eq!(scan.left_out, ["web/.env.local"]);
    assert!(names(&scan).is_superset(&[".env".to_owned(), "web/.env".to_owned()].into()));
}
