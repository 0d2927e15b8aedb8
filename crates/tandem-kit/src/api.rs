//! The API client: how runner, balancer and command line speak to the server.
//!
//! HTTP/1.1 on hyper's connection level, over a unix socket or TCP, with a few kept connections. A kept connection that
//! turns out dead before the request went out is replaced; a request that went out is never sent twice, since only the
//! caller knows whether that is harmless. Failures of the server come as [`Error::Problem`].

mod client;
mod connection;
mod error;
mod flow;
mod heard_out;
mod lines;
mod pool;
mod server;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
mod upgrade;
mod watch;
#[cfg(test)]
mod watch_tests;

pub use client::Client;
pub use error::Error;
pub use lines::{LONGEST_LINE, lines_of};
pub use server::Server;
pub use upgrade::Link;
pub use watch::Watch;
