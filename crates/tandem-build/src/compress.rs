//! Compressed forms of static files, made once in a build instead of at each request: `site.css.br`, `.gz` and `.zst` beside
//! `site.css`, for the balancer to send as they are.
//!
//! Made from blobs, outside of the sandbox: nothing of the app runs, and what was compressed once is known by its content for as
//! long as builds have it, so that a changed line costs one file. What the app compressed itself is left as it is.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use tandem_blobs::BlobStore;
use tandem_types::Digest;
use tandem_types::tree::{Entry, Tree};

use crate::source::{File, Source};
use crate::{Error, kept};

const VERSION: u32 = 1;
/// Formats that are text, or compress as well as text; all others hold compressed data already.
const ENDINGS: [&str; 20] = [
    ".css",
    ".csv",
    ".eot",
    ".geojson",
    ".html",
    ".ico",
    ".js",
    ".json",
    ".map",
    ".md",
    ".mjs",
    ".otf",
    ".svg",
    ".ttf",
    ".txt",
    ".wasm",
    ".webmanifest",
    ".xhtml",
    ".xml",
    ".yaml",
];
/// What is smaller fits into a packet or two anyway.
const LEAST_BYTES: u64 = 1024;
/// What is larger takes seconds, and is no part of a page.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// Up to here the best that brotli can do is worth its time: a megabyte takes two seconds.
const MOST_BYTES_SLOWLY: usize = 512 * 1024;

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Brotli,
    Gzip,
    Zstandard,
}

/// All of them, with what they add to a file's name.
const FORMS: [(Form, &str); 3] = [(Form::Brotli, ".br"), (Form::Gzip, ".gz"), (Form::Zstandard, ".zst")];

/// What of a file's forms is smaller than itself by a tenth; in the order of [`FORMS`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Forms([Option<Packed>; FORMS.len()]);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Packed {
    digest: Digest,
    size: u64,
}

/// What is known of contents.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    forms: BTreeMap<Digest, Forms>,
}

/// Compresses the static files of one build.
pub(crate) struct Compressor<'a> {
    store: &'a BlobStore,
    path: PathBuf,
    before: Known,
    /// What this build uses; the rest is forgotten.
    used: Known,
    /// Files that it compressed, and those that were compressed before.
    made: u64,
}

