//! The listening sockets: one per thread and address, all bound before the first connection is accepted.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::pacing::unpace;

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

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Where, with the real port.
    pub address: SocketAddr,
    /// The socket.
    pub socket: TcpListener,
}

/// All listening sockets.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// Where they listen, with the real ports.
    pub addresses: Vec<SocketAddr>,
    /// The sockets: as many per address as the balancer had threads that bound it first.
    pub listening: Vec<Listening>,
}

impl Listeners {
    /// Binds every address for every thread. Port 0 picks a free one, the same on all addresses that ask for it.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub(crate) fn bind(addresses: &[SocketAddr], threads: usize) -> Result<Self, ListenError> {
        Self::bind_near(addresses, threads, addresses.iter().any(|other| other.is_ipv4()))
    }

    /// The same for some groups of addresses: port 0 is one port for all of a group, and another for the next.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub(crate) fn bind_groups(groups: &[&[SocketAddr]], threads: usize) -> Result<Self, ListenError> {
        Self::resume(Vec::new(), groups, threads)
    }

    fn bind_near(
        addresses: &[SocketAddr],
        threads: usize,
        shared_with_v4: bool,
    ) -> Result<Self, ListenError> {
        if addresses.is_empty() {
            return Err(ListenError::NoAddress);
        }
        let mut tries = 1;
        loop {
            match Self::bind_once(addresses, threads, shared_with_v4) {
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

    /// Takes the sockets that another process gave, and binds only where it had none. What is not wanted is closed here;
    /// it is up to the giver to answer who waits there.
    ///
    /// All of an address are kept, whatever the number of threads: each has its own queue of connections, and closing one
    /// resets those in it.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub(crate) fn resume(
        given: Vec<Listening>,
        groups: &[&[SocketAddr]],
        threads: usize,
    ) -> Result<Self, ListenError> {
        if groups.iter().all(|group| group.is_empty()) {
            return Err(ListenError::NoAddress);
        }
        let held: Vec<_> = given.iter().map(|listening| listening.address).collect();
        let mut places = places(&groups.concat(), &held).into_iter();
        let taken: Vec<_> = places.clone().flatten().collect();
        let mut resumed = Self { addresses: Vec::new(), listening: Vec::new() };
        for group in groups {
            let found: Vec<_> = group.iter().zip(places.by_ref()).collect();
            let missing: Vec<_> =
                found.iter().filter(|(_, place)| place.is_none()).map(|(wanted, _)| **wanted).collect();
            let mut bound = Vec::new();
            if !missing.is_empty() {
                let new = Self::bind_near(&missing, threads, group.iter().any(|other| other.is_ipv4()))?;
                bound = new.addresses;
                resumed.listening.extend(new.listening);
            }
            let mut bound = bound.into_iter();
            resumed
                .addresses
                .extend(found.into_iter().filter_map(|(_, place)| place.or_else(|| bound.next())));
        }
        // Those first: in this order they are given to the next one, which takes the first one that will do.
        let taken = given.into_iter().filter(|listening| taken.contains(&listening.address));
        resumed.listening.splice(..0, taken);
        Ok(resumed)
    }

    /// The sockets of each thread. Where there are more threads than sockets of an address some share one; where there
    /// are fewer some have several.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn for_threads(&self, threads: usize) -> std::io::Result<Vec<Vec<TcpListener>>> {
        let mut shares: Vec<Vec<TcpListener>> = (0..threads).map(|_| Vec::new()).collect();
        for address in &self.addresses {
            let of_address = || self.listening.iter().filter(|listening| listening.address == *address);
            let most = of_address().count().max(threads);
            for (place, listening) in of_address().cycle().take(most).enumerate() {
                shares[place % threads].push(listening.socket.try_clone()?);
            }
        }
        Ok(shares)
    }

    fn bind_once(
        addresses: &[SocketAddr],
        threads: usize,
        shared_with_v4: bool,
    ) -> Result<Self, ListenError> {
        let mut bound = Self { addresses: Vec::new(), listening: Vec::new() };
        let mut picked = 0;
        for &wanted in addresses {
            let mut address = wanted;
            if address.port() == 0 {
                address.set_port(picked);
            }
            ensure_free(address, shared_with_v4)?;
            for _ in 0..threads {
                let socket = listen(address, shared_with_v4)?;
                address = local_address(&socket, address)?;
                bound.listening.push(Listening { address, socket });
            }
            if wanted.port() == 0 {
                picked = address.port();
            }
            bound.addresses.push(address);
        }
        Ok(bound)
    }
}

