//! Sources by URL, with real git, a real HTTPS server and a real sshd.

mod bench;
mod hostile;
mod over_https;
mod over_ssh;
mod submodules;
