//! The way to the package index: an administrator's settings, handed on from Tandem's own environment.
//!
//! What is said to pip is heeded where uv is told nothing else: many machines were set up for pip, by people who never heard
//! of uv.
//!
//! They say which addresses of the loopback an installation may reach, and some of them hold passwords, which must not
//! be printed and should not meet code that packages bring along (see [`crate::dependencies`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tandem_kit::env;

/// Settings whose value holds addresses.
const ADDRESSES: [&str; 13] = [
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    env::TANDEM_BUILD_LOOPBACK,
    "NPM_CONFIG_REGISTRY",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_INDEX",
    "UV_INDEX_URL",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "npm_config_registry",
];
/// The other ones that are handed on.
const OTHERS: [&str; 11] = [
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "UV_HTTP_TIMEOUT",
    "UV_INDEX_STRATEGY",
    "UV_INSECURE_HOST",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "no_proxy",
];
/// Where interpreters are fetched from: only for uv on the host, builds do without.
const FOR_INTERPRETERS: [&str; 3] =
    ["UV_PYTHON_DOWNLOADS", "UV_PYTHON_DOWNLOADS_JSON_URL", "UV_PYTHON_INSTALL_MIRROR"];
/// What other tools are told → what uv calls it. Of several the first that is there counts.
const OF_OTHER_TOOLS: [(&str, &str); 9] = [
    ("PIP_INDEX_URL", "UV_INDEX_URL"),
    ("PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL"),
    ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST"),
    ("PIP_CERT", "SSL_CERT_FILE"),
    ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
    ("CURL_CA_BUNDLE", "SSL_CERT_FILE"),
    ("PIP_PROXY", "HTTPS_PROXY"),
    ("PIP_PROXY", "HTTP_PROXY"),
    ("PIP_DEFAULT_TIMEOUT", "UV_HTTP_TIMEOUT"),
];
/// Settings of which one says it all.
const SAME: [(&str, &[&str]); 6] = [
    ("UV_INDEX_URL", &["UV_DEFAULT_INDEX"]),
    ("UV_EXTRA_INDEX_URL", &["UV_INDEX"]),
    ("HTTPS_PROXY", &["https_proxy", "ALL_PROXY", "all_proxy"]),
    ("HTTP_PROXY", &["http_proxy", "ALL_PROXY", "all_proxy"]),
    ("SSL_CERT_FILE", &["SSL_CERT_DIR", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"]),
    ("NO_PROXY", &["no_proxy"]),
];
/// Those that say which certificates are trusted.
const CERTIFICATE_SETTINGS: [&str; 4] = ["SSL_CERT_DIR", "SSL_CERT_FILE", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"];
/// The authorities that this machine trusts, a company's own among them, where Debian and its kin keep them.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// A shorter password is not looked for in output: it would be found in every second word.
const SHORTEST_SECRET: usize = 3;
/// Limit of asking for a host's addresses. What has none is not let through, and uv says what is wrong with it.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// Settings for the way to the package index.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    settings: BTreeMap<String, String>,
    for_interpreters: BTreeMap<String, String>,
}

impl std::fmt::Debug for NetworkSettings {
    /// Leaves out the values: there are passwords among them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.settings.keys()).entries(self.for_interpreters.keys()).finish()
    }
}

impl NetworkSettings {
    /// What this process was started with. uv brings authorities of its own and would not ask the machine which it
    /// trusts, so where nothing is said about certificates it is pointed to the machine's.
    #[must_use]
    pub fn of_process() -> Self {
        // A value that is no text is no address either.
        let settings: Self = std::env::vars_os()
            .filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()))
            .collect();
        settings.or_certificates_of(Path::new(CERTIFICATES))
    }

    fn or_certificates_of(mut self, bundle: &Path) -> Self {
        let is_said = CERTIFICATE_SETTINGS.iter().any(|name| self.settings.contains_key(*name));
        if !is_said && let Some(path) = bundle.to_str().filter(|_| bundle.is_file()) {
            self.settings.insert("SSL_CERT_FILE".to_owned(), path.to_owned());
        }
        self
    }

    /// As environment variables.
    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Those on top for fetching an interpreter.
    pub(crate) fn for_interpreters(&self) -> &BTreeMap<String, String> {
        &self.for_interpreters
    }

    /// Whether there is a name or password among them.
    pub(crate) fn has_credentials(&self) -> bool {
        self.settings.keys().any(|name| is_credential(name)) || self.urls().any(|url| url.user_info.is_some())
    }

    /// Texts that nobody should read, the longest first.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let passwords = self.settings.iter().filter(|(name, _)| name.ends_with("_PASSWORD"));
        let mut secrets: BTreeSet<String> = passwords.map(|(_, value)| value.clone()).collect();
        let mirrors = self.for_interpreters.values().filter_map(|value| Url::parse(value));
        for user_info in self.urls().chain(mirrors).filter_map(|url| url.user_info) {
            // A name alone is a token.
            let password = user_info.split_once(':').map(|(_, password)| password);
            let secret =
                password.filter(|password| !password.is_empty()).unwrap_or(user_info.trim_end_matches(':'));
            secrets.extend([user_info.to_owned(), secret.to_owned(), percent_decoded(secret)]);
        }
        let mut secrets: Vec<String> =
            secrets.into_iter().filter(|secret| secret.len() >= SHORTEST_SECRET).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    /// Addresses that are named in them, as far as they are known within some seconds.
    pub(crate) async fn addresses(&self) -> BTreeSet<SocketAddr> {
        let mut addresses = BTreeSet::new();
        let named: BTreeSet<(String, u16)> = self.urls().filter_map(|url| url.host_and_port()).collect();
        let asked = async {
            for (host, port) in named {
                match host.parse::<IpAddr>() {
                    Ok(ip) => drop(addresses.insert(SocketAddr::new(ip, port))),
                    Err(_) => {
                        addresses.extend(tokio::net::lookup_host((host, port)).await.into_iter().flatten())
                    }
                }
            }
        };
        if tokio::time::timeout(RESOLVE_LIMIT, asked).await.is_err() {
            tracing::warn!("name servers do not say where a package index or proxy is");
        }
        addresses
    }

    fn urls(&self) -> impl Iterator<Item = Url<'_>> {
        let values = self.settings.iter().filter(|(name, _)| ADDRESSES.contains(&name.as_str()));
        values.flat_map(|(_, value)| value.split_ascii_whitespace()).filter_map(Url::parse)
    }
}

