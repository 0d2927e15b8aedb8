//! The runner against a server that is a stand-in and shims, processes and sockets that are real.

mod builds;
mod formats;
mod gate;
mod instances;
mod jobs;
mod leftovers;
mod logs;
mod loopback;
mod scene;
mod secrets;
mod server;
mod shim;
mod volumes;
