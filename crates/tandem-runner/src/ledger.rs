//! What the runner must not forget when it is killed: the fences it obeyed and the ports it gave (`state.json`).
//!
//! A fence is on the disk before it is acted on, else an old word could be obeyed after a crash. A port is only
//! written: if a crash of the machine loses it, the instance is gone as well.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tandem_kit::files;
use tandem_types::InstanceId;

use crate::assignments::Fences;
use crate::port_range::PortRange;
use crate::ports::{Exhausted, Ports};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    fences: Fences,
    ports: Ports,
}

/// Handle on `state.json`, cheap to clone. Its calls block for a write at most.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

/// Why an instance got no port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortError {
    /// All are in use.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// It could not be written down.
    #[error("keep its port")]
    Write(#[from] files::Error),
}

impl Ledger {
    /// Reads what an earlier process wrote down; where there was none, the search for ports begins at `first_port`. New
    /// ports are of the range.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(crate) fn open(path: PathBuf, range: PortRange, first_port: u16) -> Result<Self, files::Error> {
        let new = || State { fences: Fences::default(), ports: Ports::starting_at(first_port) };
        let State { fences, ports } = files::read_json(&path)?.unwrap_or_else(new);
        let state = State { fences, ports: ports.within(range) };
        Ok(Self { path, state: Arc::new(Mutex::new(state)) })
    }

    /// The fences obeyed so far.
    pub(crate) fn fences(&self) -> Fences {
        self.lock().fences.clone()
    }

    /// Writes the fences down where they differ; on return they are on the disk.
    ///
    /// # Errors
    /// The disk refuses; the next call tries again.
    pub(crate) fn obey(&self, fences: &Fences) -> Result<(), files::Error> {
        let mut state = self.lock();
        if state.fences == *fences {
            return Ok(());
        }
        let next = State { fences: fences.clone(), ports: state.ports.clone() };
        files::write_json(&self.path, &next, 0o600)?;
        *state = next;
        Ok(())
    }

    /// The port of an instance, found and written down where it has none yet.
    ///
    /// # Errors
    /// None is free, or it cannot be written down.
    pub(crate) fn port(&self, instance: InstanceId) -> Result<u16, PortError> {
        let mut state = self.lock();
        let before = state.ports.clone();
        let port = state.ports.give(instance, is_free)?;
        if state.ports != before {
            self.write(&state)?;
        }
        Ok(port)
    }

    /// Another port for an instance whose own somebody else took before anybody was told of it.
    ///
    /// # Errors
    /// As [`Ledger::port`].
    pub(crate) fn free_port(&self, instance: InstanceId) -> Result<u16, PortError> {
        let port = self.port(instance)?;
        if is_free(port) {
            return Ok(port);
        }
        self.take_back(instance);
        self.port(instance)
    }

    /// Takes the port of an instance that is no more back.
    pub(crate) fn take_back(&self, instance: InstanceId) {
        let mut state = self.lock();
        if state.ports.take_back(instance) {
            self.write_or_warn(&state);
        }
    }

    /// Takes back the ports of all instances that are no more.
    pub(crate) fn keep_ports(&self, exists: impl Fn(InstanceId) -> bool) {
        let mut state = self.lock();
        if state.ports.retain(exists) {
            self.write_or_warn(&state);
        }
    }

    /// A port that is still written down for nobody costs one of ten thousand until the next write.
    fn write_or_warn(&self, state: &State) {
        if let Err(error) = self.write(state) {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not write the ports down");
        }
    }

    fn write(&self, state: &State) -> Result<(), files::Error> {
        let text = serde_json::to_vec(state).expect("the state is plain JSON");
        files::write_atomic_unsynced(&self.path, &text, 0o600)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody listens on the port, on any address of either family. Machines without IPv6 refuse the second
/// question, which then says nothing.
fn is_free(port: u16) -> bool {
    let refused = |address: SocketAddr| match TcpListener::bind(address) {
        Ok(_) => false,
        Err(error) => error.kind() == std::io::ErrorKind::AddrInUse,
    };
    !refused((Ipv4Addr::UNSPECIFIED, port).into()) && !refused((Ipv6Addr::UNSPECIFIED, port).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_types::Fence;

    fn open(folder: &tempfile::TempDir) -> Ledger {
        Ledger::open(folder.path().join("state.json"), PortRange::default(), 0).expect("it is readable")
    }

    #[test]
    fn fences_and_ports_survive_the_process() {
        let folder = tempfile::tempdir().expect("there is room");
        let fences =
            Fences { incarnation: Some("first".to_owned()), highest: [("k".to_owned(), Fence(3))].into() };
        let ledger = open(&folder);
        let port = ledger.port(InstanceId(1)).expect("some port is free");
        ledger.obey(&fences).expect("the disk has room");
        let again = open(&folder);
        assert_eq!(again.fences(), fences);
        assert_eq!(again.port(InstanceId(1)).expect("it is given"), port);
        again.keep_ports(|_| false);
        assert_ne!(open(&folder).port(InstanceId(2)).expect("some port is free"), port);
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_given() {
        let folder = tempfile::tempdir().expect("there is room");
        let ledger = open(&folder);
        let first = ledger.port(InstanceId(1)).expect("some port is free");
        assert!(is_free(first));
        let _squatter = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("it was free");
        assert!(!is_free(first), "one on loopback alone counts as well");
        assert_eq!(ledger.port(InstanceId(1)).expect("it is given"), first);
        assert_ne!(ledger.free_port(InstanceId(1)).expect("some port is free"), first);
    }
}
