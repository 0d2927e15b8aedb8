//! The side that faces the world: listening, client connections with their limits, one request at a time.

mod activity;
mod attempt;
mod behind;
mod canary;
mod client;
mod closed;
mod connection;
mod deliver;
mod ending;
mod exchange;
mod http2;
mod https;
mod input;
mod listen;
mod output;
mod patience;
mod place;
mod proxied;
mod pump;
mod run;
mod socket;
mod tls;
mod tunnel;
mod upload;
mod waiting;

pub use activity::WaitLimits;
pub(crate) use activity::{Activity, Peer};
pub(crate) use ending::until_ended;
pub(crate) use input::Input;
pub use listen::ListenError;
pub(crate) use listen::{Listeners, Listening, taken_by};
pub(crate) use proxied::read_header;
pub(crate) use pump::{Ends, Pump, PumpError};
pub(crate) use run::{Serving, start_threads};
pub(crate) use socket::Socket;
