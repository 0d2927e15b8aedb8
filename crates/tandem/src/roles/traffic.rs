//! What a balancer is told besides where it serves: whose word it takes for who the client is, and what it writes down.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use tandem_balancer::{AccessFormat, AccessLogConfig};
use tandem_types::Network;

use super::up::whole_address;

/// Proposed to who names no port: free among those that collectors of figures know.
const METRICS_PORT: u16 = 9180;
const PROXY_FROM: &str = "--proxy-from";
const ACCESS_LOG: &str = "--access-log";
const ACCESS_FORMAT: &str = "--access-format";
const ACCESS_QUERY: &str = "--access-query";
pub(super) const METRICS: &str = "--metrics";
/// As `tandem up` has it: there are figures of more than the balancer there.
pub(super) const PROXY_METRICS: &str = "--proxy-metrics";

/// Options of `tandem balancer`, which `tandem up` passes on to its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct TrafficArgs {
    /// Connections from here begin with a PROXY header; may be given several times
    #[arg(long, value_name = "CIDR")]
    pub(super) proxy_from: Vec<Network>,
    /// Write a line for each request to this file; who rotates it renames it, or sends SIGHUP to the balancer
    #[arg(long, value_name = "PATH")]
    access_log: Option<PathBuf>,
    /// Form of these lines: json (one object each) or combined (as Apache and nginx write them)
    #[arg(long, value_name = "FORM", default_value = "json", requires = "access_log")]
    access_format: AccessFormat,
    /// Write the queries of URLs, too: they often hold tokens and names, so they are left out by default
    #[arg(long, requires = "access_log")]
    access_query: bool,
    /// Where Prometheus reads the balancer's figures, at /metrics; port 0 picks one
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(super) metrics: Option<SocketAddr>,
}

/// An address with its port; people who name only one of the two are told the whole.
fn address(text: &str) -> Result<SocketAddr, String> {
    whole_address(text, METRICS_PORT)
}

impl TrafficArgs {
    /// The access log that was asked for.
    pub(super) fn access_log(&self) -> Option<AccessLogConfig> {
        let (format, with_query) = (self.access_format, self.access_query);
        self.access_log.clone().map(|path| AccessLogConfig { path, format, with_query })
    }

    /// As a balancer is given them, which must stand behind everything else that it is given (see [`given`]).
    pub(super) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        for network in &self.proxy_from {
            words.extend([PROXY_FROM.into(), network.to_string().into()]);
        }
        if let Some(path) = &self.access_log {
            // The next `tandem up` may be typed in another folder.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            words.extend([ACCESS_LOG.into(), path.into()]);
            words.extend([ACCESS_FORMAT.into(), self.access_format.to_string().into()]);
            words.extend(self.access_query.then(|| ACCESS_QUERY.into()));
        }
        if let Some(address) = self.metrics {
            words.extend([METRICS.into(), address.to_string().into()]);
        }
        words
    }
}

/// Those among the words that a process was started with.
pub(super) fn given(words: &[OsString]) -> &[OsString] {
    let is_first =
        |word: &OsString| [PROXY_FROM, ACCESS_LOG, METRICS].map(OsStr::new).contains(&word.as_os_str());
    let first = words.iter().position(is_first).unwrap_or(words.len());
    &words[first..]
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: TrafficArgs,
    }

    fn typed(words: &[&str]) -> TrafficArgs {
        Typed::parse_from([&["tandem"], words].concat()).args
    }

    #[test]
    fn what_is_passed_on_is_found_again_and_means_the_same() {
        for words in [
            &[][..],
            &["--proxy-from", "10.0.0.0/8", "--proxy-from", "::1"],
            &["--access-log", "/var/log/tandem.log"],
            &["--metrics", "127.0.0.1:9100"],
            &["--metrics", "[::1]:0", "--proxy-from", "10.0.0.1"],
            &[
                "--access-log",
                "/a b",
                "--access-format",
                "combined",
                "--access-query",
                "--proxy-from",
                "10.0.0.1",
            ],
        ] {
            let args = typed(words);
            let mut whole: Vec<OsString> = ["tandem", "balancer", "--http", "[::]:80"].map(Into::into).into();
            whole.extend(args.words());
            let found = given(&whole);
            assert_eq!(found, args.words());
            let found: Vec<_> = found.iter().map(|word| word.to_str().expect("text")).collect();
            assert_eq!(typed(&found), args, "{words:?}");
        }
    }

    #[test]
    fn half_an_address_for_metrics_is_answered_with_a_whole_one() {
        for (text, whole) in [("9100", "127.0.0.1:9100"), ("::1", "[::1]:9180"), ("here", "127.0.0.1:9180")] {
            let refused = address(text).expect_err("it is not whole");
            assert!(refused.ends_with(&format!("write {whole}")), "{text}: {refused}");
        }
    }

    #[test]
    fn a_path_is_passed_on_whole() {
        let words = typed(&["--access-log", "access.log"]).words();
        assert_eq!(words[1], std::path::absolute("access.log").expect("a folder to be in"));
    }
}
