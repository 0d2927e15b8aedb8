//! Somebody who asks the app all the time while a case runs: on connections of their own, and on kept ones.
//!
//! What counts as lost is what `cut_off` says: the requests are GETs, and the app writes each answer in one go, so that one
//! whose instance is killed is answered by another one.

use tandem_testkit::load::{Load, Mix, Sample, Target};

use super::world::World;
use crate::screen::PLAIN;

/// Light: what is measured is what gets lost, not how much can be served.
fn mix() -> Mix {
    Mix { pages: 4.0, writes: 0.0, slow: 0.0, kept_clients: 2, kept_pages: 2.0, ..Mix::default() }
}

/// Begins to ask.
pub(super) fn begin(world: &World) -> Load {
    Load::start(Target { address: world.http(), host: PLAIN.to_owned() }, mix())
}

/// Stops asking. Returns what was lost.
pub(super) fn end(load: Load) -> Vec<Sample> {
    let report = load.stop();
    assert!(!report.samples.is_empty(), "nobody asked anything");
    report.failures().into_iter().cloned().collect()
}
