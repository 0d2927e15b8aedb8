//! Header rules of a proxy: what is left out, what is put in, what is refused.
//!
//! An app behind Tandem may trust `X-Forwarded-*` and `X-Request-Id` without looking twice, because whatever the
//! client sent under these names is gone. Messages are changed here and nowhere else; no input or output.

mod host;
mod parts;
mod request;
mod request_id;
mod response;

pub(crate) use host::find_host;
pub use host::{HostError, host_of};
pub use parts::parts_of;
pub use request::{Origin, Refusal, address_text, expects_continue, path_of, upgrade_wanted, write_request};
pub use request_id::RequestId;
pub(crate) use response::REQUEST_ID;
pub use response::{
    Bodies, Delivery, HeadWriter, bodies, write_interim, write_own, write_response, write_switch,
};

#[cfg(test)]
mod tests;
