//! The balancer that should run: where it serves, for whom, by which program.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tandem_balancer::Process;
use tandem_kit::api::Server;
use tandem_types::HostName;

use super::traffic::{self, TrafficArgs};
use crate::failure::Failure;

/// Where a balancer serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Doors {
    /// HTTP.
    pub(super) http: Vec<SocketAddr>,
    /// HTTPS.
    pub(super) https: Vec<SocketAddr>,
}

impl Doors {
    /// Each address with the option that names it.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let http = self.http.iter().map(|address| ("--http", *address));
        http.chain(self.https.iter().map(|address| ("--https", *address)))
    }

    /// The same with other addresses, of HTTP by those and of HTTPS by these.
    pub(super) fn map(
        self,
        others: &Self,
        each: impl Fn(Vec<SocketAddr>, &[SocketAddr]) -> Vec<SocketAddr>,
    ) -> Self {
        Self { http: each(self.http, &others.http), https: each(self.https, &others.https) }
    }

    /// Whether a process that serves at some others is as good: port 0 is content with any.
    fn are_content_with(&self, real: &Self) -> bool {
        let serves = |(wanted, real): (&SocketAddr, &SocketAddr)| {
            wanted.ip() == real.ip() && (wanted.port() == 0 || wanted.port() == real.port())
        };
        let all = |wanted: &[SocketAddr], real: &[SocketAddr]| {
            wanted.len() == real.len() && wanted.iter().zip(real).all(serves)
        };
        all(&self.http, &real.http) && all(&self.https, &real.https)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Where it should serve. A port that was picked stays the same at a new start.
    pub(super) doors: Doors,
    pub(super) host: HostName,
    pub(super) server: String,
    pub(super) program: PathBuf,
    /// What it is given besides, behind everything else.
    pub(super) options: Vec<OsString>,
}

impl Wanted {
    /// A balancer of this program.
    pub(super) fn new(
        host: HostName,
        server: &Server,
        (doors, traffic): (Doors, &TrafficArgs),
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|e| Failure::chain("find the tandem program", &e))?;
        Ok(Self { doors, host, server: server.to_string(), program, options: traffic.words() })
    }

    /// Whether a running one is as good: it serves there, was given the same options, and is the same program, not an older one
    /// of the same name.
    pub(super) fn is_met_by(&self, process: &Process) -> bool {
        let real = Doors { http: process.http.clone(), https: process.https.clone() };
        self.doors.are_content_with(&real)
            && same_program(process.pid).unwrap_or(false)
            && words_of(process.pid).is_ok_and(|words| traffic::given(&words) == self.options)
    }
}

/// Whether a process runs the very file that this one runs.
fn same_program(pid: u32) -> io::Result<bool> {
    let (ours, other) =
        (std::fs::metadata("/proc/self/exe")?, std::fs::metadata(format!("/proc/{pid}/exe"))?);
    Ok((ours.dev(), ours.ino()) == (other.dev(), other.ino()))
}

/// The words that a process was started with.
fn words_of(pid: u32) -> io::Result<Vec<OsString>> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    Ok(line.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(http: &[&str], https: &[&str]) -> Doors {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect();
        Doors { http: read(http), https: read(https) }
    }

    fn process(pid: u32, Doors { http, https }: Doors) -> Process {
        let (id, started) = ("box".parse().expect("a name"), jiff::Timestamp::UNIX_EPOCH);
        Process { pid, id, started, http, https, metrics: None, version: "0.1.0".to_owned() }
    }

    fn wanted(http: &[&str], https: &[&str]) -> Wanted {
        let server = "unix:/api.sock".parse().expect("an address");
        let given = (doors(http, https), &TrafficArgs::default());
        Wanted::new("box".parse().expect("a name"), &server, given).expect("this program")
    }

    #[test]
    fn a_running_balancer_is_adopted_only_at_the_same_addresses() {
        let me = std::process::id();
        let running = process(me, doors(&["127.0.0.1:8080", "[::1]:8080"], &[]));
        assert!(wanted(&["127.0.0.1:8080", "[::1]:8080"], &[]).is_met_by(&running));
        assert!(wanted(&["127.0.0.1:0", "[::1]:0"], &[]).is_met_by(&running), "any port will do");
        for other in
            [&["127.0.0.1:8081", "[::1]:8080"][..], &["127.0.0.1:8080"], &["[::1]:8080", "127.0.0.1:8080"]]
        {
            assert!(!wanted(other, &[]).is_met_by(&running), "{other:?}");
        }
        let both = process(me, doors(&["127.0.0.1:8080"], &["127.0.0.1:8443"]));
        assert!(wanted(&["127.0.0.1:8080"], &["127.0.0.1:0"]).is_met_by(&both));
        assert!(!wanted(&["127.0.0.1:8080"], &[]).is_met_by(&both), "HTTPS is not wanted any more");
        assert!(!wanted(&["127.0.0.1:8080", "[::1]:8080"], &["127.0.0.1:8443"]).is_met_by(&running));
    }

    #[test]
    fn a_balancer_that_was_told_otherwise_is_replaced() {
        let running = process(std::process::id(), doors(&["127.0.0.1:8080"], &[]));
        let mut wanted = wanted(&["127.0.0.1:8080"], &[]);
        assert!(wanted.is_met_by(&running));
        wanted.options = ["--proxy-from", "10.0.0.1"].map(Into::into).into();
        assert!(!wanted.is_met_by(&running), "this process was not given that");
    }

    #[test]
    fn a_balancer_of_another_program_is_replaced() {
        let other = process(1, doors(&["127.0.0.1:8080"], &[]));
        assert!(!wanted(&["127.0.0.1:8080"], &[]).is_met_by(&other), "process 1 is not this program");
    }
}
