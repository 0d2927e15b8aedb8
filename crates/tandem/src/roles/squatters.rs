//! Apps that sit on a port of Tandem's own.
//!
//! Ports from 1024 on are free to everybody while nobody listens, and apps go on while Tandem is away. One that means harm, or
//! is only badly configured, would then keep Tandem from its next start, and would be shown what people send to the balancer
//! or the API. So Tandem ends an instance of its own that it meets there; the runner starts it again, and by then the port
//! is taken. What belongs to others is left alone: then the start fails, with who has the port.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tandem_kit::paths::DataDir;
use tandem_kit::tasks;
use tandem_sandbox::cgroup::{self, Group};
use tandem_sandbox::listener;
use tokio::time::{Instant, sleep};

use crate::failure::chain_of;

/// Longest time in which a port is looked after: killed processes are gone in milliseconds. A scan that is under way then is
/// brought to its end.
const LIMIT: Duration = Duration::from_secs(2);
/// Time between two looks whether the port is free, which cost nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Time between the end of a scan and the next one: it reads every descriptor of every process.
const SCAN_AGAIN: Duration = Duration::from_millis(100);

/// Ends instances of this data folder that keep it from listening at one of these addresses. Says whether there was one.
pub(super) async fn evict(data: &DataDir, addresses: impl IntoIterator<Item = SocketAddr>) -> bool {
    let parent = data.cgroup_name();
    let mut met = false;
    for address in addresses {
        met |= evict_from(address, &parent).await;
    }
    met
}

/// Scans anew as long as the port is in use: what has it by now need not be who had it, and then it is nobody of ours.
async fn evict_from(address: SocketAddr, parent: &str) -> bool {
    let deadline = Instant::now() + LIMIT;
    let mut told = BTreeSet::new();
    while is_in_use(address) && Instant::now() < deadline {
        let (port, parent) = (address.port(), parent.to_owned());
        let found = tasks::blocking("look for apps on own ports", move || squatters(port, &parent)).await;
        for (id, _) in &found {
            if told.insert(id.clone()) {
                tracing::warn!("{id} listens on port {port}, which is Tandem's own: ending it");
            }
        }
        // What cannot be ended is not tried again: the start fails then, with who has the port.
        if found.is_empty() || !found.iter().all(|(id, group)| end(id, group)) {
            break;
        }
        wait_until_free(address, deadline.min(Instant::now() + SCAN_AGAIN)).await;
    }
    !told.is_empty()
}

/// False where the kernel refuses.
fn end(id: &str, group: &Group) -> bool {
    match group.kill() {
        Ok(()) => true,
        // It has gone by itself, and its group with it.
        Err(_) if !group.populated() => true,
        Err(error) => {
            tracing::error!("cannot end {id}: {}", chain_of(&error));
            false
        }
    }
}

async fn wait_until_free(address: SocketAddr, deadline: Instant) {
    while is_in_use(address) && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
    }
}

fn is_in_use(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// Instances that have the port. None where somebody else has it, too: the balancer that is about to be adopted may share a
/// number with an app that listens on another address.
fn squatters(port: u16, parent: &str) -> Vec<(String, Group)> {
    let holders = listener::processes_on_port(port).unwrap_or_default();
    let groups = cgroup::list(parent).unwrap_or_default().into_iter();
    let groups = groups.map(|id| {
        let group = Group::open(parent, &id);
        (id, group.processes(), group)
    });
    let found: Vec<_> =
        groups.filter(|(_, members, _)| members.iter().any(|member| holders.contains(member))).collect();
    let is_instance = |holder: &i32| found.iter().any(|(_, members, _)| members.contains(holder));
    if holders.iter().all(is_instance) {
        found.into_iter().map(|(id, _, group)| (id, group)).collect()
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_none_of_ours_is_left_alone_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = holder.local_addr().expect("its address");
        assert!(!evict(&data, [address]).await, "this test is no instance");
        assert!(is_in_use(address));
        let free = async {
            tokio::task::yield_now().await;
            drop(holder);
        };
        let far = Instant::now() + Duration::from_secs(3600);
        tokio::join!(wait_until_free(address, far), free);
        assert!(!is_in_use(address));
        data.remove_runtime().expect("the runtime folder goes");
    }
}
