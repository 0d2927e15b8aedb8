//! One side alone, with the other one's words said by hand: for what lies between two steps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tandem_kit::drain::{self, Drain, Trigger};
use tandem_kit::files;
use tandem_kit::tasks::{self, Owned, Tasks};
use tandem_types::routing::BalancerStatus;
use tandem_types::{Epoch, InstanceId, Timestamp};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, Notify, watch};

use super::message::{Message, PROTOCOL, Take};
use super::take::Taker;
use super::{Elders, Giver, Sockets, TakeError, Voice, elders, has_elders, link};
use crate::control::Identity;
use crate::process::{self, Process};
use crate::shared::Shared;

fn status(serving: u64, draining: &[(u64, u64)]) -> BalancerStatus {
    BalancerStatus {
        draining: draining.iter().map(|(id, count)| (InstanceId(*id), *count)).collect(),
        ..BalancerStatus::silent("box".parse().unwrap(), Epoch(serving))
    }
}

/// A balancer without threads and control side, that was there first or comes later.
struct Side {
    giver: Arc<Giver>,
    shared: Arc<Shared>,
    end: Trigger,
    ending: Drain,
    _statuses: watch::Sender<BalancerStatus>,
}

impl Side {
    fn new(folder: &Path) -> Self {
        let (end, ending) = drain::channel();
        let shared = Arc::new(Shared::new(1, 8, Duration::from_secs(30)));
        let (statuses, own) = watch::channel(status(1, &[(3, 2)]));
        let sockets = process::lock(folder).unwrap().map(|mut lock| {
            lock.share();
            Sockets { lock, listening: Vec::new() }
        });
        let giver = Giver {
            identity: Identity {
                id: "box".parse().unwrap(),
                started: Timestamp::UNIX_EPOCH,
                http: vec!["127.0.0.1:8080".parse().unwrap()],
                https: Vec::new(),
                metrics: None,
            },
            state_dir: folder.to_owned(),
            shared: Arc::clone(&shared),
            merged: own.clone(),
            own,
            saved: watch::channel(None).1,
            voice: Voice::default(),
            elders: Elders::default(),
            end: end.clone(),
            sockets: Mutex::new(sockets),
            replaced: Notify::new(),
            last_words: Mutex::default(),
        };
        Self { giver: Arc::new(giver), shared, end, ending, _statuses: statuses }
    }

    /// Is spoken to; yields the other end.
    fn spoken_to(&self) -> (UnixStream, Owned<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let answer = Arc::clone(&self.giver).answer(theirs, Tasks::new(self.ending.clone()));
        (ours, tasks::owned("answer", answer))
    }

    /// Has been asked for its sockets and has given them.
    async fn giving(&self) -> (UnixStream, Owned<()>) {
        let (mut stream, answering) = self.spoken_to();
        let take = Take { protocol: PROTOCOL, pid: 7, id: "box".parse().unwrap(), http: Vec::new() };
        link::send(&mut stream, &Message::Take(take)).await.unwrap();
        assert!(matches!(heard(&mut stream).await, Some(Message::Offer(_))));
        link::receive_descriptor(&stream).await.unwrap();
        (stream, answering)
    }

    /// Has fallen silent and said that the other one is to serve.
    async fn silent(&self) -> (UnixStream, Owned<()>) {
        let (mut stream, answering) = self.giving().await;
        link::send(&mut stream, &Message::Ready(Epoch(1))).await.unwrap();
        assert!(matches!(heard(&mut stream).await, Some(Message::Go(_))));
        (stream, answering)
    }

    fn speaks(&self) -> bool {
        self.giver.voice.speak().now_or_never().is_some_and(|speaking| speaking.is_some())
    }
}

/// The next word; none where the other one has ended.
async fn heard(stream: &mut UnixStream) -> Option<Message> {
    within(link::receive(stream)).await.ok()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it does not take that long")
}

async fn eventually(condition: impl Fn() -> bool) {
    let come = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(come).await;
}

#[tokio::test]
async fn one_that_is_asked_to_end_while_it_is_silent_stays_so_and_counts_until_it_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let old = Side::new(folder.path());
    let open = old.shared.admit().unwrap();
    let (mut stream, answering) = old.silent().await;
    old.end.fire();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!old.speaks() && has_elders(folder.path()) && !answering.is_finished());
    link::send(&mut stream, &Message::Serving).await.unwrap();
    assert_eq!(heard(&mut stream).await, Some(Message::Status(Box::new(status(1, &[(3, 2)])))));
    within(answering).await;
    drop(open);
    assert!(!old.speaks() && has_elders(folder.path()), "it is there until its process ends");
    assert!(heard(&mut stream).now_or_never().is_none(), "the conversation goes on");
    drop(old);
    assert_eq!(heard(&mut stream).await, None);
    eventually(|| !has_elders(folder.path())).await;
}

