//! A client of HTTP/2 that asks many times at once, for tests under load.

use std::io;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use tandem_kit::tasks::{self, Owned};

use super::dial::Dial;

/// A connection.
pub(super) struct Streams {
    sender: SendRequest<Bytes>,
    scheme: &'static str,
    driver: Owned<Result<(), h2::Error>>,
}

impl Streams {
    /// Connects, and says hello.
    pub(super) async fn open(dial: &Dial) -> io::Result<Self> {
        let shaken = client::handshake(dial.open().await?).await;
        let (sender, connection) = shaken.map_err(io::Error::other)?;
        Ok(Self { sender, scheme: dial.scheme(), driver: tasks::owned("streams", connection) })
    }

    /// Gets a path of `shop.example`; posts there what comes in pieces, with a trailer and no length, where there are any.
    /// What came back: the status and the body.
    pub(super) fn ask(
        &self,
        path: &str,
        pieces: &'static [&'static str],
    ) -> impl Future<Output = Result<(StatusCode, String), h2::Error>> + use<> {
        let (sender, uri) = (self.sender.clone(), format!("{}://shop.example{path}", self.scheme));
        let method = if pieces.is_empty() { Method::GET } else { Method::POST };
        let request = Request::builder().method(method).uri(uri).body(()).expect("it is a request");
        async move {
            let mut sender = sender.ready().await?;
            let (answer, mut body) = sender.send_request(request, pieces.is_empty())?;
            drop(sender);
            for piece in pieces {
                // Whoever takes no more of it says why in the answer.
                let _ = body.send_data(Bytes::from_static(piece.as_bytes()), false);
                tokio::task::yield_now().await;
            }
            if !pieces.is_empty() {
                let (name, value) = (HeaderName::from_static("x-sum"), HeaderValue::from_static("y"));
                let _ = body.send_trailers(HeaderMap::from_iter([(name, value)]));
            }
            let (parts, body) = answer.await?.into_parts();
            Ok((parts.status, read(body).await?))
        }
    }

    /// Waits for the end of the connection, which nobody needs any more.
    pub(super) async fn ended(self) -> Result<(), h2::Error> {
        drop(self.sender);
        self.driver.await
    }
}

/// Whether a request that failed so was not begun: it came to a connection that takes no more, or was refused. It may be
/// sent again (RFC 9113, 6.8 and 8.7).
pub(super) fn is_not_begun(error: &h2::Error) -> bool {
    let reason = error.reason();
    // A stream fails with the GOAWAY that came if it is above the last one that was begun, and no other does.
    let is_left_out = error.is_go_away() && reason == Some(Reason::NO_ERROR);
    error.is_remote() && (is_left_out || error.is_reset() && reason == Some(Reason::REFUSED_STREAM))
}

async fn read(mut body: RecvStream) -> Result<String, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}
