//! Archives over the runner's own socket: nothing is stopped for an import that cannot come to its end.

use tandem_kit::api::{Client, Error, Server};
use tandem_kit::http as bodies;
use tandem_types::JobId;
use tandem_types::assignment::{Assignment, JobKind};
use tandem_types::instance::{Address, InstanceState, JobState};
use tandem_types::problem::Problem;
use tandem_types::volume::{VolumeImported, VolumeStaged};

use super::scene::Scene;
use crate::testing::{instance, job};

const QUERY: &str = "app=guestbook&env=production&name=data&uid=70000";

async fn client(scene: &Scene) -> Client {
    let api = scene.until("its address", |report| Some(report.api.clone())).await;
    let Address::Unix(path) = api else { panic!("a runner answers on a socket") };
    Client::new(Server::Unix(path)).waiting(super::scene::LIMIT)
}

fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    builder.append_data(&mut header, "new", b"new\n".as_slice()).expect("it is in memory");
    builder.into_inner().expect("it is in memory")
}

async fn staged(client: &Client) -> u64 {
    let body = bodies::full(archive());
    let answer = client.post_stream(&format!("/v1/volumes/import?{QUERY}"), body).await.expect("it is whole");
    let text = bodies::read_limited(answer.into_body(), 4096).await.expect("it is short");
    serde_json::from_slice::<VolumeStaged>(&text).expect("it says what it has").staged
}

async fn swap(client: &Client) -> Result<VolumeImported, Problem> {
    let number = staged(client).await;
    match client.post(&format!("/v1/volumes/swap?{QUERY}&staged={number}"), &()).await {
        Ok(done) => Ok(done),
        Err(Error::Problem(problem)) => Err(problem),
        Err(error) => panic!("the runner answers: {error}"),
    }
}

#[tokio::test]
async fn an_open_job_refuses_an_import_before_anything_is_stopped() {
    let mut scene = Scene::new().await;
    let worker =
        instance(1, &"worker".parse().expect("it is a name"), "echo up >> /data/up; exec sleep 1000");
    let shell = "touch /data/open; while [ ! -e /data/go ]; do sleep 0.01; done";
    let assignment = Assignment {
        instances: vec![worker],
        jobs: vec![job(2, JobKind::Run, shell)],
        ..scene.assignment(&[])
    };
    scene.server.put(&assignment);
    scene.start();
    let client = client(&scene).await;
    scene.state(1, InstanceState::Ready).await;
    let running = |state: &JobState| matches!(state, JobState::Running);
    scene
        .until("the job", |report| {
            report.jobs.iter().find(|job| job.id == JobId(2) && running(&job.state)).map(drop)
        })
        .await;
    let problem = swap(&client).await.expect_err("a job has the volume");
    assert_eq!(problem.code, "volume_in_use");
    assert!(problem.title.starts_with(&format!("j2 ({shell}) of guestbook/production")), "{problem:?}");
    let line = "`tandem sessions --end j2 --app guestbook --env production` ends j2";
    assert!(problem.hint.contains(line), "{problem:?}");
    assert_eq!(scene.lines("up"), 1, "the app was left alone");
    assert!(!scene.volume("new").exists(), "and so was the volume");

    scene.touch("go");
    scene.job_end(2).await;
    let done = swap(&client).await.expect("nothing has the volume");
    assert_eq!((done.restarted, scene.volume("new").exists()), (1, true));
    scene.eventually("the app is up again", || scene.lines("up") == 1).await;
}

#[tokio::test]
async fn a_volume_that_nobody_declares_and_that_is_not_here_is_not_made_by_an_import() {
    let mut scene = Scene::new().await;
    let worker = instance(1, &"worker".parse().expect("it is a name"), "exec sleep 1000");
    let assignment = Assignment { instances: vec![worker], ..scene.assignment(&[]) };
    scene.server.put(&assignment);
    scene.start();
    let client = client(&scene).await;
    scene.state(1, InstanceState::Ready).await;
    let import = async |name: &str| {
        let path =
            format!("/v1/volumes/import?app=guestbook&env=production&name={name}&uid=70000&undeclared=true");
        client.post_stream(&path, bodies::full(archive())).await.map(drop)
    };
    let Err(Error::Problem(problem)) = import("dtaa").await else { panic!("there is none") };
    assert_eq!(problem.code, "volume_not_found");
    import("data").await.expect("one that is here needs no release");
}
