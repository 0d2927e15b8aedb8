//! A visitor who asks each 10 ms, one request at a time on fresh connections, and writes down what came when.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::connection::{Question, ask_once};
use crate::wait::within;
use tandem_kit::clock::{Clock, Moment};
use tandem_kit::drain::{self, Drain, Trigger};

/// Time between two questions, where the answers are quicker.
const PERIOD: Duration = Duration::from_millis(10);
/// A visitor waits this long.
const LIMIT: Duration = Duration::from_secs(30);
/// A deploy that shows nothing for this long has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// One question and what came of it.
#[derive(Debug, Clone)]
pub struct Poll {
    /// When it was asked, from the poller's begin.
    pub asked: Duration,
    /// When the answer was complete.
    pub answered: Duration,
    /// The heading of the page, or what went wrong.
    pub heading: Result<String, String>,
}

/// Asks until it is dropped.
#[derive(Debug)]
pub struct Poller {
    clock: Clock,
    begin: Moment,
    polls: Arc<Mutex<Vec<Poll>>>,
    stop: Trigger,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Begins.
    #[must_use]
    pub fn start(address: SocketAddr, host: &str) -> Self {
        let clock = Clock::system();
        let begin = clock.monotonic();
        let polls = Arc::new(Mutex::new(Vec::new()));
        let (stop, drain) = drain::channel();
        let asking = Asking {
            address,
            host: host.to_owned(),
            clock: clock.clone(),
            begin,
            polls: Arc::clone(&polls),
            drain,
        };
        let thread = std::thread::spawn(move || asking.run());
        Self { clock, begin, polls, stop, thread: Some(thread) }
    }

    /// Time since its begin.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.monotonic().elapsed_since(self.begin)
    }

    /// Waits until an answer with this heading was asked for after `since`; when it was complete.
    ///
    /// # Errors
    ///
    /// None came in minutes.
    pub fn wait_for(&self, heading: &str, since: Duration) -> anyhow::Result<Duration> {
        let seen = within(PATIENCE, || {
            let polls = lock(&self.polls);
            let late = polls.partition_point(|poll| poll.asked < since);
            let with = |poll: &&Poll| poll.heading.as_deref() == Ok(heading);
            polls[late..].iter().find(with).map(|poll| poll.answered)
        });
        seen.ok_or_else(|| anyhow::anyhow!("{heading:?} was not seen within {PATIENCE:?}"))
    }

    /// When the last answer with this heading was complete that was asked for within the window.
    #[must_use]
    pub fn last(&self, heading: &str, window: (Duration, Duration)) -> Option<Duration> {
        let with = |poll: &&Poll| poll.heading.as_deref() == Ok(heading);
        self.window(window).iter().filter(with).map(|poll| poll.answered).max()
    }

    /// Longest wait of a question asked within the window.
    #[must_use]
    pub fn worst(&self, window: (Duration, Duration)) -> Duration {
        let waits = self.window(window).into_iter().map(|poll| poll.answered - poll.asked);
        waits.max().unwrap_or_default()
    }

    /// Questions within the window, and how many of them brought no page.
    #[must_use]
    pub fn failures(&self, window: (Duration, Duration)) -> (usize, usize) {
        let polls = self.window(window);
        (polls.len(), polls.iter().filter(|poll| poll.heading.is_err()).count())
    }

    /// The longest time without a page: from the end of a good answer to the end of the next one, where the window has
    /// both.
    #[must_use]
    pub fn gap(&self, window: (Duration, Duration)) -> Duration {
        longest_gap(&self.window(window))
    }

    /// The first page that was asked for after `since`; when it was complete. None: there was none yet.
    #[must_use]
    pub fn first_good(&self, since: Duration) -> Option<Duration> {
        let polls = lock(&self.polls);
        let late = polls.partition_point(|poll| poll.asked < since);
        polls[late..].iter().find(|poll| poll.heading.is_ok()).map(|poll| poll.answered)
    }

    fn window(&self, (from, to): (Duration, Duration)) -> Vec<Poll> {
        let polls = lock(&self.polls);
        polls.iter().filter(|poll| poll.asked >= from && poll.asked < to).cloned().collect()
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.fire();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by itself; there is nothing to save here.
            let _ = thread.join();
        }
    }
}

struct Asking {
    address: SocketAddr,
    host: String,
    clock: Clock,
    begin: Moment,
    polls: Arc<Mutex<Vec<Poll>>>,
    drain: Drain,
}

impl Asking {
    fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("descriptors are free").block_on(async {
            while !self.drain.is_requested() {
                let asked = self.now();
                let heading = self.ask().await;
                let answered = self.now();
                lock(&self.polls).push(Poll { asked, answered, heading });
                tokio::time::sleep((asked + PERIOD).saturating_sub(answered)).await;
            }
        });
    }

    async fn ask(&self) -> Result<String, String> {
        let answer = ask_once(self.address, &self.host, Question::get("/"), LIMIT).await;
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        if answer.status != 200 {
            return Err(answer.status.to_string());
        }
        let text = answer.text();
        let heading = text.split_once("<h1>").and_then(|(_, rest)| rest.split_once("</h1>"));
        heading.map(|(heading, _)| heading.to_owned()).ok_or_else(|| "a page without a heading".to_owned())
    }

    fn now(&self) -> Duration {
        self.clock.monotonic().elapsed_since(self.begin)
    }
}

fn longest_gap(polls: &[Poll]) -> Duration {
    let good: Vec<_> = polls.iter().filter(|poll| poll.heading.is_ok()).map(|poll| poll.answered).collect();
    good.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn lock(polls: &Mutex<Vec<Poll>>) -> MutexGuard<'_, Vec<Poll>> {
    polls.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_lies_between_two_pages_and_failures_do_not_end_it() {
        let poll = |asked, answered, good: bool| Poll {
            asked: Duration::from_millis(asked),
            answered: Duration::from_millis(answered),
            heading: if good { Ok("one".to_owned()) } else { Err("refused".to_owned()) },
        };
        let polls = [
            poll(0, 5, true),
            poll(10, 11, false),
            poll(20, 21, false),
            poll(30, 105, true),
            poll(110, 115, true),
        ];
        assert_eq!(longest_gap(&polls), Duration::from_millis(100));
        assert_eq!(longest_gap(&polls[..1]), Duration::ZERO);
    }
}
