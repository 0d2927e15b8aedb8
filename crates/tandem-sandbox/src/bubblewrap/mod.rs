//! The command line of bubblewrap, and what is given to it by descriptor.
//!
//! What must hold, each with a test: nothing of the app's environment reaches a process that still has rights; no value
//! of it stands in a command line; the app has its own user, process ids and `/tmp`, and no way to new namespaces.

mod arguments;
mod etc;
pub(crate) mod programs;
mod seccomp;

pub(crate) use arguments::{Streams, arguments};
pub(crate) use programs::Programs;
