//! Values of config are seen by the instances that get them, and nowhere else.

use tandem_store::JournalQuery;
use tandem_types::ReleaseNumber;
use tandem_types::api::{ConfigChange, CreateApp, CreateToken};

use super::actors::alpha;
use super::site::Site;

const SECRET: &str = "correct-horse-battery-staple";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_nowhere_on_the_disk_and_in_no_answer() {
    let site = Site::start().await;
    site.handle.create_app("unix:ana", CreateApp { name: site.place.app.clone() }).await.expect("created");
    let change =
        ConfigChange { set: [("KEY".to_owned(), SECRET.to_owned())].into(), ..ConfigChange::default() };
    site.handle.change_config("unix:ana", &site.place, change).await.expect("set");
    let rollout = site.deploy().await;
    let config = site.handle.instance_config(&alpha(), &site.place, ReleaseNumber(1)).await.expect("config");
    assert_eq!(config.environment.get("KEY").map(String::as_str), Some(SECRET));

    let journal = site.store.journal(JournalQuery::default()).await.expect("a journal");
    assert!(journal.iter().any(|entry| entry.cause.reason.starts_with("KEY=")), "names and digests are told");
    let answers = format!(
        "{journal:?} {:?} {:?} {:?} {config:?}",
        site.handle.releases(&site.place),
        site.handle.config("unix:ana", &site.place, false).await,
        site.events(rollout.number).await,
    );
    assert!(!answers.contains(SECRET), "{answers}");
    for path in files_below(site.data.root()) {
        let content = std::fs::read(&path).expect("a file");
        let found = content.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "the value is in {}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_told_only_to_a_host_that_runs_it() {
    let site = Site::start().await;
    site.deploy().await;
    let other = "beta".parse().expect("a host name");
    let refused = site.handle.instance_config(&other, &site.place, ReleaseNumber(1)).await;
    assert_eq!(refused.expect_err("refused").code, "not_assigned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_deploy_of_django_gets_a_key_of_its_own_that_lasts() {
    let site = Site::start().await;
    let settings = ("DJANGO_SETTINGS_MODULE".to_owned(), "guestbook.settings".to_owned());
    site.builder.spec.lock().expect("lock").environment = [settings].into();
    site.deploy().await;
    site.deploy().await;
    let key = |release: u64| {
        let (handle, place) = (site.handle.clone(), site.place.clone());
        async move {
            let config =
                handle.instance_config(&alpha(), &place, ReleaseNumber(release)).await.expect("config");
            config.environment.get("SECRET_KEY").cloned().expect("a key")
        }
    };
    let (first, second) = (key(1).await, key(2).await);
    assert_eq!((first.len(), &first), (64, &second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_seen_once_works_until_it_is_revoked_and_is_kept_as_a_hash() {
    let site = Site::start().await;
    let asked = CreateToken { name: "ci".to_owned() };
    let created = site.handle.create_token("unix:ana", asked.clone()).await.expect("a token");
    assert_eq!(site.handle.verify_token(&created.token).as_deref(), Some("token:ci"));
    assert_eq!(site.handle.verify_token("tandem_wrong"), None);
    let again = site.handle.create_token("unix:ana", asked).await.err().expect("refused");
    assert_eq!(again.code, "token_exists");
    let stored = serde_json::to_string(&site.handle.tokens()).expect("JSON");
    assert!(!stored.contains(created.token.trim_start_matches("tandem_")));
    site.handle.revoke_token("unix:ana", "ci").await.expect("revoked");
    assert_eq!(site.handle.verify_token(&created.token), None);
    assert_eq!(
        site.handle.revoke_token("unix:ana", "ci").await.expect_err("refused").code,
        "token_not_found"
    );
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}
