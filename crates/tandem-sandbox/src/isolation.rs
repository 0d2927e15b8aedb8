//! What this machine can do to keep apps apart.

use tandem_types::instance::Isolation;

/// How apps can be kept apart here, and for people: what is used, or what is missing and the line to type for more.
///
/// Tries bubblewrap for real, which takes some 10 ms: ask once at the start, from a thread that may block.
#[must_use]
pub fn isolation() -> (Isolation, String) {
    todo!()
}
