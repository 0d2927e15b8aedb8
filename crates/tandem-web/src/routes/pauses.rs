//! `POST …/pause` and `POST …/resume`: a page instead of the app, and the app again.

use axum::Json as Body;
use axum::extract::{Extension, State};
use tandem_types::api::{AskPause, Paused, Reason};

use super::EnvironmentPath;
use crate::caller::Caller;
use crate::extract::{Json, Path};
use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn pause(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(path): Path<EnvironmentPath>,
    Json(asked): Json<AskPause>,
) -> Answer<Body<Paused>> {
    Ok(Body(site.control.pause(&actor, &path.place(), asked).await?))
}

pub(crate) async fn resume(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(path): Path<EnvironmentPath>,
    Json(Reason { reason }): Json<Reason>,
) -> Answer<Body<Paused>> {
    Ok(Body(site.control.resume(&actor, &path.place(), reason).await?))
}
