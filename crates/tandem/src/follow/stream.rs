//! The events of a rollout as one unbroken stream over connections that may break.

use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use serde::de::DeserializeOwned;
use tandem_kit::api::{self, Client};
use tandem_types::event::RolloutEvent;
use tandem_types::rollout::Rollout;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Followed, Until, result};
use crate::failure::Failure;
use crate::session::Session;

/// Wait between two attempts to reach the server again.
const RETRY: Duration = Duration::from_millis(500);
/// Attempts before the command gives up: half a minute, enough for an upgrade of the server.
const ATTEMPTS: u32 = 60;

/// Silence after which the rollout itself is read: the log of events may have lost its end when a server was killed.
const SILENCE: Duration = Duration::from_secs(5);

/// Reads something of the server, and waits for one that restarts as long as [`Events`] does.
///
/// # Errors
///
/// A refusal, or a server that does not come back.
pub(super) async fn patiently<T: DeserializeOwned>(session: &Session, path: &str) -> Result<T, Failure> {
    let client = session.client()?;
    let mut attempts = 1;
    loop {
        match client.get(path).await {
            Err(error) if error.is_lost() && attempts < ATTEMPTS => attempts += weight(&error),
            answer => return Ok(answer?),
        }
        sleep(RETRY).await;
    }
}

/// How many of [`ATTEMPTS`] one that failed counts for: to hear that a server does not answer takes half a minute each.
fn weight(error: &api::Error) -> u32 {
    if matches!(error, api::Error::Silent { .. }) { ATTEMPTS / 2 } else { 1 }
}

/// Events in order, each once.
pub(super) struct Events<'a> {
    session: &'a Session,
    client: Client,
    followed: &'a Followed,
    stream: Option<BoxStream<'static, Result<RolloutEvent, api::Error>>>,
    seen: u64,
    failures: u32,
    deadline: Option<Instant>,
}

impl<'a> Events<'a> {
    /// From the first event on; connects at the first [`Events::next`].
    ///
    /// # Errors
    ///
    /// A server address that makes no sense.
    pub(super) fn new(session: &'a Session, followed: &'a Followed) -> Result<Self, Failure> {
        let client = session.client()?.clone();
        Ok(Self { session, client, followed, stream: None, seen: 0, failures: 0, deadline: None })
    }

    /// How long the follower wants to stay.
    pub(super) fn until(&self) -> Until {
        self.followed.until
    }

    /// Connects anew behind the last event seen, without the limit.
    pub(super) fn go_on(&mut self) {
        self.stream = None;
        self.deadline = None;
    }

    /// From now on the stream ends after this time, whatever comes.
    pub(super) fn limit(&mut self, length: Duration) {
        self.deadline.get_or_insert_with(|| Instant::now() + length);
    }

    /// The next event; none after the limit, or where the rollout is over without one.
    ///
    /// # Errors
    ///
    /// A refusal, or a server that does not come back.
    pub(super) async fn next(&mut self) -> Result<Option<RolloutEvent>, Failure> {
        let Some(deadline) = self.deadline else { return self.next_event().await };
        match timeout_at(deadline, self.next_event()).await {
            Ok(event) => event,
            Err(_) => Ok(None),
        }
    }

    async fn next_event(&mut self) -> Result<Option<RolloutEvent>, Failure> {
        loop {
            let Ok(next) = timeout(SILENCE, self.try_next()).await else {
                match self.is_settled().await {
                    Ok(true) => return Ok(None),
                    Ok(false) => self.failures = 0,
                    // What is still to come of the stream is that of a server that hangs.
                    Err(error) => self.broken(Some(error)).await?,
                }
                continue;
            };
            match next {
                Ok(Some(event)) if event.sequence > self.seen => {
                    self.seen = event.sequence;
                    self.failures = 0;
                    return Ok(Some(event));
                }
                Ok(Some(_)) => {}
                Ok(None) if matches!(self.is_settled().await, Ok(true)) => return Ok(None),
                Ok(None) => self.broken(None).await?,
                Err(problem @ api::Error::Problem(_)) => return Err(problem.into()),
                Err(error) => self.broken(Some(error)).await?,
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<RolloutEvent>, api::Error> {
        let connected = self.stream.take().unwrap_or_else(|| self.connect());
        self.stream.insert(connected).try_next().await
    }

    /// Whether the server's record of the rollout says that there is nothing to wait for. An error: nobody answers.
    async fn is_settled(&self) -> Result<bool, api::Error> {
        let path = self.followed.place.path(&format!("rollouts/{}", self.followed.rollout));
        let rollout: Result<Rollout, _> = self.client.get(&path).await;
        match rollout {
            Ok(rollout) => Ok(result::is_settled(&rollout, self.followed.until)),
            Err(error) if error.is_lost() => Err(error),
            Err(_) => Ok(false),
        }
    }

    fn connect(&self) -> BoxStream<'static, Result<RolloutEvent, api::Error>> {
        let path = format!("rollouts/{}/events?follow=true&after={}", self.followed.rollout, self.seen);
        self.client.lines(&self.followed.place.path(&path))
    }

    /// Waits before the next attempt, or gives up. The first failure is told, not every one.
    async fn broken(&mut self, error: Option<api::Error>) -> Result<(), Failure> {
        self.stream = None;
        let told = self.failures >= 2;
        self.failures += error.as_ref().map_or(1, weight);
        if self.failures >= 2 && !told {
            self.session.output.note("the connection to the server is lost; waiting for it to come back");
        }
        if self.failures >= ATTEMPTS {
            let target = self.session.target(&self.followed.place);
            let watch = format!("tandem rollout watch {}{target}", self.followed.rollout);
            let goes_on = format!("the rollout goes on where it can: `{watch}`");
            return Err(match error {
                // The hint is what to do about the server.
                Some(silent @ api::Error::Silent { .. }) => Failure::from(silent).detail(goes_on),
                Some(error) => Failure::from(error).hint(goes_on),
                None => Failure::new("the server ended the stream").hint(goes_on),
            });
        }
        sleep(RETRY).await;
        Ok(())
    }
}
