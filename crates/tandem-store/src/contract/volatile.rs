//! Volatile documents: seen like others, kept by nobody.

use serde_json::json;
use tandem_types::Revision;

use super::{Engine, Told, delete, put, told_delete, told_put, transaction, until_live, watch};
use crate::{Error, Expect, JournalQuery};

pub(crate) async fn a_volatile_document_is_read_but_not_journalled(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "hosts/a", 1).await;
    store.put_volatile("hosts/a/observed", "seen/1", json!(7)).await.unwrap();
    let document = store.get("hosts/a/observed").await.unwrap().unwrap();
    assert_eq!((document.revision, document.kind.as_str(), document.body), (Revision(1), "seen/1", json!(7)));
    let keys: Vec<_> = store.list("hosts/").await.unwrap().documents.into_iter().map(|one| one.key).collect();
    assert_eq!(keys, ["hosts/a", "hosts/a/observed"]);
    assert_eq!(store.cursor().await.unwrap().revision, Revision(1));
    assert_eq!(store.journal(JournalQuery::default()).await.unwrap().len(), 1);
    store.delete_volatile("hosts/a/observed").await.unwrap();
    store.delete_volatile("never-there").await.unwrap();
    assert_eq!(store.get("hosts/a/observed").await.unwrap(), None);
}

pub(crate) async fn a_watch_sees_volatile_documents_come_and_go(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "b", 1).await;
    store.put_volatile("a", "seen/1", json!(1)).await.unwrap();
    store.put_volatile("elsewhere", "seen/1", json!(1)).await.unwrap();
    let mut changes = store.watch(vec!["a".to_owned(), "b".to_owned()], None).await.unwrap();
    assert_eq!(until_live(&mut changes).await.0, [Told::Reset, told_put("b", 1), told_put("a", 1)]);
    store.put_volatile("elsewhere", "seen/1", json!(2)).await.unwrap();
    store.put_volatile("a", "seen/1", json!(2)).await.unwrap();
    assert_eq!(until_live(&mut changes).await.0, [told_put("a", 2)]);
    store.delete_volatile("a").await.unwrap();
    assert_eq!(until_live(&mut changes).await.0, [told_delete("a")]);
}

pub(crate) async fn a_volatile_deletion_reaches_who_was_away(engine: &dyn Engine) {
    let store = engine.open().await;
    store.put_volatile("a", "seen/1", json!(1)).await.unwrap();
    store.put_volatile("b", "seen/1", json!(1)).await.unwrap();
    let cursor = store.cursor().await.unwrap();
    store.delete_volatile("a").await.unwrap();
    let mut changes = watch(&store, "", Some(cursor)).await;
    assert_eq!(until_live(&mut changes).await.0, [told_delete("a"), told_put("b", 1)]);
}

pub(crate) async fn volatile_documents_end_with_the_server_and_watchers_hear_of_it(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "c", 1).await;
    store.put_volatile("a", "seen/1", json!(1)).await.unwrap();
    store.put_volatile("b", "seen/1", json!(1)).await.unwrap();
    let cursor = store.cursor().await.unwrap();
    drop(store);
    let store = engine.open().await;
    assert_eq!(store.get("a").await.unwrap(), None);
    store.put_volatile("b", "seen/1", json!(2)).await.unwrap();
    let mut changes = watch(&store, "", Some(cursor)).await;
    let (told, _) = until_live(&mut changes).await;
    assert_eq!(told, [told_delete("a"), told_put("b", 2)], "what was known before the restart is taken back");
}

pub(crate) async fn a_key_is_volatile_or_lasting_never_both(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "lasting", 1).await;
    store.put_volatile("volatile", "seen/1", json!(1)).await.unwrap();
    let refused = store.put_volatile("lasting", "seen/1", json!(1)).await;
    assert!(matches!(refused, Err(Error::Lasting { key }) if key == "lasting"));
    let write = transaction().put_value("other", ("thing/1", json!(1)), Expect::Any).put_value(
        "volatile",
        ("thing/1", json!(1)),
        Expect::Any,
    );
    assert!(matches!(store.transact(write).await, Err(Error::Volatile { key }) if key == "volatile"));
    assert_eq!(store.get("other").await.unwrap(), None);
}

pub(crate) async fn a_key_may_change_from_volatile_to_lasting(engine: &dyn Engine) {
    let store = engine.open().await;
    store.put_volatile("a", "seen/1", json!(1)).await.unwrap();
    let mut changes = watch(&store, "", None).await;
    assert_eq!(until_live(&mut changes).await.0, [Told::Reset, told_put("a", 1)]);
    let cursor = store.cursor().await.unwrap();
    store.delete_volatile("a").await.unwrap();
    put(&store, "a", 2).await;
    let told = until_live(&mut changes).await.0;
    assert_eq!(told.last(), Some(&told_put("a", 2)), "{told:?}");
    drop((store, changes));
    let store = engine.open().await;
    let mut changes = watch(&store, "", Some(cursor)).await;
    assert_eq!(until_live(&mut changes).await.0, [told_put("a", 2)]);
    delete(&store, "a").await;
    store.put_volatile("a", "seen/1", json!(3)).await.unwrap();
    let told = until_live(&mut changes).await.0;
    let told = if told == [told_delete("a")] { until_live(&mut changes).await.0 } else { told };
    assert_eq!(told.last(), Some(&told_put("a", 3)), "and back");
}

pub(crate) async fn what_came_before_a_volatile_document_is_told_before_it(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut changes = watch(&store, "", None).await;
    until_live(&mut changes).await;
    const ROUNDS: u64 = 200;
    let write = async {
        for round in 0..ROUNDS {
            put(&store, "cause", round).await;
            store.put_volatile("effect", "seen/1", json!(round)).await.unwrap();
        }
    };
    let read = async {
        let (mut cause, mut effect) = (None, None);
        while effect != Some(ROUNDS - 1) {
            for told in until_live(&mut changes).await.0 {
                match told {
                    Told::Put(key, body) if key == "cause" => cause = body.as_u64(),
                    Told::Put(_, body) => effect = body.as_u64(),
                    other => panic!("{other:?}"),
                }
                assert!(cause >= effect, "{cause:?} before {effect:?}");
            }
        }
    };
    tokio::join!(write, read);
}
