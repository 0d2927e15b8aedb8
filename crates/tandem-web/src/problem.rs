//! Failures on the wire: every one is problem+json (RFC 9457) with a stable code, whoever found it.
//!
//! Use cases return [`Problem`]s themselves; this is the way out for them, and for what axum refuses before a handler
//! runs (malformed JSON, unknown paths, a wrong method, a body that is too long).

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode, Uri};
use tandem_types::problem::Problem;

/// A problem on its way to the client.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Problem);

/// What handlers return.
pub(crate) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    /// Something of ours broke: the chain goes to the log, the client learns only what failed.
    pub(crate) fn internal(act: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let chain: Vec<String> = causes.map(ToString::to_string).collect();
        tracing::error!("failed to {act}: {}", chain.join(": "));
        let problem = Problem::new(500, "internal", format!("the server failed to {act}"));
        Self(problem.hint("the server's log has the reason"))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).expect("a problem is strings and a number");
        let mut response = (status, body).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "body_too_long",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "body_not_json",
            _ => "body_malformed",
        };
        let problem = Problem::new(status.as_u16(), code, "the body of the request is not what is expected");
        Self(problem.detail(rejection.body_text()))
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        let problem = Problem::new(404, "path_invalid", "the path names something that cannot be");
        Self(problem.detail(rejection.body_text()))
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        let problem = Problem::new(400, "query_invalid", "the query of the request is not what is expected");
        Self(problem.detail(rejection.body_text()))
    }
}

/// A path that is none of the API's.
pub(crate) async fn unknown_path(uri: Uri) -> Refusal {
    let problem = Problem::new(404, "path_unknown", format!("there is nothing at {}", uri.path()));
    Refusal(problem.hint("client and server may differ in version: compare `tandem --version` on both"))
}

/// A path of the API asked in a way it does not know; axum adds the `Allow` header.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Refusal(Problem::new(405, "method_unknown", format!("{method} does not go with {}", uri.path())))
}
