//! From what a file says to what is served: names looked up, files found, targets with their identity.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_kit::error::chain;
use tandem_rules::routing::{RouteIndex, RouteKey};
use tandem_types::https::HttpsSpec;
use tandem_types::instance::Address;
use tandem_types::{AppName, InstanceId, Limits, Network};

use super::file::{CertificateFiles, DoorRoute, Placed, Probe, Route, RoutesFile, Target, To};
use super::parse::parse;
use super::stamp::Stamped;
use super::targets::Targets;
use super::tcp::Leads;
use crate::probe::{self, Check};
use crate::table::{Instance, Live, LiveRoute};
use tandem_certificates::{Certificate, CertificateError};
use tandem_static::Disk;
use tandem_toml::{Mistake, Text};
use tandem_wire::ProxyVersion;

/// Longest name of an app.
const LONGEST_NAME: usize = 40;

/// A file of which everything was found that it names.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) routes: Vec<FoundRoute>,
    pub(super) doors: Vec<FoundDoor>,
    pub(super) certificates: Vec<Certificate>,
    pub(super) trusted: Vec<Network>,
    /// Files and folders that it names.
    pub(super) named: Vec<Stamped>,
}

impl Found {
    /// Whether it leads nowhere.
    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.doors.is_empty()
    }
}

/// One of its routes.
#[derive(Debug)]
pub(super) struct FoundRoute {
    domain: String,
    prefix: String,
    to: FoundTo,
    limits: Limits,
    forwarded: bool,
    https: HttpsSpec,
}

/// An address at which TCP is accepted.
#[derive(Debug)]
pub(super) struct FoundDoor {
    pub(super) address: SocketAddr,
    /// Told with a message if it cannot be had.
    pub(super) place: Mistake,
    targets: Vec<Address>,
    proxy: Option<ProxyVersion>,
}

/// Where it leads.
#[derive(Debug)]
enum FoundTo {
    Targets(Vec<Address>, Probe),
    Folder(Arc<Disk>),
}

/// Reads a text and finds what it names. Blocks: names are looked up.
///
/// # Errors
/// The first mistake in it.
pub(super) fn find(file: &Path, text: &str) -> Result<Found, Mistake> {
    let RoutesFile { routes, doors, certificates, trusted } = parse(file, text)?;
    let text = Text { file, text };
    let (mut names, mut found) = (HashMap::new(), Found { trusted, ..Found::default() });
    for Route { domain, prefix, to, limits, forwarded, https } in routes {
        let to = match to {
            To::Targets(targets, probe) => FoundTo::Targets(addresses(text, &targets, &mut names)?, probe),
            To::Folder(Placed { value, offset }) => {
                found.named.push(Stamped::folder(&value));
                let disk = Disk::open(&value, &prefix);
                FoundTo::Folder(Arc::new(disk.map_err(|error| no_folder(text, (&value, offset), &error))?))
            }
        };
        found.routes.push(FoundRoute { domain: domain.value, prefix, to, limits, forwarded, https });
    }
    for DoorRoute { address, targets, proxy } in doors {
        let targets = addresses(text, &targets, &mut names)?;
        let place = text.at(address.offset, "");
        found.doors.push(FoundDoor { address: address.value, place, targets, proxy });
    }
    for files in certificates {
        found.named.extend([&files.cert, &files.key].map(|path| Stamped::file(&path.value)));
        found.certificates.push(certificate(text, files)?);
    }
    Ok(found)
}

fn no_folder(text: Text<'_>, (path, offset): (&Path, usize), error: &io::Error) -> Mistake {
    let mistake = text.at(offset, format!("the folder {} cannot be opened: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::Unsupported => mistake.hint("folders need a Linux of version 5.6 or newer"),
        io::ErrorKind::NotADirectory => mistake.hint("name the folder in which the file is"),
        _ => mistake,
    }
}

fn certificate(text: Text<'_>, files: CertificateFiles) -> Result<Certificate, Mistake> {
    let CertificateFiles { domains, cert, key } = files;
    let read = |file: &Placed<PathBuf>| {
        let unreadable = |error| format!("{} cannot be read: {error}", file.value.display());
        fs::read(&file.value).map_err(|error| text.at(file.offset, unreadable(error)))
    };
    Certificate::read(domains, &read(&cert)?, &read(&key)?).map_err(|error| {
        let file = if matches!(error, CertificateError::Chain(_)) { &cert } else { &key };
        let mistake = text.at(file.offset, format!("{}: {}", file.value.display(), chain(&error)));
        match error {
            CertificateError::Pair(_) => {
                mistake.hint("`cert` begins with the certificate that was made for this `key`")
            }
            _ => mistake.hint("both are files in the form PEM, which begin with -----BEGIN"),
        }
    })
}

/// Addresses of names that were looked up for this file.
type Names = HashMap<(String, u16), Vec<SocketAddr>>;

fn addresses(text: Text<'_>, targets: &[Placed<Target>], names: &mut Names) -> Result<Vec<Address>, Mistake> {
    let mut addresses = Vec::new();
    for Placed { value, offset } in targets {
        let (host, port) = match value {
            Target::Unix(path) => {
                addresses.push(Address::Unix(path.clone()));
                continue;
            }
            Target::Host(host, port) => (host, *port),
        };
        let known = match names.get(&(host.clone(), port)) {
            Some(known) => known.clone(),
            None => {
                let looked_up = look_up(host, port).map_err(|error| {
                    let hint = "write its IP address, or see whether this machine knows the name: `getent hosts NAME`";
                    text.at(*offset, format!("the host {host:?} is not found: {error}")).hint(hint)
                })?;
                names.entry((host.clone(), port)).or_insert(looked_up).clone()
            }
        };
        addresses.extend(known.into_iter().map(Address::Tcp));
    }
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(address.clone()));
    Ok(addresses)
}

fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found: Vec<_> = (bare, port).to_socket_addrs()?.collect();
    if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
}

/// What is served of a file.
pub(super) struct Ready {
    /// For the threads.
    pub(super) live: Arc<Live>,
    /// For the doors, by their addresses.
    pub(super) leads: HashMap<SocketAddr, Leads>,
    /// For whoever probes.
    pub(super) probes: Vec<probe::Target>,
    /// Who takes requests.
    pub(super) named: HashSet<InstanceId>,
}

/// Makes what was found ready to be served. Its targets take requests from now on.
pub(super) fn make(found: &Found, targets: &mut Targets) -> Ready {
    let keys = found.routes.iter().map(|route| RouteKey {
        domain: &route.domain,
        prefix: &route.prefix,
        folders: &[],
    });
    let index = RouteIndex::of(keys);
    let (mut routes, mut probes, mut named) = (Vec::new(), Vec::new(), HashSet::new());
    for route in &found.routes {
        let name = app_name(&route.domain);
        let account = (targets.account(&route.domain), route.limits);
        let (addresses, probe) = match &route.to {
            FoundTo::Folder(disk) => {
                let live = LiveRoute::of(name, (Vec::new(), Some(Arc::clone(disk))), account);
                routes.push(live.over_https(route.https));
                continue;
            }
            FoundTo::Targets(addresses, probe) => (addresses, probe),
        };
        let members: Vec<_> = addresses.iter().map(|address| targets.at(address)).collect();
        for member in &members {
            member.route();
            if named.insert(member.id()) {
                probes.push(probe_of((&route.domain, probe), member));
            }
        }
        let live = LiveRoute::of(name, (members, None), account).bare(!route.forwarded);
        routes.push(live.over_https(route.https));
    }
    let mut leads = HashMap::new();
    for door in &found.doors {
        let members: Vec<_> = door.targets.iter().map(|address| targets.at(address)).collect();
        for member in &members {
            member.route();
            if named.insert(member.id()) {
                probes.push(probe_of((&door.address.to_string(), &Probe::Watched), member));
            }
        }
        leads.insert(door.address, Leads { members, proxy: door.proxy });
    }
    Ready { live: Arc::new(Live::of(index, routes)), leads, probes, named }
}

fn probe_of((domain, probe): (&str, &Probe), instance: &Arc<Instance>) -> probe::Target {
    let (domain, check) = match probe {
        Probe::Asked { host, health } => (host.clone(), Check::Ask(health.clone())),
        Probe::Watched => (domain.to_owned(), Check::Connect),
    };
    probe::Target { instance: Arc::clone(instance), domain, check }
}

/// What a domain is called where an app's name is wanted: pages, records.
fn app_name(domain: &str) -> AppName {
    let named: String = domain
        .replace('*', "any")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let named = named.trim_matches('-');
    let named = if named.starts_with(|c: char| c.is_ascii_alphabetic()) {
        named.to_owned()
    } else {
        format!("host-{named}")
    };
    let cut: String = named.chars().take(LONGEST_NAME).collect();
    cut.trim_end_matches('-').parse().expect("letters, digits and hyphens, a letter first")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_has_a_name() {
        for (domain, name) in [
            ("*", "any"),
            ("*.example.org", "any-example-org"),
            ("www.example.org", "www-example-org"),
            ("127.0.0.1", "host-127-0-0-1"),
            ("[::1]", "host-1"),
            ("[::]", "host"),
        ] {
            assert_eq!(app_name(domain).as_str(), name, "{domain}");
        }
        assert!(app_name(&format!("{}-b.org", "a".repeat(39))).as_str().len() <= 40);
    }
}
