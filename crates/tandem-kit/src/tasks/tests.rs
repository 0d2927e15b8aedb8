//! What drain, failure and limits mean to each kind of task.

use super::*;
use crate::drain;

#[derive(Debug, thiserror::Error)]
#[error("reach the moon")]
struct Failed {
    #[source]
    cause: std::io::Error,
}

fn failed() -> Result<(), Failed> {
    Err(Failed { cause: std::io::Error::other("no fuel") })
}

#[tokio::test]
async fn a_failed_component_drains_the_process_and_says_why() {
    let (_trigger, drain) = drain::channel();
    let tasks = Tasks::new(drain.clone());
    tasks.spawn("rocket", Kind::Component, async { failed() });
    drain.requested().await;
    let failure = tasks.failure().unwrap();
    assert_eq!((failure.task, failure.message.as_str()), ("rocket", "reach the moon: no fuel"));
}

#[tokio::test]
async fn a_panic_is_a_failure() {
    let (_trigger, drain) = drain::channel();
    let tasks = Tasks::new(drain.clone());
    let explode = async {
        assert!(std::hint::black_box(false), "boom");
    };
    tasks.spawn("bomb", Kind::Component, explode);
    drain.requested().await;
    assert_eq!(tasks.failure().unwrap().message, "panicked: boom");
}

#[tokio::test]
async fn failed_work_leaves_the_process_alone() {
    let (_trigger, drain) = drain::channel();
    let tasks = Tasks::new(drain.clone());
    tasks.spawn("upload", Kind::Work, async { failed() });
    assert!(tasks.join(Duration::from_secs(10)).await.is_empty());
    assert!(!drain.is_requested());
}

#[tokio::test]
async fn drain_waits_for_work_and_drops_helpers() {
    let (trigger, drain) = drain::channel();
    let tasks = Tasks::new(drain.clone());
    let (done, is_done) = tokio::sync::oneshot::channel();
    let work = async move {
        drain.requested().await;
        tokio::task::yield_now().await;
        done.send(()).unwrap();
    };
    tasks.spawn("work", Kind::Work, work);
    let helper = tasks.spawn("helper", Kind::Helper, std::future::pending::<()>());
    trigger.fire();
    assert!(tasks.join(Duration::from_secs(10)).await.is_empty());
    is_done.await.unwrap();
    while !helper.is_finished() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn laggards_are_named_and_cut_off() {
    let (trigger, drain) = drain::channel();
    let tasks = Tasks::new(drain);
    let stuck = tasks.spawn("stuck", Kind::Work, std::future::pending::<()>());
    trigger.fire();
    assert_eq!(tasks.join(Duration::from_millis(10)).await, ["stuck"]);
    // What begins after that goes no further than its first await.
    let late = tasks.spawn("late", Kind::Work, std::future::pending::<()>());
    while !(stuck.is_finished() && late.is_finished()) {
        tokio::task::yield_now().await;
    }
    assert!(tasks.join(Duration::from_secs(10)).await.is_empty());
}

#[tokio::test]
async fn a_restarting_task_is_made_anew_until_it_ends_well() {
    let (_trigger, drain) = drain::channel();
    let tasks = Tasks::new(drain.clone());
    let mut tries = 0;
    let task = tasks.spawn_restarting("stubborn", move || {
        tries += 1;
        let good = tries == 4;
        async move { if good { Ok(()) } else { failed() } }
    });
    while !task.is_finished() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!drain.is_requested());
}

#[tokio::test]
async fn an_owned_task_ends_with_its_owner() {
    let (hold, held) = tokio::sync::oneshot::channel::<()>();
    let task = owned("driver", async move {
        let _hold = hold;
        std::future::pending::<()>().await;
    });
    drop(task);
    assert!(held.await.is_err(), "the task was dropped with what it held");
    assert_eq!(owned("sum", async { 1 + 1 }).await, 2);
    assert_eq!(blocking("sum", || 1 + 1).await, 2);
}
