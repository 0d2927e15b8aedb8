//! What gets its forms, and what becomes of it where there is no time for all.

use std::io::Read as _;
use std::sync::atomic::{AtomicU32, Ordering};

use super::form::Form;
use super::*;

fn text(seed: u32) -> Vec<u8> {
    (0..400)
        .flat_map(|line| format!(".rule-{} {{ color: #{:06x} }}\n", line % 37, line * seed).into_bytes())
        .collect()
}

fn plain(form: Form, packed: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    match form {
        Form::Brotli => drop(brotli::Decompressor::new(packed, 4096).read_to_end(&mut content).unwrap()),
        Form::Gzip => drop(flate2::read::GzDecoder::new(packed).read_to_end(&mut content).unwrap()),
        Form::Zstandard => content = zstd::decode_all(packed).unwrap(),
    }
    content
}

fn names(store: &BlobStore, root: &Digest) -> Vec<String> {
    store.read_tree(root).unwrap().entries.into_keys().collect()
}

#[test]
fn each_form_is_the_content_and_always_the_same_bytes() {
    let content = text(7);
    for (form, _) in FORMS {
        let packed = form.compress(&content);
        assert!(packed.len() < content.len() / 3, "{form:?}: {}", packed.len());
        assert_eq!(plain(form, &packed), content);
        assert_eq!(form.compress(&content), packed);
    }
}

#[test]
fn what_gets_smaller_gets_its_forms_and_the_rest_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path().join("blobs")).unwrap();
    let file = |content: &[u8]| Entry::File {
        digest: store.put(content).unwrap(),
        size: content.len() as u64,
        executable: false,
    };
    let mut noise = vec![0; 4000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let below = Tree { entries: [("a.js".to_owned(), file(&text(3)))].into() };
    let root = Tree {
        entries: [
            ("site.css".to_owned(), file(&text(7))),
            ("own.css".to_owned(), file(&text(9))),
            ("own.css.br".to_owned(), file(b"the app's own")),
            ("small.css".to_owned(), file(b"body{}")),
            ("noise.txt".to_owned(), file(&noise)),
            ("photo.jpg".to_owned(), file(&text(5))),
            ("js".to_owned(), Entry::Folder { digest: store.put_tree(&below).unwrap() }),
            ("link".to_owned(), Entry::Link { target: "site.css".to_owned() }),
        ]
        .into(),
    };
    let root = store.put_tree(&root).unwrap();
    let mut compressor = Compressor::new(&store, folder.path());
    compressor.look_at_tree(&root).unwrap();
    compressor.run(&|| false).unwrap();
    let Compressed { tree, files, .. } = compressor.tree(&root).unwrap();
    let expected = "js link noise.txt own.css own.css.br own.css.gz own.css.zst photo.jpg site.css site.css.br site.css.gz \
                    site.css.zst small.css";
    assert_eq!(names(&store, &tree), expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!((files, compressor.made()), (15, 4));
    let all = store.read_tree(&tree).unwrap().entries;
    assert_eq!(all["own.css.br"], file(b"the app's own"));
    let Entry::File { digest, .. } = all["site.css.zst"] else { panic!("it is a file") };
    assert_eq!(plain(Form::Zstandard, &store.read(&digest).unwrap()), text(7));
    let Entry::Folder { digest } = all["js"] else { panic!("it is a folder") };
    assert_eq!(names(&store, &digest), ["a.js", "a.js.br", "a.js.gz", "a.js.zst"]);
    compressor.finish();

    let mut again = Compressor::new(&store, folder.path());
    again.look_at_tree(&root).unwrap();
    assert_eq!(again.left(), 0);
    assert_eq!((again.tree(&root).unwrap().tree, again.made()), (tree, 0), "nothing is compressed twice");
}

#[test]
fn a_folder_of_the_source_gets_its_forms_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path().join("blobs")).unwrap();
    let content = text(7);
    let file = File { digest: store.put(&content).unwrap(), size: content.len() as u64, executable: false };
    let mut source = Source::default();
    for path in ["static/site.css", "static-old/site.css", "site.css"] {
        source.files.insert(path.to_owned(), file);
    }
    let mut compressor = Compressor::new(&store, folder.path());
    compressor.look_at_folder(&source, "static");
    compressor.run(&|| false).unwrap();
    compressor.folder(&mut source, "static");
    assert_eq!((source.files.len(), compressor.made()), (6, 1));
    assert!(source.files.contains_key("static/site.css.br"));
}

/// A tree of so many style sheets.
fn sheets(store: &BlobStore, number: u64) -> Digest {
    let sheet = |number: u64| {
        let content = format!("/* {number} */ ") + &".rule { color: red }\n".repeat(60);
        let (digest, size) = (store.put(content.as_bytes()).unwrap(), content.len() as u64);
        (format!("{number}.css"), Entry::File { digest, size, executable: false })
    };
    store.put_tree(&Tree { entries: (0..number).map(sheet).collect() }).unwrap()
}

#[test]
fn what_there_was_no_time_for_is_served_plain_and_made_by_the_next_build() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path().join("blobs")).unwrap();
    let root = sheets(&store, 9);
    let mut compressor = Compressor::new(&store, folder.path());
    compressor.look_at_tree(&root).unwrap();
    compressor.run(&|| true).unwrap();
    assert_eq!((compressor.made(), compressor.left()), (0, 9));
    assert_eq!(compressor.tree(&root).unwrap().tree, root, "it is as it was");
    let asked = AtomicU32::new(0);
    compressor.run(&|| asked.fetch_add(1, Ordering::Relaxed) > 12).unwrap();
    let (made, left) = (compressor.made(), compressor.left());
    assert!(made > 0 && left > 0 && made + left == 9, "{made} made, {left} left");
    assert_eq!(compressor.tree(&root).unwrap().files, 9 + 3 * made);
    compressor.finish();

    let mut next = Compressor::new(&store, folder.path());
    next.look_at_tree(&root).unwrap();
    assert_eq!(next.left(), left);
    next.run(&|| false).unwrap();
    assert_eq!((next.made(), next.left(), next.tree(&root).unwrap().files), (left, 0, 36));
}

#[test]
fn what_was_compressed_before_a_build_was_killed_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path().join("blobs")).unwrap();
    let root = sheets(&store, FILES_BETWEEN + 5);
    let mut killed = Compressor::new(&store, folder.path());
    killed.look_at_tree(&root).unwrap();
    killed.run(&|| false).unwrap();
    assert_eq!(killed.made(), FILES_BETWEEN + 5);
    drop(killed);
    let mut next = Compressor::new(&store, folder.path());
    next.look_at_tree(&root).unwrap();
    assert_eq!(next.left(), 5);
}

#[test]
fn a_content_that_cannot_be_read_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path().join("blobs")).unwrap();
    let mut compressor = Compressor::new(&store, folder.path());
    compressor.want("site.css", (tandem_blobs::tree::digest_of(b"nowhere"), 5000));
    assert!(compressor.run(&|| false).is_err());
}
