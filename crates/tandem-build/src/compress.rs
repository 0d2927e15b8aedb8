//! Compressed forms of static files, made once in a build instead of at each request: `site.css.br`, `.gz` and `.zst` beside
//! `site.css`, for the balancer to send as they are.
//!
//! Made from blobs, outside of the sandbox: nothing of the app runs, and what was compressed once is known by its content for as
//! long as builds have it, so that a changed line costs one file. What the app compressed itself is left as it is.
//!
//! First everything is looked through for what is not known yet, then that is compressed, the small ones first, until the build's
//! time is over, and then the forms are put beside their files. What was done is written down on the way: who is killed in
//! the middle goes on there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tandem_blobs::BlobStore;
use tandem_types::Digest;
use tandem_types::tree::{Entry, Tree};

use crate::source::{File, Source};
use crate::{Error, kept};

mod form;
#[cfg(test)]
mod tests;

use form::FORMS;

const VERSION: u32 = 2;
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
/// Threads that compress: apps run beside builds.
const MOST_THREADS: usize = 2;
/// What is compressed between two times at which it is written down what was done: a few seconds of work.
const BYTES_BETWEEN: u64 = 4 * 1024 * 1024;
const FILES_BETWEEN: u64 = 64;

/// What of a file's forms is smaller than itself by a tenth; in the order of [`FORMS`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Forms([Option<Packed>; FORMS.len()]);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Packed {
    digest: Digest,
    size: u64,
}

/// What is known of contents.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Known {
    forms: BTreeMap<Digest, Forms>,
}

/// Compresses the static files of one build.
pub(crate) struct Compressor<'a> {
    store: &'a BlobStore,
    path: PathBuf,
    /// What builds before this one knew, and what was made since.
    known: Known,
    /// What this build uses; the rest is forgotten.
    used: Known,
    /// Contents to be compressed, with their sizes.
    wanted: BTreeMap<Digest, u64>,
    /// Contents that were compressed.
    made: u64,
}

