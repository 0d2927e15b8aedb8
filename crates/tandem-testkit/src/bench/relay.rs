//! A relay in front of the API that counts the bytes of the conversation, both ways, as they come: whether a
//! connection ends well, by a reset or not at all makes no difference.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tandem_kit::tasks::{Owned, owned};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Relays connections until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
    _accepting: Owned<()>,
}

impl Relay {
    /// Listens on a free port and relays to `target`.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&bytes);
        let (address, accepting) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the relay")?;
            let address = listener.local_addr().context("read the relay's address")?;
            anyhow::Ok((address, owned("relay", accept(listener, target, counter))))
        })?;
        Ok(Self { address, bytes, _runtime: runtime, _accepting: accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that have come from either side so far. What a client has got was counted before it got it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, bytes: Arc<AtomicU64>) {
    let mut relayed = Vec::new();
    while let Ok((client, _)) = listener.accept().await {
        relayed.push(owned("relayed", relay(client, target, Arc::clone(&bytes))));
        relayed.retain(|task| !task.is_finished());
    }
}

async fn relay(client: TcpStream, target: SocketAddr, bytes: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (up, down) = (pump(from_client, to_server, &bytes), pump(from_server, to_client, &bytes));
    // When one way breaks, the other is dropped with it, and both sides see the end.
    let _ = tokio::try_join!(up, down);
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    bytes: &AtomicU64,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        bytes.fetch_add(length as u64, Ordering::SeqCst);
        to.write_all(&buffer[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net;

    use crate::wait::eventually;
    use nix::sys::socket::{setsockopt, sockopt::Linger};

    use super::*;

    /// Answers one question of five bytes with seven and ends the connection.
    fn server(resets: bool) -> SocketAddr {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _serving = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.read_exact(&mut [0; 5]).unwrap();
            client.write_all(b"answers").unwrap();
            // The other side's word that it has the answer: a reset may overtake it.
            client.read_exact(&mut [0; 1]).unwrap();
            if resets {
                let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                setsockopt(&client, Linger, &at_once).unwrap();
            }
        });
        address
    }

    #[test]
    fn bytes_count_however_the_connection_ends() {
        for resets in [false, true] {
            let relay = Relay::start(server(resets)).unwrap();
            let mut client = net::TcpStream::connect(relay.address()).unwrap();
            client.write_all(b"asked").unwrap();
            client.read_exact(&mut [0; 7]).unwrap();
            assert_eq!(relay.bytes(), 12, "counted while the connection is open");
            client.write_all(b"!").unwrap();
            // Its end reaches the client, as an end or as an error.
            let _ = client.read(&mut [0; 1]);
            eventually("the last byte is counted", || (relay.bytes() == 13).then_some(()));
        }
    }
}
