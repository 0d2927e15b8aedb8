//! Watching: everything, then what changed, and never less.

use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::json;
use tandem_types::Revision;
use tandem_types::document::{Change, Cursor};

use super::{Engine, Told, delete, put, soon, told_delete, told_put, transaction, until_live, watch};
use crate::Expect;

pub(crate) async fn a_new_watch_lists_everything_then_follows(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "b", 1).await;
    put(&store, "a", 2).await;
    let mut changes = watch(&store, "", None).await;
    let (told, cursor) = until_live(&mut changes).await;
    assert_eq!(told, [Told::Reset, told_put("a", 2), told_put("b", 1)]);
    assert_eq!(cursor, store.cursor().await.unwrap());

    put(&store, "c", 3).await;
    let (told, cursor) = until_live(&mut changes).await;
    assert_eq!((told, cursor.revision), (vec![told_put("c", 3)], Revision(3)));
    delete(&store, "a").await;
    assert_eq!(until_live(&mut changes).await.0, [told_delete("a")]);
}

pub(crate) async fn a_known_cursor_brings_only_what_changed(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "a", 1).await;
    put(&store, "b", 1).await;
    let cursor = store.list("").await.unwrap().cursor;
    let mut unchanged = watch(&store, "", Some(cursor.clone())).await;
    assert_eq!(until_live(&mut unchanged).await.0, []);
    put(&store, "b", 2).await;
    put(&store, "c", 2).await;
    put(&store, "b", 3).await;
    drop(store);

    let store = engine.open().await;
    let mut changes = watch(&store, "", Some(cursor)).await;
    assert_eq!(until_live(&mut changes).await.0, [told_put("c", 2), told_put("b", 3)], "by revision");
}

pub(crate) async fn a_cursor_that_means_nothing_lists_anew(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "a", 1).await;
    let known = store.cursor().await.unwrap();
    let future = Cursor { revision: Revision(known.revision.0 + 1), ..known.clone() };
    let other_life = Cursor { incarnation: "another".to_owned(), ..known };
    for cursor in [future, other_life] {
        let mut changes = watch(&store, "", Some(cursor)).await;
        assert_eq!(until_live(&mut changes).await.0, [Told::Reset, told_put("a", 1)]);
    }
}

pub(crate) async fn a_deletion_reaches_who_was_away(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "a", 1).await;
    put(&store, "b", 1).await;
    let cursor = store.cursor().await.unwrap();
    delete(&store, "a").await;
    delete(&store, "b").await;
    put(&store, "b", 2).await;
    drop(store);
    let store = engine.open().await;
    let mut changes = watch(&store, "", Some(cursor)).await;
    assert_eq!(until_live(&mut changes).await.0, [told_delete("a"), told_put("b", 2)]);
}

pub(crate) async fn forgotten_deletions_make_old_cursors_list_anew(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "a", 1).await;
    put(&store, "b", 1).await;
    let old = store.cursor().await.unwrap();
    delete(&store, "a").await;
    let recent = store.cursor().await.unwrap();
    store.compact(recent.revision).await.unwrap();
    let mut changes = watch(&store, "", Some(recent)).await;
    assert_eq!(until_live(&mut changes).await.0, [], "this one knows of the deletion");
    let mut changes = watch(&store, "", Some(old)).await;
    assert_eq!(until_live(&mut changes).await.0, [Told::Reset, told_put("b", 1)]);
    store.compact(Revision(u64::MAX)).await.unwrap();
    let mut changes = watch(&store, "", Some(store.cursor().await.unwrap())).await;
    assert_eq!(until_live(&mut changes).await.0, [], "the newest cursor is never forgotten");
}

