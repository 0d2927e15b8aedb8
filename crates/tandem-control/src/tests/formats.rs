//! Documents that a newer version wrote: what this one would drop of them stays, since it does not write over them.

use serde_json::json;
use tandem_store::{Expect, Transaction};
use tandem_types::api::ConfigChange;
use tandem_types::document::{Cause, Document, Kind};
use tandem_types::environment::Environment;
use tandem_types::keys;

use super::site::Site;

/// Makes the environment one of a newer version, with a field that nobody here knows.
async fn make_newer(site: &Site) -> Document {
    let key = keys::environment(&site.place.app, &site.place.environment);
    let mut stored = site.store.get(&key).await.expect("a store").expect("an environment");
    stored.body["canary"] = json!({"share": 5});
    let (name, version) = Environment::KIND.split_once('/').expect("a kind");
    let newer = format!("{name}/{}", version.parse::<u32>().expect("a version") + 1);
    let cause = Cause {
        actor: "system:newer".to_owned(),
        action: "test".to_owned(),
        reason: String::new(),
        subject: String::new(),
    };
    let write = Transaction::new(cause).put_value(
        &key,
        (newer.as_str(), stored.body),
        Expect::Revision(stored.revision),
    );
    site.store.transact(write).await.expect("written");
    site.store.get(&key).await.expect("a store").expect("an environment")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_versions_document_is_not_written_over_and_people_are_told_what_to_do() {
    let site = Site::start().await;
    site.deploy().await;
    let newer = make_newer(&site).await;
    let set = [("COLOR".to_owned(), "blue".to_owned())].into();
    let change = ConfigChange { set, ..ConfigChange::default() };
    let refused = site.handle.change_config("unix:ana", &site.place, change).await.expect_err("refused");
    assert!(refused.title.contains("a newer version of Tandem wrote it"), "{}", refused.title);
    assert!(refused.hint.contains("upgrade this `tandem`"), "{}", refused.hint);
    let now = site.store.get(&newer.key).await.expect("a store").expect("an environment");
    assert_eq!(now, newer, "what this version does not know is still there");
    assert!(site.handle.environment(&site.place).is_ok(), "it can be looked at");
}
