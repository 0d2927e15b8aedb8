//! Every form in which something is stored or sent, one golden file each: a value a line, as that version wrote it, with all
//! optional fields and without them.
//!
//! A server that reads a document and writes it back drops the fields it does not know. So **a new field of a stored kind is
//! a new version of that kind**, which the store does not let an older server write over, and a new generation of data
//! folders (`tandem_kit::version`), which an older Tandem does not open. The golden files of earlier versions stay, and stay
//! readable. What is only sent, and what is volatile, may grow by optional fields; the file then gets a line with them.

mod fields;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::document::Kind;
use crate::{api, app, assignment, build, destroy, document, environment, event, git, https};
use crate::{instance, problem, release, rollout, routing, session, shim, token, tree};

/// Reads each line, and writes it as it was.
fn keeps_its_form<T: Serialize + DeserializeOwned>(golden: &str) {
    assert!(!golden.trim().is_empty());
    for line in golden.lines() {
        let value: T = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(serde_json::to_string(&value).unwrap(), line);
    }
}

/// Reads each line, and says at least what stood in it.
fn stays_readable<T: Serialize + DeserializeOwned>(golden: &str) {
    assert!(!golden.trim().is_empty());
    for line in golden.lines() {
        let value: T = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let (before, now) = (serde_json::from_str(line).unwrap(), serde_json::to_value(&value).unwrap());
        assert!(contains(&now, &before), "was {before}\nis  {now}");
    }
}

fn contains(now: &Value, before: &Value) -> bool {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => {
            before.iter().all(|(name, before)| now.get(name).is_some_and(|now| contains(now, before)))
        }
        (Value::Array(now), Value::Array(before)) => {
            now.len() == before.len() && now.iter().zip(before).all(|(now, before)| contains(now, before))
        }
        _ => now == before,
    }
}

/// A version that is the newest: no field and no variant may be missing in its lines.
fn is_whole<T: DeserializeOwned>(golden: &str) {
    let missing = fields::missing::<T>(golden);
    assert!(
        missing.is_empty(),
        "in no line: {}; a new field is a new version of its kind (see the head of formats.rs)",
        missing.join(", ")
    );
}

/// Tests of the lasting kinds: older versions are read, the newest is kept whole.
macro_rules! kinds {
    ($($test:ident: $kind:ty, $($older:literal)* => $newest:literal;)*) => {
        $(#[test]
        fn $test() {
            $(keeps_its_form::<$kind>(include_str!(concat!("golden/stored/", $older, ".jsonl")));)*
            let newest = include_str!(concat!("golden/stored/", $newest, ".jsonl"));
            assert_eq!(<$kind>::KIND.replace('/', "-"), $newest, "its lines go into a file of that name");
            keeps_its_form::<$kind>(newest);
            is_whole::<$kind>(newest);
        })*
    };
}

kinds! {
    acme_accounts_stay_readable: https::AcmeAccount, => "acme_account-1";
    apps_stay_readable: app::App, "app-1" => "app-2";
    assignments_stay_readable: assignment::Assignment, "assignment-1" => "assignment-2";
    builds_stay_readable: build::Build, "build-1" "build-2" => "build-3";
    certificate_orders_stay_readable: https::CertificateOrder, => "certificate_order-1";
    certificates_stay_readable: https::Certificate, => "certificate-1";
    challenges_stay_readable: https::Challenges, => "challenges-1";
    deploy_keys_stay_readable: git::DeployKey, => "deploy-key-1";
    environments_stay_readable: environment::Environment, => "environment-1";
    keys_of_hosts_stay_readable: git::GitHosts, => "git-hosts-1";
    installations_stay_readable: api::Installation, => "installation-1";
    local_authorities_stay_readable: https::LocalAuthority, => "local_authority-1";
    releases_stay_readable: release::Release, => "release-1";
    rollouts_stay_readable: rollout::Rollout, "rollout-1" => "rollout-2";
    routing_tables_stay_readable: routing::RoutingDocument, "routing-1" "routing-2" => "routing-3";
    sessions_stay_readable: session::Session, => "session-1";
    tokens_stay_readable: token::Token, => "token-1";
}

/// Tests of what else lies on the disk.
macro_rules! files {
    ($($test:ident: $type:ty, $file:literal;)*) => {
        $(#[test]
        fn $test() {
            let golden = include_str!(concat!("golden/stored/", $file, ".jsonl"));
            keeps_its_form::<$type>(golden);
            is_whole::<$type>(golden);
        })*
    };
}

files! {
    lines_of_the_journal_stay_readable: document::JournalEntry, "journal-entry";
    events_of_rollouts_stay_readable: event::RolloutEvent, "rollout-event";
    trees_stay_readable: tree::Tree, "tree";
    certificates_with_their_keys_stay_readable: https::ServedCertificates, "served-certificates";
}

/// Tests of what two versions say to each other.
macro_rules! messages {
    ($($test:ident { $($type:ty, $file:literal;)* })*) => {
        $(#[test]
        fn $test() {
            $(stays_readable::<$type>(include_str!(concat!("golden/sent/", $file, ".jsonl")));)*
        })*
    };
}

messages! {
    reports_of_older_versions_are_understood {
        instance::HostObservation, "host_observation-1";
        routing::BalancerStatus, "balancer_status-1";
    }
    watches_of_older_versions_are_understood {
        document::Change, "change";
    }
    shims_and_runners_understand_each_other {
        shim::Request, "shim-request";
        shim::Answer, "shim-answer";
    }
    scripts_find_the_addresses_where_they_were {
        api::Ready, "ready";
    }
    requests_of_older_clients_are_understood {
        api::Digests, "digests";
        api::AskPause, "ask-pause";
        api::Reason, "reason";
        api::CreateApp, "create-app";
        api::StartRollout, "start-rollout";
        api::ConfigChange, "config-change";
        api::CreateToken, "create-token";
        session::RunCommand, "run-command";
    }
    answers_of_older_servers_are_understood {
        api::AppSummary, "app-summary";
        api::Paused, "paused";
        api::RolloutStarted, "rollout-started";
        api::RolloutResult, "rollout-result";
        api::ReleaseDetail, "release-detail";
        api::ProcessLine, "process-line";
        api::ConfigListing, "config-listing";
        api::ConfigChanged, "config-changed";
        api::InstanceConfig, "instance-config";
        api::Status, "status";
        api::TokenCreated, "token-created";
        git::PublicKey, "public-key";
        destroy::Progress, "destroy-progress";
        event::LogLine, "log-line";
        problem::Problem, "problem";
        https::AuthorityCertificate, "authority-certificate";
    }
}

/// Version 2 of a kind comes with fields, and values of fields, that version 1 does not know.
#[test]
fn what_a_newer_version_adds_is_passed_over_and_a_new_state_is_no_guess() {
    let line = include_str!("golden/stored/rollout-2.jsonl").lines().next().unwrap();
    let mut newer: Value = serde_json::from_str(line).unwrap();
    newer["canary"] = serde_json::json!({"share": 5});
    assert!(serde_json::from_value::<rollout::Rollout>(newer.clone()).is_ok());
    newer["state"] = "observing".into();
    let error = serde_json::from_value::<rollout::Rollout>(newer).unwrap_err();
    assert!(error.to_string().contains("unknown variant `observing`"), "{error}");
}
