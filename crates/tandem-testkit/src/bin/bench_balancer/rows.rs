//! What is measured: a row is some work, what every proxy has on for it, and the aim.

/// The suite and the group that every client over TLS asks for, so that all proxies do the same arithmetic.
pub(crate) const SUITE: &str = "TLS_AES_128_GCM_SHA256";
/// See [`SUITE`].
pub(crate) const GROUP: &str = "X25519";
/// Connections that are open and idle in the row about their memory.
pub(crate) const IDLE: usize = 5_000;
/// Domains of the large routing table.
pub(crate) const DOMAINS: usize = 10_000;

/// One line of the report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it is, for people.
    pub(crate) what: &'static str,
    /// What the proxies have on.
    pub(crate) setting: Setting,
    /// What is done with them.
    pub(crate) work: Work,
    /// Our figure divided by that of whom it is measured against: at most this, or at least for what happens per second.
    pub(crate) aim: f64,
    /// Whom it is measured against.
    pub(crate) against: Against,
    /// What of ours costs most beside the others, told where the aim is missed.
    pub(crate) cost: &'static str,
}

/// What a proxy has on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// What clients speak.
    pub(crate) front: Front,
    /// Access log to a file, request id, forwarded headers.
    pub(crate) operated: bool,
    /// Files of a folder instead of a backend.
    pub(crate) folder: bool,
    /// Domains in its table, all with the same backend; the one that is asked for is in the middle.
    pub(crate) domains: usize,
}

/// What clients speak below HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// HTTP/1.1.
    Plain,
    /// HTTP/2 by prior knowledge.
    PlainHttp2,
    /// TLS with a certificate of this key, HTTP/1.1 and 2 by ALPN.
    Tls(Key),
}

/// The key of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// ECDSA over P-256.
    P256,
    /// RSA of 2048 bits.
    Rsa,
}

/// What is done with a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// `wrk` over 64 kept connections asks for this path.
    Wrk(&'static str),
    /// `h2load` asks for `/`: by HTTP/2 where more than one request is under way on a connection.
    H2load {
        /// Connections.
        connections: usize,
        /// Requests at a time on each.
        streams: usize,
    },
    /// Connections that end after the handshake, resumed or not.
    Handshakes {
        /// Whether each continues an earlier session.
        resumed: bool,
    },
    /// [`IDLE`] connections that have each asked once.
    Idle,
}

/// Whom a row is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// The better one of nginx and HAProxy.
    Best,
    /// nginx alone: HAProxy cannot do it.
    Nginx,
    /// HAProxy alone; the others are printed.
    Haproxy,
    /// Ourselves with one domain.
    OneDomain,
}

impl Row {
    /// Whether it is about HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.work, Work::H2load { streams: 2.., .. })
    }
}

impl Work {
    /// What the figure is, for people.
    pub(crate) fn figure(self) -> &'static str {
        match self {
            Self::Wrk(_) | Self::H2load { .. } => "µs of CPU per request",
            Self::Handshakes { .. } => "handshakes per CPU second",
            Self::Idle => "bytes per connection",
        }
    }

    /// Whether a larger figure is better.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::Handshakes { .. })
    }

    /// The path that is asked for.
    pub(crate) fn path(self) -> &'static str {
        if let Self::Wrk(path) = self { path } else { "/" }
    }

    /// Whether each round wants a proxy that was just started.
    pub(crate) fn is_fresh_each_round(self) -> bool {
        // What an allocator once had it keeps, so a second measurement of growth would find none.
        self == Self::Idle
    }
}

const BARE: Setting = Setting { front: Front::Plain, operated: false, folder: false, domains: 1 };

