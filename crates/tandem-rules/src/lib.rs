//! Every decision of Tandem, pure: no clock, no input or output, no async.

pub mod probe;
pub mod routing;
