//! One tree of static files, as a list of names; small files stay in memory once read.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tandem_blobs::cache::{Error as CacheError, LinkCache};
use tandem_kit::tasks;
use tandem_types::Digest;
use tandem_types::tree::Entry;

use super::FileBody;
use super::coding::Coding;

/// Largest file that is kept in memory.
const LARGEST_KEPT: u64 = 32 * 1024;
/// Bytes of file content kept in memory over all trees; what comes later is read from the disk each time.
const MOST_KEPT: usize = 16 * 1024 * 1024;

/// A static folder of a route: where it is, and its trees in the order in which they are looked into.
#[derive(Debug)]
pub struct Folder {
    /// URL prefix with slashes at both ends.
    pub prefix: Box<str>,
    /// The serving release's tree first.
    pub sites: Vec<Arc<Site>>,
}

/// One tree.
#[derive(Debug)]
pub struct Site {
    root: Digest,
    cache: LinkCache,
    kept: Arc<AtomicUsize>,
    contents: OnceLock<Contents>,
}

/// What a tree consists of.
#[derive(Debug, Default)]
struct Contents {
    files: HashMap<Box<str>, File>,
    /// Digests of its listings.
    listings: Vec<Digest>,
}

/// One file of a tree, and the forms in which it lies beside itself; found together once, not at each request.
#[derive(Debug)]
pub(super) struct File {
    /// As it is.
    pub plain: Arc<Blob>,
    /// What its compressed forms are, and how large.
    pub sizes: Box<[(Coding, u64)]>,
    /// Those forms.
    pub forms: Box<[Arc<Blob>]>,
}

/// The content of a file.
#[derive(Debug)]
pub struct Blob {
    /// Digest of its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    content: OnceLock<Bytes>,
}

impl Site {
    /// A tree whose list of files is not known yet. `kept` counts bytes in memory over all trees.
    pub(super) fn new(root: Digest, cache: LinkCache, kept: Arc<AtomicUsize>) -> Self {
        Self { root, cache, kept, contents: OnceLock::new() }
    }

    /// Its digest.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// Whether its files can be served.
    pub fn is_loaded(&self) -> bool {
        self.contents.get().is_some()
    }

    /// Its file of that name.
    pub(super) fn file(&self, name: &str) -> Option<&File> {
        self.contents.get()?.files.get(name)
    }

    /// The file that stands for all where one is tried: a style sheet, else any, the first by its name that has content and a name
    /// that needs no escapes.
    pub(super) fn sample(&self) -> Option<&str> {
        let is_plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b));
        let files = self.contents.get().into_iter().flat_map(|contents| &contents.files);
        let files = files.filter(|(name, file)| file.plain.size > 0 && is_plain(name));
        files.map(|(name, _)| &**name).min_by_key(|name| (!name.ends_with(".css"), *name))
    }

    /// What of it is not on the disk, as far as that is known.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) async fn missing(&self) -> Result<Vec<Digest>, CacheError> {
        let (cache, root) = (self.cache.clone(), self.root);
        tasks::blocking("look for static files", move || cache.missing(&root)).await
    }

    /// Digests of everything it consists of, once loaded.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> + '_ {
        let contents = self.contents.get().into_iter();
        contents.flat_map(|contents| {
            contents.files.values().map(|file| file.plain.digest).chain(contents.listings.iter().copied())
        })
    }

    /// Makes the list of files from what is on the disk.
    ///
    /// # Errors
    /// Something of the tree is missing there.
    pub async fn load(self: &Arc<Self>) -> Result<(), CacheError> {
        let site = Arc::clone(self);
        tasks::blocking("list static files", move || {
            if let Some(digest) = site.cache.missing(&site.root)?.first() {
                return Err(CacheError::Missing(*digest));
            }
            let (mut blobs, mut listings) = (HashMap::new(), Vec::new());
            site.list(site.root, "", (&mut blobs, &mut listings))?;
            let contents = Contents { files: with_forms(&blobs), listings };
            // Two loads at once make the same list.
            let _ = site.contents.set(contents);
            Ok(())
        })
        .await
    }

    fn list(
        &self,
        folder: Digest,
        above: &str,
        (blobs, listings): (&mut Blobs, &mut Vec<Digest>),
    ) -> Result<(), CacheError> {
        listings.push(folder);
        for (name, entry) in self.cache.read_tree(&folder)?.entries {
            match entry {
                Entry::File { digest, size, .. } => {
                    let name = format!("{above}{name}").into_boxed_str();
                    blobs.insert(name, Arc::new(Blob { digest, size, content: OnceLock::new() }));
                }
                Entry::Folder { digest } => {
                    self.list(digest, &format!("{above}{name}/"), (blobs, listings))?;
                }
                // Collected static files are copies; a link may point out of this subtree.
                Entry::Link { .. } => {}
            }
        }
        Ok(())
    }

    /// A part of a file, ready to be sent.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn open(&self, blob: &Blob, start: u64, length: u64) -> io::Result<FileBody> {
        if length == 0 {
            return Ok(FileBody::empty());
        }
        if blob.size > LARGEST_KEPT {
            let file = self.open_file(blob.digest).await?;
            return Ok(FileBody::file(file, start, length));
        }
        let content = match blob.content.get() {
            Some(content) => content.clone(),
            None => self.read(blob).await?,
        };
        let (start, end) = (usize::try_from(start), usize::try_from(start + length));
        let part = start.ok().zip(end.ok()).filter(|(_, end)| *end <= content.len());
        let (start, end) = part.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(FileBody::bytes(content.slice(start..end)))
    }

    async fn open_file(&self, digest: Digest) -> io::Result<fs::File> {
        let path = self.cache.path(&digest, false);
        tasks::blocking("open a static file", move || fs::File::open(path)).await
    }

    async fn read(&self, blob: &Blob) -> io::Result<Bytes> {
        let path = self.cache.path(&blob.digest, false);
        let content = tasks::blocking("read a static file", move || std::fs::read(path)).await?;
        let content = Bytes::from(content);
        let before = self.kept.fetch_add(content.len(), Ordering::Relaxed);
        if before + content.len() > MOST_KEPT || blob.content.set(content.clone()).is_err() {
            self.kept.fetch_sub(content.len(), Ordering::Relaxed);
        }
        Ok(content)
    }
}

/// The blobs of a tree by the names of its files.
type Blobs = HashMap<Box<str>, Arc<Blob>>;

fn with_forms(blobs: &Blobs) -> HashMap<Box<str>, File> {
    let file = |plain: &Arc<Blob>, name: &str| {
        let form = |(coding, ending)| Some((coding, blobs.get(&*format!("{name}{ending}"))?));
        let forms: Vec<_> = Coding::endings().filter_map(form).collect();
        let sizes = forms.iter().map(|(coding, blob)| (*coding, blob.size)).collect();
        let forms = forms.iter().map(|(_, blob)| Arc::clone(blob)).collect();
        File { plain: Arc::clone(plain), sizes, forms }
    };
    blobs.iter().map(|(name, plain)| (name.clone(), file(plain, name))).collect()
}

impl Drop for Site {
    fn drop(&mut self) {
        let files = self.contents.get().into_iter().flat_map(|contents| contents.files.values());
        let bytes = files.filter_map(|file| file.plain.content.get()).map(Bytes::len).sum();
        self.kept.fetch_sub(bytes, Ordering::Relaxed);
    }
}
