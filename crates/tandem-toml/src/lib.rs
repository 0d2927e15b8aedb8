//! TOML that people write (`tandem.toml`, a file of routes), read key by key with the place of each.
//!
//! Every mistake is shown where it is and, where one is near, with the word that was meant. What may stand in a file is for
//! its own reader; here is how single values are read, and the tables that several files have.

mod domain;
mod health;
mod https;
mod limits;
mod mistake;
mod text;

pub use domain::ensure_domain;
pub use health::{HealthEntry, health};
pub use https::https;
pub use limits::limits;
pub use mistake::Mistake;
pub use text::{Key, Table, Text, Value};
