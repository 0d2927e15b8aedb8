//! The moment at which everything answers, and how it is told: a line on standard output and a file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tandem_balancer::Process;
use tandem_kit::files;
use tandem_types::api::{Ready, Status};
use tandem_types::instance::Address;
use tokio::time::{Instant, sleep};

use super::{Args, Parts};
use crate::failure::Failure;
use crate::output::Output;

/// Longest wait for the parts to answer: a cold disk and a table of hundreds of instances are read in a second or two.
const LIMIT: Duration = Duration::from_secs(60);
/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(25);

/// Waits until the API answers, the runner has reported and the balancer serves.
pub(super) async fn wait(parts: &Parts) -> Result<Ready, Failure> {
    let deadline = Instant::now() + LIMIT;
    loop {
        parts.balancer.check_start()?;
        let status: Result<Status, _> = parts.client.get("/v1/status").await;
        let is_ours = |http| parts.balancer.serves_at(http);
        let serving = status.as_ref().ok().and_then(|status| serving(status, is_ours));
        if let Some((http, https)) = serving {
            let socket = parts.data.api_socket().display().to_string();
            let metrics = Process::last(&parts.data.balancer()).and_then(|process| process.metrics);
            return Ok(Ready { http, https, metrics, api: parts.server.api_address(), socket });
        }
        if Instant::now() >= deadline {
            return Err(Failure::new("not everything answers after a minute").detail(missing(status.ok())));
        }
        sleep(INTERVAL).await;
    }
}

/// Where the balancer serves that is ours, once it and the runner report: others may follow the same server.
fn serving(
    status: &Status,
    is_ours: impl Fn(SocketAddr) -> bool,
) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let runner_reports = status.hosts.iter().any(|host| host.live && host.isolation.is_some());
    let tcp = |address: &Address| match address {
        Address::Tcp(address) => Some(*address),
        Address::Unix(_) => None,
    };
    let mut live = status.balancers.iter().filter(|balancer| runner_reports && balancer.live);
    live.find_map(|balancer| {
        let http = balancer.status.http.iter().find_map(tcp).filter(|http| is_ours(*http))?;
        Some((http, balancer.status.https.iter().find_map(tcp)))
    })
}

fn missing(status: Option<Status>) -> String {
    match status {
        None => "the API does not answer".to_owned(),
        Some(status) if !status.hosts.iter().any(|host| host.live) => {
            "the runner has not reported".to_owned()
        }
        Some(_) => "the balancer has not reported".to_owned(),
    }
}

/// Tells the addresses. The line on standard output is for people and for scripts that read one line.
pub(super) fn tell(ready: Ready, args: &Args, output: &Output) -> Result<Option<Written>, Failure> {
    if let Some(file) = &args.ready_file {
        files::write_json(file, &ready, 0o644).map_err(|e| Failure::chain("write the ready file", &e))?;
    }
    if output.json {
        output.value(&ready)?;
    } else {
        output.note(format!("API: {} (token), {} (this machine)", ready.api, ready.socket));
        let https = ready.https.map(|https| format!(" https://{https}")).unwrap_or_default();
        if let Some(metrics) = ready.metrics {
            output.note(format!("metrics: http://{metrics}/metrics"));
        }
        output.line(format!("ready: http://{}{https}", ready.http))?;
    }
    Ok(args.ready_file.clone().map(|file| Written { file, ready }))
}

/// A ready file of ours.
pub(super) struct Written {
    file: PathBuf,
    ready: Ready,
}

impl Written {
    /// Takes it away, since nothing answers there any more; one that somebody else wrote meanwhile stays.
    pub(super) fn remove(&self) {
        let found = files::read_json::<Ready>(&self.file);
        if !found.is_ok_and(|found| found.as_ref() == Some(&self.ready)) {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.file) {
            tracing::warn!("failed to remove the ready file {}: {error}", self.file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ready_file_of_ours_is_taken_away() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("ready.json");
        let at = |port: u16| Ready {
            http: ([127, 0, 0, 1], port).into(),
            https: None,
            metrics: None,
            api: ([127, 0, 0, 1], 7070).into(),
            socket: "/run/api.sock".into(),
        };
        let written = Written { file: file.clone(), ready: at(1) };
        written.remove();
        files::write_json(&file, &at(2), 0o644).expect("it is written");
        written.remove();
        assert!(file.exists(), "it is another's");
        files::write_json(&file, &at(1), 0o644).expect("it is written");
        written.remove();
        assert!(!file.exists());
    }
}
