//! A whole balancer between real sockets: a server that says what to serve, apps that answer, clients that ask.

mod app;
mod blobs;
mod client;
mod server;
mod slow;
mod world;

mod draining;
mod following;
mod framing;
mod handover;
mod limits;
mod requests;
mod retries;
mod static_files;
mod streaming;
mod sweeping;
mod tunnels;
