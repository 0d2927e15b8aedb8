//! The whole matrix: every operation, every point that it passes, every victim that is there; the same with roles apart; and
//! random moments.

use std::time::Duration;

use super::case::Case;
use super::moment::{Moment, Stage};
use super::operation::Operation;
use super::survey::survey;
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
    let mut lines = at_each_point(&mut world, operation);
    if operation.builds() {
        for (stage, victim) in Stage::ALL.into_iter().flat_map(|stage| Victim::BUILD.map(|one| (stage, one)))
        {
            lines.push(Case { operation, moment: Moment::Build(stage), victim }.run(&mut world));
        }
    }
    table::tell(&lines);
    world.finish();
    table::expect_most_killed(&lines);
    for victim in Victim::TOGETHER.into_iter().filter(|victim| takes_part(operation, *victim)) {
        let killed = lines.iter().any(|line| line.is_of(victim) && line.has_killed());
        assert!(killed, "{victim:?} was killed at no point of {operation:?}");
    }
}

fn the_matrix_of_roles_apart(operation: Operation) {
    let mut world = World::start_apart();
    let lines = at_each_point(&mut world, operation);
    table::tell(&lines);
    world.finish();
    table::expect_most_killed(&lines);
    for victim in Victim::APART {
        let mut own = lines.iter().filter(|line| line.is_of(victim));
        assert!(own.any(table::Line::has_killed), "{victim:?} was killed at no point of {operation:?}");
    }
}

/// Where the survey saw no such victim there is nobody to be killed: told as a count, not tried.
fn at_each_point(world: &mut World, operation: Operation) -> Vec<table::Line> {
    let points = survey(world, operation);
    let cases = points.iter().flat_map(|seen| {
        let case = |victim| Case { operation, moment: Moment::At(seen.point), victim };
        seen.victims.iter().copied().map(case)
    });
    let mut cases: Vec<_> = cases.collect();
    let absent = points.len() * world.victims().len() - cases.len();
    table::say(&format!(
        "{operation:?}: {} points, {} cases, {absent} without a victim",
        points.len(),
        cases.len()
    ));
    // One victim after the other: what each leaves behind differs.
    let order = |victim| world.victims().iter().position(|one| *one == victim);
    cases.sort_by_key(|case| order(case.victim));
    cases.into_iter().map(|case| case.run(world)).collect()
}

/// Whether an operation always has such a victim at one of its points.
fn takes_part(operation: Operation, victim: Victim) -> bool {
    match victim {
        Victim::JobShim => matches!(operation, Operation::Deploy | Operation::FailingDeploy),
        // A release phase that fails is before all instances, the release to go back to is warm, and less is not more.
        Victim::IncomingShim => {
            !matches!(operation, Operation::FailingDeploy | Operation::Rollback | Operation::ScaleDown)
        }
        _ => true,
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
fn scale_down() {
    the_whole_matrix_of(Operation::ScaleDown);
}

#[test]
fn restart() {
    the_whole_matrix_of(Operation::Restart);
}

/// Server and runner in processes of their own, each killed alone.
mod apart {
    use super::{Operation, the_matrix_of_roles_apart};

    #[test]
    fn deploy() {
        the_matrix_of_roles_apart(Operation::Deploy);
    }

    #[test]
    fn failing_deploy() {
        the_matrix_of_roles_apart(Operation::FailingDeploy);
    }

    #[test]
    fn abort() {
        the_matrix_of_roles_apart(Operation::Abort);
    }

    #[test]
    fn revert() {
        the_matrix_of_roles_apart(Operation::Revert);
    }

    #[test]
    fn rollback() {
        the_matrix_of_roles_apart(Operation::Rollback);
    }

    #[test]
    fn config() {
        the_matrix_of_roles_apart(Operation::Config);
    }

    #[test]
    fn scale() {
        the_matrix_of_roles_apart(Operation::Scale);
    }

    #[test]
    fn scale_down() {
        the_matrix_of_roles_apart(Operation::ScaleDown);
    }

    #[test]
    fn restart() {
        the_matrix_of_roles_apart(Operation::Restart);
    }
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
        let case =
            Case { operation: random.of(&Operation::ALL), moment, victim: random.of(&Victim::TOGETHER) };
        let line = case.run(&mut world);
        killed += usize::from(line.has_killed());
        lines.push(line);
    }
    table::tell(&lines);
    world.finish();
    assert!(killed >= MOMENTS, "only {killed} of {DRAWN} moments had their victim");
}
