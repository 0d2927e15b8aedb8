//! What single values of a file of routes may be.

use std::net::SocketAddr;
use std::path::Path;

use tandem_types::domain::{self, ANY_HOST};

use super::file::Target;

/// Whether a text is a host name in lower case, an IP address as `Host` has it, one name behind `*.`, or `*`.
pub(super) fn is_domain(text: &str) -> bool {
    text == ANY_HOST || domain::is_domain(text) || is_v6(text)
}

fn is_v6(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

/// A path prefix as requests have it: `/`, `/a`, `/a/`.
pub(super) fn is_prefix(text: &str) -> bool {
    text.starts_with('/')
        && !text.contains("//")
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'))
}

/// Why a text is no target, and what to write instead.
pub(super) struct NoTarget {
    pub(super) message: String,
    pub(super) hint: String,
}

/// `http://host:port`, or `unix:/path`; the path as from `base`.
pub(super) fn target(text: &str, base: &Path) -> Result<Target, NoTarget> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(text, path, base);
    }
    let refuse =
        |hint: &str| NoTarget { message: format!("{text:?} is not a target"), hint: hint.to_owned() };
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some(("https", _)) => {
            return Err(refuse("targets are spoken to by plain HTTP: \"http://127.0.0.1:9000\""));
        }
        _ => return Err(refuse("such as \"http://127.0.0.1:9000\" or \"unix:/run/app.sock\"")),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(refuse("without a path: requests keep the one they came with"));
    }
    host_and_port(authority).ok_or_else(|| refuse("a host and its port: \"http://127.0.0.1:9000\""))
}

/// `host:port`, `tcp://host:port`, or `unix:/path`; the path as from `base`.
pub(super) fn tcp_target(text: &str, base: &Path) -> Result<Target, NoTarget> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(text, path, base);
    }
    host_and_port(text.strip_prefix("tcp://").unwrap_or(text)).ok_or_else(|| NoTarget {
        message: format!("{text:?} is not a target"),
        hint: "a host and its port, or a socket: \"127.0.0.1:5433\", \"unix:/run/db.sock\"".to_owned(),
    })
}

/// `:port` for all addresses of this machine, or one of them.
pub(super) fn listening_address(text: &str) -> Option<SocketAddr> {
    let address = match text.strip_prefix(':') {
        Some(port) => format!("[::]:{port}").parse(),
        None => text.parse(),
    };
    address.ok().filter(|address: &SocketAddr| address.port() > 0)
}

/// `host:port`.
fn host_and_port(authority: &str) -> Option<Target> {
    let (host, port) = authority.rsplit_once(':')?;
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port > 0)?;
    let lower = host.to_ascii_lowercase();
    (domain::is_exact(&lower) || is_v6(host)).then_some(Target::Host(lower, port))
}

/// Most bytes in the path of a unix socket (`sun_path`, with a NUL behind it).
const LONGEST_SOCKET: usize = 107;

fn socket(text: &str, path: &str, base: &Path) -> Result<Target, NoTarget> {
    let refuse = |message: String, hint: &str| NoTarget { message, hint: hint.to_owned() };
    if path.is_empty() || path.starts_with("//") {
        return Err(refuse(format!("{text:?} is not a target"), "such as \"unix:/run/app.sock\""));
    }
    let path = base.join(path);
    if path.as_os_str().len() > LONGEST_SOCKET {
        let message = format!("{} is too long for a socket", path.display());
        return Err(refuse(message, "at most 107 bytes: a shorter folder, or a link to it"));
    }
    Ok(Target::Unix(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_names_in_lower_case_wildcards_or_all() {
        for good in ["*", "*.example.org", "*.org", "a.example.org", "localhost", "127.0.0.1", "[::1]"] {
            assert!(is_domain(good), "{good}");
        }
        for wrong in
            ["", "*.", "**", "*a.org", "a.*.org", "*.*.org", "A.org", "a:80", "::1", "[x]", "a..b", "a b"]
        {
            assert!(!is_domain(wrong), "{wrong}");
        }
    }

    #[test]
    fn targets_are_hosts_with_ports_or_sockets() {
        let base = Path::new("/etc");
        let host = |name: &str, port| Some(Target::Host(name.to_owned(), port));
        let unix = |path: &str| Some(Target::Unix(path.into()));
        for (text, expected) in [
            ("http://127.0.0.1:9000", host("127.0.0.1", 9000)),
            ("http://App.internal:80/", host("app.internal", 80)),
            ("http://[::1]:9000", host("[::1]", 9000)),
            ("unix:/run/app.sock", unix("/run/app.sock")),
            ("unix:app.sock", unix("/etc/app.sock")),
            ("https://a:443", None),
            ("http://a", None),
            ("http://a:0", None),
            ("http://a:65536", None),
            ("http://a:+80", None),
            ("http://a:80/path", None),
            ("http://u@a:80", None),
            ("127.0.0.1:9000", None),
            ("unix:", None),
        ] {
            assert_eq!(target(text, base).ok(), expected, "{text}");
        }
        let long = format!("unix:/{}", "a".repeat(107));
        assert!(target(&long, base).err().unwrap().message.contains("too long"));
    }

    #[test]
    fn tcp_is_accepted_at_all_addresses_or_at_one() {
        let at = |text: &str| listening_address(text).map(|address| address.to_string());
        assert_eq!(at(":5432").as_deref(), Some("[::]:5432"));
        assert_eq!(at("127.0.0.1:5432").as_deref(), Some("127.0.0.1:5432"));
        for wrong in ["5432", ":0", ":", ":+1", "localhost:1", ":65536"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
        let tcp = |text: &str| tcp_target(text, Path::new("/")).ok();
        assert_eq!(tcp("db.internal:5432"), Some(Target::Host("db.internal".to_owned(), 5432)));
        assert_eq!(tcp("tcp://a:1"), Some(Target::Host("a".to_owned(), 1)));
        assert_eq!((tcp("http://a:1"), tcp("a")), (None, None));
    }

    #[test]
    fn prefixes_are_plain_paths() {
        assert!(is_prefix("/") && is_prefix("/a/b") && is_prefix("/a/"));
        assert!(
            !is_prefix("") && !is_prefix("a") && !is_prefix("//") && !is_prefix("/a?b") && !is_prefix("/a b")
        );
    }
}
