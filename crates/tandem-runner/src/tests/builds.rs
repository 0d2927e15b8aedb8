//! Builds are fetched, checked out and told of.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_kit::files;
use tandem_types::assignment::Assignment;
use tandem_types::instance::InstanceState;
use tandem_types::{BuildNumber, Digest, Fence, Span};

use super::scene::Scene;
use crate::testing::instance;

#[tokio::test]
async fn a_build_that_an_assignment_names_is_checked_out_and_told() {
    let scene = Scene::new().await;
    let assignment = scene.assignment(&[("hello.txt", "hello")]);
    let mut scene = scene;
    scene.server.put(&assignment);
    scene.start();
    let staged = scene.until("b1", |report| report.staged.first().map(|staged| staged.build)).await;
    assert_eq!(staged, BuildNumber(1));
    let tree = assignment.builds[&BuildNumber(1)].subtrees[0].tree.to_string();
    let file = scene.data.runner().join("trees").join(&tree).join("hello.txt");
    assert_eq!(scene.file(&file).await, "hello");
    scene.drain(crate::EndMode::Leave).await;
}

#[tokio::test]
async fn a_build_whose_blobs_are_missing_is_told_with_the_reason_and_tried_again() {
    let mut scene = Scene::new().await;
    let elsewhere = Scene::new().await;
    let assignment = elsewhere.assignment(&[("hello.txt", "hello")]);
    scene.server.put(&assignment);
    scene.start();
    let reason =
        scene.until("a failure", |report| report.stage_failures.first().map(|f| f.reason.clone())).await;
    assert!(reason.starts_with("fetch blobs from the server"), "{reason}");
    assert_eq!(scene.assignment(&[("hello.txt", "hello")]), assignment, "the server has the blobs now");
    scene.until("b1 to be staged", |report| report.staged.first().map(|_| ())).await;
    scene.until("no failure", |report| report.stage_failures.is_empty().then_some(())).await;
}

/// The next server would end the rollout for what is told as a failure of its build.
#[tokio::test]
async fn a_server_that_goes_away_while_it_is_asked_for_blobs_is_no_failure_of_the_build() {
    let mut scene = Scene::new().await;
    let assignment = scene.assignment(&[("hello.txt", "hello")]);
    scene.server.hold_blobs(true);
    scene.server.put(&assignment);
    scene.start();
    scene.server.fetches(1).await;
    scene.server.go_away();
    scene.server.come_back().await;
    scene.server.fetches(2).await;
    let fence = Fence(2);
    scene.server.put(&Assignment { fence, ..assignment });
    let failures =
        scene.until("a report", |report| (report.fence == fence).then(|| report.stage_failures.clone()));
    assert_eq!(failures.await, []);
    scene.server.go_away();
    scene.server.hold_blobs(false);
    scene.server.come_back().await;
    scene.until("b1 to be staged", |report| report.staged.first().map(|_| ())).await;
}

#[tokio::test]
async fn a_server_that_cuts_every_answer_off_is_told_with_the_reason() {
    let mut scene = Scene::new().await;
    let assignment = scene.assignment(&[("hello.txt", "hello")]);
    damage(&scene.folder.path().join("blobs"));
    scene.server.put(&assignment);
    scene.start();
    let reason =
        scene.until("a failure", |report| report.stage_failures.first().map(|f| f.reason.clone())).await;
    assert!(reason.starts_with("fetch blobs from the server: receive blobs"), "{reason}");
}

/// Leaves nothing of use in any file of a folder.
fn damage(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).expect("it is there").flatten() {
        if entry.path().is_dir() {
            damage(&entry.path());
        } else {
            files::write_atomic_unsynced(&entry.path(), b"rot", 0o600).expect("there is room");
        }
    }
}

#[tokio::test]
async fn a_build_that_is_here_is_told_while_the_server_has_no_blobs() {
    let mut scene = Scene::new().await;
    let assignment = scene.assignment(&[("hello.txt", "hello")]);
    scene.server.put(&assignment);
    scene.start();
    scene.until("b1 to be staged", |report| report.staged.first().map(|_| ())).await;
    scene.kill().await;
    std::fs::remove_dir_all(scene.folder.path().join("blobs")).expect("it is ours");
    scene.start();
    let fence = Fence(2);
    scene.server.put(&Assignment { fence, ..assignment });
    let staged =
        scene.until("the new fence", |report| (report.fence == fence).then(|| report.staged.clone()));
    assert_eq!(staged.await.len(), 1);
}

#[tokio::test]
async fn a_tree_goes_once_nothing_that_still_ends_runs_on_it() {
    let mut scene = Scene::new().await;
    scene.pace.keep_trees = Duration::from_millis(50);
    let worker = "worker".parse().expect("it is a name");
    let command = "trap '' TERM; while [ ! -e /data/end ]; do sleep 0.1; done; cat /app/name > /data/last";
    let mut old = instance(1, &worker, command);
    old.spec.stop_timeout = Span::minutes(2);
    let first = Assignment { instances: vec![old], ..scene.assignment(&[("name", "old\n")]) };
    let tree =
        scene.data.runner().join("trees").join(first.builds[&BuildNumber(1)].subtrees[0].tree.to_string());
    scene.server.put(&first);
    scene.start();
    scene.state(1, InstanceState::Ready).await;
    let bare = Assignment { fence: Fence(2), instances: Vec::new(), builds: BTreeMap::new(), ..first };
    scene.server.put(&bare);
    scene.state(1, InstanceState::Stopping).await;
    let other = scene.data.runner().join("trees").join(Digest([7; 32]).to_string());
    files::ensure_dir(&other, 0o700).expect("there is room");
    scene.eventually("the other tree to go", || !other.exists()).await;
    assert!(tree.exists());
    files::write_atomic_unsynced(&scene.volume("end"), b"", 0o644).expect("there is room");
    assert_eq!(scene.file(&scene.volume("last")).await, "old\n");
    scene.eventually("its tree to go", || !tree.exists()).await;
}

/// After an app was destroyed, the next one of its name has a b1 too.
#[tokio::test]
async fn a_namesake_waits_for_its_own_tree_while_the_old_one_still_ends() {
    let mut scene = Scene::new().await;
    let command = "trap '' TERM; cat /app/name > /data/old; while :; do sleep 0.1; done";
    let mut old = instance(1, &"worker".parse().expect("it is a name"), command);
    old.spec.stop_timeout = Span::minutes(2);
    let destroyed = Assignment { instances: vec![old], ..scene.assignment(&[("name", "old\n")]) };
    scene.server.put(&destroyed);
    scene.start();
    scene.state(1, InstanceState::Ready).await;
    scene.server.delete(&destroyed);
    scene.state(1, InstanceState::Stopping).await;
    let elsewhere = Scene::new().await;
    let new =
        instance(2, &"worker".parse().expect("it is a name"), "cat /app/name > /data/new; exec sleep 1000");
    let namesake = Assignment { instances: vec![new], ..elsewhere.assignment(&[("name", "new\n")]) };
    scene.server.put(&namesake);
    let waiting = scene.line(2, "i2", |_| true).await;
    assert_eq!(waiting.detail.as_deref(), Some("waits for build b1 to be checked out"));
    scene
        .until("a failure", |report| {
            (report.staged.is_empty() && !report.stage_failures.is_empty()).then_some(())
        })
        .await;
    assert_eq!(
        scene.assignment(&[("name", "new\n")]).builds,
        namesake.builds,
        "the server has the blobs now"
    );
    assert_eq!(scene.file(&scene.volume("new")).await, "new\n");
    assert_eq!(scene.file(&scene.volume("old")).await, "old\n");
}
