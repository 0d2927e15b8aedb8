//! The old one's side: offers its sockets to whoever asks rightly, goes on until the new one serves, then finishes what it
//! has and ends.

use std::future::pending;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tandem_kit::drain::{Drain, Trigger};
use tandem_kit::files::LockGuard;
use tandem_kit::points::{self, Effect};
use tandem_kit::tasks::{self, Kind, Owned, Tasks};
use tandem_types::Epoch;
use tandem_types::routing::BalancerStatus;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, MutexGuard, Notify, watch};
use tokio::time::timeout;

use super::message::{Message, Offer, PROTOCOL, Take};
use super::parting::Parting;
use super::{Elders, Voice, elders, link};
use crate::control::Identity;
use crate::process::Process;
use crate::serve::{Listening, taken_by};
use crate::shared::Shared;
use crate::table::Saved;

/// Longest wait for the new one to get ready, and for its word that it serves: it writes to the disk in between.
const PATIENCE: Duration = Duration::from_secs(15);
/// Time between two looks at whether the last request has ended.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a balancer gives away.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// The lock of the state folder.
    pub lock: LockGuard,
    /// Every listening socket.
    pub listening: Vec<Listening>,
}

/// The side of a balancer that gives.
#[derive(Debug)]
pub(crate) struct Giver {
    /// Who this balancer is.
    pub identity: Identity,
    /// Its folder.
    pub state_dir: PathBuf,
    /// What its threads do.
    pub shared: Arc<Shared>,
    /// How this process stands, without its elders.
    pub own: watch::Receiver<BalancerStatus>,
    /// How the balancer stands.
    pub merged: watch::Receiver<BalancerStatus>,
    /// What it would save.
    pub saved: watch::Receiver<Option<Saved>>,
    /// Who speaks.
    pub voice: Voice,
    /// Those it took over from.
    pub elders: Elders,
    /// Ends the process once it has given everything away.
    pub end: Trigger,
    /// None: given away. Locked while somebody is being given to.
    pub sockets: Mutex<Option<Sockets>>,
    /// Called when the socket has to be made again, since a new one that did not come to serve may have replaced it.
    pub replaced: Notify,
    /// The conversation with who serves now. It ends with the process and not before: so that one knows when all
    /// requests here have ended.
    pub last_words: Mutex<Option<Owned<()>>>,
}

/// Why a conversation came to nothing.
#[derive(Debug, thiserror::Error)]
enum GiveError {
    #[error("speak to the new process")]
    Link(#[from] io::Error),
    #[error("wait for the new process: it did nothing for {PATIENCE:?}")]
    Late,
    #[error("be followed: the new process failed to {0}")]
    Declined(String),
    #[error("understand the new process: it said {0}")]
    Unexpected(String),
}

impl Giver {
    /// Writes down that this process serves and from now on answers whoever comes to take over.
    pub(crate) fn announce(&self) -> io::Result<UnixListener> {
        self.process().write(&self.state_dir)?;
        link::listen(&self.state_dir)
    }

    /// Lets everything end within a limit. Returns the lock of the folder, which is to be held until the very end: none where
    /// another process has it.
    pub(crate) async fn let_end(&self, tasks: &Tasks, limit: Duration) -> Option<LockGuard> {
        // Nobody is to be queued where nobody accepts, nor will accept: who is just taking over has these sockets already.
        let close = async { self.sockets.lock().await.take().map(|sockets| sockets.lock) };
        let (lock, _) = tokio::join!(timeout(limit, close), tasks.join(limit));
        lock.ok().flatten()
    }

    fn process(&self) -> Process {
        Process {
            pid: std::process::id(),
            id: self.identity.id.clone(),
            started: self.identity.started,
            http: self.identity.http.clone(),
            https: self.identity.https.clone(),
            metrics: self.identity.metrics,
            version: crate::balancer::version(),
        }
    }

