//! The side that faces the world: listening, client connections with their limits, one request at a time.

mod activity;
mod body;
mod connection;
mod listen;
mod request;
mod run;
mod socket;
mod tunnel;

pub(crate) use activity::{Activity, Limits, Peer};
pub(crate) use body::ResponseBody;
pub use listen::ListenError;
pub(crate) use listen::{Listeners, Listening, taken_by};
pub(crate) use run::{Serving, start_threads};
pub(crate) use socket::Socket;