pub(crate) async fn only_its_prefixes_reach_a_watch_and_each_key_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let write = transaction()
        .put_value("a/1", ("thing/1", json!(1)), Expect::Any)
        .put_value("b/1", ("thing/1", json!(1)), Expect::Any)
        .put_value("c/1", ("thing/1", json!(1)), Expect::Any);
    store.transact(write).await.unwrap();
    let prefixes = ["c/", "a/1", "a/"].map(String::from).to_vec();
    let mut changes = store.watch(prefixes, None).await.unwrap();
    assert_eq!(until_live(&mut changes).await.0, [Told::Reset, told_put("a/1", 1), told_put("c/1", 1)]);
    put(&store, "b/1", 2).await;
    delete(&store, "b/1").await;
    put(&store, "a/1", 2).await;
    assert_eq!(until_live(&mut changes).await.0, [told_put("a/1", 2)]);
    let mut nothing = store.watch(Vec::new(), None).await.unwrap();
    assert_eq!(until_live(&mut nothing).await.0, [Told::Reset]);
}

pub(crate) async fn a_listing_of_many_pages_misses_nothing(engine: &dyn Engine) {
    let store = engine.open().await;
    let key = |number: u32| format!("n/{number:04}");
    let many = (0..1_000).fold(transaction(), |many, number| {
        many.put_value(key(number), ("thing/1", json!(number)), Expect::Any)
    });
    store.transact(many).await.unwrap();
    let mut changes = watch(&store, "n/", None).await;
    let mut known = std::collections::BTreeMap::new();
    let mut seen = 0;
    // While the listing is under way, what was listed changes, and so does what was not.
    loop {
        match soon(changes.next()).await.unwrap() {
            Change::Live { .. } => break,
            Change::Reset => known.clear(),
            Change::Put { document } => drop(known.insert(document.key, document.body)),
            Change::Delete { key, .. } => drop(known.remove(&key)),
        }
        seen += 1;
        if seen == 300 {
            put(&store, &key(0), "changed").await;
            delete(&store, &key(1)).await;
            put(&store, &key(998), "changed").await;
            delete(&store, &key(999)).await;
        }
    }
    let listed = store.list("n/").await.unwrap().documents;
    assert!(known.into_iter().eq(listed.into_iter().map(|document| (document.key, document.body))));
}

pub(crate) async fn a_transaction_is_never_split_by_live(engine: &dyn Engine) {
    let store = engine.open().await;
    let cursor = store.cursor().await.unwrap();
    let wide = |value: u32| {
        (0..400).fold(transaction(), |wide, number| {
            wide.put_value(format!("n/{number}"), ("thing/1", json!(value)), Expect::Any)
        })
    };
    put(&store, "n/first", 0).await;
    store.transact(wide(1)).await.unwrap();
    let mut changes = watch(&store, "", Some(cursor)).await;
    for value in 2..=4 {
        let (told, _) = until_live(&mut changes).await;
        let told: Vec<_> = told.into_iter().filter(|told| *told != told_put("n/first", 0)).collect();
        assert_eq!(told.len(), 400, "all of it before the sign of life");
        store.transact(wide(value)).await.unwrap();
    }
}

pub(crate) async fn a_watch_that_nobody_reads_holds_nobody_up(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut slow = watch(&store, "", None).await;
    assert_eq!(until_live(&mut slow).await.0, [Told::Reset]);
    for number in 0..2_000_u32.div_ceil(20) {
        let write = (0..20).fold(transaction(), |write, part| {
            write.put_value(format!("n/{part}"), ("thing/1", json!(number)), Expect::Any)
        });
        soon(store.transact(write)).await.unwrap();
    }
    let (told, cursor) = until_live(&mut slow).await;
    assert_eq!(cursor, store.cursor().await.unwrap());
    assert_eq!(told.len(), 20, "the last state of each");
}

pub(crate) async fn a_watch_ends_with_the_store(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut changes = watch(&store, "", None).await;
    until_live(&mut changes).await;
    assert!(changes.next().now_or_never().is_none(), "nothing happens");
    drop(store);
    assert_eq!(soon(changes.next()).await, None);
}

pub(crate) async fn who_is_too_slow_for_forgotten_deletions_lists_anew(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "a", 1).await;
    put(&store, "b", 1).await;
    let mut slow = watch(&store, "", None).await;
    until_live(&mut slow).await;
    delete(&store, "a").await;
    store.compact(Revision(u64::MAX)).await.unwrap();
    let (told, _) = until_live(&mut slow).await;
    assert!(told == [told_delete("a")] || told == [Told::Reset, told_put("b", 1)], "{told:?}");
}
