//! One case: an operation, a moment, a victim, and what came of it.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_kit::points::Point;
use tandem_testkit::program::Running;
use tandem_testkit::promises::{self, Before};
use tandem_testkit::wait;

use super::operation::{Abort, Operation};
use super::table::Line;
use super::victim::{Known, Victim};
use super::world::World;

/// Time an operation has to come to its point, or to its end after the fault: the lease, and what its steps take.
const LIMIT: Duration = Duration::from_secs(90);
/// Time in which everything is as it should be after the rollout has ended.
pub(super) const SETTLED: Duration = Duration::from_secs(45);
/// Time after the client's end in which a later step may still come to the point.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// When the victim is killed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// When somebody has come to the point, and while it is held there.
    At(Point),
    /// When the victim is there.
    Sight,
    /// This long after the operation began.
    After(Duration),
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) operation: Operation,
    pub(super) moment: Moment,
    pub(super) victim: Victim,
}

impl Case {
    /// Runs it and returns its line of the table.
    ///
    /// # Panics
    ///
    /// Where a promise does not hold, naming it.
    pub(super) fn run(self, world: &mut World) -> Line {
        let before = Before::look(&world.installation);
        let (known, last) = (Known::look(world), newest(world));
        if let Moment::At(point) = self.moment {
            world.holds.hold(point);
        }
        let _ = world.holds.take_passed();
        let mut client = self.operation.begin(world);
        let mut abort = Abort::new(self.operation);
        let met = self.await_moment(world, (&mut client, &mut abort), &known);
        let killed = if met { self.victim.kill(world, &mut client, &known) } else { None };
        if let Moment::At(point) = self.moment {
            world.holds.let_go(point);
        }
        if killed.is_some() && self.victim.takes_the_server() {
            world.installation.start_again();
        }
        let end = self.await_end(world, (&mut client, &mut abort), &last);
        if self.operation == Operation::Revert && end == "completed" {
            // On a machine so busy that its clock was seen alive: it must not stay.
            world.put_in_place();
        }
        let outcome = match (met, &killed, end) {
            (false, _, _) => "moment never came".to_owned(),
            (true, None, _) => "no such victim".to_owned(),
            (true, Some(_), end) => end,
        };
        self.hold_to_promises(world, &before, &killed.unwrap_or_default());
        world.rest();
        if self.victim == Victim::ServingShim {
            world.renew();
        }
        Line::new(self, outcome)
    }

    /// The operation alone; nothing is killed.
    pub(super) fn undisturbed(world: &mut World, operation: Operation) {
        // Neither moment nor victim is asked for.
        let case = Self { operation, moment: Moment::After(Duration::ZERO), victim: Victim::Client };
        let last = newest(world);
        let mut client = operation.begin(world);
        let end = case.await_end(world, (&mut client, &mut Abort::new(operation)), &last);
        if operation == Operation::Revert && end == "completed" {
            world.put_in_place();
        }
    }

    fn await_moment(
        self,
        world: &mut World,
        (client, abort): (&mut Running, &mut Abort),
        known: &Known,
    ) -> bool {
        let has_come = |world: &World| match self.moment {
            Moment::At(point) => world.holds.is_reached(point),
            Moment::Sight => self.victim.is_there(world, known),
            Moment::After(_) => false,
        };
        if let Moment::After(time) = self.moment {
            let _ = wait::within(time, || {
                abort.nudge(world, has_begun_to_start(world));
                None::<()>
            });
            return true;
        }
        let mut come = || {
            abort.nudge(world, has_begun_to_start(world));
            has_come(world).then_some(())
        };
        let first = wait::within(LIMIT, || come().or_else(|| client.ended().map(|_| ())));
        first.and_then(|()| wait::within(AFTERWARDS, come)).is_some()
    }

    /// Waits until the client has ended and every rollout with it; says how the newest one stands.
    fn await_end(self, world: &World, (client, abort): (&mut Running, &mut Abort), last: &str) -> String {
        let ended = wait::within(LIMIT, || {
            abort.nudge(world, has_begun_to_start(world));
            client.ended()
        });
        let code = ended.unwrap_or_else(|| panic!("{self:?}: the client never ended:\n{}", world.told()));
        let state = wait::within(LIMIT, || {
            abort.nudge(world, has_begun_to_start(world));
            let rollouts = world.rollouts()?;
            let newest = rollouts.first()?;
            if newest["number"] == last {
                return Some("not begun".to_owned());
            }
            let state = newest["state"].as_str()?.to_owned();
            ["completed", "reverted", "failed", "aborted"].contains(&state.as_str()).then_some(state)
        });
        let state = state.unwrap_or_else(|| panic!("{self:?}: it never ended: {:?}", world.rollouts()));
        let told = world.told();
        let acknowledged = told.contains(" of plain/production");
        assert!(!acknowledged || state != "not begun", "{self:?}: an acknowledged rollout is gone: {told}");
        // A deploy has succeeded when the traffic has moved; what comes later is for `rollout watch`.
        let fine = code.code() != Some(0) || ["completed", "reverted"].contains(&state.as_str());
        assert!(fine, "{self:?}: {state}, and the client said that all is well: {told}");
        state
    }

    fn hold_to_promises(self, world: &World, before: &Before, killed: &BTreeSet<String>) {
        let broken = promises::broken(&world.installation, (before, killed), SETTLED);
        assert!(broken.is_empty(), "{self:?}\n  {}\n{}", broken.join("\n  "), world.told());
    }
}

/// The number of the newest rollout.
fn newest(world: &World) -> String {
    let rollouts = world.rollouts().expect("the server answers");
    rollouts[0]["number"].as_str().expect("a number").to_owned()
}

fn has_begun_to_start(world: &World) -> bool {
    world.holds.has_passed(Point::Entered(tandem_types::rollout::RolloutState::Starting))
}
