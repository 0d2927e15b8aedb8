//! Waiting for a condition with a limit: the only way a scenario lets time pass.

use std::time::Duration;

use tandem_kit::clock::Clock;

/// Long enough for a busy machine; a condition that is met ends the wait at once.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `condition` yields something and returns that.
///
/// # Panics
///
/// After [`PATIENCE`], naming what it waited for.
pub fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, condition).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// Looks until `condition` yields something, for at most `limit`; looks at least once.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let clock = Clock::system();
    let begin = clock.monotonic();
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if clock.monotonic().elapsed_since(begin) >= limit {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// Lets this much time pass, where nothing is waited for but a measurement.
pub fn pass(length: Duration) {
    let _: Option<()> = within(length, || None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_looked_at_until_it_is_met_or_the_limit_is_over() {
        let mut looks = 0;
        let third = within(PATIENCE, || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(third, Some(3));
        assert_eq!(within(Duration::ZERO, || None::<()>), None);
    }
}
