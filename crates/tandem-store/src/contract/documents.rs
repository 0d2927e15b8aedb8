//! Reading, listing and keeping.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tandem_types::document::Kind;

use super::{Engine, cause, put, transaction};
use crate::{Error, Expect, LARGEST_BODY, Transaction, get_as, list_as};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Thing {
    name: String,
    #[serde(default)]
    size: u64,
}

impl Kind for Thing {
    const KIND: &'static str = "thing/2";
}

pub(crate) async fn a_document_is_read_as_it_was_written(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(store.get("things/a").await.unwrap(), None);
    let body = json!({"text": "Zoë \"quoted\"\n\u{1f980}", "big": u64::MAX, "deep": [[{}], null, 1.5]});
    let revision = put(&store, "things/a", body.clone()).await;
    let document = store.get("things/a").await.unwrap().unwrap();
    assert_eq!((document.key.as_str(), document.kind.as_str()), ("things/a", "thing/1"));
    assert_eq!((document.revision, document.body), (revision, body));
}

pub(crate) async fn a_listing_holds_what_begins_with_the_prefix_in_order(engine: &dyn Engine) {
    let store = engine.open().await;
    for key in ["b/1", "a/2", "a", "a/10", "a/\u{fffd}", "a0", "A/1"] {
        put(&store, key, key).await;
    }
    let listing = store.list("a/").await.unwrap();
    let keys: Vec<_> = listing.documents.iter().map(|document| document.key.as_str()).collect();
    assert_eq!(keys, ["a/10", "a/2", "a/\u{fffd}"]);
    assert_eq!(listing.cursor, store.cursor().await.unwrap());
    assert_eq!(store.list("").await.unwrap().documents.len(), 7);
    assert!(store.list("nothing/").await.unwrap().documents.is_empty());
}

pub(crate) async fn values_are_read_as_their_kind_and_no_other(engine: &dyn Engine) {
    let store = engine.open().await;
    let thing = Thing { name: "one".to_owned(), size: 1 };
    let write = Transaction::new(cause("thing.create"))
        .put("things/new", &thing, Expect::Absent)
        .put_value("things/old", ("thing/1", json!({"name": "old"})), Expect::Absent)
        .put_value("things/newer", ("thing/3", json!({"name": "newer", "color": "red"})), Expect::Absent)
        .put_value("things/other", ("other/1", json!({})), Expect::Absent);
    store.transact(write).await.unwrap();

    let stored = get_as::<Thing>(&*store, "things/new").await.unwrap().unwrap();
    assert_eq!(stored.value, thing);
    let (all, _) = list_as::<Thing>(&*store, "things/").await.unwrap();
    let names: Vec<_> = all.iter().map(|stored| stored.value.name.as_str()).collect();
    assert_eq!(names, ["one", "newer", "old"], "older and newer versions are read, other kinds left out");
    assert!(matches!(get_as::<Thing>(&*store, "things/other").await, Err(Error::OtherKind { .. })));

    put(&store, "things/broken", json!({"size": "large"})).await;
    assert!(matches!(get_as::<Thing>(&*store, "things/broken").await, Err(Error::Body { .. })));
    let again = Transaction::new(cause("thing.change")).put("things/new", &thing, stored.unchanged());
    store.transact(again.clone()).await.unwrap();
    assert!(store.transact(again).await.unwrap_err().is_conflict());
}

pub(crate) async fn a_closed_store_keeps_what_it_acknowledged(engine: &dyn Engine) {
    let store = engine.open().await;
    let cursor = store.cursor().await.unwrap();
    for number in 0..20 {
        put(&store, &format!("n/{number:02}"), number).await;
    }
    let before = store.list("").await.unwrap();
    drop(store);
    let store = engine.open().await;
    assert_eq!(store.list("").await.unwrap(), before);
    assert_eq!(
        store.cursor().await.unwrap().incarnation,
        cursor.incarnation,
        "a restart is not another life"
    );
    assert_eq!(put(&store, "n/20", 20).await.0, before.cursor.revision.0 + 1);
}

pub(crate) async fn keys_kinds_and_bodies_have_limits(engine: &dyn Engine) {
    let store = engine.open().await;
    let long = json!("x".repeat(LARGEST_BODY));
    for (key, kind, body) in [
        ("", "thing/1", json!(1)),
        ("a\0", "thing/1", json!(1)),
        ("a", "thing", json!(1)),
        ("a", "thing/1", long),
    ] {
        let write = transaction().put_value(key, (kind, body.clone()), Expect::Any);
        assert!(matches!(store.transact(write).await, Err(Error::Malformed { .. })), "{key:?} {kind}");
        assert!(matches!(store.put_volatile(key, kind, body).await, Err(Error::Malformed { .. })));
    }
    let large = json!("x".repeat(LARGEST_BODY - 2));
    put(&store, "large", large.clone()).await;
    assert_eq!(store.get("large").await.unwrap().unwrap().body, large);
    assert_eq!(store.cursor().await.unwrap().revision.0, 1, "what was refused left no trace");
}
