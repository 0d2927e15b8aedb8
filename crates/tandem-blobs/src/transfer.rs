//! Moving trees between a client and a server: only what the other side misses.
//!
//! The sender goes down from the root and asks for each level what is missing, so an unchanged folder costs one digest.
//! It sends files before the folders that name them. A host that fetches does the same the other way round.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use http_body_util::BodyExt;
use tandem_kit::api::{self, Client};
use tandem_kit::http as bodies;
use tandem_kit::tasks;
use tandem_types::api::Digests;
use tandem_types::tree::Entry;
use tandem_types::{Digest, Timestamp};

use crate::cache::{self, LinkCache};
use crate::frames::{Head, Limits};
use crate::receive::{self, Receiver, Target};
use crate::scan::{Origin, Scan};
use crate::stream::Pieces;
use crate::{packed, stream, tree};

#[cfg(test)]
mod tests;

const MISSING: &str = "/v1/blobs/missing";
const PUSH: &str = "/v1/blobs";
const FETCH: &str = "/v1/blobs/fetch";
/// Times that what is missing is sent. Who rolls a source out that lacks a file still is told so by the server.
const ROUNDS: usize = 2;
/// Digests in one question: 1.3 MB of JSON.
const DIGESTS_PER_CALL: usize = 20_000;

/// Why blobs did not get to the server.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The server refused or is not there.
    #[error("send the source to the server")]
    Server(#[source] api::Error),
    /// A file is not what it was when it was scanned.
    #[error("send {}: it changed meanwhile", .0.display())]
    Changed(PathBuf),
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Why blobs did not come from the server.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server refused or is not there.
    #[error("fetch blobs from the server")]
    Server(#[source] api::Error),
    /// They did not arrive, or were wrong.
    #[error("fetch blobs from the server")]
    Receive(#[source] receive::Error),
    /// The cache failed.
    #[error("look for what is missing")]
    Cache(#[source] cache::Error),
    /// The server answered without them.
    #[error("fetch blob {}: the server did not send it", .0.short())]
    NotSent(Digest),
}

/// What a push cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pushed {
    /// Blobs sent.
    pub blobs: u64,
    /// Bytes of the bodies that went to the server, questions included.
    pub bytes: u64,
}

/// Told how many of the missing blobs have been sent.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Sends what the server misses of a scan, and once more what it misses then: a long upload may outlive what the server said
/// to have when it began.
///
/// # Errors
/// See [`PushError`]. What was sent stays on the server for a while, so trying again sends the rest.
pub async fn push_missing(
    client: &Client,
    scan: &Scan,
    progress: Option<Progress>,
) -> Result<Pushed, PushError> {
    let mut pushed = Pushed::default();
    for _ in 0..ROUNDS {
        let missing = ask_missing(client, scan, &mut pushed).await?;
        if missing.is_empty() {
            break;
        }
        send_once(client, scan, (&missing, &mut pushed), progress.clone()).await?;
    }
    Ok(pushed)
}

async fn send_once(
    client: &Client,
    scan: &Scan,
    (missing, pushed): (&[Digest], &mut Pushed),
    progress: Option<Progress>,
) -> Result<(), PushError> {
    let blobs: Vec<(Digest, Origin)> =
        missing.iter().filter_map(|digest| Some((*digest, scan.origins.get(digest)?.clone()))).collect();
    pushed.blobs += blobs.len() as u64;
    let bytes = Arc::new(AtomicU64::new(0));
    let failure = Arc::new(std::sync::Mutex::new(None));
    let sent = stream::produce("send the source", {
        let failure = Arc::clone(&failure);
        move |pieces| {
            send_all(&blobs, pieces, progress).map_err(|error| {
                *failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                io::Error::other("the source could not be read")
            })
        }
    });
    let counted = sent.inspect({
        let bytes = Arc::clone(&bytes);
        move |piece| {
            bytes.fetch_add(piece.as_ref().map_or(0, |piece| piece.len() as u64), Ordering::Relaxed);
        }
    });
    let answer = client.post_stream(PUSH, bodies::stream(counted)).await;
    if let Some(error) = failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
        return Err(error);
    }
    answer.map_err(PushError::Server)?;
    pushed.bytes += bytes.load(Ordering::Relaxed);
    Ok(())
}

/// What the server misses, files before folders and folders before those that name them.
async fn ask_missing(client: &Client, scan: &Scan, pushed: &mut Pushed) -> Result<Vec<Digest>, PushError> {
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    let mut asked = HashSet::from([scan.root]);
    let mut level = vec![scan.root];
    while !level.is_empty() {
        let mut next = Vec::new();
        for question in level.chunks(DIGESTS_PER_CALL) {
            let question = Digests { digests: question.to_vec() };
            pushed.bytes += (question.digests.len() * 67 + 14) as u64;
            let answer: Digests = client.post(MISSING, &question).await.map_err(PushError::Server)?;
            for digest in answer.digests {
                match scan.origins.get(&digest) {
                    Some(Origin::File { .. }) => files.push(digest),
                    Some(Origin::Tree { bytes }) => {
                        folders.push(digest);
                        next.extend(children(bytes).filter(|child| asked.insert(*child)));
                    }
                    None => {}
                }
            }
        }
        level = next;
    }
    files.extend(folders.into_iter().rev());
    Ok(files)
}

fn children(listing: &[u8]) -> impl Iterator<Item = Digest> + use<> {
    let tree = tree::decode(listing).expect("a scan makes canonical listings");
    tree.entries.into_values().filter_map(|entry| match entry {
        Entry::File { digest, .. } | Entry::Folder { digest } => Some(digest),
        Entry::Link { .. } => None,
    })
}

fn send_all(
    blobs: &[(Digest, Origin)],
    pieces: &mut Pieces<io::Error>,
    progress: Option<Progress>,
) -> Result<(), PushError> {
    for (done, (digest, origin)) in (1_u64..).zip(blobs) {
        // The server decides when it first saw a blob; this clock may be wrong.
        let first_seen = Timestamp::UNIX_EPOCH;
        let mut head = Head { digest: *digest, first_seen, raw_len: origin.size(), packed_len: 0 };
        let packed = pack(digest, origin, || pieces.at_work(&head))?;
        head.packed_len = packed.len() as u64;
        if !pieces.blob(&head, packed) {
            return Ok(());
        }
        if let Some(progress) = &progress {
            progress(done, blobs.len() as u64);
        }
    }
    pieces.end(blobs.len() as u64);
    Ok(())
}

/// A blob packed in memory, its digest checked once more. Calls `at_work` for each piece of it.
fn pack(digest: &Digest, origin: &Origin, at_work: impl FnMut()) -> Result<Vec<u8>, PushError> {
    match origin {
        Origin::Tree { bytes } => Ok(packed::pack(bytes).expect("packing into memory does not fail")),
        Origin::File { path, size } => {
            let read = |source| PushError::Read { path: path.clone(), source };
            let mut file = File::open(path).map_err(read)?;
            let mut packed = Vec::new();
            // One byte more than expected shows that it grew.
            let content = Heard { from: (&mut file).take(*size), at_work };
            let found = packed::pack_stream(content, *size, &mut packed);
            let grew = file.read(&mut [0]).map_err(read)? > 0;
            match found {
                Ok(found) if found == *digest && !grew => Ok(packed),
                _ => Err(PushError::Changed(path.clone())),
            }
        }
    }
}

/// A reader that is heard of.
struct Heard<R, F> {
    from: R,
    at_work: F,
}

impl<R: Read, F: FnMut()> Read for Heard<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        (self.at_work)();
        Ok(count)
    }
}

