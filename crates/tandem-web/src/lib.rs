//! The JSON API of the server: paths, who may ask, bodies in and out. No SQL and no decisions: every use case is
//! `tandem_control::Handle`'s, this crate gives it an address.

mod caller;
mod extract;
mod lines;
mod problem;
mod router;
mod routes;
mod serve;
mod site;
mod switchboard;
#[cfg(test)]
mod tests;

pub use caller::Peer;
pub use router::router;
pub use serve::serve;
pub use site::Site;
