//! `app destroy` beside people, balancers and other apps.

use futures_util::StreamExt;
use tandem_types::api::{CreateApp, RolloutAction};
use tandem_types::assignment::{Assignment, Desired};
use tandem_types::rollout::RolloutState;
use tandem_types::{BalancerId, defaults, keys};

use super::actors::{alpha, cut_off};
use super::site::Site;

/// Instances of the app that should not stop.
fn wanted(site: &Site) -> usize {
    let key = keys::assignment(&alpha(), &site.place.app, &site.place.environment);
    let assignment = site.handle.shared.value::<Assignment>(&key).expect("an assignment");
    assignment.instances.iter().filter(|instance| instance.desired != Desired::Stop).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balancer_that_is_cut_off_keeps_its_instances_until_a_person_removes_it() {
    let mut site = Site::start_after(defaults::BALANCER_LIVE).await;
    site.deploy().await;
    let far: BalancerId = "far".parse().expect("a name");
    site.handle.record_balancer_status(&far, cut_off("far")).await.expect("recorded");
    site.until("it is known", || site.handle.shared.look(crate::world::balancers).contains_key(&far)).await;
    site.handle.destroy_app("unix:ana", &site.place.app, true).await.expect("written down");
    let told = async |site: &Site| {
        let mut progress = site.handle.destroy_progress(&site.place.app).expect("progress").boxed();
        while let Some(step) = progress.next().await {
            if step.waiting_for.iter().any(|text| text.contains("the balancer far ")) {
                return;
            }
            assert!(!step.destroyed, "gone without the balancer");
        }
    };
    told(&site).await;
    assert_eq!(wanted(&site), 4);
    // Its report is gone with the server, the document remembers it.
    site.restart().await;
    told(&site).await;
    assert_eq!(wanted(&site), 4);
    let problems = site.handle.status().await.expect("status").problems;
    let says =
        |text: &String| text.starts_with("guestbook is being destroyed: the balancer far does not report");
    assert!(problems.iter().any(says), "{problems:?}");
    site.handle.forget_balancer("unix:ana", &far).await.expect("removed");
    site.until("the app is gone", || site.handle.apps().is_empty()).await;
    let again = site.handle.forget_balancer("unix:ana", &far).await.expect_err("unknown");
    assert_eq!(again.code, "balancer_not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_begins_in_an_app_that_goes_and_asking_twice_is_asking_once() {
    let site = Site::start_after(defaults::BALANCER_LIVE).await;
    site.deploy().await;
    let far: BalancerId = "far".parse().expect("a name");
    site.handle.record_balancer_status(&far, cut_off("far")).await.expect("recorded");
    site.until("it is known", || site.handle.shared.look(crate::world::balancers).contains_key(&far)).await;
    for _ in 0..2 {
        site.handle.destroy_app("unix:ana", &site.place.app, true).await.expect("written down");
    }
    let tree = site.handle.shared.blobs.put(b"source").expect("put");
    let deploy = RolloutAction::Deploy { tree, source: Default::default() };
    let refused = site.ask(deploy.clone()).await.expect_err("refused");
    assert_eq!((refused.code.as_str(), refused.status), ("app_destroying", 409));
    let staging = crate::Place { environment: "staging".parse().expect("a name"), ..site.place.clone() };
    let asked = tandem_types::api::StartRollout { action: deploy, message: String::new(), no_wait: false };
    let refused = site.handle.start_rollout("unix:ana", &staging, asked).await.expect_err("refused");
    assert_eq!(refused.code, "app_destroying");
    site.handle.forget_balancer("unix:ana", &far).await.expect("removed");
    site.until("the app is gone", || site.handle.apps().is_empty()).await;
    assert_eq!(site.deploy().await.state, RolloutState::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_with_two_environments_goes_whole_and_leaves_others_alone() {
    let mut site = Site::start_after(defaults::BALANCER_LIVE).await;
    site.deploy().await;
    site.place.environment = "staging".parse().expect("a name");
    site.deploy().await;
    let create = CreateApp { name: "guest".parse().expect("a name") };
    site.handle.create_app("unix:ana", create).await.expect("created");
    site.destroy().await;
    let left: Vec<_> = site.handle.apps().into_iter().map(|app| app.name.to_string()).collect();
    assert_eq!(left, ["guest"]);
    let refused = site.handle.destroy_progress(&"guest".parse().expect("a name")).err().expect("refused");
    assert_eq!(refused.code, "app_not_destroying");
}
