//! Whose listening socket it is: proof for the gate that an answer comes from the instance itself.
//!
//! Apps share the host's network, so any user could listen on an instance's port before the instance does, and would be
//! given its traffic. The kernel tells the inode of each listening socket; only its owner has it among its descriptors.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;

/// Who listens on a TCP port of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody yet.
    Nobody,
    /// Only processes that were named.
    Ours,
    /// Somebody else, alone or beside ours.
    Stranger,
}

/// Tells who listens on the port, on any address of either family.
///
/// # Errors
/// Fails where `/proc/net/tcp` cannot be read. Processes that ended meanwhile are passed over.
pub fn owner_of_port(port: u16, processes: &[i32]) -> io::Result<Owner> {
    let mut listening = listening_inodes(&std::fs::read_to_string("/proc/net/tcp")?, port);
    // Missing where the kernel has no IPv6.
    let v6 = std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    listening.extend(listening_inodes(&v6, port));
    if listening.is_empty() {
        return Ok(Owner::Nobody);
    }
    for process in processes {
        for inode in open_sockets(*process) {
            listening.remove(&inode);
        }
        if listening.is_empty() {
            return Ok(Owner::Ours);
        }
    }
    Ok(Owner::Stranger)
}

/// TCP addresses on which one of these processes listens, in ascending order.
///
/// # Errors
/// As [`owner_of_port`].
pub fn addresses_of(processes: &[i32]) -> io::Result<BTreeSet<SocketAddr>> {
    let mut tables = std::fs::read_to_string("/proc/net/tcp")?;
    tables.push_str(&std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default());
    let open: BTreeSet<u64> = processes.iter().flat_map(|process| open_sockets(*process)).collect();
    Ok(listeners(&tables).filter(|(_, inode)| open.contains(inode)).map(|(address, _)| address).collect())
}

/// Processes that hold a socket which listens on the port, on any address of either family, in ascending order. Those
/// that this user may not look into are missing.
///
/// # Errors
/// `/proc` cannot be read.
pub fn processes_on_port(port: u16) -> io::Result<Vec<i32>> {
    let mut tables = std::fs::read_to_string("/proc/net/tcp")?;
    tables.push_str(&std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default());
    let listening = listening_inodes(&tables, port);
    let entries = std::fs::read_dir("/proc")?.flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let holds = |process: &i32| open_sockets(*process).iter().any(|inode| listening.contains(inode));
    let mut found: Vec<i32> = processes.filter(holds).collect();
    found.sort_unstable();
    Ok(found)
}

/// Inodes of the sockets of a table that listen on the port.
fn listening_inodes(table: &str, port: u16) -> BTreeSet<u64> {
    listeners(table).filter(|(of, _)| of.port() == port).map(|(_, inode)| inode).collect()
}

/// Address and inode of each socket of a table (proc_net_tcp(5)) that listens.
fn listeners(table: &str) -> impl Iterator<Item = (SocketAddr, u64)> + '_ {
    table.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        (state == "0A").then(|| Some((address(local)?, fields.nth(5)?.parse().ok()?)))?
    })
}

/// `0100007F:1F90`: an address as words of 32 bits, each printed as a number of this machine, and a port. An IPv4 address
/// within IPv6 is told as the former.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(words.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match words.len() {
        8 => word(0)?.into(),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some((ip, port).into())
}

fn open_sockets(process: i32) -> Vec<u64> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return Vec::new() };
    let targets = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let inode = |target: std::path::PathBuf| {
        let number = target.as_os_str().as_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
        std::str::from_utf8(number).ok()?.parse().ok()
    };
    targets.filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listening_port_is_ours_a_strangers_or_nobodys() {
        let me = std::process::id() as i32;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(owner_of_port(port, &[me]).unwrap(), Owner::Ours);
        assert_eq!(owner_of_port(port, &[1]).unwrap(), Owner::Stranger);
        assert_eq!(owner_of_port(port, &[]).unwrap(), Owner::Stranger);
        let address = listener.local_addr().unwrap();
        assert!(addresses_of(&[me]).unwrap().contains(&address));
        assert!(!addresses_of(&[1]).unwrap().contains(&address));
        assert!(processes_on_port(port).unwrap().contains(&me));
        drop(listener);
        assert!(!addresses_of(&[me]).unwrap().contains(&address));
        assert!(!processes_on_port(port).unwrap().contains(&me));
        assert_eq!(owner_of_port(port, &[me]).unwrap(), Owner::Nobody);
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        for text in ["127.0.0.1:0", "0.0.0.0:0", "127.1.2.3:0", "[::1]:0", "[::]:0"] {
            // Without IPv6 there is nothing to be read.
            let Ok(listener) = TcpListener::bind(text) else { continue };
            let address = listener.local_addr().unwrap();
            let all = addresses_of(&[std::process::id() as i32]).unwrap();
            assert!(all.contains(&address), "{address} is not among {all:?}");
        }
        assert_eq!(address("0000000000000000FFFF00000100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(address("0100007:1F90"), None);
    }

    #[test]
    fn connections_over_the_port_are_not_listeners() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 70000 0 4242 1 0 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000 70000 0 4243 1 0 20 4 30 10 -1\n\
            2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 70000 0 4244 1 0 100 0 0 10 0\n";
        assert_eq!(listening_inodes(table, 8080), BTreeSet::from([4242]));
    }
}