/// All rows, as they are printed.
pub(crate) const ROWS: [Row; 13] = [
    Row {
        name: "small",
        what: "small response, 64 kept connections, bare",
        setting: BARE,
        work: Work::Wrk("/"),
        aim: 1.0,
        against: Against::Best,
        cost: "four fifths of the time are the kernel's, for the same four system calls as nginx has; of the rest most are the heads, which are read and written anew field by field.",
    },
    Row {
        name: "operated",
        what: "the same as operated",
        setting: Setting { operated: true, ..BARE },
        work: Work::Wrk("/"),
        aim: 0.8,
        against: Against::Best,
        cost: "seven tenths of the time are the kernel's, for the same system calls as in `small` and longer messages; the record of each request, which is also counted and kept for `tandem top`, and its line in the log take 5 %. Tried: lines of JSON without the standard library's formatting, the build with link-time optimisation that is given to others, the log's lines collected and written by a thread of its own; and the build arranged by what it does under load, which took a tenth off.",
    },
    Row {
        name: "large",
        what: "64 KiB response, 64 kept connections, bare",
        setting: BARE,
        work: Work::Wrk("/64k.bin"),
        aim: 0.7,
        against: Against::Best,
        cost: "TCP itself: five sixths of the time are the kernel's, for seven calls a request, of which none is in vain but the look whether an instance has said something unasked (1.5 %, kept: without it one user could get another's answer). No byte is copied any more. Tried: bodies by way of a pipe (`splice`; the copy back into the kernel was 17 %), room in it for 64 page-sized pieces instead of 16, the head in the segment of the body (`MSG_MORE`), no read in vain on a connection whose last answer was spliced; with all of them 0.91 became 0.83 to 0.86. Then: an eighth fewer instructions of our own (within the noise here), no pacing by BBR over loopback (10 µs of 65), the build arranged by what it does under load (3 %). Without effect, and taken back: the head through the pipe as well (one call less, 1 to 3 % more time), a first piece no longer than a client's first window, more room to receive in, and a smaller window towards the instance, by which the acknowledgement of an answer (a tenth of our samples) is sent by the instance's processor: the samples are gone, the time is not.",
    },
    Row {
        name: "tls",
        what: "small response over TLS 1.3, 64 kept connections",
        setting: over(Front::Tls(Key::P256)),
        work: Work::H2load { connections: 64, streams: 1 },
        aim: 1.0,
        against: Against::Best,
        cost: "what is encrypted is copied once more than OpenSSL does it.",
    },
    Row {
        name: "handshake-p256",
        what: "TLS 1.3 handshakes, P-256, full",
        setting: over(Front::Tls(Key::P256)),
        work: Work::Handshakes { resumed: false },
        aim: 1.0,
        against: Against::Best,
        cost: "the arithmetic of aws-lc-rs.",
    },
    Row {
        name: "handshake-rsa",
        what: "TLS 1.3 handshakes, RSA-2048, full",
        setting: over(Front::Tls(Key::Rsa)),
        work: Work::Handshakes { resumed: false },
        aim: 1.0,
        against: Against::Best,
        cost: "the arithmetic of aws-lc-rs.",
    },
    Row {
        name: "handshake-resumed",
        what: "TLS 1.3 handshakes, P-256, resumed",
        setting: over(Front::Tls(Key::P256)),
        work: Work::Handshakes { resumed: true },
        aim: 1.0,
        against: Against::Best,
        cost: "tickets are made anew for each session.",
    },
    Row {
        name: "http2",
        what: "HTTP/2 over TLS, one connection with 100 streams",
        setting: over(Front::Tls(Key::P256)),
        work: Work::H2load { connections: 1, streams: 100 },
        aim: 1.0,
        against: Against::Best,
        cost: "each stream is served as a connection of its own: its head is written as HTTP/1.1 and read by the strict reader, about a tenth of our time; h2's own tables take a fifth. Calls of the kernel are as many as HAProxy's (two a request), and profiles are flat beyond that. Tried: streams outside of tokio's budget (kept: without that each round asks most of them in vain), whole connections outside of it (quicker, but one client holds up all others), connections found by their place instead of a hash, link-time optimisation, that of everything at once (`fat`), huge pages: each of the last four within the noise; heads of answers into frames without the way over text (an eighth fewer instructions), and the build arranged by what it does under load (a tenth).",
    },
    Row {
        name: "http2-plain",
        what: "HTTP/2 by prior knowledge, one connection with 100 streams",
        setting: over(Front::PlainHttp2),
        work: Work::H2load { connections: 1, streams: 100 },
        aim: 1.0,
        against: Against::Best,
        cost: "as for `http2`.",
    },
    Row {
        name: "idle",
        what: "memory of an idle kept connection, 5,000 of them",
        setting: BARE,
        work: Work::Idle,
        aim: 1.0,
        against: Against::Haproxy,
        cost: "tokio keeps 256 bytes for a socket's registration and as many for a task, the future of a connection takes 320, what watches over its limits 96.",
    },
    Row {
        name: "table",
        what: "routing table of 10,000 domains",
        setting: Setting { domains: DOMAINS, ..BARE },
        work: Work::Wrk("/"),
        aim: 1.05,
        against: Against::OneDomain,
        cost: "the look-up in a table that does not fit into the processor's cache.",
    },
    Row {
        name: "static-small",
        what: "static file of 4 KiB",
        setting: Setting { folder: true, ..BARE },
        work: Work::Wrk("/4k.bin"),
        aim: 1.1,
        against: Against::Nginx,
        cost: "heads are made as a map of fields, then written.",
    },
    Row {
        name: "static-large",
        what: "static file of 1 MiB",
        setting: Setting { folder: true, ..BARE },
        work: Work::Wrk("/1m.bin"),
        aim: 1.1,
        against: Against::Nginx,
        cost: "the page cache is asked whether a piece is there before it is sent, so that no thread waits for a disk.",
    },
];

const fn over(front: Front) -> Setting {
    Setting { front, ..BARE }
}
