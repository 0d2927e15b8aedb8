//! One connection to the server.

use std::io;
use std::path::Path;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::heard_out::HeardOut;
use super::{Error, Server};
use crate::http::Body;
use crate::tasks::{self, Owned};
use crate::tcp::notice_dead_peer;

/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A connection and the task that drives it; dropping it closes it.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Body>,
    _driver: Owned<()>,
}

/// Connects; a unix socket that nobody listens on is [`Error::NotRunning`].
pub(super) async fn open(server: &Server) -> Result<Connection, Error> {
    let connected = tokio::time::timeout(CONNECT_LIMIT, connect(server)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    connected.map_err(|source| explain(server, source))
}

async fn connect(server: &Server) -> io::Result<Connection> {
    match server {
        Server::Unix(path) => drive(UnixStream::connect(resolve(path)?).await?).await,
        Server::Http { authority, .. } => {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            notice_dead_peer(&stream)?;
            drive(stream).await
        }
    }
}

/// The link in the data folder may have a path longer than a socket's can be; its target is short.
fn resolve(path: &Path) -> io::Result<std::path::PathBuf> {
    std::fs::canonicalize(path)
}

async fn drive<I>(io: I) -> io::Result<Connection>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(HeardOut::new(io))).await.map_err(io::Error::other)?;
    let driver = tasks::owned("api-connection", async move {
        // Whoever waits for an answer is told of the error by hyper; an idle connection may end as it likes.
        let _ = connection.with_upgrades().await;
    });
    Ok(Connection { sender, _driver: driver })
}

fn explain(server: &Server, source: io::Error) -> Error {
    match server {
        Server::Unix(path)
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
        {
            Error::NotRunning { path: path.clone(), source }
        }
        _ => Error::Connect { server: server.to_string(), source },
    }
}
