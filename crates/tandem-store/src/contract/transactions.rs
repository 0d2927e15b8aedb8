//! Several writes at once, or none.

use std::collections::BTreeSet;

use serde_json::json;
use tandem_types::Revision;

use super::{Engine, delete, put, transaction};
use crate::{Error, Expect, JournalQuery};

pub(crate) async fn each_transaction_has_the_next_revision(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(store.cursor().await.unwrap().revision, Revision(0));
    assert_eq!(put(&store, "a", 1).await, Revision(1));
    let several = transaction()
        .put_value("b", ("thing/1", json!(1)), Expect::Absent)
        .put_value("c", ("thing/1", json!(1)), Expect::Absent)
        .delete("a", Expect::Revision(Revision(1)));
    assert_eq!(store.transact(several).await.unwrap(), Revision(2));
    for key in ["b", "c"] {
        assert_eq!(store.get(key).await.unwrap().unwrap().revision, Revision(2));
    }
    assert_eq!(delete(&store, "never-there").await, Revision(3), "deleting nothing is a transaction too");
    assert_eq!(store.cursor().await.unwrap().revision, Revision(3));
}

pub(crate) async fn all_of_it_happens_or_nothing(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "a", 1).await;
    let refused = transaction()
        .put_value("a", ("thing/1", json!(2)), Expect::Any)
        .delete("a2", Expect::Any)
        .put_value("b", ("thing/1", json!(2)), Expect::Any)
        .check("c", Expect::Revision(Revision(1)));
    assert!(store.transact(refused).await.unwrap_err().is_conflict());
    let late = transaction()
        .put_value("a", ("thing/1", json!(2)), Expect::Any)
        .put_value("b", ("thing/1", json!(2)), Expect::Any)
        .put_value("z", ("other/1", json!(2)), Expect::Any);
    put(&store, "z", 1).await;
    assert!(matches!(store.transact(late).await, Err(Error::OtherKind { .. })), "found at the last write");
    let twice = transaction().delete("a", Expect::Any).put_value("a", ("thing/1", json!(2)), Expect::Any);
    assert!(matches!(store.transact(twice).await, Err(Error::Malformed { .. })));

    assert_eq!(store.get("a").await.unwrap().unwrap().body, json!(1));
    assert_eq!(store.get("b").await.unwrap(), None);
    assert_eq!(store.cursor().await.unwrap().revision, Revision(2));
    assert_eq!(store.journal(JournalQuery::default()).await.unwrap().len(), 2);
}

pub(crate) async fn expectations_are_checked_and_the_key_is_told(engine: &dyn Engine) {
    let store = engine.open().await;
    let first = put(&store, "a", 1).await;
    let second = put(&store, "a", 2).await;
    for (key, wrong) in
        [("a", Expect::Absent), ("a", Expect::Revision(first)), ("b", Expect::Revision(first))]
    {
        let error =
            store.transact(transaction().delete("x", Expect::Any).check(key, wrong)).await.unwrap_err();
        assert!(matches!(&error, Error::Conflict { key: told } if told == key), "{error}");
    }
    let right = transaction()
        .put_value("a", ("thing/1", json!(3)), Expect::Revision(second))
        .check("b", Expect::Absent)
        .check("a", Expect::Any);
    store.transact(right).await.unwrap();
    delete(&store, "a").await;
    let again = transaction().put_value("a", ("thing/1", json!(4)), Expect::Absent);
    store.transact(again).await.unwrap();
}

pub(crate) async fn of_two_writers_of_one_revision_one_wins(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut revision = put(&store, "counter", 0).await;
    for round in 0..20 {
        let write = |value: u32| {
            transaction().put_value("counter", ("thing/1", json!(value)), Expect::Revision(revision))
        };
        let (one, other) =
            tokio::join!(store.transact(write(2 * round)), store.transact(write(2 * round + 1)));
        let won = match (one, other) {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) if lost.is_conflict() => won,
            both => panic!("not one of two won: {both:?}"),
        };
        assert_eq!(won.0, revision.0 + 1);
        revision = won;
    }
}

pub(crate) async fn a_newer_format_is_never_overwritten_by_an_older_one(engine: &dyn Engine) {
    let store = engine.open().await;
    let write = |kind| transaction().put_value("a", (kind, json!({"kind": kind})), Expect::Any);
    store.transact(write("thing/9")).await.unwrap();
    store.transact(write("thing/10")).await.unwrap();
    let error = store.transact(write("thing/9")).await.unwrap_err();
    assert!(
        matches!(&error, Error::NewerFormat { key, kind } if key == "a" && kind == "thing/10"),
        "{error}"
    );
    assert!(matches!(store.transact(write("gadget/11")).await, Err(Error::OtherKind { .. })));
    assert_eq!(store.get("a").await.unwrap().unwrap().body, json!({"kind": "thing/10"}));
    delete(&store, "a").await;
    store.transact(write("gadget/1")).await.unwrap();
}

pub(crate) async fn nothing_to_do_is_refused_unless_it_is_a_note(engine: &dyn Engine) {
    let store = engine.open().await;
    let checked = || transaction().check("a", Expect::Absent);
    assert!(matches!(store.transact(checked()).await, Err(Error::Malformed { .. })));
    assert_eq!(store.transact(checked().noted()).await.unwrap(), Revision(1));
    put(&store, "a", 1).await;
    assert!(store.transact(checked().noted()).await.unwrap_err().is_conflict());
    assert_eq!(store.journal(JournalQuery::default()).await.unwrap().len(), 2);
}

pub(crate) async fn many_at_once_all_get_revisions_of_their_own(engine: &dyn Engine) {
    let store = engine.open().await;
    let writes = (0..300).map(|number| {
        let key = format!("n/{}", number % 50);
        let store = &store;
        async move {
            // One in ten is refused in the midst of the others.
            let refused = number % 10 == 0;
            let expected = if refused { Expect::Revision(Revision(u64::MAX >> 1)) } else { Expect::Any };
            let write = transaction().put_value(key, ("thing/1", json!(number)), expected);
            let done = store.transact(write).await;
            assert_eq!(done.is_err(), refused);
            done.ok()
        }
    });
    let done = futures_util::future::join_all(writes).await;
    let revisions: BTreeSet<_> = done.into_iter().flatten().map(|revision| revision.0).collect();
    assert!(revisions.into_iter().eq(1..=270), "every revision once, without holes");
    assert_eq!(store.journal(JournalQuery::default()).await.unwrap().len(), 270);
}

pub(crate) async fn a_caller_that_goes_away_leaves_whole_transactions(engine: &dyn Engine) {
    use futures_util::FutureExt as _;
    let store = engine.open().await;
    for number in 0..50 {
        let write = transaction().put_value("left", ("thing/1", json!(number)), Expect::Any).put_value(
            "right",
            ("thing/1", json!(number)),
            Expect::Any,
        );
        let _ = store.transact(write).now_or_never();
        let both = store.list("").await.unwrap().documents;
        assert!(both.windows(2).all(|pair| pair[0].body == pair[1].body), "{both:?}");
    }
    put(&store, "last", 1).await;
    let newest = store.cursor().await.unwrap().revision.0;
    assert_eq!(store.journal(JournalQuery::default()).await.unwrap().len() as u64, newest);
}
