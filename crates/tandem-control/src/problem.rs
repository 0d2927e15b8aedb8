//! Refusals that several use cases share, and how failures of our own become problems.

use std::error::Error;

use tandem_kit::error::chain;
use tandem_types::problem::Problem;
use tandem_types::{AppName, ReleaseNumber};

use crate::place::Place;

/// A failure of the store or the disk, told in the log as a whole chain and to the caller by its top.
pub(crate) fn internal(doing: &str, error: &(dyn Error + 'static)) -> Problem {
    let text = format!("failed to {doing}: {}", chain(error));
    tracing::error!("{text}");
    Problem::new(500, "internal", text).hint("tandem status")
}

/// A failure of the store.
pub(crate) fn store(doing: &str, error: &tandem_store::Error) -> Problem {
    let problem = internal(doing, error);
    match error.hint() {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

pub(crate) fn app_not_found<'a>(name: &AppName, known: impl Iterator<Item = &'a str>) -> Problem {
    let hint = match nearest(name.as_str(), known) {
        Some(near) => format!("did you mean {near}? `tandem app list` shows all"),
        None => format!(
            "`tandem deploy --app {name}` creates it, and so does `tandem app create {name}`; `tandem app list` shows all"
        ),
    };
    Problem::new(404, "app_not_found", format!("there is no app {name}")).hint(hint)
}

pub(crate) fn app_destroying(name: &AppName) -> Problem {
    Problem::new(409, "app_destroying", format!("{name} is being destroyed"))
        .hint(format!("`tandem app destroy {name} --confirm {name}` shows what that waits for"))
}

pub(crate) fn environment_not_found<'a>(place: &Place, known: impl Iterator<Item = &'a str>) -> Problem {
    let hint = match nearest(place.environment.as_str(), known) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("`tandem deploy {}` creates it", place.arguments()),
    };
    let title = format!("{} has no environment {}", place.app, place.environment);
    Problem::new(404, "environment_not_found", title).hint(hint)
}

pub(crate) fn release_not_found(place: &Place, release: ReleaseNumber) -> Problem {
    Problem::new(404, "release_not_found", format!("{place} has no release {release}"))
        .hint(format!("tandem releases {}", place.arguments()))
}

pub(crate) fn nothing_runs(place: &Place) -> Problem {
    Problem::new(409, "nothing_runs", format!("{place} has no release that runs"))
        .hint(format!("tandem deploy {}", place.arguments()))
}

/// The known name that was most likely meant.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|name| (strsim::damerau_levenshtein(given, name), name));
    let allowed = given.chars().count().div_ceil(3);
    near.filter(|(distance, _)| *distance <= allowed).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_told_and_another_word_is_not() {
        let known = ["guestbook", "shop"];
        assert_eq!(nearest("gestbook", known.into_iter()), Some("guestbook"));
        assert_eq!(nearest("shpo", known.into_iter()), Some("shop"));
        assert_eq!(nearest("billing", known.into_iter()), None);
    }
}
