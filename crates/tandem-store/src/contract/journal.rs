//! Who, what, when and why.

use std::time::Duration;

use serde_json::json;
use tandem_types::Revision;
use tandem_types::document::{Cause, JournalEntry};

use super::{Engine, put, soon, transaction};
use crate::{Expect, JournalQuery, SharedStore, Transaction};

pub(crate) async fn every_transaction_leaves_its_line(engine: &dyn Engine) {
    let store = engine.open().await;
    let cause = Cause {
        actor: "unix:root".to_owned(),
        action: "deploy.start".to_owned(),
        reason: "it's Friday — 'why not'".to_owned(),
        subject: "guestbook/production".to_owned(),
    };
    let write = Transaction::new(cause.clone())
        .put_value("b", ("thing/1", json!("never in the journal")), Expect::Any)
        .delete("a", Expect::Any);
    store.transact(write).await.unwrap();
    engine.advance(Duration::from_secs(60));
    store.transact(transaction().noted()).await.unwrap();
    drop(store);

    let entries = engine.open().await.journal(JournalQuery::default()).await.unwrap();
    let [first, second] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(
        (first.revision, &first.cause, first.keys.as_slice()),
        (Revision(1), &cause, &["b", "a"].map(String::from)[..])
    );
    assert!(second.keys.is_empty());
    let between = second.time.duration_since(first.time);
    assert!(between >= jiff::SignedDuration::from_secs(60), "by the store's clock: {between}");
}

async fn note(store: &SharedStore, subject: &str) {
    let cause = Cause { subject: subject.to_owned(), ..super::cause("note") };
    store.transact(Transaction::new(cause).noted()).await.unwrap();
}

fn revisions(entries: &[JournalEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.revision.0).collect()
}

pub(crate) async fn lines_are_found_by_subject_and_in_pages(engine: &dyn Engine) {
    let store = engine.open().await;
    for subject in ["shop/production", "shop", "shopping/production", "", "shop/staging", "shop/production"] {
        note(&store, subject).await;
    }
    let find = async |query: JournalQuery| revisions(&store.journal(query).await.unwrap());
    let subject =
        |subject: &str| JournalQuery { subject: Some(subject.to_owned()), ..JournalQuery::default() };
    assert_eq!(find(subject("shop")).await, [1, 2, 5, 6]);
    assert_eq!(find(subject("shop/production")).await, [1, 6]);
    assert_eq!(find(JournalQuery { after: Revision(4), ..JournalQuery::default() }).await, [5, 6]);
    let page = JournalQuery { limit: Some(2), newest_first: true, ..JournalQuery::default() };
    assert_eq!(find(page.clone()).await, [6, 5]);
    assert_eq!(find(JournalQuery { before: Some(Revision(5)), ..page }).await, [4, 3]);
    assert_eq!(find(JournalQuery { limit: Some(0), ..JournalQuery::default() }).await, [0; 0]);
}

pub(crate) async fn waiting_ends_with_the_next_transaction(engine: &dyn Engine) {
    let store = engine.open().await;
    put(&store, "a", 1).await;
    assert_eq!(soon(store.wait_past(Revision(0))).await.unwrap(), Revision(1), "it is past already");
    let (newest, ()) = soon(async {
        tokio::join!(store.wait_past(Revision(1)), note(&store, "a note moves the revision too"))
    })
    .await;
    assert_eq!(newest.unwrap(), Revision(2));
}
