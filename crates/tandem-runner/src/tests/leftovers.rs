//! What an earlier runner left is taken over, or removed once it is certain that nobody names it.

use tandem_kit::files;
use tandem_types::assignment::Assignment;
use tandem_types::instance::{InstanceObservation, InstanceState};

use super::scene::Scene;
use crate::folders::Unit;
use crate::testing::instance;

async fn worker(command: &str, singleton: bool) -> (Scene, Assignment) {
    let mut scene = Scene::new().await;
    let mut worker = instance(1, &"worker".parse().expect("it is a name"), command);
    worker.spec.singleton = singleton;
    let assignment = Assignment { instances: vec![worker], ..scene.assignment(&[]) };
    scene.server.put(&assignment);
    scene.start();
    scene.state(1, InstanceState::Ready).await;
    (scene, assignment)
}

const WORK: &str = "echo up >> /data/starts; exec sleep 1000";

fn damage(scene: &Scene) {
    let record = scene.data.runner().join("instances/i1/instance.json");
    files::write_atomic_unsynced(&record, b"{", 0o600).expect("it is ours");
}

#[tokio::test]
async fn an_instance_with_a_damaged_record_is_taken_over_where_an_assignment_names_it() {
    let (mut scene, _) = worker(WORK, false).await;
    let before = scene.state(1, InstanceState::Ready).await;
    scene.kill().await;
    damage(&scene);
    scene.start();
    let after = scene.line(1, "i1 to be ready again", |line| line.state == InstanceState::Ready).await;
    assert_eq!((after.pid, scene.lines("starts")), (before.pid, 1));
}

#[tokio::test]
async fn a_process_that_nobody_knows_is_ended_and_its_folder_removed() {
    let (mut scene, assignment) = worker(WORK, false).await;
    scene.kill().await;
    damage(&scene);
    scene.server.delete(&assignment);
    scene.start();
    let folder = scene.data.runner().join("instances/i1");
    scene.eventually("the folder to go", || !folder.exists()).await;
    let groups = tandem_sandbox::cgroup::list(&scene.data.cgroup_name()).expect("they can be listed");
    assert!(!groups.contains(&"i1".to_owned()), "{groups:?}");
}

#[tokio::test]
async fn a_process_that_nobody_knows_keeps_its_tree_until_it_has_ended() {
    let mut scene = Scene::new().await;
    scene.pace.keep_trees = std::time::Duration::from_millis(50);
    // Takes many times as long to end as a tree stays.
    let command = "bye() { n=0; while [ $n -lt 20 ]; do sleep 0.1; n=$((n+1)); done; \
                   cat /app/name > /data/last || echo gone > /data/last; exit 0; }; \
                   trap bye TERM; while :; do sleep 0.1; done";
    let worker = instance(1, &"worker".parse().expect("it is a name"), command);
    let assignment = Assignment { instances: vec![worker], ..scene.assignment(&[("name", "its own\n")]) };
    let tree = assignment.builds.values().next().expect("it has one").subtrees[0].tree;
    let tree = scene.data.runner().join("trees").join(tree.to_string());
    scene.server.put(&assignment);
    scene.start();
    scene.state(1, InstanceState::Ready).await;
    scene.kill().await;
    damage(&scene);
    scene.server.delete(&assignment);
    scene.start();
    assert_eq!(scene.file(&scene.volume("last")).await, "its own\n");
    scene.eventually("its tree to go", || !tree.exists()).await;
}

#[tokio::test]
async fn without_a_server_only_what_may_run_twice_is_started_again() {
    let (mut scene, mut assignment) = worker(WORK, true).await;
    let mut plain =
        instance(2, &"worker".parse().expect("it is a name"), "echo up >> /data/plain; exec sleep 1000");
    plain.index = 2;
    assignment.instances.push(plain);
    scene.server.put(&assignment);
    scene.state(2, InstanceState::Ready).await;
    scene.kill().await;
    for id in [1, 2] {
        scene.kill_shim(Unit::Instance(tandem_types::InstanceId(id))).await;
    }
    scene.server.go_away();
    scene.start();
    scene.eventually("a second start", || scene.lines("plain") == 2).await;
    assert_eq!(scene.lines("starts"), 1, "a singleton waits for the server's word");
    scene.server.come_back().await;
    scene.eventually("the singleton", || scene.lines("starts") == 2).await;
}

#[tokio::test]
async fn an_instance_whose_volume_is_gone_is_not_started_before_a_person_has_spoken() {
    let (mut scene, _) = worker(WORK, false).await;
    scene.kill().await;
    scene.kill_shim(Unit::Instance(tandem_types::InstanceId(1))).await;
    let volume = scene.volume("");
    std::fs::remove_dir_all(&volume).expect("it is ours");
    scene.start();
    let told =
        |line: &InstanceObservation| line.detail.as_ref().is_some_and(|told| told.contains("mkdir -p"));
    let line = scene.line(1, "the reason", told).await;
    assert_eq!((line.state, volume.exists()), (InstanceState::Crashed, false));
    std::fs::create_dir(&volume).expect("there is room");
    if nix::unistd::Uid::effective().is_root() {
        std::os::unix::fs::chown(&volume, Some(70_000), Some(70_000)).expect("we are root");
    }
    scene.state(1, InstanceState::Ready).await;
    assert_eq!(scene.lines("starts"), 1);
}

#[tokio::test]
async fn what_is_left_of_an_instance_is_found_later_too() {
    let mut scene = Scene::new().await;
    scene.pace.sweep = std::time::Duration::from_millis(50);
    let worker = instance(1, &"worker".parse().expect("it is a name"), WORK);
    scene.server.put(&Assignment { instances: vec![worker], ..scene.assignment(&[]) });
    scene.start();
    let before = scene.state(1, InstanceState::Ready).await;
    let stray = scene.data.runner().join("instances/i99");
    files::ensure_dir(&stray, 0o700).expect("there is room");
    let secret = scene.data.runtime().join("secrets/i98.json");
    files::write_atomic_unsynced(&secret, b"{}", 0o600).expect("there is room");
    scene.eventually("both to go", || !stray.exists() && !secret.exists()).await;
    // It counts as ready after a second; what it writes first may take longer.
    scene.eventually("it to have begun", || scene.lines("starts") > 0).await;
    let after = scene.state(1, InstanceState::Ready).await;
    assert_eq!((after.pid, scene.lines("starts")), (before.pid, 1));
}
