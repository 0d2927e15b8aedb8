//! Jobs run once, end in one way, and are told of for as long as somebody asks.

use tandem_types::assignment::{Assignment, JobKind};
use tandem_types::instance::JobState;
use tandem_types::{JobId, Span};

use super::scene::Scene;
use crate::EndMode;
use crate::testing::job;

async fn running(kind: JobKind, command: &str) -> (Scene, Assignment) {
    let mut scene = Scene::new().await;
    let assignment = Assignment { jobs: vec![job(1, kind, command)], ..scene.assignment(&[]) };
    scene.server.put(&assignment);
    scene.start();
    (scene, assignment)
}

#[tokio::test]
async fn a_job_is_told_with_its_end_and_its_last_lines() {
    let (scene, mut assignment) = running(JobKind::Smoke, "echo importing; exit 4").await;
    let JobState::Ended { exit } = scene.job_end(1).await else { panic!("it ended") };
    assert_eq!(exit.code, Some(4));
    let tail = scene.until("its lines", |report| Some(report.jobs[0].log_tail.clone())).await;
    assert_eq!(tail, ["importing"]);
    assignment.jobs.clear();
    scene.server.put(&assignment);
    scene.until("no job", |report| report.jobs.is_empty().then_some(())).await;
    assert!(!scene.data.runner().join("jobs/j1").exists());
}

#[tokio::test]
async fn the_end_of_a_job_is_remembered_by_the_next_runner() {
    let (mut scene, _) = running(JobKind::Release, "echo ran >> /data/ran").await;
    let before = scene.job_end(1).await;
    scene.kill().await;
    scene.start();
    assert_eq!(scene.job_end(1).await, before);
    assert_eq!(scene.lines("ran"), 1);
}

#[tokio::test]
async fn a_job_goes_on_while_the_runner_is_away() {
    let command = "echo ran >> /data/ran; while [ ! -e /data/go ]; do sleep 0.01; done; exit 5";
    let (mut scene, _) = running(JobKind::Release, command).await;
    scene.file(&scene.volume("ran")).await;
    scene.kill().await;
    scene.touch("go");
    scene.file(&scene.data.runner().join("jobs/j1/exit.json")).await;
    scene.start();
    let JobState::Ended { exit } = scene.job_end(1).await else { panic!("it ended") };
    assert_eq!((exit.code, scene.lines("ran")), (Some(5), 1));
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_killed() {
    let mut scene = Scene::new().await;
    let slow = tandem_types::assignment::AssignedJob {
        timeout: Some(Span::millis(300)),
        ..job(1, JobKind::Release, "exec sleep 1000")
    };
    scene.server.put(&Assignment { jobs: vec![slow], ..scene.assignment(&[]) });
    scene.start();
    assert_eq!(scene.job_end(1).await, JobState::TimedOut);
}

#[tokio::test]
async fn a_job_that_is_canceled_is_stopped() {
    let (scene, mut assignment) = running(JobKind::Release, "echo ran >> /data/ran; exec sleep 1000").await;
    scene.file(&scene.volume("ran")).await;
    assignment.jobs[0].canceled = true;
    scene.server.put(&assignment);
    let JobState::Ended { exit } = scene.job_end(1).await else { panic!("it ended") };
    assert_eq!(exit.signal, Some(15));
}

#[tokio::test]
async fn a_job_that_was_canceled_before_it_began_never_runs() {
    let mut scene = Scene::new().await;
    let mut never = job(1, JobKind::Release, "echo ran >> /data/ran");
    never.canceled = true;
    scene.server.put(&Assignment { jobs: vec![never], ..scene.assignment(&[]) });
    scene.start();
    assert!(matches!(scene.job_end(1).await, JobState::NotStarted { .. }));
    assert_eq!(scene.lines("ran"), 0);
}

/// As after a hang of the runner: its assignment still names the job, and nobody wants it any more.
#[tokio::test]
async fn a_job_of_which_the_server_says_that_it_does_not_begin_any_more_never_runs() {
    for kind in [JobKind::Release, JobKind::Run] {
        let mut scene = Scene::new().await;
        scene.server.withdraw(JobId(1));
        let never = job(1, kind, "echo ran >> /data/ran");
        scene.server.put(&Assignment { jobs: vec![never], ..scene.assignment(&[]) });
        scene.start();
        let JobState::NotStarted { reason } = scene.job_end(1).await else { panic!("it never ran") };
        assert!(reason.contains("it was ended before it began"), "{reason}");
        assert_eq!(scene.lines("ran"), 0);
    }
}

#[tokio::test]
async fn a_release_phase_that_is_cut_off_is_not_run_again_after_everything_stopped() {
    let (mut scene, _) = running(JobKind::Release, "echo ran >> /data/ran; exec sleep 1000").await;
    scene.file(&scene.volume("ran")).await;
    scene.drain(EndMode::StopAll).await;
    scene.start();
    let JobState::Ended { exit } = scene.job_end(1).await else { panic!("it ended") };
    assert_eq!((exit.signal, scene.lines("ran")), (Some(15), 1));
}

/// The shim dies with the runner, after the marker and before the exit record.
async fn cut_off(kind: JobKind) -> Scene {
    let (mut scene, _) = running(kind, "echo ran >> /data/ran; exec sleep 1000").await;
    scene.until("j1 to run", |report| (report.jobs.first()?.state == JobState::Running).then_some(())).await;
    scene.file(&scene.volume("ran")).await;
    scene.kill().await;
    scene.kill_shim(crate::folders::Unit::Job(JobId(1))).await;
    scene.start();
    scene
}

#[tokio::test]
async fn a_release_phase_of_which_nobody_knows_the_end_is_unknown_and_never_runs_again() {
    let scene = cut_off(JobKind::Release).await;
    assert!(matches!(scene.job_end(1).await, JobState::Unknown { .. }));
    assert_eq!(scene.lines("ran"), 1);
}

#[tokio::test]
async fn a_marker_is_enough_to_keep_a_release_phase_from_running() {
    let mut scene = Scene::new().await;
    let folder = scene.data.runner().join("jobs/j1");
    tandem_kit::files::ensure_dir(&folder, 0o700).expect("there is room");
    std::fs::File::create(folder.join("started")).expect("there is room");
    let release = job(1, JobKind::Release, "echo ran >> /data/ran");
    scene.server.put(&Assignment { jobs: vec![release], ..scene.assignment(&[]) });
    scene.start();
    assert!(matches!(scene.job_end(1).await, JobState::Unknown { .. }));
    assert_eq!(scene.lines("ran"), 0);
}

#[tokio::test]
async fn a_smoke_check_of_which_nobody_knows_the_end_runs_again() {
    let scene = cut_off(JobKind::Smoke).await;
    scene.eventually("a second start", || scene.lines("ran") == 2).await;
}
