//! Requests on fresh connections: one task each, begun at its time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tandem_kit::clock::{Clock, Moment};
use tandem_kit::drain::Drain;
use tokio::task::{JoinSet, LocalSet};

use super::{Kind, Mix, Report, Sample, Target, kept};
use crate::connection::{Answer, Question, ask_once};
use crate::site::{FormToken, form_token, sign};

/// A visitor who waited this long, beyond what the page takes, has given up.
pub(super) const GIVES_UP: Duration = Duration::from_secs(10);

/// What all requests of one load share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) target: Rc<Target>,
    pub(super) mix: Rc<Mix>,
    pub(super) drain: Drain,
    ended: Arc<AtomicUsize>,
    clock: Clock,
    begin: Moment,
    pub(super) report: Rc<RefCell<Report>>,
}

impl Shared {
    /// Time since the load began.
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic().elapsed_since(self.begin)
    }

    /// Writes down how a request ended that was due at `due`.
    pub(super) fn record(&self, kind: Kind, due: Duration, answer: anyhow::Result<Answer>) {
        let latency = self.now().saturating_sub(due);
        let outcome = answer.map(|answer| answer.status.as_u16()).map_err(|error| format!("{error:#}"));
        self.report.borrow_mut().samples.push(Sample { kind, due, latency, outcome });
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until `due`; false when the load ends before.
    pub(super) async fn wait_until(&self, due: Duration) -> bool {
        tokio::select! {
            () = self.drain.requested() => false,
            () = tokio::time::sleep(due.saturating_sub(self.now())) => !self.drain.is_requested(),
        }
    }
}

/// Runs the load, which began at that moment, on this thread until the drain, and counts the requests that have ended.
pub(super) fn run(
    target: Target,
    mix: Mix,
    (drain, begin, ended): (Drain, Moment, Arc<AtomicUsize>),
) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("descriptors are free");
    let clock = Clock::system();
    let report = Rc::new(RefCell::new(Report::default()));
    let shared = Shared {
        target: Rc::new(target),
        mix: Rc::new(mix),
        drain,
        ended,
        clock,
        begin,
        report: Rc::clone(&report),
    };
    LocalSet::new().block_on(&runtime, all(shared));
    report.take()
}

async fn all(shared: Shared) {
    let mix = Rc::clone(&shared.mix);
    let clients = (0..mix.kept_clients).map(|number| kept::client(shared.clone(), number));
    tokio::join!(
        arrivals(shared.clone(), Kind::Page, mix.pages),
        arrivals(shared.clone(), Kind::Write, mix.writes),
        arrivals(shared.clone(), Kind::Slow, mix.slow),
        arrivals(shared.clone(), Kind::Post, mix.posts),
        join_all(clients),
    );
}

/// Begins one request each `1 / rate` seconds, whatever became of the ones before.
async fn arrivals(shared: Shared, kind: Kind, rate: f64) {
    if rate <= 0.0 {
        return;
    }
    let Some(token) = token_for(&shared, kind).await else { return };
    let mut requests = JoinSet::new();
    let period = Duration::from_secs_f64(1.0 / rate);
    let mut due = shared.now();
    while shared.wait_until(due).await {
        requests.spawn_local(one(shared.clone(), kind, due, token.clone()));
        while requests.try_join_next().is_some() {}
        due += period;
    }
    while requests.join_next().await.is_some() {}
}

async fn one(shared: Shared, kind: Kind, due: Duration, token: Option<FormToken>) {
    let slow = shared.mix.slow_takes;
    let (question, takes) = match (kind, &token) {
        (Kind::Write, Some(token)) => (sign(token, "Load", "A+line+under+load"), Duration::ZERO),
        (Kind::Slow, _) => (Question::get(&format!("/slow?s={}", slow.as_secs_f64())), slow),
        (Kind::Post, _) => (Question::post("/", "a line under load"), Duration::ZERO),
        _ => (Question::get(&shared.mix.page), Duration::ZERO),
    };
    let Target { address, host } = &*shared.target;
    let answer = ask_once(*address, host, question, GIVES_UP + takes).await;
    shared.record(kind, due, answer);
}

/// The form token that writes need; a page without one is a failed write, told once.
async fn token_for(shared: &Shared, kind: Kind) -> Option<Option<FormToken>> {
    if kind != Kind::Write {
        return Some(None);
    }
    let due = shared.now();
    let Target { address, host } = &*shared.target;
    match ask_once(*address, host, Question::get("/"), GIVES_UP).await {
        Ok(page) if form_token(&page).is_some() => Some(form_token(&page)),
        Ok(page) => {
            shared.record(kind, due, Err(anyhow::anyhow!("no form token on a page with {}", page.status)));
            None
        }
        Err(error) => {
            shared.record(kind, due, Err(error));
            None
        }
    }
}
