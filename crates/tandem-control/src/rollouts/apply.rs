//! Turns a plan into one transaction: every document against the revision at which the world was read.

use tandem_kit::points::{Effect, Point};
use tandem_rules::Change;
use tandem_rules::world::World;
use tandem_store::Transaction;
use tandem_types::InstanceId;
use tandem_types::assignment::Desired;
use tandem_types::destroy::LeavingState;
use tandem_types::document::{Cause, Lease};
use tandem_types::instance::JobState;
use tandem_types::rollout::{Rollout, RolloutState};

use crate::place::Place;
use crate::shared::cause;
use crate::world::Gathered;

/// Who the journal says did it.
const ACTOR: &str = "system:rollouts";
/// What keeps an environment as it should be.
const UPKEEP: &str = "environment.upkeep";

/// The transaction that writes a plan's changes under the lease.
pub(super) fn transaction(
    place: &Place,
    gathered: &Gathered,
    changes: &[Change],
    lease: &Lease,
) -> Transaction {
    let mut transaction = Transaction::new(reason(place, &gathered.world, changes)).fenced(lease);
    for change in changes {
        let key = change.key();
        let expect = gathered.expect(&key);
        transaction = match change {
            Change::App(value) => transaction.put(key, &**value, expect),
            Change::Environment(value) => transaction.put(key, &**value, expect),
            Change::Installation(value) => transaction.put(key, &**value, expect),
            Change::Build(value) => transaction.put(key, &**value, expect),
            Change::Release(value) => transaction.put(key, &**value, expect),
            Change::Rollout(value) => transaction.put(key, &**value, expect),
            Change::Session(value) => transaction.put(key, &**value, expect),
            Change::Assignment(_, value) => transaction.put(key, &**value, expect),
            Change::Routing(value) => transaction.put(key, &**value, expect),
        };
    }
    transaction
}

/// The rollout that the changes move on, as it will be.
pub(super) fn rollout(changes: &[Change]) -> Option<&Rollout> {
    changes.iter().find_map(|change| match change {
        Change::Rollout(rollout) => Some(&**rollout),
        _ => None,
    })
}

/// The state that the changes bring a rollout into, where it is another than it is in.
pub(super) fn entered(world: &World, changes: &[Change]) -> Option<RolloutState> {
    let after = rollout(changes)?;
    let before = world.rollout(after.number).map(|before| before.state);
    (before != Some(after.state)).then_some(after.state)
}

/// The point at which the changes are written.
pub(super) fn point_after(changes: &[Change], entered: Option<RolloutState>) -> Point {
    match (entered, rollout(changes)) {
        (Some(state), _) => Point::Entered(state),
        (None, Some(_)) => Effect::StepWritten.into(),
        (None, None) => Effect::UpkeepWritten.into(),
    }
}

fn reason(place: &Place, world: &World, changes: &[Change]) -> Cause {
    let (action, text) = step(world, changes);
    let ended = ended_sessions(changes);
    // One transaction has one line: whatever else is in it is told in the same.
    let action = if !ended.is_empty() && action == UPKEEP { "run.end" } else { action };
    let parts: Vec<_> = [text, ended].into_iter().filter(|part| !part.is_empty()).collect();
    cause(ACTOR, action, parts.join("; "), place)
}

/// What the changes do besides ending one-off commands.
fn step(world: &World, changes: &[Change]) -> (&'static str, String) {
    if let Some(state) = leaving(world, changes) {
        return ("destroy.step", format!("{state:?}").to_lowercase());
    }
    let Some(after) = rollout(changes) else { return (UPKEEP, upkeep(world, changes)) };
    let before = world.rollout(after.number).map(|before| before.state);
    let text = match before.filter(|before| *before != after.state) {
        Some(before) => format!("{}: {} → {}", after.number, name(before), name(after.state)),
        None => format!("{}: {}", after.number, name(after.state)),
    };
    // Kept for longer than the steps that led here.
    let action = if after.state.is_final() { "rollout.end" } else { "rollout.step" };
    (action, text)
}

/// Where the environment of an app that is being destroyed stands after the changes.
fn leaving(world: &World, changes: &[Change]) -> Option<LeavingState> {
    let changed = changes.iter().find_map(|change| match change {
        Change::App(app) => Some(&**app),
        _ => None,
    });
    let destroying = changed.unwrap_or(&world.app).destroying.as_ref()?;
    let leaving = destroying.environments.get(&world.environment.name)?;
    Some(leaving.state)
}

/// How one-off commands ended, and whose they were: `j12 of unix:ann: exit code 3`.
fn ended_sessions(changes: &[Change]) -> String {
    let ended = changes.iter().filter_map(|change| match change {
        Change::Session(session) if session.is_over() => Some(session),
        _ => None,
    });
    let told = ended.map(|session| {
        let end = match &session.state {
            JobState::Ended { exit } => exit.to_string(),
            JobState::TimedOut => "its time was up".to_owned(),
            JobState::Unknown { reason } => format!("nobody knows how it ended: {reason}"),
            JobState::NotStarted { reason } => format!("not started: {reason}"),
            JobState::Waiting | JobState::Running => "runs".to_owned(),
        };
        format!("{} of {}: {end}", session.id, session.cause.actor)
    });
    told.collect::<Vec<_>>().join(", ")
}

/// What becomes of instances without a rollout.
fn upkeep(world: &World, changes: &[Change]) -> String {
    let mut parts = Vec::new();
    for change in changes {
        let Change::Assignment(host, after) = change else { continue };
        let before = world.assignments.get(host).map_or(&[][..], |before| &before.instances);
        let was = |id: InstanceId| before.iter().find(|instance| instance.id == id);
        for instance in &after.instances {
            let verb = match (was(instance.id).map(|old| old.desired), instance.desired) {
                (None, _) => "starts",
                (Some(old), Desired::Stop) if old != Desired::Stop => "stops",
                (Some(Desired::Run), Desired::Warm) => "parks",
                _ => continue,
            };
            parts.push(format!("{verb} {}", instance.id));
        }
        let gone = before.iter().filter(|old| !after.instances.iter().any(|new| new.id == old.id));
        parts.extend(gone.map(|instance| format!("forgets {}", instance.id)));
    }
    parts.join(", ")
}

/// A state in the words of the wire.
fn name(state: RolloutState) -> String {
    format!("{state:?}").to_lowercase()
}
