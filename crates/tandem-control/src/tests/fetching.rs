//! Sources that the server fetches: what is asked of the fetch, what is kept of it, and what nobody sees.

use tandem_build::git::{Fetched, Pin};
use tandem_store::JournalQuery;
use tandem_types::api::RolloutAction;
use tandem_types::build::{Build, SourceInfo};
use tandem_types::git::GitSource;
use tandem_types::rollout::{Rollout, RolloutState};
use tandem_types::{Digest, keys};

use super::builds::{KEY, PRIVATE};
use super::site::Site;

const FINGERPRINT: &str = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";

fn source() -> GitSource {
    GitSource { url: "git@git.example:shop.git".to_owned(), reference: Some("main".to_owned()), root: None }
}

fn fetched() -> Fetched {
    let info = SourceInfo { url: Some(source().url), commit: Some("c".repeat(40)), ..SourceInfo::default() };
    Fetched { tree: Digest([7; 32]), info, warnings: vec!["a note of the fetch".to_owned()] }
}

fn pin() -> Pin {
    Pin { host: "git.example".to_owned(), key: KEY.to_owned() }
}

async fn deploy(site: &Site) -> Rollout {
    let number = site.ask(RolloutAction::DeployGit { git: source() }).await.expect("started");
    site.ended(number).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_fetched_with_the_app_s_key_and_built_and_its_commit_is_kept() {
    let site = Site::start().await;
    let key = site.handle.create_deploy_key("unix:ana", &site.place.app).await.expect("a key");
    assert_eq!(
        (key.fingerprint.as_str(), key.public.as_str()),
        (FINGERPRINT, &*format!("{KEY} tandem:guestbook"))
    );
    site.builder.fetched.lock().expect("lock").push(fetched());
    let rollout = deploy(&site).await;
    assert_eq!(rollout.state, RolloutState::Completed, "{:?}", rollout.problem);
    assert_eq!((rollout.git, rollout.source), (Some(source()), None));
    let asked = site.builder.requests.lock().expect("lock").pop().expect("it was fetched");
    assert_eq!((asked.source, asked.known_hosts), (source(), Vec::new()));
    assert_eq!(asked.key.expect("with the key").private, PRIVATE);
    let build =
        site.handle.shared.value::<Build>(&keys::build(&site.place.app, rollout.build.expect("a build")));
    let info = build.expect("it is kept").source.clone();
    assert_eq!((info.url, info.commit), (Some(source().url), Some("c".repeat(40))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_pinned_at_its_first_use_also_where_the_fetch_fails_and_until_somebody_says_otherwise() {
    let mut site = Site::start().await;
    site.builder.pins.lock().expect("lock").push(pin());
    let failed = deploy(&site).await;
    assert_eq!(failed.problem.expect("it failed").code, "git_lfs_pointer");
    let told = format!("{:?}", site.events(failed.number).await);
    assert!(
        told.contains(&format!("git.example was met for the first time: its key {FINGERPRINT}")),
        "{told}"
    );
    site.builder.pins.lock().expect("lock").clear();
    site.restart().await;
    deploy(&site).await;
    let asked = site.builder.requests.lock().expect("lock").pop().expect("it was fetched");
    assert_eq!(asked.known_hosts, [format!("git.example {KEY}")]);
    let unknown = site.handle.forget_git_host("unix:ana", "other.example").await.expect_err("unknown");
    assert_eq!(
        (unknown.code.as_str(), unknown.hint.as_str()),
        ("git_host_not_found", "known hosts are git.example")
    );
    let forgotten = site.handle.forget_git_host("unix:ana", "git.example").await.expect("it was known");
    assert_eq!(forgotten.keys, [KEY]);
    deploy(&site).await;
    let asked = site.builder.requests.lock().expect("lock").pop().expect("it was fetched");
    assert_eq!(asked.known_hosts, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_is_not_fetched_from_is_refused_before_anything_is_written() {
    let site = Site::start().await;
    for (url, code) in [
        ("ext::sh", "git_url_refused"),
        ("file:///etc", "git_url_refused"),
        ("http://h/x", "git_url_refused"),
        ("https://joe:pw@h/x", "git_url_password"),
    ] {
        let git = GitSource { url: url.to_owned(), ..source() };
        let refused = site.ask(RolloutAction::DeployGit { git }).await.expect_err(url);
        assert_eq!(refused.code, code, "{url}");
    }
    let git = GitSource { reference: Some("--upload-pack=id".to_owned()), ..source() };
    let refused = site.ask(RolloutAction::DeployGit { git }).await.expect_err("refused");
    assert_eq!(refused.code, "git_ref_invalid");
    assert!(site.handle.app(&site.place.app).is_err(), "no app came to be");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_private_half_of_a_key_is_nowhere_and_it_goes_with_its_app() {
    let site = Site::start().await;
    let app = site.place.app.clone();
    site.handle.create_deploy_key("unix:ana", &app).await.expect("a key");
    let again = site.handle.create_deploy_key("unix:ana", &app).await.expect_err("one an app");
    assert_eq!(again.code, "key_exists");
    let journal = site.store.journal(JournalQuery::default()).await.expect("a journal");
    let documents = site.store.list("git/").await.expect("documents");
    let seen = format!("{journal:?} {documents:?} {:?}", site.handle.deploy_key(&app));
    assert!(seen.contains(FINGERPRINT) && !seen.contains("never-to-be-seen"), "{seen}");
    site.destroy().await;
    assert_eq!(site.store.list("git/keys/").await.expect("documents").documents.len(), 0);
}
