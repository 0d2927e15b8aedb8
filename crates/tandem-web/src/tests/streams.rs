//! Streams: line by line as things happen, ended by the drain.

use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tandem_types::api::CreateApp;
use tandem_types::destroy::Progress;
use tandem_types::document::{Change, JournalEntry};
use tokio::time::timeout;

use super::harness::{Api, LIMIT};

async fn create(api: &Api, name: &str) {
    let app = CreateApp { name: name.parse().expect("a name") };
    let _: Value = api.client.post("/v1/apps", &app).await.expect("created");
}

#[tokio::test]
async fn a_watch_lists_tells_what_comes_and_resumes_behind_its_cursor() {
    let api = Api::start().await;
    create(&api, "shop").await;
    let mut watch = api.client.watch(&["apps/"]);
    let mut keys = Vec::new();
    let mut created = false;
    while let Ok(change) = timeout(LIMIT, watch.next()).await {
        match change {
            Change::Put { document } => keys.push(document.key),
            Change::Live { .. } if !created => {
                created = true;
                create(&api, "blog").await;
            }
            _ => {}
        }
        if keys.iter().any(|key| key == "apps/blog") {
            break;
        }
    }
    assert!(keys.iter().any(|key| key == "apps/shop"), "{keys:?}");
    let mut later = api.client.watch(&["apps/"]).resume(watch.cursor().cloned());
    let first = timeout(LIMIT, later.next()).await.expect("a change");
    assert!(!matches!(first, Change::Reset), "the cursor is known: {first:?}");
    api.finish().await;
}

#[tokio::test]
async fn who_was_away_for_longer_than_deletions_are_remembered_lists_anew() {
    let api = Api::start().await;
    create(&api, "shop").await;
    let mut watch = api.client.watch(&["apps/"]);
    let until_live = async |watch: &mut tandem_kit::api::Watch| {
        let mut told = Vec::new();
        loop {
            match timeout(LIMIT, watch.next()).await.expect("a change") {
                Change::Live { .. } => return told,
                change => told.push(change),
            }
        }
    };
    until_live(&mut watch).await;
    let cursor = watch.cursor().cloned();
    drop(watch);
    create(&api, "blog").await;
    api.store.compact(tandem_types::Revision(u64::MAX)).await.expect("compacted");
    let told = until_live(&mut api.client.watch(&["apps/"]).resume(cursor)).await;
    assert!(matches!(told[0], Change::Reset), "{told:?}");
    let is_put = |name: &str| {
        told.iter().any(|change| matches!(change, Change::Put { document } if document.key == name))
    };
    assert!(is_put("apps/shop") && is_put("apps/blog"), "{told:?}");
    api.finish().await;
}

#[tokio::test]
async fn the_journal_is_oldest_first_limited_to_the_latest_and_filtered_by_subject() {
    let api = Api::start().await;
    for name in ["one", "two", "three"] {
        create(&api, name).await;
    }
    let read = async |query: &str| -> Vec<JournalEntry> {
        let path = format!("/v1/journal?{query}");
        api.client.lines(&path).try_collect().await.expect("the journal")
    };
    let subjects = |entries: &[JournalEntry]| -> Vec<String> {
        entries.iter().map(|entry| entry.cause.subject.clone()).collect()
    };
    let latest = read("limit=2").await;
    assert_eq!(subjects(&latest), ["two/production", "three/production"]);
    let one = read("subject=one/production").await;
    assert_eq!(subjects(&one), ["one/production"]);
    let after = read(&format!("after={}&limit=1", one[0].revision)).await;
    assert_eq!(subjects(&after), ["two/production"], "with `after` it goes on from there");
    api.finish().await;
}

#[tokio::test]
async fn a_followed_journal_tells_each_entry_once_as_it_is_written() {
    let api = Api::start().await;
    create(&api, "one").await;
    let mut lines = api.client.lines::<JournalEntry>("/v1/journal?follow=true&subject=two&limit=10");
    create(&api, "two").await;
    let first = timeout(LIMIT, lines.next()).await.expect("in time").expect("a line").expect("an entry");
    assert_eq!(first.cause.subject, "two/production");
    let change = json!({"set": {"A": "1"}, "no_deploy": true});
    let _: Value = api.client.patch("/v1/apps/two/envs/production/config", &change).await.expect("changed");
    let second = timeout(LIMIT, lines.next()).await.expect("in time").expect("a line").expect("an entry");
    assert!(second.revision > first.revision);
    assert_eq!(second.cause.action, "config.set");
    api.finish().await;
}

#[tokio::test]
async fn open_streams_do_not_hold_up_the_end_of_the_server() {
    let api = Api::start().await;
    let mut watch = api.client.watch(&[""]);
    timeout(LIMIT, watch.next()).await.expect("a first change");
    let mut journal = api.client.lines::<JournalEntry>("/v1/journal?follow=true");
    timeout(LIMIT, journal.next()).await.expect("a first line");
    api.finish().await;
}

#[tokio::test]
async fn a_destroy_is_accepted_at_once_and_what_it_waits_for_is_a_stream() {
    let api = Api::start().await;
    create(&api, "shop").await;
    let mut early = api.client.lines::<Progress>("/v1/apps/shop/destroy");
    let refused = early.next().await.expect("an answer").expect_err("nobody asked for it yet");
    assert_eq!(refused.problem().expect("a problem").code, "app_not_destroying");
    let () = api.client.delete("/v1/apps/shop?confirm=true").await.expect("accepted");
    // Nothing carries it out here, so it is still to come.
    let mut lines = api.client.lines::<Progress>("/v1/apps/shop/destroy");
    let first = timeout(LIMIT, lines.next()).await.expect("in time").expect("a line").expect("progress");
    assert!(!first.destroyed);
    drop((early, lines));
    api.finish().await;
}
