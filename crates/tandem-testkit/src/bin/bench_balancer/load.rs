//! The load: `wrk` and `h2load`, for a time, and what they tell. A request that is not answered with 2xx fails the row.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tandem_testkit::bench::tables::part;
use tandem_testkit::program::{Outcome, Program};

use crate::ground::{DOMAIN, Ground, OTHER_CORE};
use crate::rows::{Front, GROUP, Row, SUITE, Work};

/// What wrk does at its end: its figures as JSON. Without it there is only text that rounds.
const DONE: &str = r#"function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\n{"requests": %d, "micros": %d, "bytes": %d, "p50": %.0f, "p99": %.0f, "errors": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;
/// Connections that `wrk` keeps.
const CONNECTIONS: &str = "64";

/// What was done in a round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    /// Requests or handshakes.
    pub(crate) count: u64,
    /// Seconds that they took, by the clock on the wall.
    pub(crate) seconds: f64,
    /// Median and 99th percentile of their latencies, in milliseconds.
    pub(crate) latency: (f64, f64),
    /// Bytes that each brought; none where nobody counts.
    pub(crate) bytes: Option<f64>,
}

/// Asks a proxy for this long.
///
/// # Errors
///
/// A request failed, or there was none.
pub(crate) fn load(
    row: &Row,
    address: SocketAddr,
    length: Duration,
    ground: &Ground,
) -> anyhow::Result<Done> {
    let done = match row.work {
        Work::H2load { connections, streams } => {
            h2load(row, (connections, streams), address, (length, ground))?
        }
        _ => wrk(row.work.path(), address, length, ground)?,
    };
    ensure!(done.count > 0, "no request was answered");
    Ok(done)
}

fn wrk(path: &str, address: SocketAddr, length: Duration, ground: &Ground) -> anyhow::Result<Done> {
    let script = ground.file("done.lua", DONE)?;
    let (host, time) = (format!("Host: {DOMAIN}"), format!("{}s", length.as_secs()));
    let words = ["wrk", "-t1", "-c", CONNECTIONS, "-d", &time, "-H", &host, "-s"];
    let program = pinned(&words).arguments([&script]).arguments([format!("http://{address}{path}")]);
    let outcome = ground.record.run("wrk", program)?;
    ensure!(outcome.code == Some(0), "run wrk: {outcome}");
    let told = outcome.json();
    let field = |name: &str| told[name].as_f64().with_context(|| format!("wrk tells no {name}"));
    let (requests, errors) = (field("requests")?, field("errors")?);
    ensure!(errors == 0.0, "{errors} requests failed of {requests}");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count that wrk printed whole"
    )]
    let count = requests as u64;
    Ok(Done {
        count,
        seconds: field("micros")? / 1e6,
        latency: (field("p50")? / 1e3, field("p99")? / 1e3),
        bytes: Some(field("bytes")? / requests.max(1.0)),
    })
}

fn h2load(
    row: &Row,
    (connections, streams): (usize, usize),
    address: SocketAddr,
    (length, ground): (Duration, &Ground),
) -> anyhow::Result<Done> {
    let log = ground.folder.join("h2load.log");
    let _ = fs::remove_file(&log);
    let scheme = if matches!(row.setting.front, Front::Tls(_)) { "https" } else { "http" };
    let mut words = vec!["h2load".to_owned()];
    words.push(format!("--clients={connections}"));
    words.push(format!("--max-concurrent-streams={streams}"));
    words.push(format!("--duration={}", length.as_secs()));
    words.push(format!("--connect-to={address}"));
    words.push(format!("--tls13-ciphers={SUITE}"));
    words.push(format!("--groups={GROUP}"));
    words.push(format!("--log-file={}", log.display()));
    if !row.is_http2() {
        words.push("--h1".to_owned());
    }
    words.push(format!("{scheme}://{DOMAIN}/"));
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let outcome = ground.record.run("h2load", pinned(&words))?;
    ensure!(outcome.code == Some(0), "run h2load: {outcome}");
    let done = read(&outcome, scheme == "https")?;
    let latencies = latencies(&fs::read_to_string(&log).context("read the latencies")?);
    let rank = |rank| part(&latencies, rank).unwrap_or_default() / 1e3;
    Ok(Done { latency: (rank(0.5), rank(0.99)), ..done })
}

/// The lines that begin with `finished in`, `requests:` and `status codes:`.
fn read(outcome: &Outcome, over_tls: bool) -> anyhow::Result<Done> {
    let text = &outcome.stdout;
    let line = |start: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.with_context(|| format!("h2load tells no {start:?}: {text}"))
    };
    let numbers = |line: &str| {
        let words = line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok());
        words.collect::<Vec<_>>()
    };
    let requests = numbers(line("requests: ")?);
    let [_, _, done, succeeded, failed, errored, timeout] = requests[..] else {
        anyhow::bail!("h2load tells its requests in another way: {requests:?}");
    };
    let codes = line("status codes: ")?;
    let [_, others @ ..] = &numbers(codes)[..] else { anyhow::bail!("h2load tells no codes: {codes}") };
    // A status counts when it comes, a request when it is done: codes may be ahead, by what was under way at the end.
    let lost = failed + errored + timeout + (done - succeeded) + others.iter().sum::<u64>();
    ensure!(lost == 0, "{lost} requests failed of {done}: {codes}");
    if over_tls {
        let agreed = (line("TLS Protocol: ")?, line("Cipher: ")?);
        ensure!(agreed == ("TLSv1.3", SUITE), "another TLS was agreed on: {agreed:?}");
    }
    let seconds = line("finished in ")?.split_once("s,").and_then(|(word, _)| word.parse().ok());
    Ok(Done { count: done, seconds: seconds.context("h2load tells no time")?, ..Done::default() })
}

/// The third column, microseconds.
fn latencies(log: &str) -> Vec<f64> {
    log.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect()
}

/// A program on the core of the load.
fn pinned(words: &[&str]) -> Program {
    let core = OTHER_CORE.to_string();
    Program::new("taskset").arguments(["-c", &core]).arguments(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(requests: &str, codes: &str) -> anyhow::Result<Done> {
        let stdout =
            format!("\nfinished in 1.05s, 7.00 req/s, 1B/s\nrequests: {requests}\nstatus codes: {codes}\n");
        read(&Outcome { line: String::new(), code: Some(0), stdout, stderr: String::new() }, false)
    }

    #[test]
    fn a_request_that_failed_is_seen() {
        let good = "9 total, 9 started, 8 done, 8 succeeded, 0 failed, 0 errored, 0 timeout";
        let done = told(good, "9 2xx, 0 3xx, 0 4xx, 0 5xx").unwrap();
        assert_eq!((done.count, done.seconds.to_bits()), (8, 1.05_f64.to_bits()));
        assert!(told(good, "7 2xx, 1 3xx, 0 4xx, 0 5xx").is_err());
        let bad = "9 total, 9 started, 8 done, 7 succeeded, 1 failed, 0 errored, 0 timeout";
        assert!(told(bad, "8 2xx, 0 3xx, 0 4xx, 0 5xx").is_err());
    }
}
