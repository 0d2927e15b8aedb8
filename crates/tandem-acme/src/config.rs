//! How an authority is asked.

use std::path::PathBuf;

/// Names of well-known directories.
const KNOWN: [(&str, &str); 2] = [
    ("letsencrypt", "https://acme-v02.api.letsencrypt.org/directory"),
    ("letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
];

/// How an authority is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// URL of its directory (RFC 8555, 7.1.1).
    pub directory: String,
    /// Where it writes to when something is wrong; none: nowhere.
    pub email: Option<String>,
    /// Roots (PEM) by which it is known, instead of the system's.
    pub roots: Option<PathBuf>,
    /// How it is convinced of a domain that is no wildcard.
    pub way: Way,
    /// Command that sets and removes records of domains; without it there are no wildcards.
    pub dns_hook: Option<String>,
}

/// How an authority is convinced that a domain leads here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// It asks for a token over HTTP at port 80 (RFC 8555, 8.3).
    #[default]
    Http01,
    /// It looks at a certificate at port 443 (RFC 8737).
    TlsAlpn01,
    /// It looks at a record of the domain (RFC 8555, 8.4).
    Dns01,
}

impl Config {
    /// Asks this authority, by its URL or its name, over HTTP.
    ///
    /// # Errors
    /// It is neither, for people.
    pub fn new(authority: &str) -> Result<Self, String> {
        let known = KNOWN.iter().find(|(name, _)| *name == authority).map(|(_, url)| *url);
        let directory = known.unwrap_or(authority).to_owned();
        if !directory.starts_with("https://") {
            let names: Vec<_> = KNOWN.iter().map(|(name, _)| *name).collect();
            return Err(format!("expected {} or the https:// URL of a directory", names.join(", ")));
        }
        Ok(Self { directory, email: None, roots: None, way: Way::default(), dns_hook: None })
    }

    /// How the authority is convinced of a domain; none: it cannot be.
    #[must_use]
    pub fn way_for(&self, domain: &str) -> Option<Way> {
        match (domain.starts_with("*."), self.way) {
            (true, _) | (false, Way::Dns01) => self.dns_hook.as_ref().map(|_| Way::Dns01),
            (false, way) => Some(way),
        }
    }
}

impl std::str::FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "http-01" => Ok(Self::Http01),
            "tls-alpn-01" => Ok(Self::TlsAlpn01),
            "dns-01" => Ok(Self::Dns01),
            _ => Err("expected http-01, tls-alpn-01 or dns-01".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_a_directory_and_wildcards_go_by_records_alone() {
        let config = Config::new("letsencrypt").unwrap();
        assert!(config.directory.starts_with("https://acme-v02."));
        assert!(Config::new("http://localhost/dir").is_err() && Config::new("lets").is_err());
        assert_eq!((config.way_for("a.org"), config.way_for("*.a.org")), (Some(Way::Http01), None));
        let hooked = Config { dns_hook: Some("hook".to_owned()), way: Way::TlsAlpn01, ..config };
        assert_eq!(hooked.way_for("a.org"), Some(Way::TlsAlpn01));
        assert_eq!(hooked.way_for("*.a.org"), Some(Way::Dns01));
    }
}
