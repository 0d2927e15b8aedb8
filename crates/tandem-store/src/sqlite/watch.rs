//! Watching: what changed is read from the database by its revision; the wake-up only says "look again".
//!
//! So a slow watcher holds nobody up and misses nothing: it reads further when it comes to it. A listing is read in
//! pages of different revisions; what changed in between has a revision after its first page and follows it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use rusqlite::{Connection, Row};
use tandem_types::Revision;
use tandem_types::document::{Change, Cursor};
use tokio::sync::watch;
use tokio::time::Instant;

use super::read::{self, Meta, Readers, sql};
use super::volatile::{Told, Volatile};
use super::writer::Progress;
use crate::Error;
use crate::key::Prefixes;

/// Time between signs of life; `Change::Live` promises 15 s, the rest is for slow links.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Documents read at once.
const PAGE: usize = 256;

/// Where a watcher reads.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) readers: Arc<Readers>,
    pub(super) volatile: Arc<Volatile>,
    /// Time between signs of life.
    pub(super) sign: Duration,
}

/// One watch.
pub(super) struct Watcher {
    source: Source,
    prefixes: Prefixes,
    progress: watch::Receiver<Progress>,
    phase: Phase,
    incarnation: String,
    /// All changes up to this revision have been queued (but for a listing under way).
    position: Revision,
    /// Which volatile changes have been queued.
    told: Told,
    ready: VecDeque<Change>,
    sign_due: Instant,
}

enum Phase {
    /// Nothing was told yet; the watcher knows the state at this cursor.
    Begin(Option<Cursor>),
    /// The documents are told page by page: what is left of each range.
    List(VecDeque<(String, String)>),
    /// Changes since the position are told, then `Live`; `fresh` when that was not yet.
    Follow { fresh: bool },
}

impl Watcher {
    pub(super) fn new(
        source: Source,
        prefixes: Prefixes,
        after: Option<Cursor>,
        progress: watch::Receiver<Progress>,
    ) -> Self {
        Self {
            sign_due: Instant::now() + source.sign,
            source,
            prefixes,
            progress,
            phase: Phase::Begin(after),
            incarnation: String::new(),
            position: Revision(0),
            told: Told { puts: None, deletes: None },
            ready: VecDeque::new(),
        }
    }

    /// Ends when the store is closed, or fails (which is logged): the watcher comes back with its cursor.
    pub(super) fn into_stream(self) -> BoxStream<'static, Change> {
        stream::unfold(self, |mut watcher| async { watcher.next().await.map(|change| (change, watcher)) })
            .boxed()
    }

    async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            match self.step().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    let path = self.source.path.display();
                    tracing::error!(
                        "a watch of the store {path} ends: {error}: {:?}",
                        std::error::Error::source(&error)
                    );
                    return None;
                }
            }
        }
    }

    /// Queues changes, or waits for some; false when the store is closed.
    async fn step(&mut self) -> Result<bool, Error> {
        match &mut self.phase {
            Phase::Begin(after) => {
                let after = after.take();
                self.begin(after).await?;
            }
            Phase::List(ranges) => match ranges.pop_front() {
                Some(range) => self.list(range).await?,
                None => self.phase = Phase::Follow { fresh: true },
            },
            Phase::Follow { fresh } => {
                let fresh = *fresh;
                let seen = *self.progress.borrow_and_update();
                if !fresh && seen.revision <= self.position && Some(seen.volatile) <= self.told.puts {
                    return Ok(self.wait().await);
                }
                self.catch_up(fresh).await?;
            }
        }
        Ok(true)
    }

    async fn begin(&mut self, after: Option<Cursor>) -> Result<(), Error> {
        let meta = self.source.readers.read(read::meta).await?;
        match after.filter(|cursor| is_known(cursor, &meta)) {
            Some(cursor) => {
                self.position = cursor.revision;
                self.phase = Phase::Follow { fresh: true };
            }
            None => {
                self.ready.push_back(Change::Reset);
                self.position = meta.revision;
                // Who forgets everything need not be told what was deleted before.
                let sequence = self.source.volatile.since(&self.prefixes, self.told).sequence;
                self.told = Told { puts: None, deletes: Some(sequence) };
                self.phase = Phase::List(self.prefixes.ranges().into());
            }
        }
        self.incarnation = meta.incarnation;
        Ok(())
    }

    /// Tells one page of a listing, and keeps what is left of its range.
    async fn list(&mut self, (from, to): (String, String)) -> Result<(), Error> {
        let end = to.clone();
        let look = move |database: &Connection| read::documents(database, (&from, &end), Some(PAGE));
        let documents = self.source.readers.read(look).await?;
        if let (Phase::List(ranges), Some(last)) = (&mut self.phase, documents.get(PAGE - 1)) {
            // The first key after the last one told.
            ranges.push_front((format!("{}\0", last.key), to));
        }
        self.ready.extend(documents.into_iter().map(|document| Change::Put { document }));
        Ok(())
    }

    /// Tells one batch of changes; with the last batch the volatile documents and `Live`.
    async fn catch_up(&mut self, fresh: bool) -> Result<(), Error> {
        // Looked at first, and the documents told last: who sees one has seen all transactions before it.
        let news = self.source.volatile.since(&self.prefixes, self.told);
        let revision = self.position;
        self.ready.extend(news.absent.into_iter().map(|key| Change::Delete { key, revision }));
        self.told.deletes = Some(news.sequence);
        let Some(batch) = self.read_batch().await? else {
            // It was so slow that deletions it has not been told of are forgotten.
            self.phase = Phase::Begin(None);
            return Ok(());
        };
        self.position = batch.up_to;
        self.ready.extend(batch.changes);
        if batch.is_last {
            self.told.puts = Some(news.sequence);
            self.ready.extend(news.present.into_iter().map(|document| Change::Put { document }));
        }
        let owes_sign = fresh || !self.ready.is_empty();
        if owes_sign && batch.is_last {
            self.sign();
        }
        self.phase = Phase::Follow { fresh: owes_sign && !batch.is_last };
        Ok(())
    }

    /// The next batch; the database is left alone when only volatile documents changed.
    async fn read_batch(&self) -> Result<Option<Batch>, Error> {
        if self.progress.borrow().revision <= self.position {
            return Ok(Some(Batch { changes: Vec::new(), up_to: self.position, is_last: true }));
        }
        let (prefixes, after) = (self.prefixes.clone(), self.position);
        self.source.readers.read(move |database| read_batch(database, &prefixes, after)).await
    }

    async fn wait(&mut self) -> bool {
        tokio::select! {
            changed = self.progress.changed() => changed.is_ok(),
            () = tokio::time::sleep_until(self.sign_due) => {
                self.sign();
                true
            }
        }
    }

    fn sign(&mut self) {
        let cursor = Cursor { incarnation: self.incarnation.clone(), revision: self.position };
        self.ready.push_back(Change::Live { cursor });
        self.sign_due = Instant::now() + self.source.sign;
    }
}

