//! The proxies: each is set up for a row, started on the proxies' core, and known by its process group.

mod caddy;
mod haproxy;
mod nginx;
mod tandem;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tandem_testkit::bench::record::Record;
use tandem_testkit::program::{Program, Running};
use tandem_testkit::wait::within;

use crate::ground::{Ground, PROXY_CORE, free_address};
use crate::rows::{Front, Setting};

/// Time a proxy has to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time it has to end.
const END: Duration = Duration::from_secs(5);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours.
    Tandem,
    /// Debian's.
    Nginx,
    /// Debian's.
    Haproxy,
    /// Debian's.
    Caddy,
}

/// One that is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Order<'a> {
    /// A name that no other one has at the time, for files.
    pub(crate) name: String,
    /// What it has on.
    pub(crate) setting: Setting,
    /// Our binary.
    pub(crate) binary: &'a Path,
}

/// One that runs.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its access log, where it has one.
    pub(crate) log: Option<PathBuf>,
    running: Running,
}

/// What its module says: the words after `taskset`, and where it will listen.
struct Words {
    program: Program,
    address: SocketAddr,
    /// A file that it writes when it answers; the others answer as soon as they listen.
    ready: Option<PathBuf>,
    log: Option<PathBuf>,
}

impl Kind {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tandem => "tandem",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    /// Whether it can do a row at all.
    pub(crate) fn can(self, setting: &Setting) -> bool {
        match self {
            Self::Tandem => true,
            Self::Haproxy => !setting.folder && setting.domains == 1,
            Self::Nginx | Self::Caddy => setting.domains == 1,
        }
    }

    /// Its version in its own words.
    pub(crate) fn version(self, binary: &Path) -> String {
        let (program, word) = match self {
            Self::Tandem => (binary, "--version"),
            Self::Nginx => (Path::new("nginx"), "-v"),
            Self::Haproxy => (Path::new("haproxy"), "-v"),
            Self::Caddy => (Path::new("caddy"), "version"),
        };
        // By way of `env`, which says so where the program is missing.
        let outcome = Program::new("env").arguments([program.as_os_str(), word.as_ref()]).run();
        let text = outcome.stdout + &outcome.stderr;
        let line = text.lines().next().unwrap_or_default();
        // They say `nginx version: nginx/1.22.1`, `HAProxy version 2.6.12-1 2026/10/17 - https://…`, `2.6.2`.
        let version =
            line.split([' ', '/']).find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        format!("{} {}", self.name(), version.unwrap_or("is not there"))
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// What it says itself where it does not start.
    pub(crate) fn start(self, order: &Order<'_>, ground: &Ground) -> anyhow::Result<Proxy> {
        let Words { program, address, ready, log } = match self {
            Self::Tandem => tandem::words(order, ground)?,
            Self::Nginx => nginx::words(order, ground)?,
            Self::Haproxy => haproxy::words(order, ground)?,
            Self::Caddy => caddy::words(order, ground)?,
        };
        let output = output(order, ground);
        let mut running = ground.record.start(&order.name, program.output(&output))?;
        let is_ready =
            || ready.as_ref().is_none_or(|file| file.exists()) && TcpStream::connect(address).is_ok();
        let mut ended = None;
        let waited = within(PATIENCE, || {
            ended = running.ended();
            (ended.is_some() || is_ready()).then_some(())
        });
        match (waited, ended) {
            (Some(()), None) => Ok(Proxy { address, log, running }),
            (_, ended) => anyhow::bail!("{}", complaint(&output, ended.is_some())),
        }
    }
}

impl Proxy {
    /// Its process group.
    pub(crate) fn group(&self) -> Pid {
        self.running.id()
    }
}

impl Drop for Proxy {
    /// Asks it to end first: one that is killed leaves its workers to whoever takes orphans.
    fn drop(&mut self) {
        end(&mut self.running);
    }
}

/// Ends what started processes of its own; what does not is killed, with its group, by the guard that it is dropped with.
pub(crate) fn end(running: &mut Running) {
    running.signal(Signal::SIGTERM);
    let _ = within(END, || running.ended());
}

/// Where its output goes.
fn output(order: &Order<'_>, ground: &Ground) -> PathBuf {
    ground.folder.join(format!("{}.log", order.name))
}

/// A program on the proxies' core.
fn pinned(words: &[&str]) -> Program {
    let core = PROXY_CORE.to_string();
    Record::gate().arguments(["taskset", "-c", &core]).arguments(words)
}

/// An address of a proxy, and whether it speaks TLS there.
fn address_for(setting: &Setting) -> anyhow::Result<(SocketAddr, bool)> {
    Ok((free_address()?, matches!(setting.front, Front::Tls(_))))
}

/// The line of its output that says why it does not start.
fn complaint(output: &Path, ended: bool) -> String {
    let line = worst_line(&fs::read_to_string(output).unwrap_or_default());
    if ended { line } else { format!("it does not listen after {PATIENCE:?}: {line}") }
}

/// The first line about an error or a panic (whose reason stands in the next one), else the last.
fn worst_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_bad = |line: &&str| line.to_lowercase().contains("error") || line.contains("[ALERT]");
    let panicked = lines.iter().position(|line| line.contains(" panicked at ")).map(|at| at + 1);
    let line = panicked.and_then(|at| lines.get(at)).or_else(|| lines.iter().find(|line| is_bad(line)));
    let line = line.or(lines.last()).copied().unwrap_or("it says nothing");
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_in_what_a_proxy_says() {
        let refused = "\nerror: a.toml:3:1: folders are not served\n\nhint: leave it out\n";
        assert_eq!(worst_line(refused), "a.toml:3:1: folders are not served");
        assert_eq!(worst_line("thread 'main' panicked at a.rs:1:1:\nno way\nnote: run with\n"), "no way");
        assert_eq!(worst_line("warning: slow\nbye\n"), "bye");
    }
}
