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

/// Between two looks for a process that was killed.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Looks: killed processes are gone in milliseconds.
const LOOKS: u32 = 400;

/// Ends instances of this data folder that keep it from listening at one of these addresses. Says whether there was one.
pub(super) async fn evict(data: &DataDir, addresses: impl IntoIterator<Item = SocketAddr>) -> bool {
    let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
    let parent = data.cgroup_name();
    let work = move || addresses.into_iter().filter(|address| evict_from(*address, &parent)).count() > 0;
    tasks::blocking("look for apps on own ports", work).await
}

/// Looks anew each time: what has the port by now need not be who had it, and then it is nobody of ours.
fn evict_from(address: SocketAddr, parent: &str) -> bool {
    let mut told = BTreeSet::new();
    for _ in 0..LOOKS {
        if !is_in_use(address) {
            break;
        }
        let found = squatters(address.port(), parent);
        if found.is_empty() {
            break;
        }
        for (id, group) in found {
            let is_new = told.insert(id.clone());
            if is_new {
                tracing::warn!("{id} listens on port {}, which is Tandem's own: ending it", address.port());
            }
            match group.kill() {
                Err(error) if is_new => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "cannot end {id}");
                }
                _ => {}
            }
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    !told.is_empty()
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
