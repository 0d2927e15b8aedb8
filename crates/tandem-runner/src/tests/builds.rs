//! Builds are fetched, checked out and told of.

use tandem_types::assignment::Assignment;
use tandem_types::{BuildNumber, Fence};

use super::scene::Scene;

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