/// Which of the addresses that are held somebody takes who wants some others: port 0 takes any port of its address.
pub(crate) fn taken_by(wanted: &[SocketAddr], held: &[SocketAddr]) -> Vec<SocketAddr> {
    places(wanted, held).into_iter().flatten().collect()
}

/// For each that is wanted the one that is held and taken for it.
fn places(wanted: &[SocketAddr], held: &[SocketAddr]) -> Vec<Option<SocketAddr>> {
    let mut taken = Vec::new();
    let place = |wanted: &SocketAddr| {
        let free = held.iter().find(|held| !taken.contains(*held) && is_content(*wanted, **held)).copied();
        taken.extend(free);
        free
    };
    wanted.iter().map(place).collect()
}

fn is_content(wanted: SocketAddr, held: SocketAddr) -> bool {
    wanted.ip() == held.ip() && (wanted.port() == 0 || wanted.port() == held.port())
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
    // Accepted connections inherit all three: no call per connection.
    refused(address, socket.set_tcp_nodelay(true))?;
    refused(address, socket.set_tcp_keepalive(&KEEPALIVE))?;
    unpace(&socket, address.ip());
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
        let threads = listeners.for_threads(3).unwrap();
        assert!(threads.iter().all(|sockets| sockets.len() == 2));
        let ports: Vec<_> = threads.iter().flatten().map(|l| l.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 6);
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]));
        assert!(listeners.addresses.iter().all(|address| address.port() == ports[0]));
    }

    #[test]
    fn port_0_of_http_and_port_0_of_https_are_two_ports() {
        let (http, https) = (loopback(), loopback());
        let both = Listeners::bind_groups(&[&http, &https], 2).unwrap();
        let ports: Vec<_> = both.addresses.iter().map(SocketAddr::port).collect();
        assert!(ports[0] == ports[1] && ports[2] == ports[3] && ports[0] != ports[2], "{ports:?}");
        assert_eq!(both.listening.len(), 8);
        // Who takes them over by the same words gets each in its place.
        let resumed = Listeners::resume(both.listening, &[&http, &https], 1).unwrap();
        assert_eq!(resumed.addresses, both.addresses);
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
    fn what_was_given_is_kept_whole_and_only_what_is_missing_is_bound() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let first = Listeners::bind(&loopback(), 2).unwrap();
        let v4 = first.addresses[0];
        let resumed = Listeners::resume(first.listening, &[&[any, "[::1]:0".parse().unwrap()]], 3).unwrap();
        assert_eq!(resumed.addresses[0], v4, "port 0 is content with what there is");
        assert_eq!(resumed.listening.len(), 4);
        let listening = resumed.listening.into_iter().filter(|listening| listening.address == v4).collect();
        let resumed = Listeners::resume(listening, &[&["[::1]:0".parse().unwrap(), v4]], 1).unwrap();
        assert!(resumed.addresses[0].is_ipv6() && resumed.addresses[0].port() != 0);
        assert_eq!((resumed.addresses[1], resumed.listening.len()), (v4, 3));
    }

    #[test]
    fn two_groups_that_leave_the_choice_get_two_ports_also_where_one_is_held_already() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let first = Listeners::bind(&[any], 1).unwrap();
        let http = first.addresses[0];
        let resumed = Listeners::resume(first.listening, &[&[any], &[any]], 1).unwrap();
        assert_eq!((resumed.addresses[0], resumed.addresses.len()), (http, 2));
        let https = resumed.addresses[1];
        assert_ne!(http, https);
        let again = Listeners::resume(resumed.listening, &[&[any], &[any]], 1).unwrap();
        assert_eq!(again.addresses, [http, https]);
    }

    #[test]
    fn each_thread_has_a_socket_and_each_socket_a_thread() {
        let listeners = Listeners::bind(&loopback()[..1], 2).unwrap();
        let counts =
            |threads| listeners.for_threads(threads).unwrap().iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!((counts(1), counts(2), counts(3)), (vec![2], vec![1, 1], vec![1, 1, 1]));
    }

    #[test]
    fn without_an_address_nothing_listens() {
        assert!(matches!(Listeners::bind(&[], 1), Err(ListenError::NoAddress)));
    }
}
