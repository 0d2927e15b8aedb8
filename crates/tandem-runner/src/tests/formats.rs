//! Files that a runner of this version writes, and that every later one must read: one golden file each.
//!
//! A change that breaks one of these loses instances or runs a release phase twice at an upgrade. Add a new golden
//! file beside the old one, and read both.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tandem_sandbox::shim::Secrets;
use tandem_types::assignment::{AssignedBuild, JobKind};
use tandem_types::instance::{Exit, JobState};
use tandem_types::{Health, StopSignal, Timestamp};

use crate::instance::Record;
use crate::intent::{Intent, JobIntent, Place};
use crate::logs::source::Source;
use crate::testing::{assignment, build, job, web};

fn check<T>(golden: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(serde_json::to_string(value).expect("it is plain JSON"), golden.trim_end());
    assert_eq!(serde_json::from_str::<T>(golden).expect("it is readable"), *value);
}

fn intent() -> Intent {
    let build = AssignedBuild {
        volumes: [("data".to_owned(), "/data".to_owned())].into(),
        path: vec!["/app/.venv/bin".to_owned()],
        environment: [("DJANGO_SETTINGS_MODULE".to_owned(), "guestbook.settings".to_owned())].into(),
        ..build()
    };
    let assignment = assignment();
    Intent {
        place: Place::of(&assignment),
        uid: assignment.uid,
        host_header: assignment.host_header,
        build: Arc::new(build),
        instance: web(1, "gunicorn"),
    }
}

#[test]
fn the_record_of_an_instance_keeps_its_form() {
    let at = Timestamp::UNIX_EPOCH;
    let exit = Exit { code: Some(3), signal: None, out_of_memory: false, at };
    let mut record = Record { intent: intent(), passed: true, restarts: 2, last_exit: Some(exit) };
    record.intent.instance.spec.health = Health::of_version_1("/");
    check(include_str!("golden/instance.json"), &record);

    let build = AssignedBuild { root: Some("site".to_owned()), ..build() };
    record.intent.build = Arc::new(build);
    record.intent.instance.spec.health = Health { https: true, ..Health::default() };
    record.intent.instance.spec.stop_signal = StopSignal::Quit;
    check(include_str!("golden/instance-2.json"), &record);
}

#[test]
fn the_record_of_a_job_keeps_its_form() {
    let assignment = assignment();
    let intent = JobIntent {
        place: Place::of(&assignment),
        uid: assignment.uid,
        build: Arc::new(build()),
        job: job(1, JobKind::Release, "migrate"),
    };
    check(include_str!("golden/job.json"), &intent);
    let reason = "it was canceled before it began".to_owned();
    check(include_str!("golden/outcome.json"), &JobState::NotStarted { reason });
}

#[test]
fn the_source_of_a_log_keeps_its_form() {
    check(include_str!("golden/source.json"), &Source::of_instance(&intent()));
}

#[test]
fn the_ledger_keeps_its_form() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("state.json");
    let golden = include_str!("golden/state.json").trim_end();
    tandem_kit::files::write_atomic_unsynced(&path, golden.as_bytes(), 0o600).expect("there is room");
    let ledger = crate::ledger::Ledger::open(path.clone(), crate::port_range::PortRange::default(), 0)
        .expect("it is readable");
    let mut fences = ledger.fences();
    fences.highest.clear();
    ledger.obey(&fences).expect("there is room");
    let written = std::fs::read_to_string(&path).expect("it was just written");
    assert_eq!(written, golden.replace(r#""hosts/here/assignments/guestbook.production":3"#, ""));
}

#[test]
fn the_notes_of_volumes_keep_their_form() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("volumes.json");
    let golden = include_str!("golden/volumes.json").trim_end();
    tandem_kit::files::write_atomic_unsynced(&path, golden.as_bytes(), 0o600).expect("there is room");
    let volumes = crate::volumes::Volumes::open(folder.path().join("volumes"), path).expect("it is readable");
    assert_eq!(volumes.written(), golden);
}

/// The next version starts instances that are to run from these values, where no server answers.
#[test]
fn the_config_of_an_instance_keeps_its_form() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("i1.json");
    let golden = include_str!("golden/config.json").trim_end();
    tandem_kit::files::write_atomic_unsynced(&path, golden.as_bytes(), 0o600).expect("there is room");
    let values = Secrets::read(&path).expect("it is readable").expect("it is there");
    let texts: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        texts,
        [("DATABASE_URL", "sqlite:////data/db.sqlite3"), ("SECRET_KEY", "änderbar \"x\"\nzwei")]
    );
    Secrets { path: path.clone(), values }.write().expect("there is room");
    assert_eq!(std::fs::read_to_string(&path).expect("it was just written"), golden);
}
