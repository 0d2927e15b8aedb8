//! What is asked of every TCP connection that may be quiet for long.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

/// A peer that acknowledges nothing for this long (in milliseconds) is gone; also bounds the wait for long answers.
const DEAD_PEER_MS: u32 = 30_000;
/// Seconds without a byte after which a peer is asked whether it is there. The kernel's own are two hours.
const ASKED_AFTER: u32 = 30;
/// Seconds between two such questions.
const ASKED_EVERY: u32 = 10;

/// Makes reads and writes of a connection fail once its peer is gone without a word, within a minute.
///
/// # Errors
/// It is no TCP connection, or is closed.
pub fn notice_dead_peer(stream: &impl AsFd) -> io::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &ASKED_AFTER)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &ASKED_EVERY)?;
    setsockopt(stream, sockopt::TcpUserTimeout, &DEAD_PEER_MS)?;
    Ok(())
}
