//! How one balancer process follows another without a connection lost: the old one gives the very listening sockets away,
//! then finishes what it has.
//!
//! Old and new speak over a unix socket in the state folder ([`link`]), in these steps:
//!
//! | new | old |
//! |---|---|
//! | `take`: who I am, where I am to serve | |
//! | | `offer`: the table, who is unwell; then the folder's lock and every listening socket |
//! | makes its table, hears the server; `ready`: the epoch it would serve | |
//! | | `behind`, where it serves a later one; else it falls silent (nothing is reported or saved by it any more) and says `go` |
//! | accepts connections, writes down that it serves; `serving` | |
//! | | stops accepting; `status` at each change, until its last request has ended |
//! | reports for both; `end` hurries the old one | |
//!
//! Until `serving` the old one goes on as if nothing had happened: whatever becomes of the new one, nobody notices. From
//! `go` on the new one holds sockets and lock: whatever becomes of the old one, nobody is refused. One that does not come to
//! serve after `go` may have let requests in: it says `refused` and keeps the conversation until it ends, and the old one holds
//! its epoch back for so long. See decision 017.

mod elders;
mod give;
pub(crate) mod link;
mod message;
mod parting;
mod take;
mod voice;

pub(crate) use elders::{Elders, has_elders, merge};
pub(crate) use give::{Giver, Sockets};
pub(crate) use link::answers;
pub(crate) use message::{Message, Offer, PROTOCOL, Take};
pub use take::TakeError;
pub(crate) use take::{Given, Refusal, Sought, Taker, offers, seek};
pub(crate) use voice::{Silence, Voice};

#[cfg(test)]
mod tests;
