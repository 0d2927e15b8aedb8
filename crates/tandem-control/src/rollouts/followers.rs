//! Brings the output of smoke checks and release phases from the runner into the event log, line by line.
//!
//! Lines that the log has already, from before a crash or a broken connection, are passed over by their number.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tandem_kit::api::{Client, Server};
use tandem_kit::tasks::{self, Owned};
use tandem_types::JobId;
use tandem_types::event::{Event, LogLine, Stream};
use tandem_types::instance::Address;

use crate::event_log::EventLog;
use crate::place::Place;

/// Wait before a broken stream is taken up again.
const RETRY: Duration = Duration::from_millis(200);
/// Time that the last lines of an ended job get to arrive before the end of its step is told.
const SETTLE: Duration = Duration::from_secs(1);

/// Lines asked for: all that the event log would keep, and then some.
const MOST_LINES: usize = 50_000;

/// What to follow and where it goes.
pub(super) struct Job {
    pub(super) id: JobId,
    /// Whose it is.
    pub(super) place: Place,
    /// `smoke` or `release`.
    pub(super) source: &'static str,
    /// Where its runner answers.
    pub(super) api: Address,
    pub(super) log: EventLog,
}

/// Streams under way.
#[derive(Default)]
pub(super) struct Followers {
    running: Mutex<BTreeMap<JobId, (Place, Owned<()>)>>,
}

impl Followers {
    /// Follows a job unless somebody does already.
    pub(super) fn ensure(&self, job: Job) {
        let follower = |job: Job| (job.place.clone(), tasks::owned("job output", follow(job)));
        self.lock().entry(job.id).or_insert_with(|| follower(job));
    }

    /// Stops following jobs of an environment that is gone: its runner will never tell of their end.
    pub(super) fn forget(&self, place: &Place) {
        self.lock().retain(|_, (of, _)| of != place);
    }

    /// Lets the last lines of an ended job arrive, and stops following it.
    pub(super) async fn settle(&self, id: JobId) {
        let follower = self.lock().remove(&id);
        if let Some((_, follower)) = follower {
            let _late = tokio::time::timeout(SETTLE, follower).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, (Place, Owned<()>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow(job: Job) {
    let server = match &job.api {
        Address::Unix(path) => Server::Unix(path.clone()),
        Address::Tcp(address) => Server::Http { authority: address.to_string(), token: None },
    };
    let client = Client::new(server);
    let path = format!("/v1/jobs/{}/logs?lines={MOST_LINES}&follow=true", job.id);
    let mut told = job.log.lines_from(job.source);
    loop {
        // The step tells how the command began and ended; the runner's own remarks of it would say it twice.
        let remark =
            |line: &Result<LogLine, _>| line.as_ref().is_ok_and(|line| line.stream == Stream::Tandem);
        let lines = client.lines::<LogLine>(&path).filter(move |line| std::future::ready(!remark(line)));
        if pass_on(lines.skip(told), &job, &mut told).await {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Says whether the stream came to its proper end.
async fn pass_on<S>(lines: S, job: &Job, told: &mut usize) -> bool
where
    S: futures_util::Stream<Item = Result<LogLine, tandem_kit::api::Error>>,
{
    let mut lines = std::pin::pin!(lines);
    while let Some(line) = lines.next().await {
        let Ok(line) = line else { return false };
        *told += 1;
        let event = Event::Line { source: job.source.to_owned(), text: line.text };
        if let Err(error) = job.log.append(event) {
            tracing::warn!("failed to {error}");
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use tandem_kit::clock::Clock;
    use tandem_types::{RolloutNumber, Timestamp};

    use super::*;
    use crate::event_log::EventLogs;
    use crate::steady::Steady;

    #[tokio::test]
    async fn jobs_of_an_app_that_is_gone_are_followed_no_longer() {
        let folder = tempfile::tempdir().expect("a folder");
        let logs = EventLogs::new(folder.path().to_owned(), Steady::new(Clock::system()));
        let followers = Followers::default();
        let places = ["gone", "here"].map(|name| Place::production(name.parse().expect("a name")));
        for (id, place) in (1..).zip(&places) {
            let key = (place.app.clone(), place.environment.clone(), RolloutNumber(1));
            let log = logs.log(&key, Timestamp::UNIX_EPOCH).expect("a log");
            let api = Address::Unix(folder.path().join("nobody.sock"));
            followers.ensure(Job { id: JobId(id), place: place.clone(), source: "release", api, log });
        }
        followers.forget(&places[0]);
        assert_eq!(followers.lock().keys().copied().collect::<Vec<_>>(), [JobId(2)]);
    }
}
