//! Control is killed at every one of its writes, before and after it, and started anew on the same store.

use std::time::Duration;

use tandem_types::api::RolloutAction;
use tandem_types::assignment::Assignment;
use tandem_types::event::Event;
use tandem_types::rollout::RolloutState;
use tandem_types::routing::RoutingDocument;
use tandem_types::{ReleaseNumber, defaults, keys};
use tokio::time::timeout;

use super::actors::alpha;
use super::killed_store::Kill;
use super::site::Site;

/// More writes than any rollout needs.
const MOST_WRITES: usize = 40;

/// Kills control at each write of what `action` leads to, on one site after two deploys, and checks the end of each.
async fn killed_at_every_write(after: bool, rollback: bool) {
    let mut site = Site::start().await;
    site.deploy().await;
    site.deploy().await;
    for at in 1..MOST_WRITES {
        let ran_before = site.host.lock().expect("lock").ran.len();
        let target = if site.current() == Some(ReleaseNumber(1)) { 2 } else { 1 };
        let store = site.restart_with_kill(Kill { at, after }).await;
        let number = if rollback {
            site.ask(RolloutAction::Rollback { release: Some(ReleaseNumber(target)) }).await.expect("started")
        } else {
            site.start_deploy().await
        };
        let undisturbed = async {
            site.until("it ends without a kill", || site.rollout(number).state.is_final()).await;
        };
        let killed = tokio::select! {
            () = store.dead.notified() => true,
            () = undisturbed => false,
        };
        site.restart().await;
        let rollout = site.ended(number).await;
        assert_eq!(rollout.state, RolloutState::Completed, "killed at write {at}: {:?}", rollout.problem);
        assert_eq!(site.current(), rollout.to);
        site.until("everything is in its place", || {
            site.roles().iter().filter(|r| r.contains("serving")).count() == 2
        })
        .await;
        let ran = site.host.lock().expect("lock").ran.len() - ran_before;
        assert_eq!(ran, usize::from(!rollback), "the release phase ran {ran} times, killed at write {at}");
        let finished = |event: &&Event| matches!(event, Event::Finished { .. });
        assert_eq!(site.events(number).await.iter().filter(finished).count(), 1);
        if !killed {
            assert!(at > 3, "a rollout takes more writes than {at}");
            return;
        }
    }
    panic!("a rollout took more than {MOST_WRITES} writes");
}

const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_goes_on_after_a_kill_before_any_write() {
    timeout(LIMIT, killed_at_every_write(false, false)).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_goes_on_after_a_kill_after_any_write() {
    timeout(LIMIT, killed_at_every_write(true, false)).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_goes_on_after_a_kill_at_any_write() {
    timeout(LIMIT, killed_at_every_write(false, true)).await.expect("in time");
    timeout(LIMIT, killed_at_every_write(true, true)).await.expect("in time");
}

/// Kills control at each write of a destroy, and sees it end by itself.
async fn destroy_killed_at_every_write(after: bool) {
    let mut site = Site::start_after(defaults::BALANCER_LIVE).await;
    for at in 1..MOST_WRITES {
        site.deploy().await;
        let store = site.restart_with_kill(Kill { at, after }).await;
        site.handle.destroy_app("unix:ana", &site.place.app, true).await.expect("written down");
        let undisturbed = async {
            site.until("it ends without a kill", || site.handle.apps().is_empty()).await;
        };
        let killed = tokio::select! {
            () = store.dead.notified() => true,
            () = undisturbed => false,
        };
        site.restart().await;
        site.until("the app is gone", || site.handle.apps().is_empty()).await;
        let left = site.store.list("apps/").await.expect("a list").documents;
        assert_eq!(left, [], "killed at write {at}");
        let routing = site.handle.shared.value::<RoutingDocument>(keys::ROUTING_TABLE).expect("a table");
        assert!(routing.serving.routes.is_empty() && routing.prepared.is_none(), "{routing:?}");
        if !killed {
            assert!(at > 4, "a destroy takes more writes than {at}");
            return;
        }
    }
    panic!("a destroy took more than {MOST_WRITES} writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroy_that_was_asked_for_once_ends_after_a_kill_at_any_write() {
    timeout(LIMIT, destroy_killed_at_every_write(false)).await.expect("in time");
    timeout(LIMIT, destroy_killed_at_every_write(true)).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_lease_writes_nothing_under_it_and_goes_on_with_a_new_one() {
    let site = Site::start().await;
    site.deploy().await;
    let key = keys::assignment(&alpha(), &site.place.app, &site.place.environment);
    let fence = || site.handle.shared.value::<Assignment>(&key).expect("an assignment").fence;
    let before = fence();
    // As a server does that took over from this one: the store gives the lease anew to a holder of this name.
    let holder = format!("control {}", std::process::id());
    let taken = site.store.acquire("rollouts", &holder, defaults::LEASE).await.expect("the store answers");
    let taken = taken.expect("taken").fence;
    assert!(taken > before);
    assert_eq!(site.deploy().await.state, RolloutState::Completed);
    assert!(fence() > taken, "{:?} was written under a lease that was lost", fence());
}