/// Whether all that changed after the cursor is still known.
fn is_known(cursor: &Cursor, meta: &Meta) -> bool {
    cursor.incarnation == meta.incarnation && (meta.floor..=meta.revision).contains(&cursor.revision)
}

struct Batch {
    changes: Vec<Change>,
    up_to: Revision,
    is_last: bool,
}

/// Changes after a revision: about a page of them, but never a part of a transaction. None: some are forgotten.
fn read_batch(
    database: &Connection,
    prefixes: &Prefixes,
    after: Revision,
) -> rusqlite::Result<Option<Batch>> {
    let Meta { revision: newest, floor, .. } = read::meta(database)?;
    if after < floor {
        return Ok(None);
    }
    let up_to = page_end(database, after)?.unwrap_or(newest);
    let sql_text = "SELECT key, revision, kind, body FROM documents WHERE revision > ?1 AND revision <= ?2
                    UNION ALL SELECT key, revision, NULL, NULL FROM tombstones WHERE revision > ?1 AND revision <= ?2
                    ORDER BY 2, 1";
    let mut statement = database.prepare_cached(sql_text)?;
    let mut rows = statement.query((sql(after), sql(up_to)))?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        changes.extend(to_change(row, prefixes)?);
    }
    Ok(Some(Batch { changes, up_to, is_last: up_to >= newest }))
}

/// Revision of the change that ends the page; none: the rest fits in one.
fn page_end(database: &Connection, after: Revision) -> rusqlite::Result<Option<Revision>> {
    let sql_text = "SELECT revision FROM documents WHERE revision > ?1
                    UNION ALL SELECT revision FROM tombstones WHERE revision > ?1
                    ORDER BY 1 LIMIT 1 OFFSET ?2";
    let offset = i64::try_from(PAGE - 1).unwrap_or(i64::MAX);
    let mut statement = database.prepare_cached(sql_text)?;
    let mut rows = statement.query((sql(after), offset))?;
    rows.next()?.map(|row| read::revision(row, 0)).transpose()
}

/// A row as a change, if the watch covers its key; else its body is not even parsed.
fn to_change(row: &Row<'_>, prefixes: &Prefixes) -> rusqlite::Result<Option<Change>> {
    let key = row.get_ref(0)?.as_str()?;
    if !prefixes.cover(key) {
        return Ok(None);
    }
    let is_deleted = matches!(row.get_ref(2)?, rusqlite::types::ValueRef::Null);
    Ok(Some(if is_deleted {
        Change::Delete { key: key.to_owned(), revision: read::revision(row, 1)? }
    } else {
        Change::Put { document: read::to_document(row)? }
    }))
}
