//! Tables: an old snapshot on a machine that has gone on.

use serde_json::{Value, json};
use tandem_types::document::Document;
use tandem_types::release::{Release, ReleaseStatus};
use tandem_types::routing::Route;
use tandem_types::{BuildNumber, Revision};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn digest(digit: &str) -> String {
    digit.repeat(64)
}

fn document(key: &str, kind: &str, body: Value) -> Document {
    Document { key: key.to_owned(), revision: Revision(1), kind: kind.to_owned(), body }
}

fn environment(app: &str, current: Value) -> Document {
    let body = json!({
        "app": app, "name": "production", "uid": 70_000, "domains": [format!("{app}.localhost")], "current": current,
        "next_release": "r6", "next_rollout": "ro6", "created": "2026-11-21T09:00:00Z",
    });
    document(&format!("apps/{app}/envs/production"), "environment/1", body)
}

fn release(number: u64, build: u64, status: &str) -> Document {
    let body = json!({
        "app": "shop", "environment": "production", "number": format!("r{number}"), "build": format!("b{build}"),
        "config": {"values": {}}, "cause": {"actor": "unix:root", "action": "deploy.start"},
        "created": "2026-11-21T09:00:00Z", "rollout": format!("ro{number}"), "status": status,
    });
    document(&format!("apps/shop/envs/production/releases/{number:010}"), "release/1", body)
}

fn rollout(number: u64, state: &str) -> Document {
    let body = json!({
        "app": "shop", "environment": "production", "number": format!("ro{number}"), "kind": "deploy",
        "cause": {"actor": "unix:root", "action": "deploy.start"}, "state": state, "release_job": "j3",
        "steps": [{"state": state, "started": "2026-11-21T10:00:00Z"}],
        "soak": "0s", "verdict": "undecided", "created": "2026-11-21T10:00:00Z",
    });
    document(&format!("apps/shop/envs/production/rollouts/{number:010}"), "rollout/1", body)
}

fn instance(id: u64, release: u64, desired: &str) -> Value {
    json!({
        "id": format!("i{id}"), "release": format!("r{release}"), "build": format!("b{release}"), "process": "web",
        "index": 1, "desired": desired,
        "spec": {"command": "serve", "health": "/", "instances": 1, "memory_bytes": 1, "pids": 1, "stop_timeout": "30s"},
    })
}

fn assignment(app: &str, instances: &[Value]) -> Assignment {
    let builds = instances.iter().map(|instance| {
        let subtrees = json!([
            {"name": "app", "mount": "/app", "tree": digest("a"), "bytes": 1, "files": 1},
            {"name": "static", "mount": "/app/static", "tree": digest("b"), "bytes": 1, "files": 1},
        ]);
        (instance["build"].as_str().unwrap().to_owned(), json!({"subtrees": subtrees}))
    });
    let builds: serde_json::Map<_, _> = builds.collect();
    let value = json!({
        "app": app, "environment": "production", "fence": 3, "uid": 70_004, "host_header": "shop.localhost",
        "builds": builds, "instances": instances, "jobs": [],
    });
    serde_json::from_value(value).unwrap()
}

fn table(epoch: u64, routes: &[(&str, u64, u64)]) -> Table {
    let route = |(app, release, instance): &(&str, u64, u64)| {
        json!({
            "domain": format!("{app}.localhost"), "prefix": "/",
            "pool": {
                "app": app, "environment": "production", "release": format!("r{release}"), "health": "/",
                "members": [{"host": "here", "instance": format!("i{instance}")}],
            },
            "static_folders": [{"prefix": "/static/", "trees": [digest("b")]}],
        })
    };
    let routes: Vec<_> = routes.iter().map(route).collect();
    serde_json::from_value(json!({"epoch": format!("e{epoch}"), "routes": routes})).unwrap()
}

fn documents(all: impl IntoIterator<Item = Document>) -> Documents {
    let mut documents = Documents::default();
    all.into_iter().for_each(|document| documents.add(&document));
    documents
}

/// `r5` serves by epoch 9 in `i15`.
fn snapshot() -> Documents {
    let app = json!({"name": "shop", "created": "2026-11-21T09:00:00Z", "next_build": "b6"});
    let installation = json!({"next_instance": "i16", "next_job": "j4", "next_uid": 70_001});
    let routing = json!({"serving": table(9, &[("shop", 5, 15)]), "last": "e9"});
    let assigned = serde_json::to_value(assignment("shop", &[instance(15, 5, "run")])).unwrap();
    documents([
        document("apps/shop", "app/2", app),
        environment("shop", json!("r5")),
        release(5, 5, "current"),
        document("installation", "installation/1", installation),
        document("routing/table", "routing/1", routing),
        document("hosts/here/assignments/shop.production", "assignment/1", assigned),
    ])
}

