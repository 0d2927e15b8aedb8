//! Bodies and listeners: what server and client need of HTTP before either has a meaning.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::Frame;
use nix::unistd::Uid;
use serde::Serialize;
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body of any origin.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body of known bytes.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of no bytes.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of JSON.
///
/// # Panics
/// The value has no JSON form (a map whose keys are no strings); the wire types of Tandem all have one.
#[must_use]
pub fn json<T: Serialize + ?Sized>(value: &T) -> Body {
    full(serde_json::to_vec(value).expect("wire types have a JSON form"))
}

/// A body that is made while it is sent.
pub fn stream<S, E>(chunks: S) -> Body
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError>,
{
    StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data).map_err(Into::into))).boxed_unsync()
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is longer than it may be.
    #[error("read the body: it is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The connection broke, or the body was malformed.
    #[error("read the body")]
    Broken(#[source] BoxError),
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// It is longer, or breaks off.
pub async fn read_limited<B>(body: B, limit: usize) -> Result<Bytes, ReadError>
where
    B: hyper::body::Body,
    B::Error: Into<BoxError>,
{
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ReadError::TooLong { limit }),
        Err(error) => Err(ReadError::Broken(error)),
    }
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The unix socket cannot be made.
    #[error("listen on {}", path.display())]
    Unix {
        /// Its path.
        path: PathBuf,
        /// Why; [`io::ErrorKind::AddrInUse`]: somebody listens there.
        #[source]
        source: io::Error,
    },
    /// The port cannot be had.
    #[error("listen on {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why; [`io::ErrorKind::AddrInUse`]: somebody listens there.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    /// Whether somebody else listens there.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        let (Self::Unix { source, .. } | Self::Tcp { source, .. }) = self;
        source.kind() == io::ErrorKind::AddrInUse
    }
}

/// Listens on a unix socket with exactly `mode`. A socket left behind by a dead process is replaced; one that somebody
/// listens on is not.
///
/// # Errors
/// The address is in use, the path is too long or something that is not a socket is there.
pub async fn bind_unix(path: &Path, mode: u32) -> Result<UnixListener, BindError> {
    try_bind_unix(path, mode).await.map_err(|source| BindError::Unix { path: path.to_owned(), source })
}

fn is_left(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

async fn try_bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Nobody listens, or who did has just ended; a file that is no socket answers the same, but is not ours to replace.
        Err(error) if is_left(&error) => refuse_other_file(path)?,
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(error) => return Err(error),
    }
    // Made aside and renamed, so that nobody connects before the mode is set.
    let aside = path.with_extension("new");
    let _ = fs::remove_file(&aside);
    let listener = UnixListener::bind(&aside)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(mode))?;
    fs::rename(&aside, path)?;
    Ok(listener)
}

fn refuse_other_file(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    let is_socket = fs::symlink_metadata(path)?.file_type().is_socket();
    if is_socket { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) }
}

/// Listens on a TCP address; port 0 picks a free one.
///
/// # Errors
/// The address is in use, not of this machine, or needs more rights.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError::Tcp { address, source })
}

/// The uid of the process at the other end of a unix socket, as the kernel saw it when it connected.
///
/// # Errors
/// The connection is gone.
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    stream.peer_cred().map(|credentials| credentials.uid())
}

/// Whether a peer's uid may speak to us over a unix socket: root and our own user may.
#[must_use]
pub fn is_trusted_uid(uid: u32) -> bool {
    uid == 0 || uid == Uid::effective().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let first = bind_unix(&path, 0o600).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(bind_unix(&path, 0o600).await.unwrap_err().is_in_use());
        drop(first);
        let second = bind_unix(&path, 0o600).await.unwrap();
        let (client, accepted) = tokio::join!(UnixStream::connect(&path), second.accept());
        assert!(is_trusted_uid(peer_uid(&accepted.unwrap().0).unwrap()));
        drop(client);
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_a_socket_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        crate::files::write_atomic(&path, b"data", 0o600).unwrap();
        bind_unix(&path, 0o600).await.unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"data");
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_with_its_address() {
        let listener = bind_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let error = bind_tcp(address).await.unwrap_err();
        assert!(error.is_in_use());
        assert_eq!(error.to_string(), format!("listen on {address}"));
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        assert_eq!(read_limited(full("12345"), 5).await.unwrap(), "12345");
        let error = read_limited(full("123456"), 5).await.unwrap_err();
        assert!(matches!(error, ReadError::TooLong { limit: 5 }));
        let broken = stream(futures_util::stream::iter([Ok("1".into()), Err(io::Error::other("cut"))]));
        assert!(matches!(read_limited(broken, 5).await.unwrap_err(), ReadError::Broken(_)));
    }
}
