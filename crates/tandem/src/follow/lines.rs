//! Events of a rollout as lines for people. Pure: an event in, lines out.

use tandem_types::event::{Event, RolloutEvent};
use tandem_types::rollout::RolloutState;

use crate::output::{Style, milliseconds, plain, visible};

/// Waiting in the queue and the soak are told from this length on: without either they are no step to people.
const WORTH_TELLING_MS: u64 = 1_000;

/// Turns events into lines; remembers which step's heading was printed.
#[derive(Debug)]
pub(super) struct Lines {
    style: Style,
    step: Option<RolloutState>,
    headed: bool,
}

impl Lines {
    /// Before the first event.
    pub(super) fn new(style: Style) -> Self {
        Self { style, step: None, headed: false }
    }

    /// The lines for one event, possibly none.
    pub(super) fn render(&mut self, event: &RolloutEvent) -> Vec<String> {
        match &event.event {
            Event::Waiting { rollout, actor } => {
                vec![format!("waiting for {rollout}, started by {}", visible(actor))]
            }
            Event::StepStarted { step } => {
                self.step = Some(*step);
                self.headed = false;
                Vec::new()
            }
            Event::StepFinished { step, duration_ms, note } => self.finished(*step, *duration_ms, note),
            Event::Part { duration_ms: None, .. } => Vec::new(),
            Event::Part { name, duration_ms: Some(millis), note } => {
                self.inner(&format!("{name:<18}{:>9}  {note}", milliseconds(*millis)), Style::plain)
            }
            Event::Line { text, .. } if text.trim().is_empty() => Vec::new(),
            Event::Line { text, .. } => self.inner(text, Style::dim),
            Event::Warning { text } => vec![format!("{} {}", self.style.yellow("warning:"), visible(text))],
            Event::Note { text } => vec![format!("{} {}", self.style.bold("note:"), visible(text))],
            Event::Built { build, release } => vec![format!("  {build} becomes {release}")],
            Event::Shifted { .. } | Event::Finished { .. } => Vec::new(),
        }
    }

    /// An indented line under the step's heading.
    fn inner(&mut self, text: &str, paint: fn(Style, &str) -> String) -> Vec<String> {
        let mut lines = Vec::new();
        if let (Some(step), false) = (self.step, self.headed) {
            self.headed = true;
            lines.push(format!("  {}", name_of(step)));
        }
        lines.push(format!("    {}", paint(self.style, &plain(text.trim_end()))));
        lines
    }

    fn finished(&mut self, step: RolloutState, millis: u64, note: &str) -> Vec<String> {
        let passed_by =
            matches!(step, RolloutState::Queued | RolloutState::Soaking) && millis < WORTH_TELLING_MS;
        if step.is_final() || passed_by {
            return Vec::new();
        }
        let line = format!("  {:<20}{:>9}", name_of(step), milliseconds(millis));
        if note.is_empty() { vec![line] } else { vec![format!("{line}  {}", self.style.dim(&visible(note)))] }
    }
}

/// What a step is called: the word that `--json` and the journal use too.
pub(crate) fn name_of(step: RolloutState) -> &'static str {
    match step {
        RolloutState::Queued => "queued",
        RolloutState::Building => "building",
        RolloutState::Staging => "staging",
        RolloutState::Smoking => "smoking",
        RolloutState::Releasing => "releasing",
        RolloutState::Starting => "starting",
        RolloutState::Preparing => "preparing",
        RolloutState::Committing => "committing",
        RolloutState::Draining => "draining",
        RolloutState::Soaking => "soaking",
        RolloutState::Reverting => "reverting",
        RolloutState::Cleaning => "cleaning",
        RolloutState::Completed => "completed",
        RolloutState::Reverted => "reverted",
        RolloutState::Failed => "failed",
        RolloutState::Aborted => "aborted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_types::{BuildNumber, ReleaseNumber, RolloutNumber};

    fn rendered(events: Vec<Event>) -> String {
        let mut lines = Lines::new(Style::new(false));
        let mut text = Vec::new();
        for (event, sequence) in events.into_iter().zip(1..) {
            let event = RolloutEvent { sequence, time: jiff::Timestamp::UNIX_EPOCH, event };
            text.extend(lines.render(&event));
        }
        text.join("\n")
    }

    #[test]
    fn a_deploy_reads_as_steps_with_times_and_their_output_indented_below_one_heading() {
        let step = RolloutState::Building;
        let text = rendered(vec![
            Event::Waiting { rollout: RolloutNumber(6), actor: "unix:ann".into() },
            Event::StepStarted { step },
            Event::Part { name: "dependencies".into(), duration_ms: None, note: String::new() },
            Event::Line { source: "build".into(), text: "Resolved 9 packages".into() },
            Event::Part { name: "dependencies".into(), duration_ms: Some(1_200), note: "9 packages".into() },
            Event::Line { source: "build".into(), text: " ".into() },
            Event::StepFinished { step, duration_ms: 2_100, note: String::new() },
            Event::Built { build: BuildNumber(7), release: ReleaseNumber(12) },
            Event::StepFinished { step: RolloutState::Queued, duration_ms: 5, note: String::new() },
            Event::Warning { text: "2 uncommitted files".into() },
            Event::StepFinished {
                step: RolloutState::Starting,
                duration_ms: 900,
                note: "2 of 2 ready".into(),
            },
        ]);
        insta::assert_snapshot!(text);
    }
}