/// `r7` serves by epoch 12 in `i21`, `r5` is warm.
fn gone_on() -> Evidence {
    Evidence {
        host: Some("here".parse().unwrap()),
        running: vec![assignment("shop", &[instance(15, 5, "warm"), instance(21, 7, "run")])],
        table: Some(table(12, &[("shop", 7, 21)])),
        rollouts: [(place("shop"), RolloutNumber(8))].into(),
        uid: 70_004,
        instance: 23,
        job: 9,
        ..Evidence::default()
    }
}

fn place(app: &str) -> Place {
    (app.parse().unwrap(), "production".parse().unwrap())
}

/// The restored documents after the plan.
fn carried_out(restored: &Documents, evidence: &Evidence) -> (Documents, Vec<String>) {
    let Plan { changes, notes } = plan(restored, evidence, at("2026-11-21T12:00:00Z"));
    let mut after = restored.clone();
    for change in changes {
        let body = match &change {
            Change::App(value) => (serde_json::to_value(value), "app/2"),
            Change::Environment(value) => (serde_json::to_value(value), "environment/1"),
            Change::Installation(value) => (serde_json::to_value(value), "installation/1"),
            Change::Build(value) => (serde_json::to_value(value), "build/1"),
            Change::Release(value) => (serde_json::to_value(value), "release/1"),
            Change::Rollout(value) => (serde_json::to_value(value), "rollout/1"),
            Change::Assignment(_, value) => (serde_json::to_value(value), "assignment/1"),
            Change::Routing(value) => (serde_json::to_value(value), "routing/1"),
            Change::Session(value) => (serde_json::to_value(value), "session/1"),
        };
        after.add(&document(&change.key(), body.1, body.0.unwrap()));
    }
    (after, notes)
}

fn release_of(documents: &Documents, number: u64) -> &Release {
    let (app, environment) = place("shop");
    &documents.releases[&(app, environment, ReleaseNumber(number))]
}

#[test]
fn what_serves_and_runs_goes_on_and_gets_its_documents() {
    let (after, notes) = carried_out(&snapshot(), &gone_on());
    let routing = after.routing.as_ref().unwrap();
    assert_eq!(Some(&routing.serving), gone_on().table.as_ref(), "balancers have nothing to change");
    let (app, name) = place("shop");
    let assigned = &after.assignments[&("here".parse().unwrap(), app.clone(), name)];
    assert_eq!(*assigned, gone_on().running[0], "the runner has nothing to change");
    let environment = &after.environments[&place("shop")];
    assert_eq!(environment.current, Some(ReleaseNumber(7)));
    assert_eq!(environment.warm.iter().map(|warm| warm.release).collect::<Vec<_>>(), [ReleaseNumber(5)]);
    assert_eq!(release_of(&after, 7).status, ReleaseStatus::Current);
    assert_eq!(release_of(&after, 5).status, ReleaseStatus::Superseded);
    let build = &after.builds[&(app, BuildNumber(7))];
    assert_eq!(build.spec.static_folders, [("/static/".to_owned(), "static".to_owned())].into());
    assert!(build.spec.processes.contains_key(&tandem_types::ProcessType::web()));
    assert!(notes.iter().any(|note| note.contains("r5") && note.contains("r7")), "{notes:?}");
}

#[test]
fn no_number_that_may_have_been_used_comes_again() {
    let (after, _) = carried_out(&snapshot(), &gone_on());
    let environment = &after.environments[&place("shop")];
    // Rollouts 6, 7 and 8 may each have made a release and a build, beyond those that left a trace.
    assert!(environment.next_release > ReleaseNumber(8), "{}", environment.next_release);
    assert!(environment.next_rollout > RolloutNumber(8), "{}", environment.next_rollout);
    assert!(after.apps[&place("shop").0].next_build > BuildNumber(8));
    let installation = after.installation.as_ref().unwrap();
    assert!(installation.next_instance.0 > 23 && installation.next_job.0 > 9, "{installation:?}");
    assert!(installation.next_uid > 70_004 && installation.next_uid < 70_500, "{installation:?}");
    let routing = after.routing.as_ref().unwrap();
    assert!(routing.last > Epoch(12) && routing.prepared.is_none(), "{routing:?}");
}

#[test]
fn what_was_under_way_is_not_taken_up_again() {
    let mut restored = snapshot();
    restored.add(&rollout(4, "completed"));
    restored.add(&rollout(5, "releasing"));
    let (after, _) = carried_out(&restored, &gone_on());
    let state = |number| {
        let (app, environment) = place("shop");
        after.rollouts[&(app, environment, RolloutNumber(number))].clone()
    };
    assert_eq!(state(4), restored.rollouts.values().next().unwrap().clone());
    assert_eq!((state(5).state, state(5).verdict), (RolloutState::Failed, Verdict::Fail));
    assert_eq!(state(5).problem.unwrap().code, "store_restored");
}

