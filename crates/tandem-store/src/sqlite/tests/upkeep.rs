//! What the engine does by itself: forgetting old deletions, batches, leases by monotonic time.

use std::time::Duration;

use serde_json::json;
use tandem_types::Span;
use tandem_types::document::Cause;

use super::Sqlite;
use crate::contract::{Engine as _, Told, delete, put, transaction, until_live, watch};
use crate::sqlite::check;
use crate::sqlite::commit;
use crate::sqlite::retention::{self, Kept};
use crate::sqlite::writer::{Refusal, Unit};
use crate::{Error, Expect, SharedStore, Store as _, Transaction};

#[tokio::test]
async fn surplus_deletions_are_forgotten_from_the_oldest_on() {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    let mut cursors = Vec::new();
    for number in 0..10 {
        put(&store, &format!("n/{number}"), number).await;
        cursors.push(store.cursor().await.unwrap());
        delete(&store, &format!("n/{number}")).await;
    }
    drop(store);
    let engine = sqlite.open_engine().await;
    engine.writer.write(|unit| commit::compact_surplus(unit, 10)).await.unwrap();
    let all_known = engine.watch(vec![String::new()], Some(cursors[0].clone())).await.unwrap();
    assert_eq!(until_live(&mut { all_known }).await.0.len(), 10, "ten are no surplus");
    engine.writer.write(|unit| commit::compact_surplus(unit, 9)).await.unwrap();
    let half_known = engine.watch(vec![String::new()], Some(cursors[0].clone())).await.unwrap();
    assert_eq!(until_live(&mut { half_known }).await.0, [Told::Reset]);
    let recent = engine.watch(vec![String::new()], Some(cursors[7].clone())).await.unwrap();
    assert_eq!(until_live(&mut { recent }).await.0.len(), 3);
}

/// A store with 20 entries, one a day, and the revisions that are left of them.
async fn left_of_twenty(kept: Kept) -> Vec<u64> {
    let sqlite = Sqlite::new();
    let engine = sqlite.open_engine().await;
    for _ in 0..20 {
        engine.transact(transaction().noted()).await.unwrap();
        let tomorrow = sqlite.clock.now() + jiff::SignedDuration::from_hours(24);
        sqlite.hands.set_wall(tomorrow);
    }
    engine.writer.write(move |unit| retention::forget_entries(unit, kept)).await.unwrap();
    let journal = engine.journal(crate::JournalQuery::default()).await.unwrap();
    journal.into_iter().map(|entry| entry.revision.0).collect()
}

#[tokio::test]
async fn the_journal_is_bounded_by_age_and_number_and_keeps_the_newest_however_old() {
    let kept =
        Kept { passing: 1_000, at_least: 5, at_most: 15, young: Span::minutes(10 * 24 * 60), step: 100 };
    assert_eq!(left_of_twenty(kept).await, (11..=20).collect::<Vec<_>>(), "ten days");
    let long = Span::minutes(100 * 24 * 60);
    assert_eq!(left_of_twenty(Kept { young: long, ..kept }).await, (6..=20).collect::<Vec<_>>(), "fifteen");
    let short = Span::minutes(1);
    assert_eq!(left_of_twenty(Kept { young: short, ..kept }).await, (16..=20).collect::<Vec<_>>(), "five");
    assert_eq!(
        left_of_twenty(Kept { step: 2, ..kept }).await,
        (3..=20).collect::<Vec<_>>(),
        "a step at a time"
    );
}

/// Rollouts of ten steps and an end, until the store has so many revisions.
async fn rolled_out(engine: &super::SqliteEngine, revisions: usize) {
    let written = (0..revisions).map(|number| {
        let action = if number % 11 < 10 { "rollout.step" } else { "rollout.end" };
        let cause = Cause { action: action.to_owned(), ..transaction().cause };
        // One document is written by all of them, and one by each.
        let write = Transaction::new(cause).put_value("last", ("thing/1", json!(number)), Expect::Any);
        let key = format!("steps/{number}");
        engine.transact(write.put_value(key, ("thing/1", json!(number)), Expect::Any))
    });
    futures_util::future::try_join_all(written).await.unwrap();
}