#[tokio::test]
async fn one_that_is_asked_to_end_with_nothing_open_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let old = Side::new(folder.path());
    let (mut stream, answering) = old.silent().await;
    old.end.fire();
    within(answering).await;
    // What it has to write it may: the other one waits for the end of the process.
    assert!(old.speaks() && heard(&mut stream).now_or_never().is_none());
    assert!(old.giver.sockets.lock().await.is_some(), "the lock stays until then");
    drop(old);
    assert_eq!(heard(&mut stream).await, None);
}

#[tokio::test]
async fn one_that_has_left_tells_the_next_of_its_requests_while_it_drains_too() {
    let folder = tempfile::tempdir().unwrap();
    let old = Side::new(folder.path());
    let _open = old.shared.admit().unwrap();
    let (mut stream, answering) = old.silent().await;
    link::send(&mut stream, &Message::Serving).await.unwrap();
    assert!(matches!(heard(&mut stream).await, Some(Message::Status(_))));
    old.end.fire();
    within(answering).await;
    // Who took over is killed; another one is started.
    drop(stream);
    let listener = link::listen(folder.path()).unwrap();
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    assert_eq!(heard(&mut stream).await, Some(Message::Elder(Box::new(status(1, &[(3, 2)])))));
}

#[tokio::test]
async fn one_that_gave_up_waiting_is_found_again_after_a_new_one_that_was_only_slow() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Side::new(folder.path()), Side::new(folder.path()));
    let (mut stream, answering) = old.silent().await;
    // As after 15 s without a word.
    link::send(&mut stream, &Message::End).await.unwrap();
    eventually(|| old.speaks()).await;
    // The new one writes only now, and hears then that it is not wanted.
    let mut process = Process::last(folder.path()).expect("the old one has written itself down");
    assert_eq!(process.pid, std::process::id());
    process.pid = 7;
    process.write(folder.path()).unwrap();
    let mut taker = taker_of(&new, UnixStream::pair().unwrap().0).await;
    std::mem::swap(&mut taker.stream, &mut stream);
    assert!(matches!(taker.until_left().await, Err(TakeError::Refused(_))));
    drop(taker);
    within(answering).await;
    assert_eq!(Process::find(folder.path()).unwrap().unwrap().pid, std::process::id());
}

#[tokio::test]
async fn one_that_gave_up_waiting_hears_the_next_also_where_only_its_socket_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let old = Side::new(folder.path());
    let listener = old.giver.announce().unwrap();
    let listening = Arc::clone(&old.giver).run(listener, Tasks::new(old.ending.clone()));
    let _listening = tasks::owned("listen", listening);
    let (mut stream, answering) = old.silent().await;
    // The new one writes that it serves, and is stopped before it listens; as after 15 s without a word.
    link::send(&mut stream, &Message::End).await.unwrap();
    assert!(matches!(heard(&mut stream).await, Some(Message::Refused(_))));
    eventually(|| old.speaks()).await;
    eventually(|| link::is_listened(folder.path())).await;
    // It goes on, and hears then that it is not wanted.
    drop(link::listen(folder.path()).unwrap());
    drop(stream);
    within(answering).await;
    eventually(|| link::is_listened(folder.path())).await;
}

#[tokio::test]
async fn one_that_may_have_taken_requests_in_holds_the_epoch_back_until_it_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let old = Side::new(folder.path());
    let (mut stream, answering) = old.silent().await;
    link::send(&mut stream, &Message::Refused("everything is stopped".to_owned())).await.unwrap();
    assert!(matches!(heard(&mut stream).await, Some(Message::Refused(_))));
    eventually(|| old.speaks()).await;
    assert!(!old.giver.elders.are_gone(), "it may have requests by the table of then");
    drop(stream);
    within(answering).await;
    assert!(old.giver.elders.are_gone());
    // One that ended before it was told to go has none.
    let (stream, answering) = old.giving().await;
    drop(stream);
    within(answering).await;
    assert!(old.giver.elders.are_gone());
}

