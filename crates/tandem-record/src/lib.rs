//! What is seen of requests: one record for each, whatever becomes of it.
//!
//! A [`Trace`] goes along with a request and collects moments; when the request is over its thread's [`Recorder`] counts it,
//! keeps it among the latest and the slowest, and writes its line of the [`AccessLog`]. Threads share nothing while they do
//! so. Each second they put what was added into an [`Outbox`], from where it goes to the server; a server that is away
//! costs that second and nothing else. Where they are wanted, [`Totals`] keep what all of that comes to.

mod access_log;
mod interval;
mod kept;
mod line;
mod outbox;
mod recorder;
mod seen;
mod totals;
mod trace;

pub use access_log::{AccessLog, Writing};
pub use access_log::{AccessLogConfig, AccessLogError};
use interval::Interval;
use kept::{Kept, Latest};
pub use line::AccessFormat;
pub use outbox::{Outbox, report_traffic};
pub use recorder::{Recorder, Slot};
pub use seen::{Facts, Seen};
pub use totals::{ClassTotal, Total, Totals};
pub use trace::{Trace, Unfinished, now};