#[tokio::test]
async fn steps_go_from_the_journal_before_what_they_led_to_and_the_rest_tells_the_same_story() {
    let sqlite = Sqlite::new();
    let engine = sqlite.open_engine().await;
    // As many as come to be cut more than once.
    rolled_out(&engine, 3_300).await;
    let journal = engine.journal(crate::JournalQuery::default()).await.unwrap();
    let of = |action: &str| journal.iter().filter(|entry| entry.cause.action == action).count();
    assert_eq!(of("rollout.end"), 300, "ends stay");
    let steps = of("rollout.step");
    assert!((1_800..2_400).contains(&steps), "{steps}");
    let newest: Vec<_> = journal.iter().rev().take(2_000).map(|entry| entry.revision.0).collect();
    assert_eq!(newest, (1_301..=3_300).rev().collect::<Vec<_>>(), "nothing lately");
    drop(engine);
    assert_eq!(check(&sqlite.path(), |_| Ok(())).unwrap().problems, Vec::<String>::new());
}

#[tokio::test]
async fn ends_of_rollouts_that_an_earlier_version_wrote_as_steps_stay() {
    let sqlite = Sqlite::new();
    let engine = sqlite.open_engine().await;
    let ends = [
        "4: draining → completed",
        "4: reverting → reverted",
        "4: checking → failed",
        "4: building → aborted",
    ];
    let others = ["4: committing → draining", "4: draining"];
    for reason in ends.iter().chain(&others).chain(&["4: a → b"; 3]) {
        let (action, reason) = ("rollout.step".to_owned(), (*reason).to_owned());
        let cause = Cause { action, reason, ..transaction().cause };
        engine.transact(Transaction::new(cause).noted()).await.unwrap();
    }
    let kept = Kept { passing: 3, ..retention::KEPT };
    engine.writer.write(move |unit| retention::forget_entries(unit, kept)).await.unwrap();
    let journal = engine.journal(crate::JournalQuery::default()).await.unwrap();
    let left: Vec<_> = journal.iter().map(|entry| entry.cause.reason.as_str()).collect();
    assert_eq!(left[..4], ends);
    assert_eq!(left[4..], ["4: a → b"; 3]);
}

#[tokio::test]
async fn what_housekeeping_forgets_passes_as_steps_do() {
    let sqlite = Sqlite::new();
    let engine = sqlite.open_engine().await;
    let actions = ["rollout.forget", "deploy.start", "release.forget", "environment.upkeep", "rollout.step"];
    for action in actions.into_iter().chain(["rollout.step"; 3]) {
        let cause = Cause { action: action.to_owned(), ..transaction().cause };
        engine.transact(Transaction::new(cause).noted()).await.unwrap();
    }
    let kept = Kept { passing: 3, ..retention::KEPT };
    engine.writer.write(move |unit| retention::forget_entries(unit, kept)).await.unwrap();
    let journal = engine.journal(crate::JournalQuery::default()).await.unwrap();
    let left: Vec<_> = journal.iter().map(|entry| entry.cause.action.as_str()).collect();
    assert_eq!(left, ["deploy.start", "rollout.step", "rollout.step", "rollout.step"]);
}

#[tokio::test]
async fn a_store_is_whole_right_after_steps_were_cut_and_one_revision_on() {
    let sqlite = Sqlite::new();
    let engine = sqlite.open_engine().await;
    for more in [3_000, 1] {
        rolled_out(&engine, more).await;
        let checked = check(&sqlite.path(), |_| Ok(())).unwrap();
        assert_eq!(checked.problems, Vec::<String>::new(), "at {}", checked.revision);
        // The newest 2,000, and an end of each rollout before: that the cut was made is what is tried.
        assert!((2_080..2_100).contains(&checked.journal_entries), "{checked:?}");
    }
}

#[tokio::test]
async fn too_many_keys_of_volatile_documents_make_watchers_list_anew() {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    put(&store, "a", 1).await;
    let cursor = store.cursor().await.unwrap();
    drop(store);
    let mut raw = sqlite.raw();
    let insert = raw.transaction().unwrap();
    for number in 0..1_001 {
        insert.execute("INSERT INTO volatile_keys VALUES (?1)", [format!("balancers/{number}")]).unwrap();
    }
    insert.commit().unwrap();
    drop(raw);
    let store = sqlite.open().await;
    assert_eq!(until_live(&mut watch(&store, "", Some(cursor)).await).await.0[0], Told::Reset);
    let cursor = store.cursor().await.unwrap();
    drop(store);
    let store = sqlite.open().await;
    assert_eq!(until_live(&mut watch(&store, "", Some(cursor)).await).await.0, [], "only once");
}

