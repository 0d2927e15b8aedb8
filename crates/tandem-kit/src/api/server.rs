//! Where the server is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tandem_types::ids::ParseError;

/// Where the server is, and the token it asks for over TCP.
#[derive(Clone, PartialEq, Eq)]
pub enum Server {
    /// A unix socket or a symbolic link to one; the peer's uid is the credential.
    Unix(PathBuf),
    /// HTTP over TCP.
    Http {
        /// `host:port`.
        authority: String,
        /// Bearer token.
        token: Option<String>,
    },
}

impl Server {
    /// The same server with this token; a unix socket needs none and ignores it.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        match self {
            Self::Http { authority, .. } => Self::Http { authority, token },
            unix @ Self::Unix(_) => unix,
        }
    }

    /// Value of the `Host` header.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Unix(_) => "localhost",
            Self::Http { authority, .. } => authority,
        }
    }
}

impl FromStr for Server {
    type Err = ParseError;

    /// Reads `unix:PATH` or `http://HOST:PORT` (port 80 where none is given; a slash at the end is fine).
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError {
            what: "server address",
            given: text.to_owned(),
            expected: "unix:PATH or http://HOST:PORT",
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(refuse()) } else { Ok(Self::Unix(path.into())) };
        }
        let authority = text.strip_prefix("http://").ok_or_else(refuse)?;
        let authority: http::uri::Authority =
            authority.strip_suffix('/').unwrap_or(authority).parse().map_err(|_| refuse())?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(refuse());
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self::Http { authority: format!("{}:{port}", authority.host()), token: None })
    }
}

/// Prints what parses back, without the token.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http { authority, .. } => write!(f, "http://{authority}"),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print_without_the_token() {
        assert_eq!("unix:/a/socket".parse(), Ok(Server::Unix("/a/socket".into())));
        let server: Server = "http://[::1]:7070/".parse().unwrap();
        let server = server.with_token(Some("secret".to_owned()));
        assert_eq!(server.to_string(), "http://[::1]:7070");
        assert!(!format!("{server:?}").contains("secret"));
        assert_eq!("http://box".parse::<Server>().unwrap().to_string(), "http://box:80");
        for wrong in ["", "unix:", "http://", "https://box", "box:80", "http://me@box", "http://box/path"] {
            assert!(wrong.parse::<Server>().is_err(), "{wrong:?} was taken for a server");
        }
    }
}
