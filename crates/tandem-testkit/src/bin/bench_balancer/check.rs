//! Equal work: each proxy is asked by curl before it is measured, and must answer with the very bytes; the backend tells
//! what it has been asked with.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use tandem_testkit::program::Program;

use crate::ground::{DOMAIN, Ground, TEXT};
use crate::rows::{Front, Row};

/// What a proxy does beside forwarding, as it was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manner {
    /// What the backend was told, by name; empty where there is no backend.
    pub(crate) asked: BTreeMap<String, String>,
    /// Bytes of the answer's head.
    pub(crate) head: usize,
    /// Bytes of the whole answer.
    pub(crate) whole: usize,
}

/// One answer to curl.
struct Answer {
    code: String,
    version: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

/// Fields that are sent as operated, and what they must say where that is known.
const OPERATED: [&str; 4] = ["for", "proto", "forwarded-host", "id"];

/// Checks one proxy.
///
/// # Errors
///
/// Its answer is another one, it keeps no connection to the backend, or it leaves out what the row has on.
pub(crate) fn check(row: &Row, address: SocketAddr, ground: &Ground) -> anyhow::Result<Manner> {
    let path = row.work.path();
    let expected = match path {
        "/" => TEXT.as_bytes().to_vec(),
        path => fs::read(ground.files().join(path.trim_start_matches('/'))).context("read the file")?,
    };
    let answer = ask(row, path, address, ground)?;
    ensure!(answer.code == "200", "{path} is answered with status {}", answer.code);
    ensure!(answer.body == expected, "{path} is answered with other bytes");
    let wanted = if row.is_http2() { "2" } else { "1.1" };
    ensure!(answer.version == wanted, "HTTP/{} is spoken instead of HTTP/{wanted}", answer.version);
    let asked = if row.setting.folder { BTreeMap::new() } else { asked(row, address, ground)? };
    Ok(Manner { asked, head: answer.head.len(), whole: answer.head.len() + answer.body.len() })
}

/// What the backend is asked with.
fn asked(row: &Row, address: SocketAddr, ground: &Ground) -> anyhow::Result<BTreeMap<String, String>> {
    let said = || {
        let answer = ask(row, "/asked", address, ground)?;
        ensure!(answer.code == "200", "/asked is answered with status {}", answer.code);
        anyhow::Ok(fields(&String::from_utf8_lossy(&answer.body)))
    };
    let (first, second) = (said()?, said()?);
    let field = |name: &str| second.get(name).map_or("", String::as_str);
    ensure!(field("host") == DOMAIN, "the backend is asked for the host {:?}", field("host"));
    ensure!(field("protocol") == "HTTP/1.1", "the backend is asked by {}", field("protocol"));
    let requests: usize = field("requests").parse().context("read the number of requests")?;
    ensure!(requests > 1, "the connection to the backend is not kept");
    if row.setting.operated {
        let missing: Vec<_> = OPERATED.into_iter().filter(|name| field(name).is_empty()).collect();
        ensure!(missing.is_empty(), "the backend is not told: {}", missing.join(", "));
        ensure!(first.get("id") != second.get("id"), "two requests have one id");
        ensure!(field("for") == "127.0.0.1", "X-Forwarded-For says {}", field("for"));
    }
    Ok(second)
}

fn fields(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn ask(row: &Row, path: &str, address: SocketAddr, ground: &Ground) -> anyhow::Result<Answer> {
    let (head, body) = (ground.folder.join("answer.head"), ground.folder.join("answer.body"));
    let port = address.port();
    let place = format!("{DOMAIN}:{port}:{}", address.ip());
    let told = "%{http_code} %{http_version}";
    let program = Program::new("curl").arguments(["--silent", "--show-error", "--max-time", "10"]);
    let program = program.arguments(["--noproxy", "*", "--resolve", &place, "--write-out", told]);
    let (scheme, program) = match row.setting.front {
        Front::Plain | Front::PlainHttp2 => ("http", program),
        // The very certificate that it was given is trusted, and no other one.
        Front::Tls(key) => ("https", program.arguments(["--cacert".into(), ground.certificate(key).0])),
    };
    let version = match (row.is_http2(), scheme) {
        (false, _) => "--http1.1",
        (true, "https") => "--http2",
        (true, _) => "--http2-prior-knowledge",
    };
    let program = program.arguments([version]);
    let program = program.arguments(["--dump-header".into(), head.clone(), "--output".into(), body.clone()]);
    // Port and all would be the host; clients of the load say the domain alone.
    let program = program.arguments(["--header", &format!("Host: {DOMAIN}")]);
    let outcome = program.arguments([format!("{scheme}://{DOMAIN}:{port}{path}")]).run();
    ensure!(outcome.code == Some(0), "{path} is not answered: {}", outcome.stderr.trim());
    let (code, version) = outcome.stdout.trim().split_once(' ').context("curl tells the status")?;
    let (head, body) = (fs::read(head).context("read the head")?, fs::read(body).context("read the body")?);
    Ok(Answer { code: code.to_owned(), version: version.to_owned(), head, body })
}
