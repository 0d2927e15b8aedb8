//! `/v1/apps/A/envs/E/run` and `…/sessions`: one-off commands, and talking with them.

use std::time::Duration;

use axum::Json as Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{HeaderMap, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tandem_control::{Place, session_over};
use tandem_kit::splice::splice;
use tandem_kit::tasks::{Kind, Tasks};
use tandem_types::frame::PROTOCOL;
use tandem_types::problem::Problem;
use tandem_types::session::{RunCommand, Session};
use tandem_types::{AppName, EnvironmentName, HostName, JobId};

use super::EnvironmentPath;
use crate::caller::Caller;
use crate::extract::{Json, Path};
use crate::problem::{Answer, Refusal};
use crate::site::Site;
use crate::switchboard::Switchboard;

/// Time for the runner to have the command running and to offer a connection to it.
const MEETS_WITHIN: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 20 });
/// Between two looks whether there will never be one.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Names one session.
#[derive(Debug, Deserialize)]
pub(crate) struct SessionPath {
    app: AppName,
    environment: EnvironmentName,
    session: JobId,
}

impl SessionPath {
    fn place(self) -> (Place, JobId) {
        (Place { app: self.app, environment: self.environment }, self.session)
    }
}

/// Names one session on its host.
#[derive(Debug, Deserialize)]
pub(crate) struct OfferPath {
    host: HostName,
    session: JobId,
}

pub(crate) async fn run(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(path): Path<EnvironmentPath>,
    Json(asked): Json<RunCommand>,
) -> Answer<(StatusCode, Body<Session>)> {
    let session = site.control.run(&actor, &path.place(), asked).await?;
    Ok((StatusCode::ACCEPTED, Body(session)))
}

pub(crate) async fn list(
    State(site): State<Site>,
    Path(path): Path<EnvironmentPath>,
) -> Answer<Body<Vec<Session>>> {
    Ok(Body(site.control.sessions(&path.place())?))
}

pub(crate) async fn show(State(site): State<Site>, Path(path): Path<SessionPath>) -> Answer<Body<Session>> {
    let (place, session) = path.place();
    Ok(Body(site.control.session(&place, session)?))
}

pub(crate) async fn end(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(path): Path<SessionPath>,
) -> Answer<(StatusCode, Body<Session>)> {
    let (place, session) = path.place();
    let session = site.control.end_session(&actor, &place, session).await?;
    Ok((StatusCode::ACCEPTED, Body(session)))
}

/// A runner offers a connection to the shim of a session.
pub(crate) async fn offer(
    State(site): State<Site>,
    (Extension(switchboard), Extension(tasks)): (Extension<Switchboard>, Extension<Tasks>),
    Path(path): Path<OfferPath>,
    request: Request,
) -> Answer<Response> {
    site.control.check_offer(&path.host, path.session)?;
    let offered = upgrade(request)?;
    tasks.spawn("web-offer", Kind::Helper, async move {
        match offered.await {
            Ok(link) => switchboard.keep(path.session, TokioIo::new(link)).await,
            Err(error) => tracing::debug!("an offer for {} is gone: {error}", path.session),
        }
    });
    Ok(agreed())
}

/// A client wants to talk with a session.
pub(crate) async fn attach(
    State(site): State<Site>,
    (Extension(switchboard), Extension(tasks)): (Extension<Switchboard>, Extension<Tasks>),
    Path(path): Path<SessionPath>,
    request: Request,
) -> Answer<Response> {
    let (place, id) = path.place();
    // Before anything is taken: what was offered for others is theirs.
    let session = site.control.session(&place, id)?;
    if session.is_over() {
        return Err(session_over(&session).into());
    }
    let client = upgrade(request)?;
    let link = tokio::select! {
        link = switchboard.take(id) => link,
        refusal = never(&site, &place, id) => return Err(refusal),
        () = tokio::time::sleep(MEETS_WITHIN) => return Err(unreachable(id)),
        () = site.drain.requested() => return Err(unreachable(id)),
    };
    tasks.spawn("web-session", Kind::Helper, async move {
        match client.await {
            Ok(client) => splice(TokioIo::new(client), link).await,
            Err(error) => tracing::debug!("a client of {id} is gone: {error}"),
        }
    });
    Ok(agreed())
}

/// Waits until it is sure that nobody will be there to talk with.
async fn never(site: &Site, place: &Place, id: JobId) -> Refusal {
    loop {
        match site.control.session(place, id) {
            Ok(session) if session.is_over() => return session_over(&session).into(),
            Ok(_) => {}
            Err(problem) => return problem.into(),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn unreachable(id: JobId) -> Refusal {
    let title = format!("the host of {id} does not answer");
    Refusal(Problem::new(503, "session_unreachable", title).hint("tandem status"))
}

/// The connection that a request is about to become.
fn upgrade(mut request: Request) -> Answer<OnUpgrade> {
    let asked = |headers: &HeaderMap| headers.get(UPGRADE).is_some_and(|to| to == PROTOCOL);
    let refused = || {
        let title = format!("this is spoken as {PROTOCOL} only");
        Refusal(Problem::new(426, "upgrade_needed", title).hint("tandem attach"))
    };
    if !asked(request.headers()) {
        return Err(refused());
    }
    request.extensions_mut().remove::<OnUpgrade>().ok_or_else(refused)
}

fn agreed() -> Response {
    let headers =
        [(CONNECTION, HeaderValue::from_static("upgrade")), (UPGRADE, HeaderValue::from_static(PROTOCOL))];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}
