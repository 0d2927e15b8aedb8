//! The writer thread: takes the jobs that have gathered into one SQLite transaction, then acknowledges all of them.
//!
//! Each job has a savepoint of its own, so one that is refused leaves the others alone. When the transaction as a whole
//! fails (a full disk), its jobs are tried one by one, so that a large one does not take small ones down with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tandem_types::Revision;
use tokio::sync::{mpsc, oneshot, watch};

use super::failure::explain;
use super::leases::Leases;
use super::read;
use super::volatile::Volatile;
use crate::Error;

/// Jobs that wait; more make their callers wait.
const QUEUE: usize = 1_024;
/// Jobs of one SQLite transaction: enough to share a sync, few enough to acknowledge soon.
const BATCH: usize = 64;

/// How far the store has come; the watch channel that wakes watchers carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) revision: Revision,
    pub(super) volatile: u64,
}

/// What the writer works with.
pub(super) struct Desk {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) leases: Leases,
    pub(super) volatile: Arc<Volatile>,
    pub(super) progress: Arc<watch::Sender<Progress>>,
}

/// What one job works with: its part of a transaction.
pub(super) struct Unit<'a> {
    pub(super) database: &'a Connection,
    pub(super) leases: &'a mut Leases,
    pub(super) volatile: &'a Volatile,
}

/// Why a job did not do its work.
pub(super) enum Refusal {
    /// The job itself is at fault; others are not touched.
    Job(Error),
    /// The engine is; the whole batch is taken back.
    Engine(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Job(error)
    }
}

/// A job with its answer.
trait Job: Send {
    /// Does the work, and says whether what it wrote stays. Called again when the transaction was taken back.
    fn run(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<bool>;
    /// Gives the answer: the one of the last run, or that of the transaction.
    fn answer(self: Box<Self>, failure: Option<Error>);
}

struct Pending<T, W> {
    work: W,
    done: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, W> Job for Pending<T, W>
where
    T: Send,
    W: FnMut(&mut Unit<'_>) -> Result<T, Refusal> + Send,
{
    fn run(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<bool> {
        let done = match (self.work)(unit) {
            Ok(value) => Ok(value),
            Err(Refusal::Job(error)) => Err(error),
            Err(Refusal::Engine(error)) => return Err(error),
        };
        let stays = done.is_ok();
        self.done = Some(done);
        Ok(stays)
    }

    fn answer(self: Box<Self>, failure: Option<Error>) {
        let done = self.done;
        let done = || done.expect("a transaction is committed after its jobs have run");
        let answer = failure.map_or_else(done, Err);
        // The caller may have gone away; what it asked for is done all the same.
        let _ = self.reply.send(answer);
    }
}

/// The queue to the writer thread; dropping it waits until the thread has done what is queued.
pub(super) struct Writer {
    path: PathBuf,
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(desk: Desk) -> Result<Self, Error> {
        let path = desk.path.clone();
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(move || desk.work(jobs)).map_err(|error| Error::Unavailable {
            doing: format!("start the writer of the store {}", path.display()),
            source: error.into(),
        })?;
        Ok(Self { path, queue: Some(queue), thread: Some(thread) })
    }

    /// Queues work and waits until it is on the disk, or refused.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnMut(&mut Unit<'_>) -> Result<T, Refusal> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending { work, done: None, reply });
        let queue = self.queue.as_ref().expect("the queue is only taken when the writer is dropped");
        let gone = || Error::Unavailable {
            doing: format!("write to the store {}", self.path.display()),
            source: "its writer has ended".into(),
        };
        queue.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the writer of the store {} panicked", self.path.display());
        }
    }
}

impl Desk {
    fn work(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
            self.settle(batch);
        }
    }

    fn settle(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let committed = self.commit(&mut batch);
        self.leases.settle(committed.is_ok());
        match committed {
            Ok(revision) => {
                self.tell(revision);
                batch.into_iter().for_each(|job| job.answer(None));
            }
            Err(_) if batch.len() > 1 => batch.into_iter().for_each(|job| self.settle(vec![job])),
            Err(source) => {
                let failure = explain(&self.path, "write to", source);
                if let Some(job) = batch.pop() {
                    job.answer(Some(failure));
                }
            }
        }
    }

    /// Runs all jobs and commits; on failure nothing is left of them.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<Revision> {
        let mut transaction = Transaction::new(&mut self.connection, TransactionBehavior::Immediate)?;
        for job in batch {
            let savepoint = transaction.savepoint()?;
            let mut unit = Unit { database: &savepoint, leases: &mut self.leases, volatile: &self.volatile };
            let stays = job.run(&mut unit)?;
            if stays { savepoint.commit()? } else { savepoint.finish()? }
        }
        let revision = read::meta(&transaction)?.revision;
        transaction.commit()?;
        Ok(revision)
    }

    fn tell(&self, revision: Revision) {
        self.progress
            .send_if_modified(|progress| std::mem::replace(&mut progress.revision, revision) != revision);
    }
}