/// Brings everything into a host's cache that a tree needs; returns the bytes that came.
///
/// # Errors
/// See [`FetchError`]. What came stays, so trying again fetches the rest.
pub async fn fetch_tree(client: &Client, cache: &LinkCache, root: Digest) -> Result<u64, FetchError> {
    let (mut bytes, mut before) = (0, Vec::new());
    loop {
        let look = cache.clone();
        let missing = tasks::blocking("look for missing blobs", move || look.missing(&root)).await;
        let missing = missing.map_err(FetchError::Cache)?;
        match missing.first() {
            None => return Ok(bytes),
            Some(digest) if missing == before => return Err(FetchError::NotSent(*digest)),
            Some(_) => {}
        }
        bytes += fetch_blobs(client, &missing, &Target::Cache(cache.clone())).await?;
        before = missing;
    }
}

/// Brings these blobs; returns the bytes that came.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch_blobs(client: &Client, digests: &[Digest], target: &Target) -> Result<u64, FetchError> {
    let mut bytes = 0;
    for part in digests.chunks(DIGESTS_PER_CALL) {
        let question = Digests { digests: part.to_vec() };
        let answer = client.post_for_stream(FETCH, &question).await.map_err(FetchError::Server)?;
        let receiver = Receiver::new(target.clone(), Limits::default());
        let body = answer.into_body().into_data_stream();
        bytes += stream::receive(body, receiver).await.map_err(FetchError::Receive)?.bytes;
    }
    Ok(bytes)
}
