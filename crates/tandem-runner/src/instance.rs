//! Instances: an actor each, which starts one, lets it through the gate, restarts it after a crash and stops it.
//!
//! | phase | what it waits for | next |
//! |---|---|---|
//! | find | what an earlier process left | running, resting, launching, stopped |
//! | launch | build, config, shim | running; resting where it failed |
//! | running | an end, an order, the next probe | resting, stopping |
//! | rest | the back-off after a crash | launching |
//! | stop | the end after the stop signal | stopped |
//! | stopped | an order | launching, or the end of the actor |

mod actor;
mod find;
mod launch;
mod owner;
mod record;
mod rest;
mod running;
mod stop;

pub(crate) use actor::{Actor, Phase};
pub(crate) use record::Record;
