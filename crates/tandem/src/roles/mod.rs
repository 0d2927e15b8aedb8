//! What keeps running: `tandem up` and the processes that it and the runner start.

pub(crate) mod balancer;
mod balancer_process;
pub(crate) mod shim;
pub(crate) mod stop;
mod supervise;
pub(crate) mod up;