/// What threads that compress share.
struct Work {
    /// The next one is the last.
    waiting: Vec<(Digest, u64)>,
    known: Known,
    made: u64,
    /// Since it was last written down.
    files: u64,
    bytes: u64,
    failed: Option<Error>,
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
        let known = kept::read(&path, VERSION);
        Self { store, path, known, used: Known::default(), wanted: BTreeMap::new(), made: 0 }
    }

    /// Contents that had to be compressed.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Contents that are still to be compressed: there was no time for them.
    pub(crate) fn left(&self) -> u64 {
        self.wanted.len() as u64
    }

    /// Looks through a tree for what is to be compressed.
    pub(crate) fn look_at_tree(&mut self, root: &Digest) -> Result<(), Error> {
        for (name, entry) in self.store.read_tree(root)?.entries {
            match entry {
                Entry::File { digest, size, .. } => self.want(&name, (digest, size)),
                Entry::Folder { digest } => self.look_at_tree(&digest)?,
                Entry::Link { .. } => {}
            }
        }
        Ok(())
    }

    /// Looks through a folder of the source.
    pub(crate) fn look_at_folder(&mut self, source: &Source, folder: &str) {
        for (path, File { digest, size, .. }) in files_below(source, folder) {
            self.want(&path, (digest, size));
        }
    }

    /// Compresses what is wanted, until it is over.
    pub(crate) fn run(&mut self, is_over: &(dyn Fn() -> bool + Sync)) -> Result<(), Error> {
        let mut waiting: Vec<(Digest, u64)> = std::mem::take(&mut self.wanted).into_iter().collect();
        // Pages wait for what is small, and there is more of it.
        waiting.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let threads = threads.min(waiting.len());
        let known = std::mem::take(&mut self.known);
        let work = Mutex::new(Work { waiting, known, made: 0, files: 0, bytes: 0, failed: None });
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| self.work(&work, is_over));
            }
            self.work(&work, is_over);
        });
        let work = work.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.known = work.known;
        self.wanted = work.waiting.into_iter().collect();
        self.made += work.made;
        work.failed.map_or(Ok(()), Err)
    }

    fn work(&self, shared: &Mutex<Work>, is_over: &(dyn Fn() -> bool + Sync)) {
        let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let next = {
                let mut work = lock();
                if work.failed.is_some() || is_over() { None } else { work.waiting.pop() }
            };
            let Some((digest, size)) = next else { return };
            let forms = self.compress(&digest, is_over);
            let mut work = lock();
            match forms {
                Ok(Some(forms)) => {
                    work.known.forms.insert(digest, forms);
                    (work.made, work.files, work.bytes) = (work.made + 1, work.files + 1, work.bytes + size);
                }
                Ok(None) => work.waiting.push((digest, size)),
                Err(error) => work.failed = Some(error),
            }
            if work.files >= FILES_BETWEEN || work.bytes >= BYTES_BETWEEN {
                (work.files, work.bytes) = (0, 0);
                kept::write(&self.path, VERSION, &work.known);
            }
        }
    }

    /// Remembers what was used.
    pub(crate) fn finish(self) {
        kept::write(&self.path, VERSION, &self.used);
    }

    /// Puts the forms of a tree's files beside them, as far as they are known.
    pub(crate) fn tree(&mut self, root: &Digest) -> Result<Compressed, Error> {
        let mut all = Compressed { tree: *root, files: 0, bytes: 0 };
        let before = self.store.read_tree(root)?;
        let mut after = Tree::default();
        for (name, entry) in &before.entries {
            match entry {
                Entry::File { digest, size, .. } => {
                    (all.files, all.bytes) = (all.files + 1, all.bytes + size);
                    for (ending, Packed { digest, size }) in self.forms(name, (digest, *size)) {
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

    /// The same for a folder of the source.
    pub(crate) fn folder(&mut self, source: &mut Source, folder: &str) {
        for (path, File { digest, size, .. }) in files_below(source, folder) {
            for (ending, Packed { digest, size }) in self.forms(&path, (&digest, size)) {
                let file = File { digest, size, executable: false };
                let path = format!("{path}{ending}");
                if !source.links.contains_key(&path) && !source.folders.contains(&path) {
                    source.files.entry(path).or_insert(file);
                }
            }
        }
    }

    fn want(&mut self, name: &str, (digest, size): (Digest, u64)) {
        if is_worth_it(name, size) && !self.is_known(&digest) {
            self.wanted.insert(digest, size);
        }
    }

    fn forms(&mut self, name: &str, (digest, size): (&Digest, u64)) -> Vec<(&'static str, Packed)> {
        let known = self.known.forms.get(digest).filter(|_| is_worth_it(name, size));
        let Some(forms) = known.filter(|_| !self.wanted.contains_key(digest)).cloned() else {
            return Vec::new();
        };
        self.used.forms.insert(*digest, forms.clone());
        let named = FORMS.iter().zip(forms.0);
        named.filter_map(|((_, ending), packed)| Some((*ending, packed?))).collect()
    }

    /// Whether it was made before, and the store still has it.
    fn is_known(&self, digest: &Digest) -> bool {
        let Some(forms) = self.known.forms.get(digest) else { return false };
        let digests: Vec<_> = forms.0.iter().flatten().map(|packed| packed.digest).collect();
        self.store.has(&digests).into_iter().all(|has| has)
    }

    /// None where time is over before all forms are made.
    fn compress(&self, digest: &Digest, is_over: &dyn Fn() -> bool) -> Result<Option<Forms>, Error> {
        let content = self.store.read(digest)?;
        let mut forms = Forms::default();
        for (place, (form, _)) in FORMS.into_iter().enumerate() {
            if place > 0 && is_over() {
                return Ok(None);
            }
            let packed = form.compress(&content);
            if packed.len() < content.len() / 10 * 9 {
                let digest = self.store.put(&packed)?;
                forms.0[place] = Some(Packed { digest, size: packed.len() as u64 });
            }
        }
        Ok(Some(forms))
    }
}

fn is_worth_it(name: &str, size: u64) -> bool {
    let name = name.to_ascii_lowercase();
    (LEAST_BYTES..=MOST_BYTES).contains(&size) && ENDINGS.iter().any(|end| name.ends_with(end))
}

fn files_below(source: &Source, folder: &str) -> Vec<(String, File)> {
    let above = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let below = source.files.range(above.clone()..).take_while(|(path, _)| path.starts_with(&above));
    below.map(|(path, file)| (path.clone(), *file)).collect()
}
