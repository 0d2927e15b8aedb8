//! Asks an authority for a certificate (ACME, RFC 8555): account, order, challenge, chain.
//!
//! One attempt for one domain, from its beginning to its end. When one begins, who may do it and where anything is kept is
//! decided by others (decision 023); what is answered to the authority is published through [`Publisher`].

mod account;
mod config;
mod hook;
mod order;
mod trouble;
mod wire;

pub use account::{Account, open};
pub use config::{Config, Way};
pub use order::{Challenge, Publisher, order};
pub use trouble::Trouble;
