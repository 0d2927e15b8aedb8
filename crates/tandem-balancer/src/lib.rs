//! The data path: routes, pools, probes, retries, static files.
//!
//! A balancer follows the routing document and the hosts' observations through the API, and serves the last table it was
//! given for ever when the server is gone. [`serve`] faces the world, [`upstream`] the instances, [`table`] and [`control`]
//! the server; [`forward`] has the header rules. No decision about rollouts is made here, and nothing here waits for the
//! server while it answers a request.

mod alone;
mod balancer;
mod control;
#[doc(hidden)]
pub mod fuzzing;
mod handover;
mod metrics;
mod open_files;
mod pacing;
mod pages;
mod probe;
mod process;
mod saved;
mod serve;
mod shared;
mod start;
mod table;
mod thread;
mod tick;
mod upstream;

pub use alone::{Alone, AloneConfig, AloneError, Mistake, TakeOverError};
pub use balancer::{Balancer, BuildError, Config, RunError};
pub use handover::TakeError;
pub use process::Process;
pub use saved::saved_table;
pub use serve::{ListenError, WaitLimits};
pub use tandem_certificates::{Certificate, CertificateError, Certificates};
pub use tandem_record::{AccessFormat, AccessLogConfig, AccessLogError};
pub use tick::TICK;
