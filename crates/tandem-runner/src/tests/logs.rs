//! Logs over the runner's own socket.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tandem_kit::api::{Client, Error, Server};
use tandem_types::ReleaseNumber;
use tandem_types::assignment::{AssignedInstance, Assignment, JobKind};
use tandem_types::event::{LogLine, Stream};
use tandem_types::instance::{Address, InstanceState};

use super::scene::Scene;
use crate::testing::{instance, job};

type Lines = BoxStream<'static, Result<LogLine, Error>>;

async fn client(scene: &Scene) -> Client {
    let api = scene.until("its address", |report| Some(report.api.clone())).await;
    match api {
        Address::Unix(path) => Client::new(Server::Unix(path)),
        Address::Tcp(_) => panic!("a runner answers on a socket"),
    }
}

fn worker(id: u64, command: &str) -> AssignedInstance {
    instance(id, &"worker".parse().expect("it is a name"), command)
}

/// The text of the next line that an app wrote itself.
async fn next(lines: &mut Lines) -> LogLine {
    loop {
        let line = tokio::time::timeout(super::scene::LIMIT, lines.next()).await.expect("a line comes");
        let line = line.expect("the stream goes on").expect("it is a line");
        if line.stream != Stream::Tandem {
            return line;
        }
    }
}

#[tokio::test]
async fn lines_come_in_the_order_of_time_over_all_instances_and_then_as_they_are_written() {
    let mut scene = Scene::new().await;
    let wait = |name: &str| format!("while [ ! -e /data/{name} ]; do sleep 0.01; done");
    let mut assignment = Assignment {
        instances: vec![
            worker(1, &format!("echo a; {}; echo c >&2; exec sleep 1000", wait("c"))),
            worker(2, &format!("{}; echo b; exec sleep 1000", wait("b"))),
        ],
        ..scene.assignment(&[])
    };
    scene.server.put(&assignment);
    scene.start();
    let client = client(&scene).await;
    let mut lines: Lines = client.lines("/v1/logs?app=guestbook&env=production&follow=true");
    let expected = [("a", Stream::Stdout, "i1"), ("b", Stream::Stdout, "i2"), ("c", Stream::Stderr, "i1")];
    for ((text, stream, id), then) in expected.into_iter().zip(["b", "c", "end"]) {
        let line = next(&mut lines).await;
        let instance = line.instance.expect("it is an instance's").to_string();
        assert_eq!((line.text.as_str(), line.stream, instance.as_str()), (text, stream, id));
        scene.touch(then);
    }
    let there: Lines = client.lines("/v1/logs?app=guestbook&env=production");
    let there: Vec<LogLine> = there.map(|line| line.expect("it is a line")).collect().await;
    let said = there.iter().filter(|line| line.stream != Stream::Tandem).map(|line| line.text.as_str());
    assert_eq!(said.collect::<Vec<_>>(), ["a", "b", "c"]);

    let mut later = worker(3, "echo d; exec sleep 1000");
    later.release = ReleaseNumber(2);
    assignment.instances.push(later);
    scene.server.put(&assignment);
    let line = next(&mut lines).await;
    assert_eq!((line.text.as_str(), line.release, line.process.as_str()), ("d", ReleaseNumber(2), "worker"));
}

#[tokio::test]
async fn the_lines_of_an_instance_that_is_gone_can_still_be_read() {
    let mut scene = Scene::new().await;
    let mut assignment = Assignment {
        instances: vec![worker(1, "echo last words; exec sleep 1000")],
        ..scene.assignment(&[])
    };
    scene.server.put(&assignment);
    scene.start();
    scene.state(1, InstanceState::Ready).await;
    assignment.instances.clear();
    scene.server.put(&assignment);
    scene.until("no instance", |report| report.instances.is_empty().then_some(())).await;
    let lines: Lines = client(&scene).await.lines("/v1/logs?app=guestbook&env=production&release=r1");
    let lines: Vec<LogLine> = lines.map(|line| line.expect("it is a line")).collect().await;
    assert!(lines.iter().any(|line| line.text == "last words"), "{lines:?}");
    assert!(lines.iter().any(|line| line.stream == Stream::Tandem), "its end is remarked: {lines:?}");
}

#[tokio::test]
async fn the_lines_of_a_job_end_with_it() {
    let mut scene = Scene::new().await;
    let command = "echo migrating; while [ ! -e /data/go ]; do sleep 0.01; done; echo done";
    scene.server.put(&Assignment { jobs: vec![job(1, JobKind::Release, command)], ..scene.assignment(&[]) });
    scene.start();
    scene.until("the job", |report| report.jobs.first().map(|_| ())).await;
    let mut lines: Lines = client(&scene).await.lines("/v1/jobs/j1/logs?follow=true");
    assert_eq!(next(&mut lines).await.text, "migrating");
    scene.touch("go");
    let line = next(&mut lines).await;
    assert_eq!((line.text.as_str(), line.process.as_str(), line.instance), ("done", "release", None));
    let rest: Vec<_> = tokio::time::timeout(super::scene::LIMIT, lines.collect()).await.expect("it ends");
    assert!(rest.iter().all(|line| line.as_ref().is_ok_and(|line| line.stream == Stream::Tandem)));
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_a_problem() {
    let mut scene = Scene::new().await;
    scene.start();
    let client = client(&scene).await;
    for (path, code) in [
        ("/v1/jobs/j9/logs", "job_not_found"),
        ("/v1/logs?app=guestbook", "bad_query"),
        ("/v1/jobs/nine/logs", "bad_query"),
        ("/v1/secrets", "not_found"),
    ] {
        let error = client.get::<()>(path).await.expect_err(path);
        assert_eq!(error.problem().map(|problem| problem.code.as_str()), Some(code), "{error:?}");
    }
    let error = client.post::<_, ()>("/v1/logs", &()).await.expect_err("it is only read");
    assert_eq!(error.problem().map(|problem| problem.status), Some(405));
}
