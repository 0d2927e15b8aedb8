//! An app under load: every request must be answered; how long each took is printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_testkit::connection::Question;
use tandem_testkit::installation::Installation;
use tandem_testkit::site::Site;
use tandem_testkit::wait::pass;

/// Between two requests of a visitor.
const PAUSE: Duration = Duration::from_millis(15);
/// How long visitors come before anything happens.
const QUIET: Duration = Duration::from_secs(2);
/// Visitors at a time.
const VISITORS: usize = 2;

/// Visitors of an app, until they are stopped.
pub(super) struct Visitors {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Visit>>>,
}

type Visit = Result<Duration, String>;

/// What became of all requests.
pub(super) struct Visits {
    pub(super) lost: Vec<String>,
    pub(super) times: Vec<Duration>,
}

impl Visitors {
    /// Visitors of the app with this host name.
    pub(super) fn of(installation: &Installation, host: &'static str) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let address = installation.ready().http;
        let visit = |_| {
            let end = Arc::clone(&end);
            std::thread::spawn(move || visit_until(&Site::new(address, host), &end))
        };
        let threads = (0..VISITORS).map(visit).collect();
        Self { end, threads }
    }

    pub(super) fn leave(self) -> Visits {
        self.end.store(true, Ordering::Relaxed);
        let all = self.threads.into_iter().flat_map(|thread| thread.join().expect("visitors do not panic"));
        let mut visits = Visits { lost: Vec::new(), times: Vec::new() };
        for visit in all {
            match visit {
                Ok(time) => visits.times.push(time),
                Err(reason) => visits.lost.push(reason),
            }
        }
        visits.times.sort();
        visits
    }
}

impl Visits {
    /// What visitors wait for while nothing else happens.
    pub(super) fn in_quiet(installation: &Installation, host: &'static str) -> Self {
        let visitors = Visitors::of(installation, host);
        pass(QUIET);
        visitors.leave()
    }

    pub(super) fn describe(&self) -> String {
        let at = |part: usize| self.times.get(self.times.len() * part / 1000).copied().unwrap_or_default();
        let (count, lost) = (self.times.len(), self.lost.len());
        format!("{count} answered, {lost} lost, p50 {:?}, p99 {:?}, worst {:?}", at(500), at(990), at(999))
    }
}

fn visit_until(site: &Site, end: &AtomicBool) -> Vec<Visit> {
    let clock = Clock::system();
    let mut visits = Vec::new();
    while !end.load(Ordering::Relaxed) {
        let begun = clock.monotonic();
        visits.push(match site.ask(Question::get("/")) {
            Ok(answer) if answer.status == 200 => Ok(clock.monotonic().elapsed_since(begun)),
            Ok(answer) => Err(format!("{}: {}", answer.status, answer.text())),
            Err(error) => Err(format!("{error:#}")),
        });
        pass(PAUSE);
    }
    visits
}
