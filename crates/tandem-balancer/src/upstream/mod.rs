//! The side that faces the instances: connections, the pool of kept ones, and sending with safe retries.

mod body;
mod connection;
mod pool;
mod send;
mod stream;

pub(crate) use body::{Progress, RequestBody};
pub(crate) use connection::{Connection, connect};
pub(crate) use pool::Pool;
pub(crate) use send::{Answer, Failure, Outgoing, send};
pub(crate) use stream::Stream;
