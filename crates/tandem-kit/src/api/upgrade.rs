//! Connections that are HTTP's only until the server has agreed, and then belong to another protocol (RFC 9110, 7.8).

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::client::{closed, protocol, refusal, within};
use super::{Client, Error, connection};
use crate::http as bodies;

/// Such a connection.
pub type Link = TokioIo<Upgraded>;

impl Client {
    /// Asks for a connection that speaks `to`, a protocol's name and version. It is one of its own, and lasts until one side
    /// hangs up.
    ///
    /// # Errors
    /// See [`Error`]; the server answers within a minute whether it agrees.
    pub async fn upgrade(&self, method: Method, path: &str, to: &'static str) -> Result<Link, Error> {
        let label = format!("{method} {path}");
        within(self.limit, &label, async {
            let mut request = Request::new(bodies::empty());
            *request.method_mut() = method;
            *request.uri_mut() =
                path.parse().map_err(|error: http::uri::InvalidUri| protocol(&label, error))?;
            self.fill_headers(&label, None, &mut request)?;
            let headers = request.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static(to));
            let mut connection = connection::open(&self.server).await?;
            let answer = connection.sender.send_request(request).await;
            let answer = answer.map_err(|error| closed(&label, error.into()))?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(refusal(&label, answer.map(|body| body.map_err(Into::into).boxed_unsync())).await);
            }
            let upgraded = hyper::upgrade::on(answer).await;
            Ok(TokioIo::new(upgraded.map_err(|error| closed(&label, error.into()))?))
        })
        .await
    }
}
