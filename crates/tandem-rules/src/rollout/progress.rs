//! Turns a rollout's document into the events that people see, so that the event log follows from what is stored.
//!
//! The log is written after the transaction it tells of; a crash in between leaves it behind. Whoever opens it
//! again counts what it tells already and appends the rest, so nothing is missing and nothing comes twice.

use std::collections::BTreeSet;

use tandem_types::Timestamp;
use tandem_types::event::Event;
use tandem_types::rollout::{Rollout, RolloutKind, RolloutState, StepRecord};

/// How much of a rollout its log tells already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// Beginnings of steps.
    pub started: usize,
    /// Ends of steps.
    pub ended: usize,
    /// Texts of warnings; a builder tells its own as they come up.
    pub warnings: BTreeSet<String>,
    /// The build and its release.
    pub built: bool,
    /// The move of the traffic.
    pub shifted: bool,
    /// The end.
    pub finished: bool,
}

impl Told {
    /// Counts one event of the log. Lines and parts are not told by the document.
    pub fn count(&mut self, event: &Event) {
        match event {
            Event::StepStarted { .. } => self.started += 1,
            Event::StepFinished { .. } => self.ended += 1,
            Event::Warning { text } => drop(self.warnings.insert(text.clone())),
            Event::Built { .. } => self.built = true,
            Event::Shifted { .. } => self.shifted = true,
            Event::Finished { .. } => self.finished = true,
            Event::Waiting { .. } | Event::Part { .. } | Event::Line { .. } | Event::Note { .. } => {}
        }
    }
}

/// What the document tells and the log does not, in order, with the times at which it happened. Nothing after the
/// end was told.
#[must_use]
pub fn untold(rollout: &Rollout, told: &Told, now: Timestamp) -> Vec<(Timestamp, Event)> {
    if told.finished {
        return Vec::new();
    }
    let mut events = Vec::new();
    for (place, step) in rollout.steps.iter().enumerate() {
        if place >= told.started {
            events.push((step.started, Event::StepStarted { step: step.state }));
        }
        if let Some(finished) = step.finished.filter(|_| place >= told.ended) {
            events.push((finished, finished_step(step, finished)));
            events.extend(milestones(rollout, step, told).map(|event| (finished, event)));
        }
    }
    let warnings = rollout.warnings.iter().filter(|text| !told.warnings.contains(*text));
    let warnings = warnings.map(|text| (now, Event::Warning { text: text.clone() }));
    let end = rollout.steps.iter().rposition(|step| step.state.is_final());
    let before_end = events.len() - end.map_or(0, |_| events_of_last_step(&events));
    events.splice(before_end..before_end, warnings);
    if let Some(time) = rollout.finished.filter(|_| rollout.state.is_final()) {
        let (state, verdict, problem) = (rollout.state, rollout.verdict, rollout.problem.clone());
        events.push((time, Event::Finished { state, verdict, problem }));
    }
    events
}

fn events_of_last_step(events: &[(Timestamp, Event)]) -> usize {
    let of_final = |event: &Event| match event {
        Event::StepStarted { step } | Event::StepFinished { step, .. } => step.is_final(),
        _ => false,
    };
    events.iter().rev().take_while(|(_, event)| of_final(event)).count()
}

fn finished_step(step: &StepRecord, finished: Timestamp) -> Event {
    let length = finished.duration_since(step.started).as_millis();
    Event::StepFinished {
        step: step.state,
        duration_ms: u64::try_from(length).unwrap_or(0),
        note: step.note.clone(),
    }
}

/// What the end of a step means to people.
fn milestones(rollout: &Rollout, step: &StepRecord, told: &Told) -> impl Iterator<Item = Event> + use<> {
    let built = match (step.state, rollout.build, rollout.to) {
        (RolloutState::Building, Some(build), Some(release)) if rollout.kind == RolloutKind::Deploy => {
            Some(Event::Built { build, release }).filter(|_| !told.built)
        }
        _ => None,
    };
    // A rollout that needs no new routes has no `Committing`: its traffic has moved when draining begins.
    let last_before = !rollout.steps.iter().any(|other| other.state == RolloutState::Committing);
    let moved =
        step.state == RolloutState::Committing || (last_before && step.state == RolloutState::Draining);
    let shifted = match rollout.to {
        Some(release) if moved && rollout.shifted.is_some() && !told.shifted => {
            Some(Event::Shifted { release })
        }
        _ => None,
    };
    built.into_iter().chain(shifted)
}