#[tokio::test]
async fn who_has_opened_and_is_not_to_serve_is_heard_until_its_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let new = Side::new(folder.path());
    let (stream, mut theirs) = UnixStream::pair().unwrap();
    let taker = taker_of(&new, stream).await;
    let tasks = Tasks::new(new.ending.clone());
    let taking = taker.run(&new.giver, &tasks);
    let refusing = async {
        assert!(matches!(heard(&mut theirs).await, Some(Message::Ready(_))));
        link::send(&mut theirs, &Message::Go(Box::new(status(1, &[(3, 2)])))).await.unwrap();
        assert_eq!(heard(&mut theirs).await, Some(Message::Serving));
        link::send(&mut theirs, &Message::Refused("wait".to_owned())).await.unwrap();
    };
    let (taken, ()) = within(async { tokio::join!(taking, refusing) }).await;
    assert!(matches!(taken, Err(TakeError::Refused(_))) && !new.speaks());
    assert!(matches!(heard(&mut theirs).await, Some(Message::Refused(_))), "it says so");
    assert!(heard(&mut theirs).now_or_never().is_none(), "it may have requests");
    drop(new);
    assert_eq!(heard(&mut theirs).await, None);
}

async fn taker_of(new: &Side, stream: UnixStream) -> Taker {
    Taker {
        stream,
        own: new.giver.own.clone(),
        known: watch::channel(true).1,
        open: watch::Sender::new(false),
        silence: new.giver.voice.silence().await,
        elders: new.giver.elders.clone(),
    }
}

#[tokio::test]
async fn who_takes_over_from_a_dead_one_is_silent_until_those_before_that_were_heard() {
    for step in [Step::BeforeGo, Step::AfterGo] {
        let folder = tempfile::tempdir().unwrap();
        let new = Side::new(folder.path());
        let first = files::lock_shared(&folder.path().join("elders.lock")).unwrap().unwrap();
        let (stream, _old) = dying(step);
        let taker = taker_of(&new, stream).await;
        let tasks = Tasks::new(new.ending.clone());
        let (_listener, silence) = within(taker.run(&new.giver, &tasks)).await.unwrap();
        assert!(silence.is_some() && !new.speaks() && new.giver.elders.are_gone());
        drop((first, silence));
        let (stream, _old) = dying(step);
        let taker = taker_of(&new, stream).await;
        let (_listener, silence) = within(taker.run(&new.giver, &tasks)).await.unwrap();
        assert!(silence.is_none() && new.speaks(), "there is nobody to wait for");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    BeforeGo,
    AfterGo,
}

/// The conversation with an old one that is killed.
fn dying(step: Step) -> (UnixStream, Owned<()>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let dies = async move {
        if step == Step::AfterGo {
            assert!(matches!(heard(&mut theirs).await, Some(Message::Ready(_))));
            link::send(&mut theirs, &Message::Go(Box::new(status(1, &[(3, 2)])))).await.unwrap();
        }
    };
    (ours, tasks::owned("old", dies))
}

#[tokio::test]
async fn who_is_asked_to_end_before_it_serves_leaves_the_old_one_serving() {
    let folder = tempfile::tempdir().unwrap();
    let new = Side::new(folder.path());
    new.end.fire();
    let (stream, _old) = dying(Step::AfterGo);
    let taker = taker_of(&new, stream).await;
    let open = taker.open.subscribe();
    let taken = within(taker.run(&new.giver, &Tasks::new(new.ending.clone()))).await;
    assert!(matches!(taken, Err(TakeError::Stopped)), "{taken:?}");
    assert!(!*open.borrow() && !folder.path().join("process.json").exists());
}

#[tokio::test]
async fn what_a_killed_one_said_counts_until_those_that_it_followed_have_come() {
    let folder = tempfile::tempdir().unwrap();
    let new = Side::new(folder.path());
    let _mark_of_first = files::lock_shared(&folder.path().join("elders.lock")).unwrap().unwrap();
    let (own, merged) = {
        let (own, statuses) = watch::channel(status(2, &[]));
        let (sender, merged) = watch::channel(status(2, &[]));
        let elders = new.giver.elders.clone();
        (own, (tasks::owned("merge", elders::merge(statuses, elders, sender)), merged))
    };
    let (_merging, mut merged) = merged;
    // The second one speaks for the first too.
    let (mut second, _following_second) = new.spoken_to();
    let word = |counts| Message::Elder(Box::new(status(1, counts)));
    link::send(&mut second, &word(&[(3, 2)])).await.unwrap();
    within(merged.wait_for(|merged| !merged.draining.is_empty())).await.unwrap();
    drop(second);
    let (mut first, _following_first) = new.spoken_to();
    link::send(&mut first, &word(&[(3, 1)])).await.unwrap();
    let counts = |merged: &BalancerStatus| merged.draining.get(&InstanceId(3)).copied();
    let mut seen = Vec::new();
    while seen.last() != Some(&Some(1)) {
        within(merged.changed()).await.unwrap();
        seen.push(counts(&merged.borrow_and_update()));
    }
    assert!(seen.iter().all(Option::is_some), "{seen:?}");
    assert_eq!(merged.borrow().draining, BTreeMap::from([(InstanceId(3), 1)]));
    drop(own);
}