#[tokio::test]
async fn a_wall_clock_that_jumps_neither_lengthens_nor_revives_a_lease() {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    let length = Span::seconds(30);
    let acquire = async |holder| store.acquire("rollouts", holder, length).await.unwrap();
    let lease = acquire("one").await.unwrap();
    sqlite.hands.set_wall("2026-11-22T12:00:00Z".parse().unwrap());
    assert_eq!(acquire("other").await, None, "a day ahead, and still held");
    sqlite.hands.set_wall("2026-11-20T12:00:00Z".parse().unwrap());
    sqlite.hands.advance(Duration::from_secs(31));
    assert!(matches!(store.renew(&lease).await, Err(Error::Fenced { .. })), "a day back, and ended in time");
    let next = acquire("other").await.unwrap();
    sqlite.hands.set_wall("2026-11-20T11:00:00Z".parse().unwrap());
    let write = transaction().delete("a", Expect::Any);
    assert!(matches!(store.transact(write.clone().fenced(&lease)).await, Err(Error::Fenced { .. })));
    store.transact(write.fenced(&next)).await.unwrap();
}

/// Makes the next write that needs a new page fail as a full disk does.
async fn fill(engine: &super::SqliteEngine, pages: u32) {
    let limit = move |unit: &mut Unit<'_>| {
        unit.database.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        Ok(())
    };
    engine.writer.write(limit).await.unwrap();
}

#[tokio::test]
async fn one_that_does_not_fit_takes_no_other_down_with_it() {
    let sqlite = Sqlite::new();
    let engine = sqlite.open_engine().await;
    let small = |number: usize| {
        transaction().put_value(format!("small/{number}"), ("thing/1", json!(number)), Expect::Any)
    };
    engine.transact(small(0)).await.unwrap();
    let lease = engine.acquire("rollouts", "one", Span::seconds(30)).await.unwrap().unwrap();
    fill(&engine, 100).await;
    let large = transaction().put_value("large", ("thing/1", json!("x".repeat(1_000_000))), Expect::Any);
    let writes =
        (1..20).map(|number| if number == 10 { large.clone() } else { small(number).fenced(&lease) });
    let done = futures_util::future::join_all(writes.map(|write| engine.transact(write))).await;
    for (number, done) in done.iter().enumerate() {
        match done {
            Ok(_) => assert_ne!(number, 9),
            Err(error) => assert!(number == 9 && matches!(error, Error::Full { .. }), "{number}: {error:?}"),
        }
    }
    fill(&engine, 1_000_000).await;
    engine.transact(large).await.unwrap();
    assert_eq!(engine.list("small/").await.unwrap().documents.len(), 19);
}

#[tokio::test]
async fn a_lease_whose_grant_did_not_reach_the_disk_is_not_held() {
    let sqlite = Sqlite::new();
    let engine = sqlite.open_engine().await;
    let lost = |unit: &mut Unit<'_>| {
        unit.leases.acquire(unit.database, ("rollouts", "one"), Span::seconds(30))?;
        Err::<(), _>(Refusal::Engine(rusqlite::Error::InvalidQuery))
    };
    assert!(matches!(engine.writer.write(lost).await, Err(Error::Unavailable { .. })));
    let granted = engine.acquire("rollouts", "other", Span::seconds(30)).await.unwrap();
    assert!(granted.is_some(), "the one before was never told that it holds it");
}

#[tokio::test]
async fn a_watch_gives_signs_of_life_also_while_only_other_keys_change() {
    let sqlite = Sqlite::new();
    let engine = sqlite.open_engine().await;
    let sign = Duration::from_millis(20);
    let mut quiet = engine.watcher(vec!["quiet/".to_owned()], None, sign).into_stream();
    let first = until_live(&mut quiet).await;
    assert_eq!(first.0, [Told::Reset]);
    assert_eq!(until_live(&mut quiet).await, (Vec::new(), first.1), "nothing happened");
    let mut revision = tandem_types::Revision(0);
    while revision.0 < 5 {
        engine.transact(transaction().delete("loud", Expect::Any)).await.unwrap();
        let (told, cursor) = until_live(&mut quiet).await;
        assert_eq!(told, []);
        revision = cursor.revision;
    }
}

#[tokio::test]
async fn dropping_the_store_finishes_what_is_queued() {
    use futures_util::FutureExt as _;
    let sqlite = Sqlite::new();
    let store: SharedStore = sqlite.open().await;
    let cause = transaction().put_value("queued", ("thing/1", json!(1)), Expect::Any);
    assert!(store.transact(cause).now_or_never().is_none_or(|done| done.is_ok()));
    drop(store);
    assert!(sqlite.open().await.get("queued").await.unwrap().is_some());
}
