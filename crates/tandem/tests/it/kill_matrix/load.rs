//! Somebody who asks the app all the time while a case runs: on connections of their own, and on kept ones.
//!
//! What counts as lost is what `cut_off` says: the requests are GETs, and the app writes each answer in one go, so that one
//! whose instance is killed is answered by another one.

use tandem_testkit::load::{Load, Mix};

use super::world::World;
use crate::screen;

/// Begins to ask: lightly, since what is measured is what gets lost, not how much can be served.
pub(super) fn begin(world: &World) -> Load {
    screen::ask(world.http(), Mix { pages: 4.0, kept_clients: 2, kept_pages: 2.0, ..Mix::gets() })
}

/// Stops asking. Returns how many requests were lost, and, where that is any loss, what.
pub(super) fn end(load: Load) -> (usize, Option<String>) {
    let report = load.stop();
    assert!(!report.samples.is_empty(), "nobody asked anything");
    (report.failures().len(), report.loss())
}
