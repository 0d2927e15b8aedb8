//! An error and its causes on one line, for people and for logs.
//!
//! Errors here never print their own cause, so whoever shows one has to walk the chain. This is the one place that
//! does.

/// The whole chain, outermost first: `write x: failed to sync: no space left on device`.
///
/// A cause whose words the line ends with already is left out: some errors of others print their cause, and nobody
/// wants to read it twice.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| {
        let cause = cause.to_string();
        if line.ends_with(&cause) { line } else { format!("{line}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Link {
        words: &'static str,
        source: Option<Box<Link>>,
    }

    /// A chain of these words, outermost first.
    fn link(words: &[&'static str]) -> Option<Box<Link>> {
        let (first, rest) = words.split_first()?;
        Some(Box::new(Link { words: first, source: link(rest) }))
    }

    #[test]
    fn every_cause_is_told_once_from_the_outside_in() {
        for (words, expected) in [
            (&["send the source"][..], "send the source"),
            (&["a", "b", "c"], "a: b: c"),
            (&["connect: refused", "refused"], "connect: refused"),
            (&["connect: refused", "refused", "os error 111"], "connect: refused: os error 111"),
            (&["silent", ""], "silent"),
        ] {
            let error = link(words).expect("at least one link");
            assert_eq!(chain(&*error), expected);
        }
    }
}
