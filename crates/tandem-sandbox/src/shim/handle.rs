//! A runner's handle to a shim.

use std::path::Path;

use tandem_types::instance::Exit;
use tandem_types::{Span, Timestamp};

use super::ExitRecord;
use crate::listener::Owner;
use crate::spec::Weight;

/// A live shim. Dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct ShimHandle {}

/// What a shim says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Protocol version of the shim.
    pub version: u32,
    /// Process id of the shim.
    pub shim_pid: i32,
    /// Process id of the child on the host, while it runs.
    pub child_pid: Option<i32>,
    /// When the child started.
    pub started: Timestamp,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Lines of output dropped so far.
    pub dropped_lines: u64,
}

/// Why a shim could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The shim died without leaving a record. Its app died with it.
    #[error("ask the shim: it is gone without a record")]
    Gone,
}

impl ShimHandle {
    /// The shim's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        todo!()
    }

    /// Process id of the shim.
    #[must_use]
    pub fn pid(&self) -> i32 {
        todo!()
    }

    /// Host process ids of the app's processes, bubblewrap's own left out.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        todo!()
    }

    /// Who listens on the TCP port: this app, nobody, a stranger.
    ///
    /// # Errors
    /// As [`crate::listener::owner_of_port`].
    pub fn owner_of_port(&self, port: u16) -> std::io::Result<Owner> {
        let _ = port;
        todo!()
    }

    /// Sets the app's share of CPU.
    ///
    /// # Errors
    /// As [`crate::cgroup::Group::set_weight`].
    pub fn set_weight(&self, weight: Weight) -> Result<(), crate::cgroup::Error> {
        let _ = weight;
        todo!()
    }

    /// How is it?
    ///
    /// # Errors
    /// Fails where the shim does not answer within 5 s.
    pub async fn status(&self) -> Result<Status, Error> {
        todo!()
    }

    /// Sends the signal to every process of the app.
    ///
    /// # Errors
    /// Fails where the shim does not answer or the app has ended.
    pub async fn signal(&self, signal: i32) -> Result<(), Error> {
        let _ = signal;
        todo!()
    }

    /// Signals the app to end and kills what is left after the time-out. Returns at once; see [`ShimHandle::wait_exit`].
    ///
    /// # Errors
    /// Fails where the shim does not answer.
    pub async fn stop(&self, signal: i32, timeout: Span) -> Result<(), Error> {
        let _ = (signal, timeout);
        todo!()
    }

    /// Lets a shim whose child has ended go. Its folder stays; its control groups are gone already.
    ///
    /// # Errors
    /// Fails where the child still runs.
    pub async fn dismiss(&self) -> Result<(), Error> {
        todo!()
    }

    /// Waits for the end, without limit; the record is durable by then. May be dropped and called again.
    ///
    /// # Errors
    /// [`Error::Gone`] where the shim dies without a record.
    pub async fn wait_exit(&self) -> Result<ExitRecord, Error> {
        todo!()
    }
}
