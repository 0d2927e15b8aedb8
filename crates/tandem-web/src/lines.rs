//! Answers that are streams: one JSON value a line, each sent as soon as it is there.
//!
//! The stream ends with its source, with the client (hyper drops the body) and with the drain, so that an open watch
//! never holds up the end of the server. An empty line now and then shows both sides that the other is alive;
//! `tandem_kit::api` skips it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use tandem_kit::drain::Drain;
use tokio::time::{Instant, interval_at};

/// Longest silence on a stream.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// What may be sent over a stream that breaks off: the client sees the connection cut, and knows that more was to come.
pub(crate) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// A stream of values that cannot break off.
pub(crate) fn sure<T, S>(values: S, drain: &Drain) -> Response
where
    T: Serialize + 'static,
    S: Stream<Item = T> + Send + 'static,
{
    answer(values.map(Ok::<T, Infallible>), drain)
}

/// A stream of values; after an error it is cut.
pub(crate) fn answer<T, E, S>(values: S, drain: &Drain) -> Response
where
    T: Serialize + 'static,
    E: Into<Broken> + 'static,
    S: Stream<Item = Result<T, E>> + Send + 'static,
{
    let lines = values.map(|value| value.map_err(Into::into).and_then(|value| encode(&value)));
    let signs = interval_at(Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
    let lines = tokio_stream::StreamExt::timeout_repeating(lines, signs);
    let lines = lines.map(|line| line.unwrap_or_else(|_| Ok(Bytes::from_static(b"\n"))));
    let drain = drain.clone();
    let body = Body::from_stream(lines.take_until(async move { drain.requested().await }));
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    (headers, body).into_response()
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, Broken> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line.into())
}
