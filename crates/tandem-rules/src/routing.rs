//! Finds the route of a request: by its domain, then the longest path prefix, then static folders.
//!
//! Balancers ask this for every request, so a table is turned into an index once: one hash look-up for the domain,
//! however many there are, and one per label where only a wildcard covers it; then the few prefixes of that domain,
//! longest first. What is behind a route (which instance, which file) is left to the balancer.

use std::borrow::Cow;
use std::collections::HashMap;

use tandem_types::domain::{ANY_HOST, LONGEST, WILDCARD};
use tandem_types::routing::{StaticFolder, Table};

/// A table made ready for look-ups. Answers are positions in [`Table::routes`] of the table it was made from.
///
/// An exact domain wins, then the longest wildcard, then [`ANY_HOST`]. The path is looked at afterwards: where the domain
/// that won has no route for it, none else is asked.
#[derive(Debug, Clone, Default)]
pub struct RouteIndex {
    domains: HashMap<Box<str>, Vec<Prefix>>,
    /// Wildcards by what stands behind their `*.`.
    suffixes: HashMap<Box<str>, Vec<Prefix>>,
    any: Option<Vec<Prefix>>,
}

/// What the index must know of a route.
#[derive(Debug, Clone, Copy)]
pub struct RouteKey<'a> {
    /// A host name, one behind `*.`, or `*`.
    pub domain: &'a str,
    /// Path prefix; `/` for all.
    pub prefix: &'a str,
    /// Its static folders.
    pub folders: &'a [StaticFolder],
}

/// One route of a domain.
#[derive(Debug, Clone)]
struct Prefix {
    /// Without a slash at its end; empty for `/`.
    text: Box<str>,
    route: usize,
    folders: Vec<Folder>,
}

/// One static folder of a route, by its place in the route's list.
#[derive(Debug, Clone)]
struct Folder {
    prefix: Box<str>,
    place: usize,
}

/// Where a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// A route answers.
    Route {
        /// Its place in the table's routes.
        route: usize,
        /// The static folder to look into before the pool is asked: its place in the route's folders.
        folder: Option<usize>,
    },
    /// The domain has routes, but none of them covers the path.
    UnknownPath,
    /// No route names the domain.
    UnknownDomain,
}

impl RouteIndex {
    /// Makes the index. Of two routes with the same domain and prefix the first one wins.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        Self::of(table.routes.iter().map(|route| RouteKey {
            domain: &route.domain,
            prefix: &route.prefix,
            folders: &route.static_folders,
        }))
    }

    /// The same of routes that are in no table; answers are their positions.
    #[must_use]
    pub fn of<'a>(routes: impl IntoIterator<Item = RouteKey<'a>>) -> Self {
        let mut index = Self::default();
        for (route, key) in routes.into_iter().enumerate() {
            index.prefixes(&normalize_host(key.domain)).push(Prefix::new(route, &key));
        }
        let named = index.domains.values_mut().chain(index.suffixes.values_mut());
        for prefixes in named.chain(&mut index.any) {
            prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.text.len()));
        }
        index
    }

    fn prefixes(&mut self, domain: &str) -> &mut Vec<Prefix> {
        if domain == ANY_HOST {
            return self.any.get_or_insert_default();
        }
        match domain.strip_prefix(WILDCARD) {
            Some(suffix) => self.suffixes.entry(suffix.into()).or_default(),
            None => self.domains.entry(domain.into()).or_default(),
        }
    }

    /// Finds the route for the value of `Host` (any case, with or without port or final dot) and the path as it
    /// was sent, without the query.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Match {
        let Some(prefixes) = self.prefixes_of(&normalize_host(host)) else {
            return Match::UnknownDomain;
        };
        let Some(prefix) = prefixes.iter().find(|prefix| covers(&prefix.text, path)) else {
            return Match::UnknownPath;
        };
        let folder = prefix.folders.iter().find(|folder| path.starts_with(&*folder.prefix));
        Match::Route { route: prefix.route, folder: folder.map(|folder| folder.place) }
    }

    fn prefixes_of(&self, host: &str) -> Option<&Vec<Prefix>> {
        self.domains.get(host).or_else(|| self.below(host)).or(self.any.as_ref())
    }

    /// The routes of the longest wildcard that covers a host.
    fn below(&self, host: &str) -> Option<&Vec<Prefix>> {
        // What is longer has no domain below which it could be, and is not taken apart: a client must not make us look up
        // thousands of labels.
        if self.suffixes.is_empty() || host.len() > LONGEST {
            return None;
        }
        let dots = host.bytes().enumerate().filter(|(_, byte)| *byte == b'.').map(|(place, _)| place);
        // An empty label is none that a wildcard stands for.
        let ends = dots.filter(|place| *place > 0 && host.as_bytes()[place - 1] != b'.');
        ends.map(|place| &host[place + 1..]).find_map(|suffix| self.suffixes.get(suffix))
    }

    /// Whether any route takes requests for the domain.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.prefixes_of(&normalize_host(host)).is_some()
    }
}

impl Prefix {
    fn new(route: usize, key: &RouteKey<'_>) -> Self {
        let folder =
            |(place, folder): (usize, &StaticFolder)| Folder { prefix: folder.prefix.as_str().into(), place };
        let mut folders: Vec<_> = key.folders.iter().enumerate().map(folder).collect();
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.prefix.len()));
        Self { text: key.prefix.trim_end_matches('/').into(), route, folders }
    }
}

/// A host name that a domain covers, to ask an app with: the domain itself, or one below a wildcard.
#[must_use]
pub fn host_below(domain: &str) -> Cow<'_, str> {
    match domain.strip_prefix(WILDCARD) {
        Some(suffix) => Cow::Owned(format!("www.{suffix}")),
        None => Cow::Borrowed(domain),
    }
}

/// The domain in a value of `Host`: lower case, without port and final dot. Borrowed where nothing is to be changed.
#[must_use]
pub fn normalize_host(host: &str) -> Cow<'_, str> {
    let bare = strip_port(host);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    if bare.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(bare.to_ascii_lowercase())
    } else {
        Cow::Borrowed(bare)
    }
}

/// Cuts `:8080` off. The colons of an IPv6 address stay: such addresses stand in brackets (RFC 9110, 4.2.3).
fn strip_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':') => name,
        Some((name, port)) if name.ends_with(']') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether the path lies under the prefix, by whole segments: `/a` covers `/a` and `/a/b`, not `/ab`.
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        // `OPTIONS *` has no path: it asks about the whole domain.
        || (prefix.is_empty() && path == "*")
}

#[cfg(test)]
mod tests;
