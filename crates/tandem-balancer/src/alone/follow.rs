//! Follows the file: read again when it or a file that it names changes, and when asked to.
//!
//! A file with a mistake changes nothing: the mistake is told once, and what was served before is served on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tandem_kit::drain::Drain;
use tandem_kit::error::chain;
use tandem_kit::tasks;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::stamp::Stamped;
use super::table::{self, Found};
use super::targets::Targets;
use super::tcp::Doors;
use crate::probe::Target;
use crate::serve::ListenError;
use crate::shared::Shared;
use tandem_certificates::{Certificate, Certificates};
use tandem_toml::Mistake;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks after which a file with a mistake is read again although it is the same: what it names may be there by now.
const AGAIN: u32 = 10;
/// How often certificates are looked at that have not changed.
const DOUBT_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The file as it was read.
#[derive(Debug)]
pub(super) struct Read {
    /// It, and what it names.
    pub(super) stamps: Vec<Stamped>,
    pub(super) found: Result<Found, Mistake>,
}

impl Read {
    /// Reads the file. Blocks.
    pub(super) fn file(path: &Path) -> Self {
        // Before it is read: what changes meanwhile is seen at the next look.
        let mut stamps = vec![Stamped::file(path)];
        let found = match fs::read_to_string(path) {
            Ok(text) => table::find(path, &text),
            Err(error) => Err(Mistake::of_file(path, format!("it cannot be read: {error}"))),
        };
        stamps.extend(found.iter().flat_map(|found| found.named.iter().cloned()));
        Self { stamps, found }
    }
}

/// Opens the doors of a file that are not open yet.
///
/// # Errors
/// One cannot be opened: the place where it is named.
pub(super) fn open(doors: &mut Doors, found: &Found) -> Result<(), Mistake> {
    let wanted: Vec<_> = found.doors.iter().map(|door| door.address).collect();
    doors.ensure_open(&wanted).map_err(|(place, error)| {
        let place = found.doors[place].place.clone();
        let hint = "see who listens there: `ss -ltnp`";
        let mistake = Mistake { message: format!("failed to {}", chain(&error)), ..place };
        if matches!(error, ListenError::InUse { .. }) { mistake.hint(hint) } else { mistake }
    })
}

/// Follows a file.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    stamps: Vec<Stamped>,
    /// Looks until a file with a mistake is read again.
    again: u32,
    /// The mistake told last.
    told: Option<Mistake>,
    targets: Targets,
    doors: Doors,
    outlets: Outlets,
    /// Routes that are served, those of TCP among them.
    served: usize,
    /// Certificates that are shown.
    shown: Vec<Certificate>,
}

/// Where what was found goes.
#[derive(Debug)]
pub(super) struct Outlets {
    /// To the threads.
    pub(super) shared: Arc<Shared>,
    /// To whoever probes.
    pub(super) probes: watch::Sender<Vec<Target>>,
    /// To who speaks TLS.
    pub(super) certificates: Certificates,
    /// Wakes when the last request of a target ends that is named no more.
    pub(super) news: Arc<Notify>,
}

enum Event {
    Look,
    Asked,
    Doubt,
    News,
    Drain,
}

impl Follower {
    /// Serves what was found in a file, and follows that once it runs.
    pub(super) fn new(
        path: PathBuf,
        doors: Doors,
        (stamps, found): (Vec<Stamped>, Found),
        outlets: Outlets,
    ) -> Self {
        let targets = Targets::new(Arc::clone(&outlets.news));
        let (served, shown) = (0, Vec::new());
        let mut follower =
            Self { path, stamps, again: 0, told: None, targets, doors, outlets, served, shown };
        follower.serve(found);
        follower
    }

    /// Follows the file until the process drains. `asked` wakes it to read the file whether or not it has changed.
    pub(super) async fn run(mut self, asked: Arc<Notify>, drain: Drain) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut doubts = tokio::time::interval_at(Instant::now() + DOUBT_EVERY, DOUBT_EVERY);
        let mut leaving = self.outlets.shared.leaving();
        loop {
            let event = tokio::select! {
                biased;
                () = drain.requested() => Event::Drain,
                // Another process follows the file now.
                _ = leaving.wait_for(Option::is_some) => Event::Drain,
                () = asked.notified() => Event::Asked,
                () = self.outlets.news.notified() => Event::News,
                _ = ticks.tick() => Event::Look,
                _ = doubts.tick() => Event::Doubt,
            };
            match event {
                Event::Look => self.look(false).await,
                Event::Asked => self.look(true).await,
                Event::Doubt => self.doubt(),
                Event::News => {
                    self.targets.tidy();
                    self.outlets.shared.raise_hopes();
                }
                Event::Drain => return,
            }
        }
    }

    async fn look(&mut self, asked: bool) {
        let (path, stamps) = (self.path.clone(), self.stamps.clone());
        self.again = self.again.saturating_sub(1);
        let anyway = asked || self.told.is_some() && self.again == 0;
        let read = tasks::blocking("read the routes", move || {
            (anyway || !stamps.iter().all(Stamped::is_as_it_was)).then(|| Read::file(&path))
        });
        let Some(Read { stamps, found }) = read.await else { return };
        self.stamps = stamps;
        match found
            .and_then(|found| self.ensure_some(found))
            .and_then(|found| open(&mut self.doors, &found).map(|()| found))
        {
            Ok(found) => {
                self.told = None;
                self.serve(found);
            }
            Err(mistake) => self.tell(mistake, asked),
        }
    }

    /// Not all of what is served goes at once: a disk that was full or a command that failed has emptied the file.
    fn ensure_some(&self, found: Found) -> Result<Found, Mistake> {
        if !found.is_empty() || self.served == 0 {
            return Ok(found);
        }
        let hint = "to serve nothing, end the balancer; one that is started with such a file serves nothing";
        Err(Mistake::of_file(&self.path, format!("it names no route, and {} are served", self.served))
            .hint(hint))
    }

    /// Tells what clients will say against the certificates.
    fn doubt(&self) {
        let now = tandem_kit::clock::Clock::system().now();
        for certificate in &self.shown {
            for doubt in certificate.doubts(now) {
                let domains = certificate.domains.join(", ");
                tracing::warn!("browsers refuse the certificate of {domains}, or will soon: {doubt}");
            }
        }
        if self.shown.is_empty() && self.outlets.shared.secure().is_some() {
            let file = self.path.display();
            tracing::warn!("nobody gets anything over HTTPS: {file} has no [[certificate]]");
        }
    }

    fn tell(&mut self, mistake: Mistake, asked: bool) {
        self.again = AGAIN;
        if asked || self.told.as_ref() != Some(&mistake) {
            tracing::error!("the routes stay as they were: {}", mistake.in_one_line());
        }
        self.told = Some(mistake);
    }

    /// In the order of every change: who enters is marked, the table is swapped, who left is marked.
    fn serve(&mut self, found: Found) {
        let ready = table::make(&found, &mut self.targets);
        let Outlets { shared, probes, certificates, .. } = &self.outlets;
        certificates.set(&found.certificates);
        shared.trust(&found.trusted);
        shared.swap(ready.live);
        shared.set_doors(self.doors.lead(ready.leads));
        self.targets.unroute_others(&ready.named);
        shared.announce_swap();
        self.targets.tidy();
        probes.send_replace(ready.probes);
        self.served = found.routes.len() + found.doors.len();
        self.shown = found.certificates;
        let (routes, certificates) = (self.served, self.shown.len());
        tracing::info!("serving {}: routes {routes}, certificates {certificates}", self.path.display());
        self.doubt();
    }
}
