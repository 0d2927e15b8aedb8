//! Connections of proxies that are trusted: ahead of everything else, TLS too, each says who its client is.
//!
//! Such a connection must begin with a header (the specification wants no guessing). From anybody else a header is what any
//! other bytes are that are no HTTP.

use std::io;

use tandem_wire::forward::address_text;
use tandem_wire::{
    BadProxyHeader, HeadError, LONGEST_PROXY_HEADER, ProxyArrival, ProxyEnds, read_proxy_header,
};
use tokio::net::TcpStream;

use super::client::{Client, linger};

/// Bytes that are looked at in one go: most headers are much shorter.
const PIECE: usize = 256;

/// Why nobody knows who the client is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// It said something else.
    #[error(transparent)]
    Bad(#[from] BadProxyHeader),
    /// It left, or broke off.
    #[error("the connection ended before its PROXY header did")]
    Ended(#[from] io::Error),
}

impl Client {
    /// Reads what a trusted proxy says of its client; the time for a request's head counts for this, too. False: it said
    /// something else, and has been told so.
    pub(super) async fn hear_of_client(&mut self) -> bool {
        let Some(tcp) = self.socket.tcp() else { return true };
        match read_header(tcp).await {
            Ok(Some(ends)) => self.address = address_text(ends.client.ip()),
            Ok(None) => {}
            Err(ProxyError::Ended(error)) => {
                tracing::debug!("the proxy {} ended without a PROXY header: {error}", self.address);
                return false;
            }
            Err(ProxyError::Bad(error)) => {
                tracing::warn!("the proxy {} is trusted and sent away: {error}", self.address);
                if self.socket.scheme() == "http" {
                    self.refuse(HeadError::Malformed("its PROXY header is missing or malformed").into())
                        .await;
                    linger(&self.thread, &mut self.socket).await;
                }
                return false;
            }
        }
        true
    }
}

/// Reads a PROXY header, and not a byte more.
///
/// # Errors
/// See [`ProxyError`].
pub(crate) async fn read_header(stream: &TcpStream) -> Result<Option<ProxyEnds>, ProxyError> {
    let (mut bytes, mut piece) = (Vec::new(), [0; PIECE]);
    while bytes.len() < LONGEST_PROXY_HEADER {
        let count = stream.peek(&mut piece).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let before = bytes.len();
        bytes.extend_from_slice(&piece[..count]);
        match read_proxy_header(&bytes)? {
            ProxyArrival::Partial => take(stream, &mut piece[..count]).await?,
            ProxyArrival::Whole { length, ends } => {
                take(stream, &mut piece[..length - before]).await?;
                return Ok(ends);
            }
        }
    }
    Err(BadProxyHeader.into())
}

/// Takes as many bytes, which have come in already.
async fn take(stream: &TcpStream, bytes: &mut [u8]) -> io::Result<()> {
    let mut taken = 0;
    while taken < bytes.len() {
        stream.readable().await?;
        match stream.try_read(&mut bytes[taken..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => taken += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
