//! The side that faces the instances: connections, the pool of kept ones, and the choice of an instance.

mod choose;
mod connection;
mod judge;
mod pool;
mod stream;

pub(crate) use choose::{Reach, choose, reach};
pub(crate) use connection::{Connection, NoHead};
pub(crate) use judge::judge;
pub(crate) use pool::{Pool, is_read};
pub(crate) use stream::Stream;
