//! From the text of a file of routes to what it says.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tandem_rules::routing::host_below;
use tandem_toml::{Key, Mistake, Table, Text, Value, ensure_domain, health, https, limits};
use tandem_types::domain::ANY_HOST;
use tandem_types::https::HttpsSpec;
use tandem_types::{Health, Limits, Network};
use tandem_wire::ProxyVersion;

use super::file::{CertificateFiles, DoorRoute, Placed, Probe, Route, RoutesFile, Target, To};
use super::values;

const TOP: &[&str] = &["certificate", "proxy_protocol", "route"];
const ROUTE: &[&str] = &[
    "domain",
    "folder",
    "forwarded",
    "health",
    "https",
    "limits",
    "prefix",
    "proxy_protocol",
    "targets",
    "tcp",
];
/// Where the limits stand, and what to do instead of letting no request through.
const LIMITS: (&str, &str) =
    ("in `limits`", "such as requests = 1000; without this route nothing is let through");
const PROXY_PROTOCOL: &[&str] = &["from"];
const CERTIFICATE: &[&str] = &["cert", "domains", "key"];

/// Reads the text of a file. Relative paths in it are meant from the file's folder.
///
/// # Errors
/// The first mistake in it.
pub(super) fn parse(file: &Path, text: &str) -> Result<RoutesFile, Mistake> {
    let text = Text { file, text };
    let mut parsed = RoutesFile::default();
    for (key, value) in &text.parse()? {
        match key.get_ref().as_ref() {
            "route" => {
                for (table, offset) in text.tables(value, "route")? {
                    let said = Said::read(text, table)?;
                    match said.tcp {
                        Some((_, address)) => parsed.doors.push(door(text, &said, (address, offset))?),
                        None => parsed.routes.push(route(text, &said, offset)?),
                    }
                }
            }
            "certificate" => {
                for (table, offset) in text.tables(value, "certificate")? {
                    parsed.certificates.push(certificate(text, table, offset)?);
                }
            }
            "proxy_protocol" => parsed.trusted = trusted(text, value)?,
            _ => return Err(text.unknown(key, "in a file of routes", TOP)),
        }
    }
    ensure_once(text, &parsed)?;
    Ok(parsed)
}

/// How many routes, TCP addresses and certificates a text names, for the fuzzer.
///
/// # Errors
/// The first mistake in it.
pub(crate) fn counts(file: &Path, text: &str) -> Result<[usize; 3], Mistake> {
    let RoutesFile { routes, doors, certificates, .. } = parse(file, text)?;
    Ok([routes.len(), doors.len(), certificates.len()])
}

/// Of two routes of the same requests one would never get any.
fn ensure_once(text: Text<'_>, file: &RoutesFile) -> Result<(), Mistake> {
    let domains = file.routes.iter().map(|Route { domain, prefix, .. }| {
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        (format!("{:?} with the prefix {prefix:?}", domain.value), domain.offset)
    });
    let doors = file.doors.iter().map(|door| (format!("tcp {}", door.address.value), door.address.offset));
    let mut seen = HashMap::new();
    for (name, offset) in domains.chain(doors) {
        if let Some(first) = seen.insert(name.clone(), offset) {
            let line = text.at(first, "").line;
            let hint = format!("the other one is in line {line}; one route may have several targets");
            return Err(text.at(offset, format!("{name} is there twice")).hint(hint));
        }
    }
    Ok(())
}

/// Whose connections begin with a PROXY header.
fn trusted(text: Text<'_>, value: &Value<'_>) -> Result<Vec<Network>, Mistake> {
    let mut networks = Vec::new();
    for (name, value) in text.table(value, "proxy_protocol")? {
        if name.get_ref() != "from" {
            return Err(text.unknown(name, "in `proxy_protocol`", PROXY_PROTOCOL));
        }
        for (word, value) in text.full_list(value, "from")? {
            networks.push(word.parse().map_err(|error| {
                let mistake = text.at_value(value, format!("{word:?} cannot be trusted: {error}"));
                mistake.hint("where the proxies are whose connections begin with a PROXY header: from = [\"10.0.0.0/8\"]")
            })?);
        }
    }
    Ok(networks)
}

type Entry<'v, 'a> = Option<(&'v Key<'a>, &'v Value<'a>)>;

