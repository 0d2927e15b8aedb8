//! The part of the matrix that runs each time: every point of a deploy with the server as victim, each other victim
//! somewhere, and the proof that every point is on some operation's way.

use std::collections::BTreeSet;

use tandem_kit::points::{Effect, Point};
use tandem_types::rollout::RolloutState;

use super::case::Case;
use super::moment::{Moment, Stage};
use super::operation::Operation;
use super::survey::survey;
use super::table;
use super::victim::Victim;
use super::world::World;

/// Without witnesses nobody asks for a soak, and one of no length ends in the transaction that begins it.
const SOAK: [Point; 2] = [Point::Entering(RolloutState::Soaking), Point::Entered(RolloutState::Soaking)];

/// Every point in the list is on the way of some operation, or of a start: one that is not tests nothing.
#[test]
fn every_point_is_passed_by_some_operation() {
    let mut world = World::start();
    let mut passed: BTreeSet<String> = world.holds.take_passed();
    // To stop one instance is what others do after their switch.
    for operation in Operation::ALL.into_iter().filter(|operation| *operation != Operation::ScaleDown) {
        passed.extend(survey(&mut world, operation).iter().map(|seen| seen.point.to_string()));
    }
    world.kill_role(Victim::Server);
    world.start_again(Victim::Server);
    tandem_testkit::wait::eventually("a start passes its points", || {
        passed.extend(world.holds.take_passed());
        passed.contains(Effect::InstanceFound.name()).then_some(())
    });
    let others = [&SOAK[..], &crate::handover::POINTS, &crate::git::POINTS].concat();
    let elsewhere = |point: &Point| others.contains(point);
    let all = Point::all().into_iter().filter(|point| !elsewhere(point)).map(|point| point.to_string());
    let dead: Vec<_> = all.filter(|point| !passed.contains(point)).collect();
    world.finish();
    assert_eq!(dead, Vec::<String>::new(), "points that no operation passes");
}

/// Of two tests side by side each takes every other point.
fn the_server_dies_at_each_point_of_a_deploy(half: usize) {
    let mut world = World::start();
    let points = survey(&mut world, Operation::Deploy);
    let mine = points.iter().skip(half).step_by(2);
    let cases = mine.map(|seen| Case {
        operation: Operation::Deploy,
        moment: Moment::At(seen.point),
        victim: Victim::Server,
    });
    let lines: Vec<_> = cases.map(|case| case.run(&mut world)).collect();
    table::tell(&lines);
    world.finish();
    table::expect_most_killed(&lines);
}

#[test]
fn a_server_may_die_at_every_even_point_of_a_deploy() {
    the_server_dies_at_each_point_of_a_deploy(0);
}

#[test]
fn a_server_may_die_at_every_odd_point_of_a_deploy() {
    the_server_dies_at_each_point_of_a_deploy(1);
}

#[test]
fn every_other_part_may_die_in_a_deploy() {
    let mut world = World::start();
    let at = |victim, point: Point| (victim, Moment::At(point));
    let cases = [
        at(Victim::Everything, Point::Entered(RolloutState::Releasing)),
        at(Victim::Everything, Point::Entered(RolloutState::Committing)),
        at(Victim::Balancer, Effect::BalancerHeard.into()),
        at(Victim::Balancer, Effect::BalancerReady.into()),
        at(Victim::Balancer, Point::Entering(RolloutState::Committing)),
        at(Victim::ServingShim, Point::Entered(RolloutState::Preparing)),
        at(Victim::IncomingShim, Effect::GatePassed.into()),
        at(Victim::IncomingShim, Point::Entered(RolloutState::Committing)),
        at(Victim::JobShim, Effect::JobLaunched.into()),
        at(Victim::Client, Effect::ClientTold.into()),
        (Victim::Builder, Moment::Build(Stage::Middle)),
        (Victim::BuildSandbox, Moment::Build(Stage::Begin)),
    ];
    let case = |(victim, moment)| Case { operation: Operation::Deploy, moment, victim };
    let lines: Vec<_> = cases.into_iter().map(|each| case(each).run(&mut world)).collect();
    table::tell(&lines);
    world.finish();
    let killed = lines.iter().filter(|line| line.has_killed()).count();
    assert_eq!(killed, lines.len(), "a victim was not there");
}

/// Neither one's death takes the other with it: the work of each goes on when it is back.
#[test]
fn server_and_runner_may_each_die_alone_in_a_deploy() {
    let mut world = World::start_apart();
    let cases = [
        (Victim::Runner, Effect::JobLaunched.into()),
        (Victim::Runner, Effect::ShimBegun.into()),
        (Victim::Server, Effect::GatePassed.into()),
    ];
    let case = |(victim, point)| Case { operation: Operation::Deploy, moment: Moment::At(point), victim };
    let lines: Vec<_> = cases.into_iter().map(|each| case(each).run(&mut world)).collect();
    table::tell(&lines);
    world.finish();
    assert!(lines.iter().all(table::Line::has_killed), "a moment never came");
}