impl FromIterator<(String, String)> for NetworkSettings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let variables: BTreeMap<String, String> = variables.into_iter().collect();
        let mut settings = variables.clone();
        settings.retain(|name, _| {
            ADDRESSES.contains(&name.as_str()) || OTHERS.contains(&name.as_str()) || is_credential(name)
        });
        let same =
            |name: &str| SAME.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, same)| same);
        for (theirs, ours) in OF_OTHER_TOOLS {
            let is_said =
                settings.contains_key(ours) || same(ours).iter().any(|name| settings.contains_key(*name));
            if let Some(value) = variables.get(theirs).filter(|value| !is_said && !value.is_empty()) {
                settings.insert(ours.to_owned(), value.clone());
            }
        }
        let mut for_interpreters = variables;
        for_interpreters.retain(|name, _| FOR_INTERPRETERS.contains(&name.as_str()));
        Self { settings, for_interpreters }
    }
}

/// Names and passwords of private indexes are in variables that bear the index's name.
fn is_credential(name: &str) -> bool {
    name.starts_with("UV_INDEX_") && (name.ends_with("_USERNAME") || name.ends_with("_PASSWORD"))
}

/// The parts of a URL that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    scheme: &'a str,
    user_info: Option<&'a str>,
    /// With its port, where one is said.
    pub(crate) host: &'a str,
}

impl<'a> Url<'a> {
    /// Reads `NAME=URL` (of `UV_INDEX`), a URL, or `host:port` as proxies are written.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (before, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = before.rsplit('=').next().unwrap_or(before);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info).filter(|text| !text.is_empty()), host),
            None => (None, authority),
        };
        (!host.is_empty()).then_some(Self { scheme, user_info, host })
    }

    fn host_and_port(&self) -> Option<(String, u16)> {
        let default = match self.scheme {
            "https" => 443,
            scheme if scheme.starts_with("socks") => 1080,
            _ => 80,
        };
        let (host, port) = match self.host.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map(|(host, rest)| (host, rest.strip_prefix(':')))?,
            None => match self.host.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (self.host, None),
            },
        };
        let port = port.map_or(Some(default), |port| port.parse().ok())?;
        Some((host.to_owned(), port))
    }
}

