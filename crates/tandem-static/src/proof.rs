//! Proof that a release's static files can be served, before it takes traffic: pages without their style sheets are a release that
//! nobody wants (decision 020).
//!
//! A tree that was served before may have lost files since (a disk that fails, somebody who cleans up), so all are looked for
//! again, and one is answered as a request for it would be.

use std::sync::Arc;

use http::{Request, StatusCode};
use tandem_blobs::cache::Error as CacheError;
use tandem_blobs::transfer::{self, FetchError};
use tandem_kit::api::Client;
use tandem_types::Digest;

use super::site::Folder;
use super::{LoadError, Shelf, answer, load};

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Its files are not here.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Files that were here are gone, and did not come again.
    #[error("fetch static files of {prefix} that are gone from the balancer's disk")]
    Gone {
        /// URL prefix.
        prefix: String,
        /// Why not.
        #[source]
        source: FetchError,
    },
    /// Files are gone, or the disk does not tell.
    #[error("look for the static files of {prefix}")]
    Look {
        /// URL prefix.
        prefix: String,
        /// Why not.
        #[source]
        source: CacheError,
    },
    /// A file is here and cannot be opened.
    #[error("the static file {url} cannot be opened by the balancer")]
    Open {
        /// Its path.
        url: String,
    },
}

/// Makes the folder's own tree ready to be served, and opens one of its files.
///
/// # Errors
/// See [`ProofError`]. What came stays, so trying again goes on.
pub async fn prove(client: &Client, shelf: &Shelf, folder: &Folder) -> Result<(), ProofError> {
    for site in &folder.sites {
        if !site.is_loaded() {
            load(client, shelf, site).await?;
        }
        let gone = |source| ProofError::Look { prefix: folder.prefix.to_string(), source };
        if !site.missing().await.map_err(gone)?.is_empty() {
            fetch_again(client, shelf, (folder, site.root())).await?;
        }
        if let Some(name) = site.sample() {
            open(&Folder { prefix: folder.prefix.clone(), sites: vec![Arc::clone(site)] }, name).await?;
        }
    }
    Ok(())
}

async fn fetch_again(
    client: &Client,
    shelf: &Shelf,
    (folder, root): (&Folder, Digest),
) -> Result<(), ProofError> {
    let _fetching = shelf.fetching().await;
    let gone = |source| ProofError::Gone { prefix: folder.prefix.to_string(), source };
    transfer::fetch_tree(client, shelf.cache(), root).await.map(drop).map_err(gone)
}

/// Asks for it as a client would, as far as the table's routes do not matter.
async fn open(folder: &Folder, name: &str) -> Result<(), ProofError> {
    let url = format!("{}{name}", folder.prefix);
    let unusable = || ProofError::Open { url: url.clone() };
    let (request, ()) = Request::get(&url).body(()).map_err(|_| unusable())?.into_parts();
    let mut answer = answer(folder, &request).await.filter(|answer| answer.status() == StatusCode::OK);
    let body = answer.as_mut().ok_or_else(unusable)?.body_mut();
    match std::future::poll_fn(|context| body.poll_frame(context)).await {
        Some(Ok(_)) => Ok(()),
        _ => Err(unusable()),
    }
}
