//! A rollout against a simulated world, where runner and balancers obey the documents with delays, failures and
//! crashes.

mod actors;
mod balancers;
mod crashes;
mod destroys;
mod events;
mod people;
mod properties;
mod returns;
mod scenarios;
pub(crate) mod simulation;
mod slot;
mod workers;