#[test]
fn what_can_still_be_read_of_the_damaged_store_is_believed_first() {
    let mut evidence = gone_on();
    let mut found = release(7, 7, "current");
    found.body["message"] = json!("as it was");
    let mut environment = environment("shop", json!("r7"));
    environment.body["scale"] = json!({"web": 3});
    environment.body["next_release"] = json!("r40");
    evidence.found = documents([found, environment]);
    let (after, _) = carried_out(&snapshot(), &evidence);
    assert_eq!(release_of(&after, 7).message, "as it was");
    let environment = &after.environments[&place("shop")];
    assert_eq!(environment.scale.values().copied().collect::<Vec<_>>(), [3]);
    assert!(environment.next_release > ReleaseNumber(40));
}

#[test]
fn an_app_that_is_younger_than_the_snapshot_is_not_stopped() {
    let mut evidence = gone_on();
    evidence.running.push(assignment("blog", &[instance(30, 1, "run")]));
    evidence.table = Some(table(12, &[("blog", 1, 30), ("shop", 7, 21)]));
    let key = (place("blog").0, place("blog").1, ReleaseNumber(1));
    let sealed = json!({"values": {"KEY": {"ciphertext": "c", "digest": "d"}}});
    evidence.configs.insert(key, serde_json::from_value(sealed.clone()).unwrap());
    let (after, _) = carried_out(&snapshot(), &evidence);
    let environment = &after.environments[&place("blog")];
    assert_eq!((environment.uid, environment.current), (70_004, Some(ReleaseNumber(1))));
    assert_eq!(environment.domains, ["blog.localhost"]);
    assert_eq!(serde_json::to_value(&environment.config).unwrap(), sealed, "the next release has it too");
    assert!(after.apps.contains_key(&place("blog").0));
    assert_eq!(after.routing.unwrap().serving.epoch, Epoch(12));
}

#[test]
fn config_of_a_release_that_is_younger_than_the_snapshot_is_that_of_the_next_one_too() {
    for (release, expected) in [(7, 1), (5, 0)] {
        let mut evidence = gone_on();
        let sealed = json!({"values": {"KEY": {"ciphertext": "c", "digest": "d"}}});
        let key = (place("shop").0, place("shop").1, ReleaseNumber(release));
        evidence.configs.insert(key, serde_json::from_value(sealed).unwrap());
        let (after, _) = carried_out(&snapshot(), &evidence);
        assert_eq!(after.environments[&place("shop")].config.values.len(), expected, "given to r{release}");
    }
}

#[test]
fn an_app_that_was_destroyed_since_is_not_brought_back_to_life() {
    let evidence = Evidence { table: Some(table(12, &[])), ..Evidence::default() };
    let (after, notes) = carried_out(&snapshot(), &evidence);
    assert_eq!(after.environments[&place("shop")].current, None);
    assert!(after.assignments.values().all(|assignment| assignment.instances.is_empty()));
    assert_eq!(after.routing.unwrap().serving.routes, Vec::<Route>::new());
    assert!(notes.iter().any(|note| note.contains("tandem rollback r5 --app shop")), "{notes:?}");
}

#[test]
fn what_was_stopped_as_a_whole_comes_back_as_the_snapshot_has_it() {
    let evidence = Evidence { table: Some(table(12, &[("shop", 7, 21)])), ..Evidence::default() };
    let (after, notes) = carried_out(&snapshot(), &evidence);
    let routing = after.routing.unwrap();
    assert_eq!(routing.serving.routes, table(9, &[("shop", 5, 15)]).routes);
    assert!(routing.serving.epoch > Epoch(12) && routing.last >= routing.serving.epoch);
    assert_eq!(after.assignments, snapshot().assignments);
    assert!(notes.iter().any(|note| note.contains("comes back as r5")), "{notes:?}");
}

#[test]
fn a_new_machine_gets_all_of_the_snapshot() {
    let (after, _) = carried_out(&snapshot(), &Evidence::default());
    assert_eq!(after.routing.as_ref().unwrap().serving, table(9, &[("shop", 5, 15)]));
    assert_eq!(after.assignments, snapshot().assignments);
    assert_eq!(after.environments[&place("shop")].current, Some(ReleaseNumber(5)));
}

#[test]
fn a_route_that_nobody_knows_the_app_of_is_dropped_under_a_new_epoch() {
    let mut evidence = gone_on();
    evidence.table = Some(table(12, &[("ghost", 1, 30), ("shop", 7, 21)]));
    let routing = carried_out(&snapshot(), &evidence).0.routing.unwrap();
    assert_eq!(routing.serving.routes, table(12, &[("shop", 7, 21)]).routes);
    assert!(routing.serving.epoch > Epoch(12));
}
