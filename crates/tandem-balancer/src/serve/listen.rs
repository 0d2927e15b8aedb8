//! The listening sockets: one per thread and address, all bound before the first connection is accepted.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// Connections that may wait to be accepted; the kernel cuts this to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;
/// Finds clients that vanished without a word, so that silent websockets do not pile up: after two minutes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);
/// How often a free port is sought that is free on every address.
const TRIES: usize = 16;

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has the port.
    #[error("listen on {address}: the port is in use")]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// Any other reason: no right to a port below 1024, no such address, …
    #[error("listen on {address}")]
    Failed {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Nothing to listen on was given.
    #[error("listen: no address was given")]
    NoAddress,
}

/// Listening sockets of all threads.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// Where they listen, with the real ports.
    pub addresses: Vec<SocketAddr>,
    /// For each thread one socket per address.
    pub threads: Vec<Vec<TcpListener>>,
}

impl Listeners {
    /// Binds every address for every thread. Port 0 picks a free one, the same on all addresses that ask for it.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub(crate) fn bind(addresses: &[SocketAddr], threads: usize) -> Result<Self, ListenError> {
        if addresses.is_empty() {
            return Err(ListenError::NoAddress);
        }
        let mut tries = 1;
        loop {
            match Self::bind_once(addresses, threads) {
                // The port was free on one address and taken on another: seek another one.
                Err(ListenError::InUse { .. })
                    if tries < TRIES && addresses.iter().all(|a| a.port() == 0) =>
                {
                    tries += 1;
                }
                bound => return bound,
            }
        }
    }

    fn bind_once(addresses: &[SocketAddr], threads: usize) -> Result<Self, ListenError> {
        let mut bound = Self { addresses: Vec::new(), threads: (0..threads).map(|_| Vec::new()).collect() };
        let mut picked = 0;
        for &wanted in addresses {
            let mut address = wanted;
            if address.port() == 0 {
                address.set_port(picked);
            }
            let shared_with_v4 = addresses.iter().any(|other| other.is_ipv4());
            ensure_free(address, shared_with_v4)?;
            for listeners in &mut bound.threads {
                let listener = listen(address, shared_with_v4)?;
                address = local_address(&listener, address)?;
                listeners.push(listener);
            }
            if wanted.port() == 0 {
                picked = address.port();
            }
            bound.addresses.push(address);
        }
        Ok(bound)
    }
}

fn local_address(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, ListenError> {
    listener.local_addr().map_err(|source| ListenError::Failed { address, source })
}

/// Sockets of one user may share a port (`SO_REUSEPORT`), those of another balancer too: half of the traffic would go
/// astray without a word. So the port is bound once alone first.
fn ensure_free(address: SocketAddr, shared_with_v4: bool) -> Result<(), ListenError> {
    if address.port() == 0 {
        return Ok(());
    }
    let socket = unbound(address, shared_with_v4)?;
    refused(address, socket.bind(&address.into()))?;
    refused(address, socket.listen(1))
}

fn listen(address: SocketAddr, shared_with_v4: bool) -> Result<TcpListener, ListenError> {
    let socket = unbound(address, shared_with_v4)?;
    refused(address, socket.set_reuse_port(true))?;
    // Accepted connections inherit both: no call per connection.
    refused(address, socket.set_tcp_nodelay(true))?;
    refused(address, socket.set_tcp_keepalive(&KEEPALIVE))?;
    refused(address, socket.bind(&address.into()))?;
    refused(address, socket.listen(BACKLOG))?;
    Ok(socket.into())
}

fn unbound(address: SocketAddr, shared_with_v4: bool) -> Result<Socket, ListenError> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    let socket = refused(address, socket)?;
    refused(address, socket.set_reuse_address(true))?;
    refused(address, socket.set_nonblocking(true))?;
    if let IpAddr::V6(ip) = address.ip() {
        // `[::]` alone takes IPv4 too; beside an IPv4 address it would be in its way.
        refused(address, socket.set_only_v6(!ip.is_unspecified() || shared_with_v4))?;
    }
    Ok(socket)
}

fn refused<T>(address: SocketAddr, result: std::io::Result<T>) -> Result<T, ListenError> {
    result.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => ListenError::InUse { address },
        _ => ListenError::Failed { address, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Vec<SocketAddr> {
        vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]
    }

    #[test]
    fn all_threads_share_one_port_on_both_families() {
        let listeners = Listeners::bind(&loopback(), 3).unwrap();
        let ports: Vec<_> =
            listeners.threads.iter().flatten().map(|l| l.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 6);
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]));
        assert!(listeners.addresses.iter().all(|address| address.port() == ports[0]));
    }

    #[test]
    fn a_port_that_another_balancer_has_is_refused_and_not_shared() {
        let first = Listeners::bind(&loopback(), 1).unwrap();
        for address in &first.addresses {
            assert!(matches!(Listeners::bind(&[*address], 1), Err(ListenError::InUse { .. })));
        }
    }

    #[test]
    fn a_port_is_free_again_at_once_after_its_listeners_are_gone() {
        let first = Listeners::bind(&loopback(), 2).unwrap();
        let addresses = first.addresses.clone();
        drop(first);
        assert_eq!(Listeners::bind(&addresses, 2).unwrap().addresses, addresses);
    }

    #[test]
    fn without_an_address_nothing_listens() {
        assert!(matches!(Listeners::bind(&[], 1), Err(ListenError::NoAddress)));
    }
}
