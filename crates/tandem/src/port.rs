//! A port that somebody else has: who, and which one is free instead.

use std::net::{SocketAddr, TcpListener};

use tandem_sandbox::listener;

use crate::failure::Failure;

/// Ports above the wanted one that are tried: the next one is easier to remember than any.
const NEAR: u16 = 20;
/// First port that needs no rights.
const FIRST_FREE: u16 = 1024;

/// The failure of `who` to listen on an address that is in use; `flag` is the option that names another.
pub(crate) fn in_use(who: &str, flag: &str, address: SocketAddr) -> Failure {
    let title = match holders(address.port()).as_slice() {
        [] => format!("{who} cannot listen on {address}: the port is in use"),
        holders => format!("{who} cannot listen on {address}: {} has the port", holders.join(" and ")),
    };
    let any = SocketAddr::new(address.ip(), 0);
    let hint = match free_near(address) {
        Some(free) => format!("`{flag} {free}` is free now, `{flag} {any}` picks any free port"),
        None => format!("`{flag} {any}` picks any free port"),
    };
    Failure::new(title).hint(hint).code("port_in_use")
}

/// `process 12 (nginx)`. Where /proc does not tell, because the process is another user's, nothing.
pub(crate) fn holders(port: u16) -> Vec<String> {
    let processes = listener::processes_on_port(port).unwrap_or_default();
    processes.into_iter().map(named).collect()
}

fn named(process: i32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    match name.trim() {
        "" => format!("process {process}"),
        name => format!("process {process} ({name})"),
    }
}

/// A port of the same address that the kernel gives us: one just above, else any.
fn free_near(address: SocketAddr) -> Option<SocketAddr> {
    let first = address.port().max(FIRST_FREE - 1).saturating_add(1);
    let near = (first..=first.saturating_add(NEAR)).chain([0]);
    near.map(|port| SocketAddr::new(address.ip(), port)).find_map(|address| {
        let listener = TcpListener::bind(address).ok()?;
        listener.local_addr().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_port_is_named_and_a_free_one_is_offered() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = taken.local_addr().expect("it is bound");
        let text = in_use("the API", "--api", address).render(crate::output::Style::new(false));
        let text = text.expect("it is told");
        assert!(
            text.contains(&format!("cannot listen on {address}: process {} (", std::process::id())),
            "{text}"
        );
        let offer = text.split_once("hint: `--api ").expect("a hint").1;
        let free: SocketAddr = offer.split_once('`').expect("it ends").0.parse().expect("an address");
        assert!(free.ip() == address.ip() && free.port() != 0 && free != address, "{text}");
        assert!(text.ends_with("`--api 127.0.0.1:0` picks any free port"), "{text}");
    }

    #[test]
    fn an_address_of_the_newer_family_keeps_its_brackets() {
        let address: SocketAddr = "[::1]:65535".parse().expect("an address");
        let text = in_use("the balancer", "--http", address).render(crate::output::Style::new(false));
        assert!(text.expect("it is told").contains("`--http [::1]:0`"));
    }
}
