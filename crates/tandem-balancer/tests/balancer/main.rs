//! A whole balancer between real sockets: a server that says what to serve, apps that answer, clients that ask.

#![cfg(test)]

mod allowances;
mod alone;
mod app;
mod blobs;
mod client;
mod dial;
mod server;
mod slow;
mod streams;
mod world;

mod canary;
mod draining;
mod ejecting;
mod ending;
mod following;
mod handover;
mod holding;
mod http2;
mod https;
mod large;
mod limits;
mod long;
mod metrics;
mod pausing;
mod payloads;
mod proxied;
mod records;
mod requests;
mod retries;
mod static_files;
mod streaming;
mod sweeping;
mod tls;
mod tunnels;
