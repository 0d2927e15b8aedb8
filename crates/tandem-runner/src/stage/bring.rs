//! One build: fetch what its trees lack, check each out.

use std::path::PathBuf;

use tandem_blobs::{LinkCache, checkout, transfer};
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

/// Does it; says why not as a whole chain.
pub(super) async fn bring(work: Work) -> Result<(), String> {
    for (tree, destination) in work.trees {
        transfer::fetch_tree(&work.client, &work.cache, tree).await.map_err(|error| chain(&error))?;
        points::reached(Effect::TreeFetched).await;
        let (cache, interpreter) = (work.cache.clone(), work.interpreter.clone());
        let checked_out = tasks::blocking("checkout", move || {
            checkout::checkout(&cache, &tree, &destination, interpreter.as_deref())
        });
        checked_out.await.map_err(|error| chain(&error))?;
        points::reached(Effect::TreeStaged).await;
    }
    Ok(())
}
