//! Deploys, rollbacks and what may become of them.

use tandem_types::api::{Reason, RolloutAction, StartRollout};
use tandem_types::event::Event;
use tandem_types::instance::JobState;
use tandem_types::problem::Problem;
use tandem_types::release::ReleaseStatus;
use tandem_types::rollout::{RolloutState, Verdict};
use tandem_types::{BuildNumber, ReleaseNumber};

use super::actors::exit;
use super::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_deploy_creates_the_app_and_serves() {
    let site = Site::start().await;
    let rollout = site.deploy().await;
    assert_eq!(
        (rollout.state, rollout.verdict),
        (RolloutState::Completed, Verdict::Pass),
        "{:?}",
        rollout.problem
    );
    assert_eq!(site.current(), Some(ReleaseNumber(1)));
    let roles = ["clock.1 running r1", "web.1 serving r1", "web.2 serving r1", "worker.1 running r1"];
    let mut seen = site.roles();
    seen.sort();
    assert_eq!(seen, roles);
    let result = site.handle.rollout_result(&site.at(rollout.number)).expect("a result");
    assert_eq!(result.addresses, ["http://guestbook.localhost:8080"]);
    let status = site.handle.status().await.expect("status");
    assert_eq!(status.problems, Vec::<String>::new());
    assert_eq!(status.apps[0].environments[0].ready, status.apps[0].environments[0].wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_tells_every_step_with_output_and_ends() {
    let site = Site::start().await;
    let rollout = site.deploy().await;
    let events = site.events(rollout.number).await;
    let steps: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::StepStarted { step } => Some(*step),
            _ => None,
        })
        .collect();
    assert_eq!(steps, rollout.steps.iter().map(|step| step.state).collect::<Vec<_>>());
    let line = |source: &str| {
        let of = |event: &&Event| matches!(event, Event::Line { source: from, .. } if from == source);
        events.iter().filter(of).count()
    };
    assert_eq!((line("build"), line("smoke"), line("release")), (1, 2, 2), "{events:#?}");
    let released = events
        .iter()
        .position(|event| matches!(event, Event::StepFinished { step: RolloutState::Releasing, .. }));
    let last_line = events.iter().rposition(|event| matches!(event, Event::Line { .. }));
    assert!(last_line < released, "output comes before the end of its step");
    assert!(matches!(events.last(), Some(Event::Finished { state: RolloutState::Completed, .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_serves_the_release_before_and_keeps_the_bad_one_warm() {
    let site = Site::start().await;
    site.deploy().await;
    site.deploy().await;
    let rollout = site.rollback(None).await.expect("rolled back");
    assert_eq!((rollout.state, rollout.to), (RolloutState::Completed, Some(ReleaseNumber(1))));
    assert_eq!(site.current(), Some(ReleaseNumber(1)));
    let releases = site.handle.releases(&site.place).expect("releases");
    assert_eq!(releases[0].release.status, ReleaseStatus::RolledBack);
    assert!(releases[0].warm && releases[0].can_roll_back && !releases[1].can_roll_back);
    assert!(site.roles().contains(&"web.1 warm r2".to_owned()), "{:?}", site.roles());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_a_rollback_flips_to_at_once_is_called_warm() {
    let mut site = Site::start().await;
    for _ in 0..3 {
        site.deploy().await;
    }
    // Just started, the server does not know yet whether a balancer routes to the oldest: it runs on, and is not warm.
    site.restart().await;
    site.until("the host reports", || site.roles().contains(&"web.1 warm r2".to_owned())).await;
    let oldest: Vec<_> = site.roles().into_iter().filter(|role| role.ends_with(" r1")).collect();
    assert_eq!(oldest, ["web.1 draining r1", "web.2 draining r1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_with_no_sense_is_refused_with_a_reason() {
    let site = Site::start().await;
    let code = |result: Result<_, Problem>| result.err().map(|problem| problem.code);
    assert_eq!(code(site.rollback(None).await).as_deref(), Some("app_not_found"));
    site.deploy().await;
    assert_eq!(code(site.rollback(None).await).as_deref(), Some("nothing_to_roll_back_to"));
    assert_eq!(code(site.rollback(Some(1)).await).as_deref(), Some("same_release"));
    assert_eq!(code(site.rollback(Some(9)).await).as_deref(), Some("release_not_found"));
    site.host.lock().expect("lock").crashing.insert(BuildNumber(2));
    site.deploy().await;
    assert_eq!(code(site.rollback(Some(2)).await).as_deref(), Some("never_served"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_does_not_come_up_fails_with_its_last_words_and_the_old_release_serves() {
    let site = Site::start().await;
    site.deploy().await;
    site.host.lock().expect("lock").crashing.insert(BuildNumber(2));
    let rollout = site.deploy().await;
    assert_eq!((rollout.state, rollout.verdict), (RolloutState::Failed, Verdict::Fail));
    let problem = rollout.problem.expect("a problem");
    assert_eq!(problem.code, "never_healthy");
    assert!(problem.title.ends_with("exit code 3; r1 still serves"), "{problem}");
    assert_eq!(problem.detail, "ModuleNotFoundError: no module");
    assert_eq!(site.current(), Some(ReleaseNumber(1)));
    site.until("what failed is gone", || site.roles().len() == 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_phase_that_fails_or_is_unknown_fails_the_deploy() {
    let site = Site::start().await;
    let unknown = JobState::Unknown { reason: "the host lost power".to_owned() };
    for (build, end, code) in [(1, exit(1), "release_failed"), (2, unknown, "release_unknown")] {
        site.host.lock().expect("lock").release_ends.insert(BuildNumber(build), end);
        let rollout = site.deploy().await;
        assert_eq!(rollout.state, RolloutState::Failed);
        let problem = rollout.problem.expect("a problem");
        assert_eq!((problem.code.as_str(), problem.detail.as_str()), (code, "the last words of the job"));
    }
    assert_eq!(site.current(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_does_not_build_fails_with_the_builders_words() {
    let site = Site::start().await;
    let problem = Problem::new(422, "lock_stale", "uv.lock is out of date").hint("uv lock");
    *site.builder.problem.lock().expect("lock") = Some(problem.clone());
    let rollout = site.deploy().await;
    assert_eq!((rollout.state, rollout.problem), (RolloutState::Failed, Some(problem)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_whose_story_cannot_be_kept_fails_and_says_where() {
    let site = Site::start().await;
    let story = site.data.rollouts().join("guestbook.production").join("1.ndjson");
    std::fs::create_dir_all(&story).expect("something in its way");
    let rollout = site.deploy().await;
    let problem = rollout.problem.expect("a problem");
    assert_eq!((rollout.state, problem.code.as_str()), (RolloutState::Failed, "event_log_failed"));
    assert!(problem.hint.contains(&story.display().to_string()), "{}", problem.hint);
    std::fs::remove_dir(&story).expect("out of its way");
    assert_eq!(site.deploy().await.state, RolloutState::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_deploy_waits_and_says_for_whom_or_refuses() {
    let site = Site::start().await;
    site.builder.held.send_replace(vec![site.place.app.clone()]);
    let first = site.start_deploy().await;
    site.until_state(first, RolloutState::Building).await;
    let second = site.start_deploy().await;
    let asked = StartRollout {
        action: RolloutAction::Restart { processes: Vec::new() },
        message: String::new(),
        no_wait: true,
    };
    let refused = site.handle.start_rollout("unix:bob", &site.place, asked).await;
    assert_eq!(refused.expect_err("refused").code, "nothing_runs");
    site.builder.held.send_replace(Vec::new());
    site.ended(second).await;
    let waiting = Event::Waiting { rollout: first, actor: "unix:ana".to_owned() };
    assert!(site.events(second).await.contains(&waiting));
    assert_eq!(site.current(), Some(ReleaseNumber(2)));

    site.builder.held.send_replace(vec![site.place.app.clone()]);
    let third = site.start_deploy().await;
    let asked = StartRollout {
        action: RolloutAction::Restart { processes: Vec::new() },
        message: String::new(),
        no_wait: true,
    };
    let refused = site.handle.start_rollout("unix:bob", &site.place, asked).await.expect_err("refused");
    assert_eq!((refused.code.as_str(), refused.status), ("rollout_in_progress", 409));
    assert!(refused.title.contains(&format!("{third} of guestbook/production")), "{refused}");
    assert!(refused.title.contains("a deploy by unix:ana"), "{refused}");
    site.builder.held.send_replace(Vec::new());
    site.ended(third).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_is_aborted_ends_at_once() {
    let site = Site::start().await;
    site.builder.held.send_replace(vec![site.place.app.clone()]);
    let deploy = site.start_deploy().await;
    site.until_state(deploy, RolloutState::Building).await;
    let reason = Reason { reason: "wrong branch".to_owned() };
    site.handle.abort("unix:ana", &site.at(deploy), reason).await.expect("aborted");
    let rollout = site.ended(deploy).await;
    assert_eq!(rollout.state, RolloutState::Aborted);
    let problem = rollout.problem.expect("a problem");
    assert_eq!(problem.title, "ro1 was aborted by unix:ana: wrong branch");
    let again = site.handle.abort("unix:ana", &site.at(deploy), Reason::default()).await;
    assert_eq!(again.expect_err("refused").code, "rollout_finished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_build_of_one_app_does_not_hold_up_the_rollback_of_another() {
    let mut site = Site::start().await;
    site.deploy().await;
    site.deploy().await;
    let guestbook = site.place.clone();
    site.place.app = "shop".parse().expect("a name");
    site.builder.held.send_replace(vec![site.place.app.clone()]);
    site.builder.spec.lock().expect("lock").domains = vec!["shop.example".to_owned()];
    let slow = site.start_deploy().await;
    site.until_state(slow, RolloutState::Building).await;
    site.place = guestbook;
    let rollback = site.rollback(None).await.expect("rolled back");
    assert_eq!(rollback.state, RolloutState::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_pushes_a_deploy_under_way_aside() {
    let site = Site::start().await;
    site.deploy().await;
    site.deploy().await;
    site.builder.held.send_replace(vec![site.place.app.clone()]);
    let deploy = site.start_deploy().await;
    site.until_state(deploy, RolloutState::Building).await;
    site.rollback(None).await.expect("rolled back");
    let aside = site.ended(deploy).await;
    assert_eq!(aside.state, RolloutState::Aborted);
    let title = aside.problem.expect("a problem").title;
    assert_eq!(title, "ro3 was aborted by unix:ana: the rollback ro4 goes first");
    assert_eq!(site.current(), Some(ReleaseNumber(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_that_another_app_owns_fails_the_deploy_and_names_the_owner() {
    let mut site = Site::start().await;
    site.builder.spec.lock().expect("lock").domains = vec!["books.example".to_owned()];
    site.deploy().await;
    site.place.app = "shop".parse().expect("a name");
    let rollout = site.deploy().await;
    let problem = rollout.problem.expect("a problem");
    assert_eq!((rollout.state, problem.code.as_str()), (RolloutState::Failed, "domain_taken"));
    assert_eq!(problem.title, "the domain books.example belongs to guestbook/production");
    assert_eq!(problem.hint, "change `domains` in tandem.toml and deploy again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staging_of_an_app_with_domains_gets_an_address_of_its_own() {
    let mut site = Site::start().await;
    site.builder.spec.lock().expect("lock").domains = vec!["books.example".to_owned()];
    site.deploy().await;
    site.place.environment = "staging".parse().expect("a name");
    let rollout = site.deploy().await;
    assert_eq!(rollout.state, RolloutState::Completed);
    let addresses = site.handle.rollout_result(&site.at(rollout.number)).expect("a result").addresses;
    assert_eq!(addresses, ["http://staging.guestbook.localhost:8080"]);
}
