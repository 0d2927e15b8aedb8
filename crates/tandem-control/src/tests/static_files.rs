//! Static files of builds are there for as long as routing tables name them.

use std::sync::Arc;
use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_types::build::Subtree;
use tandem_types::rollout::RolloutState;
use tandem_types::routing::{RoutingDocument, StaticFolder};
use tandem_types::tree::{Entry, Tree};
use tandem_types::{BuildNumber, Digest, Span, Timestamp, defaults, keys};

use super::site::Site;
use crate::housekeeping::{Housekeeping, kept_builds, live_roots, named_roots};

/// More than a rollback can go back to.
const DEPLOYS: usize = defaults::KEEP_RELEASES + 3;

fn part(name: &str, mount: &str, tree: Digest) -> Subtree {
    Subtree { name: name.to_owned(), mount: mount.to_owned(), tree, bytes: 0, files: 0 }
}

/// Deploys a build with static files of its own: a part right at one folder, and another folder inside the app's part.
/// Returns the two trees.
async fn deploy(site: &Site, content: &str) -> [Digest; 2] {
    let blobs = &site.handle.shared.blobs;
    let tree = |name: &str, entry| {
        let entries = [(name.to_owned(), entry)].into();
        blobs.put_tree(&Tree { entries }).expect("put")
    };
    let folder = |content: String| {
        let digest = blobs.put(content.as_bytes()).expect("put");
        tree("site.css", Entry::File { digest, size: content.len() as u64, executable: false })
    };
    let (collected, inside) = (folder(format!("collected {content}")), folder(format!("inside {content}")));
    let app = tree("public", Entry::Folder { digest: inside });
    *site.builder.subtrees.lock().expect("lock") =
        vec![part("app", "/app", app), part("static", "/app/staticfiles", collected)];
    let folders = [("/static/", "staticfiles"), ("/public/", "public")];
    site.builder.spec.lock().expect("lock").static_folders =
        folders.map(|(prefix, folder)| (prefix.to_owned(), folder.to_owned())).into();
    assert_eq!(site.deploy().await.state, RolloutState::Completed);
    [collected, inside]
}

/// Deploys more often than a rollback can go back, and waits until nothing runs of the first two.
async fn deploy_often(site: &Site) -> Vec<[Digest; 2]> {
    let mut trees = Vec::new();
    for number in 0..DEPLOYS {
        trees.push(deploy(site, &number.to_string()).await);
    }
    let kept = || site.handle.shared.look(|mirror| kept_builds(mirror, &site.place.app));
    site.until("two builds are left", || kept().first() == Some(&BuildNumber(3))).await;
    trees
}

/// The folders of the table that is served.
fn folders(site: &Site) -> Vec<StaticFolder> {
    let routing = site.handle.shared.value::<RoutingDocument>(keys::ROUTING_TABLE).expect("a table");
    routing.serving.routes[0].static_folders.clone()
}

/// Removes all blobs that need not stay, however young.
async fn sweep(site: &Site) {
    let housekeeping = Housekeeping::new(Arc::clone(&site.handle.shared));
    housekeeping.sweep_blobs_unused_since(Timestamp::MAX).await.expect("swept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_table_names_is_here_after_more_deploys_than_roll_back_and_a_sweep() {
    let mut site = Site::start_after(defaults::BALANCER_LIVE).await;
    let mut trees = deploy_often(&site).await;
    sweep(&site).await;
    // Nothing that was found before is remembered.
    site.restart().await;
    trees.push(deploy(&site, "the last").await);
    trees.reverse();
    let [public, collected] = &folders(&site)[..] else { panic!("two folders: {:?}", folders(&site)) };
    assert_eq!(collected.trees, trees.iter().map(|[collected, _]| *collected).collect::<Vec<_>>());
    assert_eq!(public.trees, trees.iter().map(|[_, inside]| *inside).collect::<Vec<_>>());
    let blobs = &site.handle.shared.blobs;
    assert_eq!(blobs.missing(&collected.trees).expect("looked"), []);
    assert_eq!(blobs.missing(&public.trees).expect("looked"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_served_for_days_keeps_what_it_names_and_nothing_else_that_is_old_stays() {
    let site = Site::start_after(defaults::BALANCER_LIVE).await;
    deploy_often(&site).await;
    let days_later = site.handle.shared.now() + Duration::from_secs(3 * 24 * 3600);
    let named = site.handle.shared.look(|mirror| named_roots(mirror, days_later));
    let in_table: Vec<_> = folders(&site).into_iter().flat_map(|folder| folder.trees).collect();
    assert_eq!(in_table.len(), 2 * DEPLOYS);
    assert!(in_table.iter().all(|tree| named.contains(tree)));
    // And the parts of the build that serves.
    assert_eq!(named.len(), in_table.len() + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_goes_on_where_files_that_a_table_names_are_lost() {
    let site = Site::start_after(defaults::BALANCER_LIVE).await;
    deploy_often(&site).await;
    let blobs = &site.handle.shared.blobs;
    let gone = folders(&site)[1].trees[DEPLOYS - 1];
    let kept = site.handle.shared.look(live_roots);
    blobs.sweep(&kept, Timestamp::MAX).expect("swept");
    assert_eq!(blobs.missing(&[gone]).expect("looked"), [gone]);
    let nobodys = blobs.put(b"nobody's").expect("put");
    sweep(&site).await;
    assert_eq!(blobs.has(&[nobodys]), [false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_whose_files_are_gone_is_not_looked_into_again_and_again() {
    let noon: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
    let (clock, _hands) = Clock::manual(noon);
    let mut site = Site::start_with(Span::seconds(0), clock).await;
    deploy(&site, "first").await;
    site.handle.shared.blobs.sweep(&[], Timestamp::MAX).expect("swept");
    // The server that starts looks into it as soon as it has a world.
    site.builder.looked_into.lock().expect("lock").clear();
    site.restart().await;
    deploy(&site, "second").await;
    let looked_into = site.builder.looked_into.lock().expect("lock").clone();
    let first = looked_into.iter().filter(|build| **build == BuildNumber(1)).count();
    assert_eq!(first, 1, "while the clock stood still: {looked_into:?}");
    assert_eq!(folders(&site).len(), 2, "the new build serves its own");
}
