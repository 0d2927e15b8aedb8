//! Where TCP is accepted, and whom it leads to. A door stays open as long as the file names its address, whatever else
//! changes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tandem_kit::drain::{self, Drain, Trigger};

use crate::serve::{ListenError, Listeners, Listening};
use crate::table::Instance;
use tandem_wire::ProxyVersion;

/// Where a door leads.
#[derive(Debug, Default)]
pub(in crate::alone) struct Leads {
    /// Its targets.
    pub(in crate::alone) members: Vec<Arc<Instance>>,
    /// What they are told of the client.
    pub(in crate::alone) proxy: Option<ProxyVersion>,
}

/// An address at which TCP is accepted.
#[derive(Debug)]
pub(crate) struct Door {
    /// As the file names it.
    address: SocketAddr,
    /// What no thread has taken yet, by the number of the thread.
    sockets: Mutex<Vec<Vec<TcpListener>>>,
    /// All of them once more, for the next process. Let go where nobody accepts.
    kept: Mutex<Vec<Listening>>,
    leads: ArcSwap<Leads>,
    close: Trigger,
    closed: Drain,
}

impl Door {
    /// Opens one, by the sockets that another process gave or by new ones.
    fn open(address: SocketAddr, threads: usize, given: Vec<Listening>) -> Result<Arc<Self>, ListenError> {
        let listeners = match given.is_empty() {
            true => bind(address, threads)?,
            false => Listeners { addresses: vec![address], listening: given },
        };
        let sockets =
            listeners.for_threads(threads).map_err(|source| ListenError::Failed { address, source })?;
        let (close, closed) = drain::channel();
        let leads = ArcSwap::default();
        let (sockets, kept) = (Mutex::new(sockets), Mutex::new(listeners.listening));
        Ok(Arc::new(Self { address, sockets, kept, leads, close, closed }))
    }

    /// Its sockets, for the next process, by the address that the file names.
    pub(in crate::alone) fn copies(&self) -> Vec<Listening> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = |listening: &Listening| {
            let socket = listening.socket.try_clone().ok()?;
            Some(Listening { address: self.address, socket })
        };
        kept.iter().filter_map(copy).collect()
    }

    /// Nobody is let in any more.
    pub(in crate::alone) fn close(&self) {
        self.let_go();
        self.close.fire();
    }

    /// Keeps no socket that nobody accepts on: clients would wait there.
    pub(super) fn let_go(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The sockets of a thread, at the first time that it asks.
    pub(super) fn take(&self, thread: usize) -> Vec<TcpListener> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.get_mut(thread).map(std::mem::take).unwrap_or_default()
    }

    /// Where it leads now.
    pub(super) fn leads(&self) -> Arc<Leads> {
        self.leads.load_full()
    }

    /// Nobody is let in after this was requested.
    pub(super) fn closed(&self) -> &Drain {
        &self.closed
    }
}

/// `[::]` stands for IPv4 as well, but not where the kernel has no IPv6.
fn bind(address: SocketAddr, threads: usize) -> Result<Listeners, ListenError> {
    match Listeners::bind(&[address], threads) {
        Err(ListenError::Failed { .. }) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            Listeners::bind(&[SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()))], threads)
        }
        bound => bound,
    }
}

/// All doors, by the address that the file names.
#[derive(Debug)]
pub(in crate::alone) struct Doors {
    threads: usize,
    /// Sockets that another process gave, which no door has taken yet.
    given: Vec<Listening>,
    open: HashMap<SocketAddr, Arc<Door>>,
}

impl Doors {
    /// None is open yet; those whose sockets were given are opened by these.
    pub(in crate::alone) fn new(threads: usize, given: Vec<Listening>) -> Self {
        Self { threads, given, open: HashMap::new() }
    }

    /// Opens doors that are not open: all of them or none.
    ///
    /// # Errors
    /// The place of the first that cannot be opened, and why not.
    pub(in crate::alone) fn ensure_open(
        &mut self,
        wanted: &[SocketAddr],
    ) -> Result<(), (usize, ListenError)> {
        let mut opened = Vec::new();
        for (place, address) in wanted.iter().enumerate() {
            if !self.open.contains_key(address) {
                let given = self.given.extract_if(.., |given| given.address == *address).collect();
                let door = Door::open(*address, self.threads, given).map_err(|error| (place, error))?;
                opened.push((*address, door));
            }
        }
        self.open.extend(opened);
        Ok(())
    }

    /// Lets doors lead somewhere and closes all others; returns those that are open.
    pub(in crate::alone) fn lead(&mut self, mut leads: HashMap<SocketAddr, Leads>) -> Arc<[Arc<Door>]> {
        self.open.retain(|address, door| match leads.remove(address) {
            Some(leads) => {
                door.leads.store(Arc::new(leads));
                true
            }
            None => {
                door.close();
                false
            }
        });
        self.open.values().cloned().collect()
    }
}
