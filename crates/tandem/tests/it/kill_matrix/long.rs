//! The whole matrix: every operation, every point that it passes, every victim; and random moments.

use std::time::Duration;

use super::case::{Case, Moment};
use super::operation::Operation;
use super::quick::survey;
use super::table;
use super::victim::Victim;
use super::world::World;

/// Random moments that the promise names, at each of which somebody was killed.
const MOMENTS: usize = 50;
/// Moments drawn for them at most: many fall where there is no such victim.
const DRAWN: usize = 4 * MOMENTS;
/// Longest an operation takes on a slow machine; a moment after its end is no loss.
const LONGEST_MS: u64 = 3_000;

fn the_whole_matrix_of(operation: Operation) {
    let mut world = World::start();
    let points = survey(&mut world, operation);
    let mut lines = Vec::new();
    for victim in Victim::ALL {
        let moments: Vec<_> = match victim {
            // It lives between two points.
            Victim::Builder => vec![Moment::Sight],
            _ => points.iter().map(|point| Moment::At(*point)).collect(),
        };
        for moment in moments {
            lines.push(Case { operation, moment, victim }.run(&mut world));
        }
    }
    table::tell(&lines);
    world.installation.finish();
    for victim in Victim::ALL.into_iter().filter(|victim| takes_part(operation, *victim)) {
        let killed = lines.iter().any(|line| line.is_of(victim) && line.has_killed());
        assert!(killed, "{victim:?} was killed at no point of {operation:?}");
    }
}

/// Whether an operation always has such a victim at one of its points.
fn takes_part(operation: Operation, victim: Victim) -> bool {
    match victim {
        Victim::Server | Victim::Everything | Victim::Balancer | Victim::ServingShim | Victim::Client => true,
        Victim::JobShim => matches!(operation, Operation::Deploy | Operation::FailingDeploy),
        // A release phase that fails is before all instances, and the release to go back to is warm.
        Victim::IncomingShim => !matches!(operation, Operation::FailingDeploy | Operation::Rollback),
        // What a build of this size runs may be over before it is seen.
        Victim::Builder => false,
    }
}

#[test]
fn deploy() {
    the_whole_matrix_of(Operation::Deploy);
}

#[test]
fn failing_deploy() {
    the_whole_matrix_of(Operation::FailingDeploy);
}

#[test]
fn abort() {
    the_whole_matrix_of(Operation::Abort);
}

#[test]
fn revert() {
    the_whole_matrix_of(Operation::Revert);
}

#[test]
fn rollback() {
    the_whole_matrix_of(Operation::Rollback);
}

#[test]
fn config() {
    the_whole_matrix_of(Operation::Config);
}

#[test]
fn scale() {
    the_whole_matrix_of(Operation::Scale);
}

#[test]
fn restart() {
    the_whole_matrix_of(Operation::Restart);
}

/// Numbers that follow from a seed (xorshift64*), so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).expect("a list's length fits")]
    }
}

#[test]
fn random_moments() {
    let seed = std::env::var("TANDEM_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) | 1 << 40);
    table::say(&format!("TANDEM_KILL_SEED={seed}"));
    let (mut random, mut world, mut lines) = (Random(seed), World::start(), Vec::new());
    let mut killed = 0;
    while killed < MOMENTS && lines.len() < DRAWN {
        let moment = Moment::After(Duration::from_millis(random.below(LONGEST_MS)));
        let case = Case { operation: random.of(&Operation::ALL), moment, victim: random.of(&Victim::ALL) };
        let line = case.run(&mut world);
        killed += usize::from(line.has_killed());
        lines.push(line);
    }
    table::tell(&lines);
    world.installation.finish();
    assert!(killed >= MOMENTS, "only {killed} of {DRAWN} moments had their victim");
}
