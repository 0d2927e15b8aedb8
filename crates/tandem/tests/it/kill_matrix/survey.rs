//! What an operation passes, and who could be killed there: from a run in which each point is held once and nobody is killed.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_kit::points::Point;
use tandem_testkit::program::Running;
use tandem_testkit::promises::{self, Before};
use tandem_testkit::wait;

use super::case::{SETTLED, has_begun_to_start};
use super::operation::{Abort, Operation};
use super::victim::{Known, Victim};
use super::world::World;

/// Time an operation has, each of its points held for a moment.
const LIMIT: Duration = Duration::from_secs(120);
/// An operation is over when its client is and no further point was met for this long.
const QUIET: Duration = Duration::from_secs(2);

/// A point that an operation passes.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) point: Point,
    /// Who was there. All, where it was passed before it could be held.
    pub(super) victims: Vec<Victim>,
}

/// The points that an operation passes, in the order of the list.
pub(super) fn survey(world: &mut World, operation: Operation) -> Vec<Seen> {
    operation.prepare(world);
    let _ = world.holds.take_passed();
    let before = Before::look(world.installation());
    let known = Known::look(world);
    let mut client = operation.begin(world);
    // No verb may be typed while points are held: it could be the one that stops there.
    let mut met = hold_each(world, (&mut client, operation), &known);
    let ended = wait::within(LIMIT, || world.rollouts().iter().all(|one| one.state.is_final()).then_some(()));
    assert!(ended.is_some(), "{operation:?} never ended: {:?}", world.rollouts().last());
    if operation == Operation::Revert {
        // Held, its clock may have been seen alive: it must not stay.
        world.put_in_place();
    }
    let broken = promises::broken(world.installation(), (&before, &BTreeSet::new()), SETTLED);
    assert!(broken.is_empty(), "{operation:?}\n  {}", broken.join("\n  "));
    let passed = world.holds.take_passed();
    let all = Point::all().into_iter().filter(|point| passed.contains(&point.to_string()));
    all.map(|point| match met.iter().position(|seen| seen.point == point) {
        Some(place) => met.swap_remove(place),
        None => Seen { point, victims: world.victims().to_vec() },
    })
    .collect()
}

fn hold_each(world: &World, (client, operation): (&mut Running, Operation), known: &Known) -> Vec<Seen> {
    let mut held = Point::all();
    held.iter().for_each(|point| world.holds.hold(*point));
    let (mut met, mut abort, clock) = (Vec::new(), Abort::new(operation), Clock::system());
    let mut last = clock.monotonic();
    let over = wait::within(LIMIT, || {
        abort.nudge(world, has_begun_to_start(world));
        for point in held.extract_if(.., |point| world.holds.is_reached(*point)) {
            let has_client = client.ended().is_none();
            met.push(Seen { point, victims: Victim::seen(world, known, has_client) });
            world.holds.let_go(point);
            last = clock.monotonic();
        }
        let quiet = clock.monotonic().elapsed_since(last) >= QUIET;
        (quiet && client.ended().is_some()).then_some(())
    });
    held.iter().for_each(|point| world.holds.let_go(*point));
    assert!(over.is_some(), "{operation:?}: the client never ended: {}", world.told());
    met
}
