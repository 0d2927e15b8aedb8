//! Apps that sit on a port of Tandem's own.
//!
//! Ports from 1024 on are free to everybody while nobody listens, and apps go on while Tandem is away. One that means harm, or
//! is only badly configured, would then keep Tandem from its next start, and would be shown what people send to the balancer
//! or the API. So Tandem ends an instance of its own that it meets there; the runner starts it again, and by then the port
//! is taken. What belongs to others is left alone: then the start fails, with who has the port.

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

fn evict_from(address: SocketAddr, parent: &str) -> bool {
    if !is_in_use(address) {
        return false;
    }
    let found = squatters(address.port(), parent);
    if found.is_empty() {
        return false;
    }
    for (id, _) in &found {
        tracing::warn!("{id} listens on port {}, which is Tandem's own: ending it", address.port());
    }
    for _ in 0..LOOKS {
        found.iter().for_each(|(id, group)| end(id, group));
        if !is_in_use(address) {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    true
}

fn is_in_use(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

fn end(id: &str, group: &Group) {
    if let Err(error) = group.kill() {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "cannot end {id}");
    }
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
