//! Instances start, pass their gate, crash, are taken over and stop.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tandem_types::assignment::{Assignment, Desired};
use tandem_types::instance::{Address, InstanceObservation, InstanceState};
use tandem_types::{Fence, Span};

use super::scene::Scene;
use crate::EndMode;
use crate::testing::{instance, web};

const APP: &[(&str, &str)] = &[("app.py", include_str!("app.py"))];

/// One web instance of the small app.
fn one(scene: &Scene) -> Assignment {
    Assignment { instances: vec![web(1, "exec python3 /app/app.py")], ..scene.assignment(APP) }
}

async fn ready() -> (Scene, Assignment, InstanceObservation) {
    let mut scene = Scene::new().await;
    let assignment = one(&scene);
    scene.server.put(&assignment);
    scene.start();
    let line = scene.state(1, InstanceState::Ready).await;
    (scene, assignment, line)
}

fn port(line: &InstanceObservation) -> u16 {
    match line.address {
        Some(Address::Tcp(address)) => address.port(),
        _ => panic!("it has a port: {line:?}"),
    }
}

fn get(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[tokio::test]
async fn an_instance_passes_its_gate_and_tells_where_it_answers() {
    let mut scene = Scene::new().await;
    scene.server.configure("SECRET_KEY", "s3cret");
    let assignment = one(&scene);
    scene.server.put(&assignment);
    scene.start();
    let line = scene.state(1, InstanceState::Ready).await;
    assert_eq!((line.restarts, &line.last_exit, &line.detail), (0, &None, &None));
    assert!(line.pid.is_some() && line.started.is_some());
    let answer = get(port(&line));
    for value in [
        r#""SECRET_KEY": "s3cret""#.to_owned(),
        format!(r#""PORT": "{}""#, port(&line)),
        r#""TANDEM_INSTANCE": "i1""#.to_owned(),
        r#""TMPDIR": "/tmp""#.to_owned(),
        r#""PYTHONUNBUFFERED": "1""#.to_owned(),
    ] {
        assert!(answer.contains(&value), "{value} is not in {answer}");
    }
}

#[tokio::test]
async fn a_runner_that_was_killed_takes_over_the_same_process_as_ready() {
    let (mut scene, _, before) = ready().await;
    scene.kill().await;
    assert!(get(port(&before)).contains("200 OK"), "the app does not notice");
    let mut observed = scene.server.observed();
    observed.mark_unchanged();
    scene.start();
    observed.changed().await.expect("the server lives");
    let report = observed.borrow().clone().expect("it was just sent");
    let first = &report.instances[0];
    assert_eq!((first.pid, first.state, port(first)), (before.pid, InstanceState::Ready, port(&before)));
    assert_eq!((first.restarts, scene.lines("starts")), (0, 1));
}

#[tokio::test]
async fn an_end_that_came_while_the_runner_was_away_is_told_and_answered_by_a_start() {
    let (mut scene, _, before) = ready().await;
    scene.kill().await;
    scene.touch("exit");
    let folder = scene.data.runner().join("instances/i1/exit.json");
    scene.file(&folder).await;
    let _ = scene.server.take_reports();
    scene.start();
    let line =
        scene.line(1, "a second start", |line| line.restarts == 1 && line.state == InstanceState::Ready);
    let line = line.await;
    for report in scene.server.take_reports() {
        let dead = &report.instances[0];
        assert!(dead.restarts == 1 || dead.state == InstanceState::Crashed, "{dead:?}");
    }
    assert_eq!(line.last_exit.clone().expect("it ended").code, Some(7));
    assert_eq!((scene.lines("starts"), port(&line)), (2, port(&before)));
}

#[tokio::test]
async fn a_crash_is_told_with_its_last_lines_and_answered_by_a_start_after_a_growing_wait() {
    let mut scene = Scene::new().await;
    let worker = instance(1, &"worker".parse().expect("it is a name"), "echo working; echo no >&2; exit 3");
    scene.server.put(&Assignment { instances: vec![worker], ..scene.assignment(&[]) });
    scene.start();
    let crashed = scene.state(1, InstanceState::Crashed).await;
    assert_eq!(crashed.last_exit.expect("it ended").code, Some(3));
    assert_eq!(crashed.log_tail, ["working", "no"]);
    let detail = crashed.detail.expect("it is explained");
    assert_eq!(detail, "ended by itself (exit code 3); starts again in 500ms");
    let again =
        scene.line(1, "two restarts", |line| line.state == InstanceState::Crashed && line.restarts == 2);
    let detail = again.await.detail.expect("it is explained");
    assert_eq!(detail, "ended by itself (exit code 3); starts again in 2s");
}

#[tokio::test]
async fn a_worker_is_ready_when_it_ran_for_a_second() {
    let mut scene = Scene::new().await;
    let worker = instance(1, &"worker".parse().expect("it is a name"), "exec sleep 1000");
    scene.server.put(&Assignment { instances: vec![worker], ..scene.assignment(&[]) });
    scene.start();
    let line = scene.state(1, InstanceState::Ready).await;
    assert_eq!(line.address, None);
    let seen = crate::spec::between(line.started.expect("it runs"), tandem_kit::clock::Clock::system().now());
    assert!(seen >= Span::seconds(1), "{seen}");
}

#[tokio::test]
async fn a_stop_is_a_signal_and_is_told_until_nobody_asks() {
    let (scene, mut assignment, _) = ready().await;
    assignment.instances[0].desired = Desired::Stop;
    scene.server.put(&assignment);
    let stopped = scene.state(1, InstanceState::Stopped).await;
    assert_eq!(scene.file(&scene.volume("stopped")).await, "15\n");
    assert_eq!(stopped.last_exit.expect("it ended").code, Some(0));
    assert_eq!((stopped.pid, stopped.restarts), (None, 0));
    assignment.instances.clear();
    scene.server.put(&assignment);
    scene.until("no instance", |report| report.instances.is_empty().then_some(())).await;
    assert!(!scene.data.runner().join("instances/i1").exists());
    assert!(scene.data.runner().join("logs/guestbook.production/i1.log").exists(), "its log stays");
}

#[tokio::test]
async fn one_that_will_not_end_is_killed_after_its_time() {
    let mut scene = Scene::new().await;
    let command = "trap '' TERM; touch /data/up; while :; do sleep 1; done";
    let mut worker = instance(1, &"worker".parse().expect("it is a name"), command);
    worker.spec.stop_timeout = Span::millis(200);
    let mut assignment = Assignment { instances: vec![worker], ..scene.assignment(&[]) };
    scene.server.put(&assignment);
    scene.start();
    scene.state(1, InstanceState::Ready).await;
    assignment.instances[0].desired = Desired::Stop;
    scene.server.put(&assignment);
    let stopped = scene.state(1, InstanceState::Stopped).await;
    assert_eq!(stopped.last_exit.expect("it ended").signal, Some(9));
}

/// Its share of CPU, by whichever version of control groups has the controller here.
fn share(scene: &Scene) -> u64 {
    let group = format!("{}/i1", scene.data.cgroup_name());
    let files = [
        format!("/sys/fs/cgroup/cpu/{group}/cpu.shares"),
        format!("/sys/fs/cgroup/{group}/cpu.weight"),
        format!("/sys/fs/cgroup/unified/{group}/cpu.weight"),
    ];
    let share = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
    share.expect("one version has it").trim().parse().expect("it is a number")
}

#[tokio::test]
async fn warm_and_back_is_the_same_process() {
    let (scene, mut assignment, before) = ready().await;
    let normal = share(&scene);
    for desired in [Desired::Warm, Desired::Run] {
        assignment.instances[0].desired = desired;
        scene.server.put(&assignment);
        let is_warm = desired == Desired::Warm;
        scene.eventually("the share of CPU", || is_warm == (share(&scene) < normal)).await;
    }
    let after = scene.state(1, InstanceState::Ready).await;
    assert_eq!((after.pid, after.restarts), (before.pid, 0));
}

#[tokio::test]
async fn an_order_with_a_smaller_fence_is_ignored() {
    let (scene, assignment, before) = ready().await;
    let mut newer = assignment.clone();
    newer.fence = Fence(7);
    scene.server.put(&newer);
    scene.until("the fence", |report| (report.fence == Fence(7)).then_some(())).await;
    let mut stale = assignment;
    stale.instances[0].desired = Desired::Stop;
    stale.fence = Fence(6);
    scene.server.put(&stale);
    // Heard after it, so that the stale one has been heard as well.
    newer.instances.push(instance(2, &"worker".parse().expect("it is a name"), "exec sleep 1000"));
    scene.server.put(&newer);
    scene.state(2, InstanceState::Ready).await;
    assert_eq!(scene.state(1, InstanceState::Ready).await.pid, before.pid);
}

#[tokio::test]
async fn what_no_assignment_names_is_stopped() {
    let (mut scene, assignment, _) = ready().await;
    scene.kill().await;
    scene.server.delete(&assignment);
    scene.start();
    scene.until("no instance", |report| report.instances.is_empty().then_some(())).await;
    assert_eq!(scene.file(&scene.volume("stopped")).await, "15\n");
}

#[tokio::test]
async fn a_crash_while_the_server_is_away_is_answered_from_the_cached_config() {
    let (mut scene, ..) = ready().await;
    scene.server.go_away();
    scene.touch("exit");
    scene.eventually("a second start", || scene.lines("starts") == 2).await;
    scene.server.come_back().await;
    scene.line(1, "its restart", |line| line.restarts == 1 && line.state == InstanceState::Ready).await;
    assert_eq!(scene.server.configs_given(), 1);
}

#[tokio::test]
async fn an_app_that_fails_its_probes_is_unhealthy_until_it_answers_again() {
    let (scene, _, before) = ready().await;
    scene.touch("broken");
    let line = scene.state(1, InstanceState::Unhealthy).await;
    let detail = line.detail.expect("it is explained");
    assert_eq!(detail, "GET / answered 500 Internal Server Error: no such table");
    assert_eq!(line.log_tail, ["hello from the app"]);
    std::fs::remove_file(scene.volume("broken")).expect("it is there");
    assert_eq!(scene.state(1, InstanceState::Ready).await.pid, before.pid);
}

#[tokio::test]
async fn everything_ends_when_all_is_to_stop() {
    let (mut scene, _, before) = ready().await;
    scene.drain(EndMode::StopAll).await;
    assert_eq!(scene.file(&scene.volume("stopped")).await, "15\n");
    assert!(TcpStream::connect(("127.0.0.1", port(&before))).is_err());
    scene.start();
    let line =
        scene.line(1, "a new start", |line| line.state == InstanceState::Ready && line.pid != before.pid);
    assert_eq!(line.await.restarts, 0, "a start after the end of everything is no crash");
}

#[tokio::test]
async fn everything_goes_on_when_the_runner_leaves() {
    let (mut scene, _, before) = ready().await;
    scene.drain(EndMode::Leave).await;
    assert!(get(port(&before)).contains("200 OK"));
}
