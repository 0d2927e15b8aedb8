//! What keeps running: `tandem up`, its roles one by one, and the processes that they start.

mod acme;
mod alone;
mod apart;
pub(crate) mod balancer;
mod balancer_process;
mod lock;
pub(crate) mod runner;
pub(crate) mod server;
pub(crate) mod shim;
mod squatters;
pub(crate) mod stop;
mod supervise;
mod traffic;
pub(crate) mod up;
pub(crate) mod volume_worker;
mod wanted;
mod watchdog;

pub(crate) use traffic::TrafficArgs;

pub(crate) use lock::{Holder, Role};
