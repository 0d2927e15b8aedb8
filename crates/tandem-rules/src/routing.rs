//! Finds the route of a request: exact domain, then the longest path prefix, then static folders.
//!
//! Balancers ask this for every request, so a table is turned into an index once: one hash look-up for the domain,
//! however many there are, then the few prefixes of that domain, longest first. What is behind a route (which
//! instance, which file) is left to the balancer.

use std::borrow::Cow;
use std::collections::HashMap;

use tandem_types::routing::Table;

/// A table made ready for look-ups. Answers are positions in [`Table::routes`] of the table it was made from.
#[derive(Debug, Clone, Default)]
pub struct RouteIndex {
    domains: HashMap<Box<str>, Vec<Prefix>>,
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
        let mut domains: HashMap<Box<str>, Vec<Prefix>> = HashMap::new();
        for (route, entry) in table.routes.iter().enumerate() {
            let domain = normalize_host(&entry.domain).into_owned().into_boxed_str();
            let mut folders: Vec<_> = entry
                .static_folders
                .iter()
                .enumerate()
                .map(|(place, folder)| Folder { prefix: folder.prefix.as_str().into(), place })
                .collect();
            folders.sort_by_key(|folder| std::cmp::Reverse(folder.prefix.len()));
            let text = entry.prefix.trim_end_matches('/').into();
            domains.entry(domain).or_default().push(Prefix { text, route, folders });
        }
        for prefixes in domains.values_mut() {
            prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.text.len()));
        }
        Self { domains }
    }

    /// Finds the route for the value of `Host` (any case, with or without port or final dot) and the path as it
    /// was sent, without the query.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Match {
        let Some(prefixes) = self.domains.get(&*normalize_host(host)) else {
            return Match::UnknownDomain;
        };
        let Some(prefix) = prefixes.iter().find(|prefix| covers(&prefix.text, path)) else {
            return Match::UnknownPath;
        };
        let folder = prefix.folders.iter().find(|folder| path.starts_with(&*folder.prefix));
        Match::Route { route: prefix.route, folder: folder.map(|folder| folder.place) }
    }

    /// Whether any route names the domain.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.domains.contains_key(&*normalize_host(host))
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
