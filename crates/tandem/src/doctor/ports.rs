//! Ports: those that the world comes to, those that instances get, and IPv6.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use super::Finding;
use crate::port;

/// Where browsers come to, with the names of the findings.
const WEB: [(u16, &str); 2] = [(80, "port 80"), (443, "port 443")];

pub(super) fn look() -> Vec<Finding> {
    let web = WEB.map(|(number, name)| {
        let bound = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], number))).map(drop);
        web(name, number, bound)
    });
    let mut all = Vec::from(web);
    all.push(for_instances(tandem_runner::lacking_ports()));
    all.push(newer_family(TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).map(drop)));
    all
}

fn web(name: &'static str, number: u16, bound: io::Result<()>) -> Finding {
    let Err(error) = bound else { return Finding::good(name, "free") };
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let holders = port::holders(number).join(" and ");
            let who = if holders.is_empty() { "somebody".to_owned() } else { holders };
            Finding::note(name, format!("{who} has it"))
                .costs("a balancer cannot listen there, unless that is Tandem's own or one in front of it")
                .line(format!(
                    "ss -ltnp 'sport = :{number}' shows it; stop it, or name another port with --http"
                ))
        }
        io::ErrorKind::PermissionDenied => Finding::note(name, "this user may not listen there")
            .costs("sites are served at another port")
            .line(format!("sudo sysctl -w net.ipv4.ip_unprivileged_port_start={number}, or sudo tandem up")),
        _ => Finding::note(name, format!("nobody can listen there: {error}"))
            .line("name another port with --http"),
    }
}

fn for_instances(lacking: Option<(String, String)>) -> Finding {
    const NAME: &str = "ports of apps";
    match lacking {
        None => Finding::good(NAME, "none that the kernel gives to others"),
        Some((taken, line)) => {
            Finding::lacking(NAME, format!("the kernel takes {taken} for outgoing connections"))
                .costs("an instance may find its port taken, and starts again at another")
                .line(line)
        }
    }
}

fn newer_family(bound: io::Result<()>) -> Finding {
    const NAME: &str = "IPv6";
    match bound {
        Ok(()) => Finding::good(NAME, "on"),
        Err(_) => Finding::note(NAME, "off")
            .costs("sites are served by IPv4 alone")
            .line("sysctl -w net.ipv6.conf.all.disable_ipv6=0, where the machine has an address of IPv6"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_port_that_somebody_has_is_told_with_who_it_is() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let number = taken.local_addr().expect("it is bound").port();
        let finding = web("port 80", number, Err(io::ErrorKind::AddrInUse.into()));
        assert!(finding.says.contains(&format!("process {}", std::process::id())), "{finding:?}");
        let refused = web("port 80", 80, Err(io::ErrorKind::PermissionDenied.into()));
        assert!(refused.line.contains("ip_unprivileged_port_start=80"), "{refused:?}");
        assert_eq!(web("port 80", 80, Ok(())).state, State::Good);
        let other = web("port 80", 80, Err(io::ErrorKind::OutOfMemory.into()));
        let off = newer_family(Err(io::ErrorKind::AddrNotAvailable.into()));
        assert!([finding, other, off].iter().all(|finding| !finding.line.is_empty()));
    }

    #[test]
    fn a_kernel_that_takes_all_ports_is_told_with_the_line_that_sets_some_aside() {
        let lacking = for_instances(Some(("1024 to 65535".to_owned(), "sysctl -w x".to_owned())));
        assert_eq!((lacking.state, lacking.line.as_str()), (State::Lacking, "sysctl -w x"));
    }
}
