//! What server and runner want of the machine: log lines, descriptors, threads, a name.

use std::net::{SocketAddr, TcpListener};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tandem_kit::files;
use tandem_kit::logging::{self, LogOptions};
use tandem_kit::paths::DataDir;
use tandem_types::HostName;

use crate::exit::Exit;
use crate::failure::{Failure, chain_of};
use crate::output::Output;

/// Threads of the event loop: the server waits for the disk and the network most of the time, and each thread has a
/// cache of memory of its own.
const THREADS: usize = 2;
/// Longest host name; see [`HostName`].
const LONGEST_NAME: usize = 63;

/// Takes as many open files as the machine allows; the usual soft limit of 1,024 is made for `select`.
pub(crate) fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::warn!("failed to raise the limit of open files: {error}");
    }
}

/// Runs a server or a runner to its end, with its log lines, descriptors and event loop.
///
/// # Errors
///
/// Its own, and what keeps these from it.
pub(in crate::roles) fn run<F>(output: Output, role: impl FnOnce(Output) -> F) -> Result<Exit, Failure>
where
    F: Future<Output = Result<Exit, Failure>>,
{
    let filter = if output.quiet { "warn" } else { "info" };
    logging::init(LogOptions { filter: filter.to_owned(), ..LogOptions::default() })
        .map_err(|error| Failure::usage(format!("failed to {}", chain_of(&error))))?;
    raise_open_files();
    let runtime = runtime()?;
    let exit = runtime.block_on(Box::pin(role(output)));
    runtime.shutdown_background();
    exit
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("tandem")
        .enable_all()
        .build()
        .map_err(|e| Failure::chain("start the event loop", &e))
}

/// Whether the machine has this address at all: many have IPv6 switched off, and nobody asked for it then.
pub(super) fn has_address(address: &SocketAddr) -> bool {
    TcpListener::bind((address.ip(), 0)).is_ok()
}

/// The name of this host: what the machine was called when the data folder was first used. It is kept, since what
/// should run here is written down under it, and machines get other names.
pub(crate) fn host_name(data: &DataDir) -> Result<HostName, Failure> {
    let file = data.root().join("host.json");
    let kept =
        files::read_json::<HostName>(&file).map_err(|e| Failure::chain("read this host's name", &e))?;
    if let Some(name) = kept {
        return Ok(name);
    }
    let machine = nix::unistd::gethostname().unwrap_or_default();
    let name = name_from(&machine.to_string_lossy());
    files::write_json(&file, &name, 0o600).map_err(|e| Failure::chain("keep this host's name", &e))?;
    Ok(name)
}

/// The first label of a machine's name made into a host name.
fn name_from(machine: &str) -> HostName {
    let label = machine.split('.').next().unwrap_or_default().to_lowercase();
    let plain: String = label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let plain = plain.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let short: String = plain.chars().take(LONGEST_NAME).collect();
    let parsed = short.trim_end_matches('-').parse();
    parsed.unwrap_or_else(|_| "local".parse().expect("a constant name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_machine_is_not_ours() {
        assert!(has_address(&"127.0.0.1:8080".parse().expect("an address")));
        assert!(!has_address(&"192.0.2.1:8080".parse().expect("an address")));
    }

    #[test]
    fn any_machine_name_becomes_a_host_name() {
        for (machine, host) in [
            ("web-1.example.org", "web-1"),
            ("My_Laptop", "my-laptop"),
            ("2cpu", "cpu"),
            ("", "local"),
            ("-", "local"),
        ] {
            assert_eq!(name_from(machine).as_str(), host);
        }
    }

    #[test]
    fn the_name_stays_once_it_was_used() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        let other: HostName = "other".parse().expect("a name");
        files::write_json(&data.root().join("host.json"), &other, 0o600).expect("it is written");
        assert_eq!(host_name(&data).expect("it is read"), other);
        data.remove_runtime().expect("the runtime folder goes");
    }
}
