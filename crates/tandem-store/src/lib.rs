//! Versioned documents, their journal and leases behind one trait, with SQLite as the engine.
//!
//! See [`Store`] for what holds for every engine. The contract test suite in `contract` is what an engine has to pass.

#[cfg(test)]
mod contract;
mod error;
mod key;
mod kind;
pub mod lease;
pub mod sqlite;
mod store;
mod transaction;
mod typed;

pub use error::Error;
pub use key::{LONGEST_KEY, check_key};
pub use store::{JournalQuery, LARGEST_BODY, Listing, SharedStore, Store};
pub use transaction::{Check, Expect, Transaction, Write};
pub use typed::{Stored, get_as, list_as};
