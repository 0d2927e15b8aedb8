//! Config values are where they are needed, and nowhere on the disk.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tandem_kit::files;
use tandem_types::assignment::{Assignment, JobKind};
use tandem_types::instance::{InstanceObservation, InstanceState};
use tandem_types::{InstanceId, JobId};

use super::scene::Scene;
use crate::folders::Unit;
use crate::testing::{job, web};

const APP: &[(&str, &str)] = &[("app.py", include_str!("app.py"))];
const SECRET: &str = "correct-horse-battery-staple";
/// As `sha256sum` prints it.
const SUM: &str = "87cbebfeebc05f7c54ac9336c4b4bbec831227a641951a4bde7edd56020f8590  -\n";

async fn ready() -> (Scene, InstanceObservation) {
    let mut scene = Scene::new().await;
    scene.server.configure("SECRET_KEY", SECRET);
    let instances =
        vec![web(1, "printf %s \"$SECRET_KEY\" | sha256sum > /data/sum; exec python3 /app/app.py")];
    let jobs = vec![job(1, JobKind::Release, "test -n \"$SECRET_KEY\"")];
    scene.server.put(&Assignment { instances, jobs, ..scene.assignment(APP) });
    scene.start();
    scene.job_end(1).await;
    let line = scene.state(1, InstanceState::Ready).await;
    (scene, line)
}

/// Files below a folder that hold the secret.
fn holders(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("it is there");
        if kind.is_dir() {
            found.extend(holders(&entry.path()));
        } else if kind.is_file() {
            let content = std::fs::read(entry.path()).unwrap_or_default();
            let holds = content.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            found.extend(holds.then(|| entry.path()));
        }
    }
    found.sort();
    found
}

fn secret(scene: &Scene, unit: Unit) -> PathBuf {
    scene.data.runtime().join(format!("secrets/{unit}.json"))
}

const ONE: Unit = Unit::Instance(InstanceId(1));

#[tokio::test]
async fn no_config_value_lies_in_the_data_folder() {
    let (mut scene, _) = ready().await;
    assert_eq!(holders(scene.data.root()), [""; 0].map(PathBuf::from));
    let held = [secret(&scene, ONE), secret(&scene, Unit::Job(JobId(1)))];
    assert_eq!(holders(scene.data.runtime()), held);
    scene.server.put(&scene.assignment(APP));
    scene
        .until("nothing", |report| (report.instances.is_empty() && report.jobs.is_empty()).then_some(()))
        .await;
    assert_eq!(holders(scene.data.runtime()), [""; 0].map(PathBuf::from));
    scene.drain(crate::EndMode::Leave).await;
}

#[tokio::test]
async fn after_a_reboot_the_server_is_asked_again() {
    let (mut scene, _) = ready().await;
    scene.kill().await;
    scene.kill_shim(ONE).await;
    std::fs::remove_dir_all(scene.data.runtime().join("secrets")).expect("it is ours");
    std::fs::remove_file(scene.volume("sum")).expect("it is ours");
    scene.start();
    scene.line(1, "a second start", |line| line.restarts == 1 && line.state == InstanceState::Ready).await;
    assert_eq!(scene.file(&scene.volume("sum")).await, SUM);
    assert_eq!(scene.server.configs_given(), 3, "instance, job, and the instance again");
    assert_eq!(holders(scene.data.root()), [""; 0].map(PathBuf::from));
}

#[tokio::test]
async fn values_that_an_earlier_version_left_are_moved_away_and_still_used() {
    let (mut scene, before) = ready().await;
    scene.kill().await;
    let path = scene.data.runner().join("instances/i1/spec.json");
    let mut spec: Value = files::read_json(&path).expect("it is readable").expect("it is there");
    let secrets: Value =
        files::read_json(&secret(&scene, ONE)).expect("it is readable").expect("it is there");
    let mut environment = secrets.as_object().expect("it is an object").clone();
    environment.extend(spec["sandbox"]["environment"].as_object().expect("it is an object").clone());
    spec["sandbox"]["environment"] = json!(environment);
    spec.as_object_mut().expect("it is an object").remove("secrets");
    files::write_json(&path, &spec, 0o600).expect("there is room");
    let beside = path.with_file_name(".spec.json.0a1b2c3d.tmp");
    files::write_json(&beside, &spec, 0o600).expect("there is room");
    std::fs::remove_dir_all(scene.data.runtime().join("secrets")).expect("it is ours");
    assert_eq!(holders(scene.data.root()).len(), 2);
    let mut observed = scene.server.observed();
    observed.mark_unchanged();
    scene.start();
    observed.changed().await.expect("the server lives");
    let taken_over = scene.state(1, InstanceState::Ready).await;
    assert_eq!((taken_over.pid, taken_over.address), (before.pid, before.address));
    assert_eq!(holders(scene.data.root()), [""; 0].map(PathBuf::from));
    scene.server.go_away();
    std::fs::remove_file(scene.volume("sum")).expect("it is ours");
    scene.touch("exit");
    scene.eventually("a second start", || scene.lines("starts") == 2).await;
    assert_eq!(scene.server.configs_given(), 2, "instance and job");
    let sum = scene.file(&scene.volume("sum")).await;
    assert_eq!(sum, SUM);
}
