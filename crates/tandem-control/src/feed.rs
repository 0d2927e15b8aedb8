//! Keeps the mirror up to date: one watch over everything, resumed where it broke off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tandem_store::Error;
use tandem_types::document::{Change, Cursor};
use tandem_types::keys;

use crate::mirror::{Mirror, News};
use crate::shared::Shared;

/// Wait before a watch that ended is taken up again.
const RETRY: Duration = Duration::from_millis(200);

/// Reads the watch for ever.
pub(crate) struct Feed {
    shared: Arc<Shared>,
    cursor: Option<Cursor>,
    /// While everything is listed anew: what was there before.
    listed: Option<BTreeSet<String>>,
    /// What came since the last `Live`.
    batch: Vec<News>,
}

impl Feed {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, cursor: None, listed: None, batch: Vec::new() }
    }

    /// Reads until everything that is there is in the mirror.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn fill(&mut self) -> Result<(), Error> {
        while self.cursor.is_none() {
            self.follow(true).await?;
        }
        Ok(())
    }

    /// Reads on for ever.
    pub(crate) async fn run(mut self) {
        loop {
            if let Err(error) = self.follow(false).await {
                tracing::warn!("failed to watch the store, trying again: {error}");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn follow(&mut self, until_live: bool) -> Result<(), Error> {
        let prefixes = [
            keys::APPS,
            keys::HOSTS,
            keys::BALANCERS,
            keys::ROUTING,
            keys::INSTALLATION,
            keys::TOKENS,
            keys::GIT,
            keys::HTTPS,
        ];
        let prefixes = prefixes.map(str::to_owned).to_vec();
        self.batch.clear();
        let mut changes = self.shared.store.watch(prefixes, self.cursor.clone()).await?;
        while let Some(change) = changes.next().await {
            self.take_in(change);
            if until_live && self.cursor.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Changes are taken in together at the `Live` behind them: nobody who looks sees half of a transaction.
    fn take_in(&mut self, change: Change) {
        match change {
            Change::Reset => {
                self.batch.clear();
                self.listed = Some(self.shared.look(Mirror::keys));
            }
            Change::Live { cursor } => self.apply(cursor),
            change => self.batch.extend(News::of(change, self.shared.now())),
        }
    }

    fn apply(&mut self, cursor: Cursor) {
        let (batch, listed) = (std::mem::take(&mut self.batch), self.listed.take());
        let before = self.cursor.as_ref().map(|before| &before.incarnation);
        let reborn = listed.is_some() && before.is_some_and(|before| *before != cursor.incarnation);
        self.shared.change(|mirror| {
            if reborn {
                mirror.forget_revisions();
            }
            mirror.catch_up(batch, listed, cursor.revision)
        });
        self.cursor = Some(cursor);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tandem_types::Revision;
    use tandem_types::api::Token;
    use tandem_types::document::Document;

    use super::*;
    use crate::tests::site::Site;

    fn listing(incarnation: &str, revision: u64) -> [Change; 3] {
        let body = json!({
            "name": incarnation, "hash": "0".repeat(64), "created": "2026-11-21T12:00:00Z"
        });
        let (key, kind) = ("tokens/ci".to_owned(), "token/1".to_owned());
        let document = Document { key, revision: Revision(revision), kind, body };
        let cursor = Cursor { incarnation: incarnation.to_owned(), revision: Revision(revision) };
        [Change::Reset, Change::Put { document }, Change::Live { cursor }]
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_store_that_was_restored_is_believed_from_its_first_listing_on() {
        let site = Site::start().await;
        let mut feed = Feed::new(Arc::clone(&site.handle.shared));
        let name = || site.handle.shared.value::<Token>("tokens/ci").map(|token| token.name.clone());
        for (told, expected) in
            [(("first", 1_050), "first"), (("second", 1_003), "second"), (("second", 1_002), "second")]
        {
            listing(told.0, told.1).into_iter().for_each(|change| feed.take_in(change));
            assert_eq!(name().as_deref(), Some(expected));
        }
    }
}