/// A line without the secrets, and without whatever else stands where URLs have their passwords.
pub(crate) fn redacted(line: &str, secrets: &[String]) -> String {
    let mut text = secrets.iter().fold(line.to_owned(), |text, secret| text.replace(secret.as_str(), "****"));
    let mut from = 0;
    while let Some(at) = text[from..].find("://") {
        let start = from + at + 3;
        let end = text[start..].find(|c: char| c.is_whitespace() || "/?#`'\"<>()".contains(c));
        let end = end.map_or(text.len(), |end| start + end);
        if let Some(sign) = text[start..end].rfind('@') {
            text.replace_range(start..start + sign, "****");
        }
        from = start;
    }
    text
}

/// Passwords with special characters are written with percent signs in URLs, and without them elsewhere.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> NetworkSettings {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_machines_certificates_are_trusted_unless_something_else_is_said() {
        let bundle = tempfile::NamedTempFile::new().expect("the temporary folder takes files");
        let said = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let settings = pairs.collect::<NetworkSettings>().or_certificates_of(bundle.path());
            settings.settings.get("SSL_CERT_FILE").cloned()
        };
        assert_eq!(said(&[]).as_deref(), bundle.path().to_str());
        assert_eq!(said(&[("SSL_CERT_FILE", "/own.pem")]).as_deref(), Some("/own.pem"));
        assert_eq!(said(&[("UV_SYSTEM_CERTS", "true")]), None);
        let none = NetworkSettings::default().or_certificates_of(Path::new("/nowhere.crt"));
        assert_eq!(none, NetworkSettings::default());
    }

    #[test]
    fn only_what_is_about_the_network_is_handed_on_and_never_shown() {
        let settings =
            settings(&[("UV_INDEX_PRIVATE_PASSWORD", "s3cret"), ("HOME", "/root"), ("DATABASE_URL", "x")]);
        assert_eq!(settings.variables().len(), 1);
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert!(settings.has_credentials());
    }

    #[tokio::test]
    async fn addresses_are_found_however_they_are_written() {
        let settings = settings(&[
            ("UV_INDEX", "private=http://joe:pw@127.0.0.1:3141/simple https://[::1]/x"),
            ("UV_EXTRA_INDEX_URL", "http://127.0.0.2 http://127.0.0.3:x/"),
            ("HTTPS_PROXY", "127.0.0.1:3128"),
            ("all_proxy", "socks5h://127.0.0.4/"),
            ("NO_PROXY", "127.0.0.5:1"),
        ]);
        let found: Vec<String> = settings.addresses().await.iter().map(ToString::to_string).collect();
        let expected = ["127.0.0.1:3128", "127.0.0.1:3141", "127.0.0.2:80", "127.0.0.4:1080", "[::1]:443"];
        assert_eq!(found, expected);
    }

    #[test]
    fn passwords_are_told_from_names_and_struck_out_in_every_spelling() {
        let settings = settings(&[
            ("UV_INDEX_URL", "https://joe:s3c%40ret@pypi.example.org/simple"),
            ("UV_EXTRA_INDEX_URL", "https://t0ken-t0ken@a.example.org https://t0ken2:@b.example.org"),
            ("UV_INDEX_B_PASSWORD", "other-one"),
        ]);
        let secrets = settings.secrets();
        for (line, expected) in [
            (
                "fetch https://joe:s3c%40ret@pypi.example.org/simple/x",
                "fetch https://****@pypi.example.org/simple/x",
            ),
            ("password s3c@ret of joe", "password **** of joe"),
            ("t0ken-t0ken and t0ken2 and other-one", "**** and **** and ****"),
            (
                "`https://a:b@c/d` and http://x/@y and pip@1.0",
                "`https://****@c/d` and http://x/@y and pip@1.0",
            ),
            ("https://a/ https://u:p@b", "https://a/ https://****@b"),
        ] {
            assert_eq!(redacted(line, &secrets), expected);
        }
    }

    #[test]
    fn settings_without_names_and_passwords_have_no_credentials() {
        let plain =
            settings(&[("UV_INDEX_URL", "https://pypi.example.org/a@b"), ("HTTP_PROXY", "http://@p:1")]);
        assert!(!plain.has_credentials());
        assert!(settings(&[("HTTP_PROXY", "http://joe@p:1")]).has_credentials());
    }
}
