//! A relay in front of the API that counts the bytes of the conversation, both ways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tandem_kit::tasks::{Owned, owned};
use tokio::net::{TcpListener, TcpStream};

/// Relays connections until it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
    _accepting: Owned<()>,
}

impl Relay {
    /// Listens on a free port and relays to `target`.
    pub(crate) fn start(target: SocketAddr) -> anyhow::Result<Self> {
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
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of all connections that have ended.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, bytes: Arc<AtomicU64>) {
    let mut relayed = Vec::new();
    while let Ok((client, _)) = listener.accept().await {
        relayed.push(owned("relayed", relay(client, target, Arc::clone(&bytes))));
        relayed.retain(|task| !task.is_finished());
    }
}

async fn relay(mut client: TcpStream, target: SocketAddr, bytes: Arc<AtomicU64>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    if let Ok((up, down)) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
        bytes.fetch_add(up + down, Ordering::Relaxed);
    }
}
