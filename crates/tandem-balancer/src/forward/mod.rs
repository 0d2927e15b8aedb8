//! Header rules of a proxy: what is taken out, what is put in, what is refused.
//!
//! An app behind Tandem may trust `X-Forwarded-*` and `X-Request-Id` without looking twice, because whatever the
//! client sent under these names is gone. Messages are changed here and nowhere else; no input or output.

mod host;
mod names;
mod request;
mod request_id;
mod response;
mod upgrade;

pub(crate) use host::host_of;
pub(crate) use request::{Framing, Origin, RequestError, check_request, prepare_request};
pub(crate) use request_id::request_id;
pub(crate) use response::{prepare_response, stamp};
pub(crate) use upgrade::{prepare_switch, upgrade_wanted};

#[cfg(test)]
mod tests;
