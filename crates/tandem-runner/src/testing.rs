//! Assignments, documents and messages of a watch as tests need them, in few words.

use std::collections::BTreeMap;

use tandem_types::app::ProcessSpec;
use tandem_types::assignment::{AssignedBuild, AssignedInstance, AssignedJob, Assignment, Desired, JobKind};
use tandem_types::document::{Change, Cursor, Document, Kind};
use tandem_types::{BuildNumber, Fence, InstanceId, JobId, ProcessType, ReleaseNumber, Revision, Span, keys};

/// An assignment of `guestbook/production` with build b1 and nothing to run.
pub(crate) fn assignment() -> Assignment {
    Assignment {
        app: "guestbook".parse().expect("it is a name"),
        environment: "production".parse().expect("it is a name"),
        fence: Fence(1),
        uid: 70_000,
        host_header: "guestbook.localhost".to_owned(),
        builds: BTreeMap::from([(BuildNumber(1), build())]),
        instances: Vec::new(),
        jobs: Vec::new(),
    }
}

/// A build without subtrees.
pub(crate) fn build() -> AssignedBuild {
    AssignedBuild {
        root: None,
        subtrees: Vec::new(),
        interpreter: None,
        volumes: BTreeMap::new(),
        path: Vec::new(),
        environment: BTreeMap::new(),
    }
}

/// Instance `id` of `web`, release r1, build b1, to run the command.
pub(crate) fn web(id: u64, command: &str) -> AssignedInstance {
    instance(id, &ProcessType::web(), command)
}

/// Instance `id` of a process type, release r1, build b1, to run the command.
pub(crate) fn instance(id: u64, process: &ProcessType, command: &str) -> AssignedInstance {
    AssignedInstance {
        id: InstanceId(id),
        release: ReleaseNumber(1),
        build: BuildNumber(1),
        process: process.clone(),
        index: 1,
        spec: ProcessSpec::new(process, command),
        desired: Desired::Run,
    }
}

/// Job `id`, release r1, build b1.
pub(crate) fn job(id: u64, kind: JobKind, command: &str) -> AssignedJob {
    AssignedJob {
        id: JobId(id),
        kind,
        release: ReleaseNumber(1),
        build: BuildNumber(1),
        command: command.to_owned(),
        timeout: Some(Span::seconds(30)),
        memory_bytes: 256 * 1024 * 1024,
        canceled: false,
        session: None,
    }
}

/// The assignment as the store has it.
pub(crate) fn document(assignment: &Assignment) -> Document {
    let host = "here".parse().expect("it is a name");
    Document {
        key: keys::assignment(&host, &assignment.app, &assignment.environment),
        revision: Revision(1),
        kind: Assignment::KIND.to_owned(),
        body: serde_json::to_value(assignment).expect("assignments are plain JSON"),
    }
}

/// The assignment was written.
pub(crate) fn put(assignment: &Assignment) -> Change {
    Change::Put { document: document(assignment) }
}

/// The assignment was deleted.
pub(crate) fn delete(assignment: &Assignment) -> Change {
    Change::Delete { key: document(assignment).key, revision: Revision(2) }
}

/// The end of a listing, in the given life of the store.
pub(crate) fn live_in(incarnation: &str) -> Change {
    Change::Live { cursor: Cursor { incarnation: incarnation.to_owned(), revision: Revision(2) } }
}

/// The end of a listing.
pub(crate) fn live() -> Change {
    live_in("first")
}