/// A tree with the compressed forms in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub(crate) tree: Digest,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl<'a> Compressor<'a> {
    /// For a build of the app whose build folder this is.
    pub(crate) fn new(store: &'a BlobStore, build_folder: &Path) -> Self {
        let path = build_folder.join("compressed.json");
        let before = kept::read(&path, VERSION);
        Self { store, path, before, used: Known::default(), made: 0 }
    }

    /// Files that had to be compressed so far.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Remembers what was used.
    pub(crate) fn finish(self) {
        kept::write(&self.path, VERSION, &self.used);
    }

    /// Puts the forms of a tree's files beside them.
    pub(crate) fn tree(&mut self, root: &Digest) -> Result<Compressed, Error> {
        let mut all = Compressed { tree: *root, files: 0, bytes: 0 };
        let before = self.store.read_tree(root)?;
        let mut after = Tree::default();
        for (name, entry) in &before.entries {
            match entry {
                Entry::File { digest, size, .. } => {
                    (all.files, all.bytes) = (all.files + 1, all.bytes + size);
                    for (ending, Packed { digest, size }) in self.forms(name, (digest, *size))? {
                        let name = format!("{name}{ending}");
                        if !before.entries.contains_key(&name) {
                            (all.files, all.bytes) = (all.files + 1, all.bytes + size);
                            after.entries.insert(name, Entry::File { digest, size, executable: false });
                        }
                    }
                    after.entries.insert(name.clone(), entry.clone());
                }
                Entry::Folder { digest } => {
                    let below = self.tree(digest)?;
                    (all.files, all.bytes) = (all.files + below.files, all.bytes + below.bytes);
                    after.entries.insert(name.clone(), Entry::Folder { digest: below.tree });
                }
                Entry::Link { .. } => drop(after.entries.insert(name.clone(), entry.clone())),
            }
        }
        all.tree = self.store.put_tree(&after)?;
        Ok(all)
    }

    /// Puts the forms of a folder's files beside them in the source.
    pub(crate) fn folder(&mut self, source: &mut Source, folder: &str) -> Result<(), Error> {
        let above = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below = source.files.range(above.clone()..).take_while(|(path, _)| path.starts_with(&above));
        let files: Vec<_> = below.map(|(path, file)| (path.clone(), *file)).collect();
        for (path, File { digest, size, .. }) in files {
            for (ending, Packed { digest, size }) in self.forms(&path, (&digest, size))? {
                let file = File { digest, size, executable: false };
                let path = format!("{path}{ending}");
                if !source.links.contains_key(&path) && !source.folders.contains(&path) {
                    source.files.entry(path).or_insert(file);
                }
            }
        }
        Ok(())
    }

    fn forms(
        &mut self,
        name: &str,
        (digest, size): (&Digest, u64),
    ) -> Result<Vec<(&'static str, Packed)>, Error> {
        let name = name.to_ascii_lowercase();
        let is_worth_it =
            (LEAST_BYTES..=MOST_BYTES).contains(&size) && ENDINGS.iter().any(|end| name.ends_with(end));
        if !is_worth_it {
            return Ok(Vec::new());
        }
        let forms = match self.known(digest) {
            Some(forms) => forms,
            None => {
                self.made += 1;
                self.compress(digest)?
            }
        };
        self.used.forms.insert(*digest, forms.clone());
        let named = FORMS.iter().zip(forms.0);
        Ok(named.filter_map(|((_, ending), packed)| Some((*ending, packed?))).collect())
    }

    /// What was made before, if the store still has it.
    fn known(&self, digest: &Digest) -> Option<Forms> {
        let forms = self.used.forms.get(digest).or_else(|| self.before.forms.get(digest))?;
        let digests: Vec<_> = forms.0.iter().flatten().map(|packed| packed.digest).collect();
        self.store.has(&digests).into_iter().all(|has| has).then(|| forms.clone())
    }

    fn compress(&self, digest: &Digest) -> Result<Forms, Error> {
        let content = self.store.read(digest)?;
        let mut forms = Forms::default();
        for (place, (form, _)) in FORMS.into_iter().enumerate() {
            let packed = form.compress(&content);
            if packed.len() < content.len() / 10 * 9 {
                let digest = self.store.put(&packed)?;
                forms.0[place] = Some(Packed { digest, size: packed.len() as u64 });
            }
        }
        Ok(forms)
    }
}

impl Form {
    /// The same bytes for the same content, always: no form has a time in it.
    fn compress(self, content: &[u8]) -> Vec<u8> {
        let written = "memory takes what is written to it";
        match self {
            Self::Brotli => {
                let quality = if content.len() <= MOST_BYTES_SLOWLY { 11 } else { 9 };
                let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, quality, 22);
                writer.write_all(content).expect(written);
                writer.into_inner()
            }
            Self::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::best());
                writer.write_all(content).expect(written);
                writer.finish().expect(written)
            }
            // Windows above 8 MiB need not be taken by clients (RFC 9659), and this level has one of 8.
            Self::Zstandard => zstd::bulk::compress(content, 19).expect(written),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

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
        assert_eq!((again.tree(&root).unwrap().tree, again.made()), (tree, 0), "nothing is compressed twice");
    }

    #[test]
    fn a_folder_of_the_source_gets_its_forms_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path().join("blobs")).unwrap();
        let content = text(7);
        let file =
            File { digest: store.put(&content).unwrap(), size: content.len() as u64, executable: false };
        let mut source = Source::default();
        for path in ["static/site.css", "static-old/site.css", "site.css"] {
            source.files.insert(path.to_owned(), file);
        }
        let mut compressor = Compressor::new(&store, folder.path());
        compressor.folder(&mut source, "static").unwrap();
        assert_eq!((source.files.len(), compressor.made()), (6, 1));
        assert!(source.files.contains_key("static/site.css.br"));
    }
}
