//! Builds with the real uv, the real package index and the real sandbox: few, and small.

#![expect(clippy::unwrap_used, reason = "tests may unwrap, and clippy takes only test functions for tests")]

mod bench;
mod bombs;
mod declared;
mod django;
mod git;
mod hostile;
mod index;
mod interpreters;
mod layout;
mod leftovers;
mod locked;
mod network;
mod refusals;
mod steps;
