//! What a file of routes says.

use std::net::SocketAddr;
use std::path::PathBuf;

use tandem_types::https::HttpsSpec;
use tandem_types::{Health, Limits, Network};
use tandem_wire::ProxyVersion;

/// A file of routes as it was written. What it names (hosts, files) may not be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RoutesFile {
    /// `[[route]]` with a domain.
    pub routes: Vec<Route>,
    /// `[[route]]` with `tcp`.
    pub doors: Vec<DoorRoute>,
    /// `[[certificate]]`.
    pub certificates: Vec<CertificateFiles>,
    /// `[proxy_protocol]`: whose connections begin with a PROXY header.
    pub trusted: Vec<Network>,
}

/// A value and where it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed<T> {
    /// The value.
    pub value: T,
    /// Its first byte.
    pub offset: usize,
}

/// A domain and path prefix that lead somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// A host name in lower case, one behind `*.`, or `*`.
    pub domain: Placed<String>,
    /// Path prefix; `/` for all.
    pub prefix: String,
    /// Where it leads.
    pub to: To,
    /// What its requests may take, and how long they wait.
    pub limits: Limits,
    /// Whether targets and clients are told of each other, and of the request's id.
    pub forwarded: bool,
    /// What is done besides where HTTPS is served.
    pub https: HttpsSpec,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    /// To programs that answer.
    Targets(Vec<Placed<Target>>, Probe),
    /// To files.
    Folder(Placed<PathBuf>),
}

/// An address at which TCP is accepted and passed through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DoorRoute {
    /// The address; all of this machine's are `[::]`.
    pub address: Placed<SocketAddr>,
    /// Where it leads.
    pub targets: Vec<Placed<Target>>,
    /// What targets are told of the client.
    pub proxy: Option<ProxyVersion>,
}

/// How it is found out whether a target is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Probe {
    /// It is asked each second, with this host name where the health names none.
    Asked {
        /// Host name.
        host: String,
        /// What to ask, and which answers are good.
        health: Health,
    },
    /// By whether it takes connections.
    Watched,
}

/// Where a program answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// A name or address, and a port.
    Host(String, u16),
    /// A unix socket.
    Unix(PathBuf),
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateFiles {
    /// Host names, or ones behind `*.`.
    pub domains: Vec<String>,
    /// PEM, the certificate first and what leads to its root behind it.
    pub cert: Placed<PathBuf>,
    /// PEM.
    pub key: Placed<PathBuf>,
}
