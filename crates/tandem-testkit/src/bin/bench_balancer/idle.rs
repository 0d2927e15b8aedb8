//! Memory of idle kept connections: how much a proxy grows by thousands of clients that have each asked once.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tandem_testkit::wait::pass;

use crate::ground::{DOMAIN, TEXT};
use crate::process::memory;
use crate::proxies::Proxy;
use crate::rows::IDLE;

/// Connections before, so that what is there once is there.
const BEFORE: usize = 200;
/// Time in which a proxy puts idle connections away.
const SETTLE: Duration = Duration::from_secs(2);
/// Time an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Bytes per connection.
///
/// # Errors
///
/// One is refused, or answered in another way.
pub(crate) fn measure(proxy: &Proxy) -> anyhow::Result<f64> {
    for _ in 0..BEFORE {
        drop(ask(proxy.address)?);
    }
    pass(SETTLE);
    let before = memory(proxy.group());
    let clients = (0..IDLE).map(|_| ask(proxy.address)).collect::<anyhow::Result<Vec<_>>>()?;
    pass(SETTLE);
    let after = memory(proxy.group());
    for mut client in clients {
        // Nothing has come, so they are open: a proxy that closes them keeps nothing of them.
        client.set_nonblocking(true).context("look at a connection")?;
        let found = client.read(&mut [0]);
        let is_open = found.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        ensure!(is_open, "an idle connection was closed");
    }
    Ok((after as f64 - before as f64) / IDLE as f64)
}

fn ask(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut client = TcpStream::connect(address).context("connect")?;
    client.set_read_timeout(Some(LIMIT)).context("set up a connection")?;
    client.write_all(format!("GET / HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n").as_bytes()).context("ask")?;
    let (mut answer, mut part) = (Vec::new(), [0; 2048]);
    // No answer ends earlier in the same way: the head is followed by this text alone.
    while !answer.ends_with(TEXT.as_bytes()) {
        let length = client.read(&mut part).context("read an answer")?;
        ensure!(length > 0, "a connection was closed instead of answered");
        answer.extend_from_slice(&part[..length]);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "another answer than 200");
    Ok(client)
}
