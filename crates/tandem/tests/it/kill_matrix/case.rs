//! One case: an operation, a moment, a victim, and what came of it.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_kit::points::Point;
use tandem_testkit::program::Running;
use tandem_testkit::promises::{self, Before};
use tandem_testkit::wait;
use tandem_types::rollout::RolloutState;

use super::load;
use super::moment::Moment;
use super::operation::{Abort, Operation};
use super::outcome::{self, NOT_BEGUN};
use super::table::Line;
use super::victim::{Known, Victim};
use super::world::World;

/// Time an operation has to come to its point, or to its end after the fault: the lease, and what its steps take.
const LIMIT: Duration = Duration::from_secs(90);
/// Time in which everything is as it should be after the rollout has ended.
pub(super) const SETTLED: Duration = Duration::from_secs(45);
/// Time after the client's end in which a later step may still come to the point.
const AFTERWARDS: Duration = Duration::from_secs(15);

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
        let clock = Clock::system();
        let begin = clock.monotonic();
        self.operation.prepare(world);
        let before = Before::look(world.installation());
        let (known, last) = (Known::look(world), world.newest());
        self.hold(world);
        let _ = world.holds.take_passed();
        let asking = load::begin(world);
        let mut client = self.operation.begin(world);
        let mut abort = Abort::new(self.operation);
        let met = self.await_moment(world, (&mut client, &mut abort), &known);
        let had_begun = world.holds.has_passed(Point::Entered(RolloutState::Queued));
        let killed = if met { self.victim.kill(world, &mut client, &known) } else { None };
        let taken = killed.is_some() && self.victim.is_started_by_hand();
        if taken && self.moment.is_of_shim() {
            world.start_again(self.victim);
            self.let_go(world);
        } else {
            self.let_go(world);
            if taken {
                world.start_again(self.victim);
            }
        }
        let end = self.await_end(world, (&mut client, &mut abort), last);
        if self.operation == Operation::Revert && end == "completed" {
            // On a machine so busy that its clock was seen alive: it must not stay.
            world.put_in_place();
        }
        let outcome = match (met, &killed) {
            (false, _) => "moment never came",
            (true, None) => "no such victim",
            (true, Some(_)) => &end,
        };
        let victim = killed.is_some().then_some(self.victim);
        self.hold_to_promises(world, &before, &killed.unwrap_or_default());
        let (lost, loss) = load::end(asking);
        let may_lose = victim.is_some_and(Victim::may_lose_requests);
        assert!(may_lose || loss.is_none(), "{self:?}: {}", loss.unwrap_or_default());
        world.rest();
        if self.victim == Victim::ServingShim {
            world.renew();
        }
        let took = clock.monotonic().elapsed_since(begin);
        let line = Line::new(self, outcome.to_owned(), (lost, took));
        let may_be = outcome::may_be(self.operation, victim, had_begun);
        assert!(may_be.contains(&end.as_str()), "{self:?}: {end} and not {may_be:?}: {}", world.told());
        line
    }

    fn hold(self, world: &mut World) {
        match self.moment {
            Moment::At(point) => world.holds.hold(point),
            Moment::Build(stage) => world.build_held = Some(stage),
            Moment::After(_) => {}
        }
    }

    fn let_go(self, world: &mut World) {
        match self.moment {
            Moment::At(point) => world.holds.let_go(point),
            Moment::Build(stage) => {
                stage.let_go(world.installation().data());
                world.build_held = None;
            }
            Moment::After(_) => {}
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
            Moment::Build(stage) => stage.is_reached(world.installation().data()),
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
        let met = first.and_then(|()| wait::within(AFTERWARDS, come)).is_some();
        if let Moment::Build(_) = self.moment {
            assert!(
                met && self.victim.is_there(world, known),
                "{self:?}: no build was held: {}",
                world.told()
            );
        }
        met
    }

    /// Waits until the client has ended and every rollout with it; says how the newest one stands.
    fn await_end(self, world: &World, (client, abort): (&mut Running, &mut Abort), last: u64) -> String {
        let ended = wait::within(LIMIT, || {
            abort.nudge(world, has_begun_to_start(world));
            client.ended()
        });
        let code = ended.unwrap_or_else(|| panic!("{self:?}: the client never ended:\n{}", world.told()));
        let state = wait::within(LIMIT, || {
            abort.nudge(world, has_begun_to_start(world));
            let rollouts = world.rollouts();
            let newest = rollouts.last()?;
            if newest.number.0 == last {
                return Some(NOT_BEGUN.to_owned());
            }
            newest.state.is_final().then(|| format!("{:?}", newest.state).to_lowercase())
        });
        let state =
            state.unwrap_or_else(|| panic!("{self:?}: it never ended: {:?}", world.rollouts().last()));
        let told = world.told();
        let acknowledged = told.contains(" of plain/production");
        assert!(!acknowledged || state != NOT_BEGUN, "{self:?}: an acknowledged rollout is gone: {told}");
        // A deploy has succeeded when the traffic has moved; what comes later is for `rollout watch`.
        let fine = code.code() != Some(0) || ["completed", "reverted"].contains(&state.as_str());
        assert!(fine, "{self:?}: {state}, and the client said that all is well: {told}");
        state
    }

    fn hold_to_promises(self, world: &World, before: &Before, killed: &BTreeSet<String>) {
        let broken = promises::broken(world.installation(), (before, killed), SETTLED);
        assert!(broken.is_empty(), "{self:?}\n  {}\n{}", broken.join("\n  "), world.told());
    }
}

/// Whether the rollout under way waits for instances, or did.
pub(super) fn has_begun_to_start(world: &World) -> bool {
    world.holds.has_passed(Point::Entered(RolloutState::Starting))
}
