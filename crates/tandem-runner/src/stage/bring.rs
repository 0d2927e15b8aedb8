//! One build: fetch what its trees lack, check each out.

use std::path::PathBuf;

use tandem_blobs::transfer::FetchError;
use tandem_blobs::{LinkCache, checkout, frames, receive, transfer};
use tandem_kit::api::Client;
use tandem_kit::error::chain;
use tandem_kit::points::{self, Effect};
use tandem_kit::tasks;
use tandem_types::Digest;

/// What is to be done.
pub(super) struct Work {
    /// Where blobs come from.
    pub(super) client: Client,
    /// Where they are kept.
    pub(super) cache: LinkCache,
    /// Trees, and where each is to be.
    pub(super) trees: Vec<(Digest, PathBuf)>,
    /// What links may target outside of their tree.
    pub(super) interpreter: Option<String>,
}

/// Why a build is not here, each with its reason as a whole chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No connection to the server came about. The build has no part in that.
    Away(String),
    /// The server was lost while it answered: it ended, or it cannot go on with what it sends.
    Cut(String),
    /// It cannot be brought here.
    Failed(String),
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Self {
        use tandem_kit::api::Error as Api;
        let reason = chain(&error);
        match error {
            FetchError::Server(Api::NotRunning { .. } | Api::Connect { .. }) => Self::Away(reason),
            FetchError::Server(error) if error.is_lost() => Self::Cut(reason),
            FetchError::Receive(
                receive::Error::Connection(_)
                | receive::Error::Idle(_)
                | receive::Error::Stream(frames::Error::CutOff),
            ) => Self::Cut(reason),
            _ => Self::Failed(reason),
        }
    }
}

/// Does it.
pub(super) async fn bring(work: Work) -> Result<(), Trouble> {
    for (tree, destination) in work.trees {
        transfer::fetch_tree(&work.client, &work.cache, tree).await?;
        points::reached(Effect::TreeFetched).await;
        let (cache, interpreter) = (work.cache.clone(), work.interpreter.clone());
        let checked_out = tasks::blocking("checkout", move || {
            checkout::checkout(&cache, &tree, &destination, interpreter.as_deref())
        });
        checked_out.await.map_err(|error| Trouble::Failed(chain(&error)))?;
        points::reached(Effect::TreeStaged).await;
    }
    Ok(())
}
