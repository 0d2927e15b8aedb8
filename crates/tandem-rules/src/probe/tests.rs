//! When an instance goes out and comes back.

use proptest::prelude::*;

use super::*;

const RULES: Thresholds = Thresholds { failures_out: 3, successes_back: 2 };

fn outcomes(text: &str) -> Vec<Outcome> {
    text.chars().map(|mark| if mark == '+' { Outcome::Good } else { Outcome::Bad }).collect()
}

#[test]
fn three_failures_in_a_row_take_it_out_and_two_good_answers_bring_it_back() {
    let mut probe = Probe::trusted(RULES);
    let changes: Vec<_> = outcomes("+--+--+---+-++-").into_iter().map(|o| probe.record(o)).collect();
    let mut expected = vec![None; 15];
    expected[9] = Some(Change::Out);
    expected[13] = Some(Change::Back);
    assert_eq!(changes, expected);
    assert!(probe.is_healthy());
}

#[test]
fn the_defaults_are_those_of_the_design() {
    assert_eq!(Thresholds::default(), RULES);
}

#[test]
fn an_untrusted_instance_takes_no_traffic_before_its_good_answers() {
    let mut probe = Probe::untrusted(RULES);
    assert!(!probe.is_healthy());
    assert_eq!(probe.record(Outcome::Good), None);
    assert_eq!(probe.record(Outcome::Bad), None);
    assert_eq!(probe.record(Outcome::Good), None);
    assert_eq!(probe.record(Outcome::Good), Some(Change::Back));
}

#[test]
fn a_refused_connection_takes_it_out_at_once_and_probes_bring_it_back() {
    let mut probe = Probe::trusted(RULES);
    probe.record(Outcome::Bad);
    probe.take_out();
    assert!(!probe.is_healthy());
    assert_eq!(probe.record(Outcome::Good), None);
    assert_eq!(probe.record(Outcome::Good), Some(Change::Back));
}

proptest! {
    #[test]
    fn the_state_is_that_of_the_last_run_that_was_long_enough(marks in prop::collection::vec(any::<bool>(), 0..40)) {
        let mut probe = Probe::trusted(RULES);
        for &good in &marks {
            probe.record(if good { Outcome::Good } else { Outcome::Bad });
        }
        // Read backwards: the latest of "three bad in a row" and "two good in a row" decides.
        let last_bad = marks.windows(3).rposition(|run| run.iter().all(|good| !good)).map(|at| at + 3);
        let last_good = marks.windows(2).rposition(|run| run.iter().all(|good| *good)).map(|at| at + 2);
        let healthy = match (last_bad, last_good) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(bad), Some(good)) => good > bad,
        };
        prop_assert_eq!(probe.is_healthy(), healthy);
    }
}
