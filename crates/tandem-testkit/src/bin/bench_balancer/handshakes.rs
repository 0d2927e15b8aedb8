//! TLS handshakes and nothing else: connect, shake hands, wait for the first ticket, close.
//!
//! Neither `h2load` nor `openssl s_time` shakes hands over many connections at a time and resumes TLS 1.3 sessions, and both
//! check the server's signature, which with P-256 costs more than to make it: the client would be the limit. This one does not
//! check it, so that with a core of its own it does less than the server. The ticket is waited for since it comes when the
//! server is done with the handshake as well.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use tandem_kit::clock::{Clock, Moment};
use tandem_testkit::bench::tables::part;

use crate::ground::DOMAIN;
use crate::load::Done;

/// Connections at a time: enough to keep a core busy.
const CLIENTS: u8 = 32;
/// A handshake that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(10);

/// Clients that are ready to begin.
#[derive(Debug)]
pub(crate) struct Handshakes {
    clients: Vec<Client>,
    kind: HandshakeKind,
}

/// One of them.
#[derive(Debug)]
struct Client {
    config: Arc<ClientConfig>,
    /// An address of its own, so that ports of closed connections, which nobody may use for a minute, never run out.
    source: Ipv4Addr,
    target: SocketAddr,
}

/// Trusts everybody.
#[derive(Debug)]
struct Trusting(Vec<SignatureScheme>);

impl Handshakes {
    /// Where sessions are resumed, each client has one afterwards.
    ///
    /// # Errors
    ///
    /// A first handshake fails.
    pub(crate) fn prepare(target: SocketAddr, resumed: bool) -> anyhow::Result<Self> {
        let kind = if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
        let client = |number: u8| {
            let source = Ipv4Addr::new(127, 0, 1, number + 1);
            anyhow::Ok(Client { config: Arc::new(config(resumed)?), source, target })
        };
        let clients = (0..CLIENTS).map(client).collect::<anyhow::Result<Vec<_>>>()?;
        for client in &clients {
            client.shake(HandshakeKind::Full)?;
        }
        Ok(Self { clients, kind })
    }

    /// Shakes hands for this long.
    ///
    /// # Errors
    ///
    /// A handshake fails, or is of another kind.
    pub(crate) fn run(&self, length: Duration) -> anyhow::Result<Done> {
        let (clock, stop) = (Clock::system(), AtomicBool::new(false));
        let begin = clock.monotonic();
        let is_over = || stop.load(Ordering::Relaxed) || clock.monotonic().elapsed_since(begin) >= length;
        let work = |client: &Client| {
            let mut latencies = Vec::new();
            while !is_over() {
                let asked: Moment = clock.monotonic();
                client.shake(self.kind).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                latencies.push(clock.monotonic().elapsed_since(asked).as_secs_f64() * 1e3);
            }
            anyhow::Ok(latencies)
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = self.clients.iter().map(|client| scope.spawn(|| work(client))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no client panics")).collect()
        });
        let seconds = clock.monotonic().elapsed_since(begin).as_secs_f64();
        let latencies = results.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat();
        let rank = |rank| part(&latencies, rank).unwrap_or_default();
        Ok(Done { count: latencies.len() as u64, seconds, latency: (rank(0.5), rank(0.99)), bytes: None })
    }
}

impl Client {
    fn shake(&self, kind: HandshakeKind) -> anyhow::Result<()> {
        let mut socket = self.connect().context("connect")?;
        let name = ServerName::try_from(DOMAIN).context("read the domain")?;
        let mut session = ClientConnection::new(Arc::clone(&self.config), name).context("begin TLS")?;
        while session.is_handshaking() || session.tls13_tickets_received() == 0 {
            let moved = session.complete_io(&mut socket).context("shake hands")?;
            if moved == (0, 0) {
                bail!("the connection was closed before a ticket came");
            }
        }
        let found = session.handshake_kind();
        ensure!(found == Some(kind), "a handshake was {found:?} instead of {kind:?}");
        session.send_close_notify();
        // The server may be quicker to close.
        let _ = session.write_tls(&mut socket);
        Ok(())
    }

    fn connect(&self) -> anyhow::Result<TcpStream> {
        let SocketAddr::V4(target) = self.target else { bail!("proxies listen on IPv4") };
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        let [a, b, c, d] = self.source.octets();
        bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0))?;
        connect(socket.as_raw_fd(), &SockaddrIn::from(target))?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(stream)
    }
}

/// TLS 1.3 with the one suite and the one group.
fn config(resumed: bool) -> anyhow::Result<ClientConfig> {
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let config = ClientConfig::builder_with_provider(Arc::new(provider));
    let config = config.with_protocol_versions(&[&TLS13]).context("set up TLS")?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(schemes)));
    let mut config = config.with_no_client_auth();
    config.resumption = if resumed { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
    Ok(config)
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
