//! The runner's own small API on its unix socket: logs, for the server to pass on.
//!
//! | method and path | answer |
//! |---|---|
//! | `GET /v1/logs?app=A&env=E&process=P&instance=I&release=R&lines=K&follow=true` | stream of [`LogLine`], one a line |
//! | `GET /v1/jobs/J/logs?lines=K&follow=true` | the same; with `follow` it ends with the job |
//! | `/v1/volumes…` | see [`crate::carriage`] |
//!
//! Only root and the runner's own user are answered. Failures are [`Problem`]s.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tandem_kit::error::chain;
use tandem_kit::http::{self as bodies, Body};
use tandem_kit::tasks::{Kind, Tasks};
use tandem_types::JobId;
use tandem_types::event::LogLine;
use tandem_types::problem::Problem;
use tokio::net::{UnixListener, UnixStream};

use crate::carriage::Carriage;
use crate::context::Context;
use crate::logs::{self, Query, Shelf};

/// Wait after a connection could not be accepted: no descriptor is free, and one will be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    shelf: Shelf,
    carriage: Carriage,
}

impl Desk {
    /// That of a runner.
    pub(crate) fn of(context: &Arc<Context>) -> Self {
        Self { shelf: Shelf::of(context), carriage: Carriage::new(Arc::clone(context)) }
    }
}

/// Answers for ever.
pub(crate) async fn serve(listener: UnixListener, desk: Desk, tasks: Tasks) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_trusted(&stream) => {
                tasks.spawn("runner-api-connection", Kind::Helper, answer_all(stream, desk.clone()));
            }
            Ok(_) => tracing::warn!("refused another user on the runner's socket"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_trusted(stream: &UnixStream) -> bool {
    bodies::peer_uid(stream).is_ok_and(bodies::is_trusted_uid)
}

async fn answer_all(stream: UnixStream, desk: Desk) {
    let service = service_fn(move |request: Request<Incoming>| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(answer(request, desk).await) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
    }
}

async fn answer(request: Request<Incoming>, desk: Desk) -> Response<Body> {
    let outcome = if request.uri().path().starts_with("/v1/volumes") {
        desk.carriage.answer(request).await
    } else {
        match query(&request) {
            Ok(query) => tell(query, desk.shelf).await,
            Err(problem) => Err(problem),
        }
    };
    outcome.unwrap_or_else(|problem| refuse(&problem))
}

fn query(request: &Request<Incoming>) -> Result<Query, Problem> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    if request.method() != Method::GET {
        return Err(Problem::new(405, "method_not_allowed", format!("{path} is only read")));
    }
    if path == "/v1/logs" {
        return Query::of_place(query);
    }
    let job = path.strip_prefix("/v1/jobs/").and_then(|rest| rest.strip_suffix("/logs"));
    match job.map(str::parse::<JobId>) {
        Some(Ok(id)) => Query::of_job(id, query),
        Some(Err(error)) => Err(Problem::new(400, "bad_query", error.to_string())),
        None => Err(Problem::new(404, "not_found", format!("a runner has no {path}"))),
    }
}

async fn tell(query: Query, shelf: Shelf) -> Result<Response<Body>, Problem> {
    if !shelf.knows(&query.selection).await {
        return Err(Problem::new(404, "job_not_found", "this host knows no such job"));
    }
    let lines = logs::lines(shelf, query).await;
    let lines = lines.map_err(|error| Problem::new(500, "logs_unreadable", chain(&error)))?;
    let chunks = lines.map(|line| Ok::<_, Infallible>(encode(&line)));
    Ok(respond(StatusCode::OK, "application/x-ndjson", bodies::stream(chunks)))
}

fn encode(line: &LogLine) -> Bytes {
    let mut text = serde_json::to_vec(line).expect("a line is plain JSON");
    text.push(b'\n');
    text.into()
}

fn refuse(problem: &Problem) -> Response<Body> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, "application/problem+json", bodies::json(problem))
}

fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}