/// What a `[[route]]` says.
#[derive(Default)]
struct Said<'v, 'a> {
    domain: Entry<'v, 'a>,
    folder: Entry<'v, 'a>,
    forwarded: Entry<'v, 'a>,
    health: Entry<'v, 'a>,
    https: Entry<'v, 'a>,
    limits: Entry<'v, 'a>,
    prefix: Entry<'v, 'a>,
    proxy_protocol: Entry<'v, 'a>,
    targets: Entry<'v, 'a>,
    tcp: Entry<'v, 'a>,
}

impl<'v, 'a> Said<'v, 'a> {
    fn read(text: Text<'a>, table: &'v Table<'a>) -> Result<Self, Mistake> {
        let mut said = Self::default();
        for (key, value) in table {
            let place = match key.get_ref().as_ref() {
                "domain" => &mut said.domain,
                "folder" => &mut said.folder,
                "forwarded" => &mut said.forwarded,
                "health" => &mut said.health,
                "https" => &mut said.https,
                "limits" => &mut said.limits,
                "prefix" => &mut said.prefix,
                "proxy_protocol" => &mut said.proxy_protocol,
                "targets" => &mut said.targets,
                "tcp" => &mut said.tcp,
                _ => return Err(text.unknown(key, "in [[route]]", ROUTE)),
            };
            *place = Some((key, value));
        }
        Ok(said)
    }
}

/// A key that means nothing where it stands.
fn ensure_none(text: Text<'_>, entry: Entry<'_, '_>, why: &str) -> Result<(), Mistake> {
    entry.map_or(Ok(()), |(key, _)| Err(text.at_key(key, format!("`{}` means nothing {why}", key.get_ref()))))
}

fn route(text: Text<'_>, said: &Said<'_, '_>, offset: usize) -> Result<Route, Mistake> {
    ensure_none(text, said.proxy_protocol, "for HTTP: targets are told of the client by X-Forwarded-For")?;
    let Some((_, value)) = said.domain else {
        let hint = "such as domain = \"www.example.org\", \"*.example.org\", or \"*\" for every other host";
        return Err(text.at(offset, "this route has no `domain`").hint(hint));
    };
    let domain = text.words(value, "domain")?;
    ensure_domain(text, value, domain, values::is_domain)?;
    let domain = Placed { value: domain.to_owned(), offset: value.span().start };
    let prefix = said.prefix.map_or(Ok("/".to_owned()), |(_, value)| prefix(text, value))?;
    let to = match (said.targets, said.folder) {
        (Some((_, list)), None) => {
            let probe =
                said.health.map_or(Ok(Probe::Watched), |(_, value)| probe(text, &domain.value, value))?;
            To::Targets(targets(text, list, values::target)?, probe)
        }
        (None, Some((_, folder))) => {
            ensure_none(text, said.health.or(said.limits).or(said.forwarded), "for a folder")?;
            To::Folder(path(text, folder, "folder")?)
        }
        (Some(_), Some((_, folder))) => {
            let hint = "give the folder a route of its own, with a `prefix`";
            return Err(text.at_value(folder, "this route has both `targets` and a `folder`").hint(hint));
        }
        (None, None) => {
            let hint = "such as targets = [\"http://127.0.0.1:9000\"], or folder = \"/srv/www\"";
            return Err(text.at(offset, "this route has neither `targets` nor a `folder`").hint(hint));
        }
    };
    let limits = match said.limits {
        Some((_, value)) => limits(text, text.table(value, "limits")?, LIMITS)?,
        None => Limits::default(),
    };
    let forwarded = said.forwarded.map_or(Ok(true), |(_, value)| text.flag(value, "forwarded"))?;
    let https = match said.https {
        Some((_, value)) => https(text, text.table(value, "https")?, "in `https`")?,
        None => HttpsSpec::default(),
    };
    Ok(Route { domain, prefix, to, limits, forwarded, https })
}

