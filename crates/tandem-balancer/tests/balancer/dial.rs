//! How clients reach the balancer where a test has them come both in the clear and over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tls::trusting;

/// What carries bytes both ways.
pub(super) trait Carries: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Carries for S {}

/// A connection, whatever lies between.
pub(super) type Line = Box<dyn Carries>;

/// An address, and what is spoken there ahead of HTTP.
#[derive(Clone)]
pub(super) struct Dial {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Dial {
    /// Nothing.
    pub(super) fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// TLS, and the certificate of `shop.example` is to be this one. Sessions are resumed where the balancer can.
    pub(super) fn tls(address: SocketAddr, root: &CertificateDer<'static>) -> Self {
        Self::offering(b"http/1.1", (address, root))
    }

    /// The same with HTTP/2 to be spoken.
    pub(super) fn http2(address: SocketAddr, root: &CertificateDer<'static>) -> Self {
        Self::offering(b"h2", (address, root))
    }

    fn offering(protocol: &[u8], (address, root): (SocketAddr, &CertificateDer<'static>)) -> Self {
        let mut config = ClientConfig::clone(&trusting(&[root], rustls::ALL_VERSIONS));
        config.alpn_protocols = vec![protocol.to_vec()];
        Self { address, tls: Some(Arc::new(config)) }
    }

    /// `http` or `https`.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Connects, and shakes hands where TLS is spoken.
    pub(super) async fn open(&self) -> io::Result<Line> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = "shop.example".try_into().expect("it is a name");
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        let chosen = stream.get_ref().1.alpn_protocol();
        if chosen != config.alpn_protocols.first().map(Vec::as_slice) {
            return Err(io::Error::other(format!("{chosen:?} is to be spoken")));
        }
        Ok(Box::new(stream))
    }
}
