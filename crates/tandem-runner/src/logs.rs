//! Logs of instances and jobs as people ask for them: by app and environment, in the order in which they were written, and as they grow.
//!
//! Each has a folder `logs/<app>.<env>/<id>/` of its own from its first start on. It outlives the instance, as one file
//! `<id>.log` where it is small, so the end of one that is gone can still be read, until newer ones and the limit on all
//! logs together take it.

pub(crate) mod fold;
mod follow;
mod order;
mod query;
mod shelf;
pub(crate) mod source;
#[cfg(test)]
mod tests;
pub(crate) mod trim;

pub(crate) use follow::lines;
pub(crate) use query::{Query, parameters, required};
pub(crate) use shelf::Shelf;