fn door(
    text: Text<'_>,
    said: &Said<'_, '_>,
    (address, offset): (&Value<'_>, usize),
) -> Result<DoorRoute, Mistake> {
    for entry in [said.domain, said.prefix, said.folder, said.forwarded, said.health, said.https, said.limits]
    {
        ensure_none(text, entry, "for TCP")?;
    }
    let Some((_, list)) = said.targets else {
        let hint = "such as targets = [\"127.0.0.1:5433\"]";
        return Err(text.at(offset, "this route has no `targets`").hint(hint));
    };
    let targets = targets(text, list, values::tcp_target)?;
    let proxy = match said.proxy_protocol {
        None => None,
        Some((_, value)) => Some(match text.words(value, "proxy_protocol")? {
            "v1" => ProxyVersion::V1,
            "v2" => ProxyVersion::V2,
            other => {
                let message = format!("{other:?} is no version of the PROXY protocol");
                return Err(text.at_value(value, message).hint("\"v1\" or \"v2\""));
            }
        }),
    };
    let word = text.words(address, "tcp")?;
    let Some(found) = values::listening_address(word) else {
        let hint = "a port, with the address of this machine in front if not all are meant: \":5432\", \"127.0.0.1:5432\"";
        return Err(text.at_value(address, format!("{word:?} is no address to listen on")).hint(hint));
    };
    Ok(DoorRoute { address: Placed { value: found, offset: address.span().start }, targets, proxy })
}

fn prefix(text: Text<'_>, value: &Value<'_>) -> Result<String, Mistake> {
    let prefix = text.words(value, "prefix")?;
    if values::is_prefix(prefix) {
        return Ok(prefix.to_owned());
    }
    let hint = "as it stands in URLs, with a slash in front: \"/api\"";
    Err(text.at_value(value, format!("{prefix:?} is not the beginning of a path")).hint(hint))
}

fn targets(
    text: Text<'_>,
    value: &Value<'_>,
    read: fn(&str, &Path) -> Result<Target, values::NoTarget>,
) -> Result<Vec<Placed<Target>>, Mistake> {
    let base = text.base();
    let mut targets: Vec<Placed<Target>> = Vec::new();
    for (word, value) in text.full_list(value, "targets")? {
        let target = read(word, base).map_err(|no| text.at_value(value, no.message).hint(no.hint))?;
        if targets.iter().any(|known| known.value == target) {
            return Err(text.at_value(value, format!("{word:?} is there twice")));
        }
        targets.push(Placed { value: target, offset: value.span().start });
    }
    Ok(targets)
}

/// A path, or a table with what differs from the default, as in an app's file.
fn probe(text: Text<'_>, domain: &str, value: &Value<'_>) -> Result<Probe, Mistake> {
    let host = if domain == ANY_HOST { "localhost".into() } else { host_below(domain) };
    let health = health(text, value, "in `health`")?.instead_of(Health::default());
    Ok(Probe::Asked { host: host.into_owned(), health })
}

fn path(text: Text<'_>, value: &Value<'_>, what: &str) -> Result<Placed<PathBuf>, Mistake> {
    let path = text.base().join(text.words(value, what)?);
    Ok(Placed { value: path, offset: value.span().start })
}

fn certificate(text: Text<'_>, table: &Table<'_>, offset: usize) -> Result<CertificateFiles, Mistake> {
    let (mut domains, mut cert, mut key) = (Vec::new(), None, None);
    for (name, value) in table {
        match name.get_ref().as_ref() {
            "domains" => {
                for (domain, value) in text.full_list(value, "domains")? {
                    ensure_domain(text, value, domain, values::is_domain)?;
                    if domain == ANY_HOST {
                        let hint = "name them: a certificate is chosen by the name that a client asks for";
                        return Err(text.at_value(value, "no certificate is good for every host").hint(hint));
                    }
                    domains.push(domain.to_owned());
                }
            }
            "cert" => cert = Some(path(text, value, "cert")?),
            "key" => key = Some(path(text, value, "key")?),
            _ => return Err(text.unknown(name, "in [[certificate]]", CERTIFICATE)),
        }
    }
    let missing = |what: &str| {
        let hint = "domains = [\"www.example.org\"], cert = \"fullchain.pem\", key = \"privkey.pem\"";
        text.at(offset, format!("this certificate has no `{what}`")).hint(hint)
    };
    if domains.is_empty() {
        return Err(missing("domains"));
    }
    let cert = cert.ok_or_else(|| missing("cert"))?;
    Ok(CertificateFiles { domains, cert, key: key.ok_or_else(|| missing("key"))? })
}
