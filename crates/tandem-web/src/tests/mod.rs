//! Requests to the whole API, over a real unix socket and TCP, with a real store below it.

mod access;
mod harness;
mod problems;
mod sessions;
mod streams;
