//! What this balancer sees, for programs that collect figures (Prometheus and others that read its format): a page at an
//! address of its own, never where the world is served.
//!
//! [`endpoint`] is that address, [`figures`] collects what there is to show, [`text`] writes it down. Requests pay nothing for it:
//! sums are made of what their threads put aside each second in any case.

mod endpoint;
mod figures;
mod text;

pub(crate) use endpoint::{Endpoint, Sources};