    /// Answers on the socket until everything is given away.
    pub(crate) async fn run(self: Arc<Self>, mut listener: UnixListener, tasks: Tasks) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted.and_then(|(stream, _)| {
                    link::check_peer(&stream).map(|()| stream)
                }),
                () = self.replaced.notified() => {
                    match link::listen(&self.state_dir) {
                        Ok(again) => listener = again,
                        Err(error) => tracing::warn!("nobody can take over from here any more: {error}"),
                    }
                    continue;
                }
            };
            match accepted {
                Ok(stream) => {
                    let giver = Arc::clone(&self);
                    tasks.spawn("hand-over", Kind::Work, giver.answer(stream, tasks.clone()));
                }
                Err(error) => {
                    tracing::warn!("refused to hand over: {error}");
                    tokio::time::sleep(INTERVAL).await;
                }
            }
        }
    }

    pub(super) async fn answer(self: Arc<Self>, mut stream: UnixStream, tasks: Tasks) {
        let first = tokio::select! {
            first = timeout(PATIENCE, link::receive(&mut stream)) => first,
            () = tasks.drain().requested() => return,
        };
        match first {
            Ok(Ok(Message::Elder(status))) => {
                let place = self.elders.add(*status);
                elders::follow(place, stream, (&self.state_dir, tasks.drain())).await;
            }
            Ok(Ok(Message::Take(take))) => self.hand_over(stream, (&take, tasks.drain())).await,
            // Somebody who looked whether there is anybody.
            _ => {}
        }
    }

    async fn hand_over(&self, mut stream: UnixStream, (take, drain): (&Take, &Drain)) {
        let refusal = match self.sockets.try_lock() {
            Err(_) => "another process is just taking over".to_owned(),
            Ok(mut sockets) => match sockets.take() {
                None => "it has handed over already".to_owned(),
                Some(kept) if take.id != self.identity.id => {
                    *sockets = Some(kept);
                    format!("it is {}, not {}", self.identity.id, take.id)
                }
                Some(kept) => return self.give(stream, (take, drain), (kept, sockets)).await,
            },
        };
        // Who is refused may be gone by now.
        let _ = link::send(&mut stream, &Message::Refused(refusal)).await;
    }

    /// Who is asked to end meanwhile brings this to its end all the same while anything is open here: nobody else could say
    /// so. Sockets that nobody accepts on are the new one's too, so whoever comes waits for it and is not refused.
    async fn give(
        &self,
        mut stream: UnixStream,
        (take, drain): (&Take, &Drain),
        (kept, mut place): (Sockets, MutexGuard<'_, Option<Sockets>>),
    ) {
        tracing::info!("process {} takes over", take.pid);
        let offered = self.offer(&mut stream, (take, &kept)).await;
        let mut opened = None;
        let given = tokio::select! {
            given = self.until_it_serves(&mut stream, offered, &mut opened) => given,
            () = self.until_nothing_is_open(drain) => {
                *place = Some(kept);
                // It hears the end of this when the last word of this process is said and written.
                return self.hold_until_end(async move { let _stream = stream; pending().await }).await;
            }
        };
        match given {
            Ok(mark) => {
                let held: Vec<_> = kept.listening.iter().map(|listening| listening.address).collect();
                self.shared.leave(taken_by(&take.http, &held));
                drop((kept, place));
                tracing::info!("process {} serves; finishing what is open", take.pid);
                points::reached(Effect::HandoverLeft).await;
                self.finish(stream, (mark, drain)).await;
            }
            Err(error) => {
                let _ = link::send(&mut stream, &Message::Refused(error.to_string())).await;
                tell_failure(&error, take.pid);
                *place = Some(kept);
                drop(place);
                self.outlast(stream, drain, opened).await;
            }
        }
    }

    /// Waits until this process is asked to end and has nothing that anybody would have to know of.
    async fn until_nothing_is_open(&self, drain: &Drain) {
        drain.requested().await;
        while !self.shared.is_empty() || !self.elders.are_gone() {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// One that came too late to serve may have been slow only, and write down that it serves, or listen, before it hears
    /// that it does not. It may have let requests in as well: it counts until it has ended.
    async fn outlast(&self, mut stream: UnixStream, drain: &Drain, _opened: Option<elders::Place>) {
        let mut goes_on = true;
        while goes_on {
            goes_on = tokio::select! {
                heard = link::receive(&mut stream) => heard.is_ok(),
                () = drain.requested() => false,
            };
            self.mend().await;
        }
    }

    /// Makes this process the one that is found. That its record stands says nothing of the socket: the other one writes
    /// first and listens then, and this one may have taken the record back in between.
    async fn mend(&self) {
        // Somebody else may be taking over, or have done so: then it is the one to write.
        let Ok(sockets) = self.sockets.try_lock() else { return };
        match sockets.is_some() {
            true if self.is_written_down() => self.replaced.notify_one(),
            true => self.take_back().await,
            false => {}
        }
    }

    fn is_written_down(&self) -> bool {
        Process::last(&self.state_dir).is_some_and(|process| process.pid == std::process::id())
    }

    /// Gives what there is to give; it is kept here too.
    async fn offer(&self, stream: &mut UnixStream, (take, kept): (&Take, &Sockets)) -> Result<(), GiveError> {
        points::reached(Effect::HandoverAsked).await;
        let offered = async {
            link::send(stream, &Message::Offer(Box::new(self.make_offer(take, kept)))).await?;
            link::send_descriptor(stream, kept.lock.as_fd()).await?;
            for listening in &kept.listening {
                link::send_descriptor(stream, listening.socket.as_fd()).await?;
            }
            Ok::<_, io::Error>(())
        };
        Ok(timeout(PATIENCE, offered).await.map_err(|_| GiveError::Late)??)
    }

    /// Where it does not come to serve everything is as before, but that it may have `opened`. Returns the mark of an elder.
    async fn until_it_serves(
        &self,
        stream: &mut UnixStream,
        offered: Result<(), GiveError>,
        opened: &mut Option<elders::Place>,
    ) -> Result<Option<LockGuard>, GiveError> {
        offered?;
        let (silence, epoch) = loop {
            let Message::Ready(epoch) = receive(stream).await? else {
                return Err(GiveError::Unexpected("something else than that it is ready".to_owned()));
            };
            if let Some(later) = self.later_than(epoch) {
                link::send(stream, &Message::Behind(later)).await?;
                continue;
            }
            // What this process says after this nobody hears, so the new one may go by what it knows itself.
            let silence = timeout(PATIENCE, self.voice.silence()).await.map_err(|_| GiveError::Late)?;
            match self.later_than(epoch) {
                None => break (silence, epoch),
                Some(later) => {
                    drop(silence);
                    link::send(stream, &Message::Behind(later)).await?;
                }
            }
        };
        // Before another can serve: should that one die, the next must not think that there is nobody else. Without it,
        // on a disk that takes nothing, all that is lost is this second line of defense.
        let mark = elders::mark(&self.state_dir).await;
        let status = self.merged.borrow().clone();
        link::send(stream, &Message::Go(Box::new(status))).await?;
        points::reached(Effect::HandoverGo).await;
        match receive(stream).await {
            Ok(Message::Serving) => {
                silence.for_good();
                Ok(mark)
            }
            ended => {
                // It may have written that it serves.
                self.take_back().await;
                *opened = Some(self.hold_back(epoch).await);
                drop(silence);
                Err(match ended {
                    Ok(Message::Refused(reason)) => GiveError::Declined(reason),
                    Ok(other) => GiveError::Unexpected(format!("{other:?}")),
                    Err(error) => error,
                })
            }
        }
    }

    /// A place for one that may route by the table of an epoch and that nobody hears: what goes with a later one is not
    /// stopped under its requests. To be had before this process speaks again, which it may once that counts.
    async fn hold_back(&self, epoch: Epoch) -> elders::Place {
        let place = self.elders.add(BalancerStatus::silent(self.identity.id.clone(), epoch));
        let mut merged = self.merged.clone();
        // An error means that this process ends; then it says nothing more.
        let _ = timeout(PATIENCE, merged.wait_for(|status| status.serving <= epoch)).await;
        place
    }

    fn make_offer(&self, take: &Take, kept: &Sockets) -> Offer {
        let saved = self.saved.borrow().as_ref().and_then(|saved| serde_json::to_value(saved).ok());
        Offer {
            protocol: PROTOCOL.min(take.protocol),
            pid: std::process::id(),
            sockets: kept.listening.iter().map(|listening| listening.address).collect(),
            saved: saved.unwrap_or_default(),
            unhealthy: self.own.borrow().unhealthy.clone(),
        }
    }

    /// The epoch that is served here, where it is later.
    fn later_than(&self, epoch: Epoch) -> Option<Epoch> {
        Some(self.own.borrow().serving).filter(|own| *own > epoch)
    }

    async fn take_back(&self) {
        let (process, folder) = (self.process(), self.state_dir.clone());
        let written = tasks::blocking("write the process file", move || process.write(&folder));
        if let Err(error) = written.await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "could not write down again that this process serves");
        }
        self.replaced.notify_one();
    }

    /// Tells the new one how it stands until the last request has ended, or had its time; then ends the process.
    async fn finish(&self, stream: UnixStream, (mark, drain): (Option<LockGuard>, &Drain)) {
        let (state_dir, merged, end) = (self.state_dir.clone(), self.merged.clone(), self.end.clone());
        self.hold_until_end(Parting { state_dir, merged, end, mark, stream }.tell()).await;
        tokio::select! {
            () = self.until_finished() => {}
            () = drain.requested() => {}
        }
        self.end.fire();
    }

    async fn until_finished(&self) {
        while !self.shared.has_left() || !self.elders.are_gone() {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Does this as long as the process lives: whoever hears the end of a conversation takes all of this one for ended.
    pub(super) async fn hold_until_end(&self, words: impl Future<Output = ()> + Send + 'static) {
        *self.last_words.lock().await = Some(tasks::owned("last-words", words));
    }
}

fn tell_failure(error: &GiveError, pid: u32) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, "process {pid} did not take over; serving on");
}

async fn receive(stream: &mut UnixStream) -> Result<Message, GiveError> {
    Ok(timeout(PATIENCE, link::receive(stream)).await.map_err(|_| GiveError::Late)??)
}
