//! `GET /v1/journal`: who changed what, when and why; the past, and with `follow` what comes.

use std::collections::VecDeque;

use axum::extract::State;
use axum::response::Response;
use futures_util::{Stream, stream};
use serde::Deserialize;
use tandem_store::{Error, JournalQuery, SharedStore};
use tandem_types::Revision;
use tandem_types::document::JournalEntry;

use crate::extract::Query;
use crate::lines;
use crate::problem::{Answer, Refusal};
use crate::site::Site;

/// Entries without `limit`.
const DEFAULT_LIMIT: usize = 100;
/// Most entries read at once; a longer journal is read by `after`.
const LARGEST_LIMIT: usize = 10_000;

/// What stands behind the question mark.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    /// The entries that follow this revision; without it, the latest ones.
    after: Option<u64>,
    /// Only this app (`guestbook`) or environment (`guestbook/production`).
    subject: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    follow: bool,
}

pub(crate) async fn read(State(site): State<Site>, Query(asked): Query<Asked>) -> Answer<Response> {
    let (entries, seen) =
        past(&site.store, &asked).await.map_err(|error| Refusal::internal("read the journal", &error))?;
    if !asked.follow {
        return Ok(lines::sure(stream::iter(entries), &site.drain));
    }
    let follower =
        Follower { store: site.store.clone(), subject: asked.subject, pending: entries.into(), seen };
    Ok(lines::answer(follower.entries(), &site.drain))
}

/// The entries asked for, oldest first, and the revision from which a follower goes on.
async fn past(store: &SharedStore, asked: &Asked) -> Result<(Vec<JournalEntry>, Revision), Error> {
    // Taken first: what is written meanwhile comes again by the follower, which leaves out what was sent.
    let now = store.cursor().await?.revision;
    let mut entries = store
        .journal(JournalQuery {
            after: Revision(asked.after.unwrap_or_default()),
            subject: asked.subject.clone(),
            limit: Some(asked.limit.unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT)),
            newest_first: asked.after.is_none(),
            ..JournalQuery::default()
        })
        .await?;
    entries.sort_by_key(|entry| entry.revision);
    let last = entries.last().map(|entry| entry.revision);
    // With `after` and a limit there may be more between the last entry and now.
    let seen =
        if asked.after.is_some() { last.unwrap_or(now) } else { last.map_or(now, |last| last.max(now)) };
    Ok((entries, seen))
}

/// Reads on whenever there is a new revision.
struct Follower {
    store: SharedStore,
    subject: Option<String>,
    pending: VecDeque<JournalEntry>,
    seen: Revision,
}

impl Follower {
    fn entries(self) -> impl Stream<Item = Result<JournalEntry, Error>> + Send + 'static {
        stream::try_unfold(self, |mut follower| async move {
            let entry = follower.next().await?;
            Ok(Some((entry, follower)))
        })
    }

    async fn next(&mut self) -> Result<JournalEntry, Error> {
        loop {
            if let Some(entry) = self.pending.pop_front() {
                return Ok(entry);
            }
            let newest = self.store.wait_past(self.seen).await?;
            let query = JournalQuery {
                after: self.seen,
                subject: self.subject.clone(),
                limit: Some(LARGEST_LIMIT),
                ..JournalQuery::default()
            };
            self.pending = self.store.journal(query).await?.into();
            self.seen = self.pending.back().map_or(newest, |entry| entry.revision);
        }
    }
}
