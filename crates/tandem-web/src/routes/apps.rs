//! `/v1/apps`: what people deploy.

use axum::Json as Body;
use axum::extract::{Extension, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use tandem_types::AppName;
use tandem_types::api::{AppSummary, CreateApp};

use crate::caller::Caller;
use crate::extract::{Json, Path, Query};
use crate::lines;
use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn list(State(site): State<Site>) -> Body<Vec<AppSummary>> {
    Body(site.control.apps())
}

pub(crate) async fn show(State(site): State<Site>, Path(app): Path<AppName>) -> Answer<Body<AppSummary>> {
    Ok(Body(site.control.app(&app)?))
}

pub(crate) async fn create(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Json(asked): Json<CreateApp>,
) -> Answer<(StatusCode, Body<AppSummary>)> {
    Ok((StatusCode::CREATED, Body(site.control.create_app(&actor, asked).await?)))
}

/// Whether the caller knows that the app may be running.
#[derive(Debug, Deserialize)]
pub(crate) struct Confirmation {
    #[serde(default)]
    confirm: bool,
}

pub(crate) async fn destroy(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(app): Path<AppName>,
    Query(confirmation): Query<Confirmation>,
) -> Answer<StatusCode> {
    site.control.destroy_app(&actor, &app, confirmation.confirm).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(crate) async fn destroy_progress(State(site): State<Site>, Path(app): Path<AppName>) -> Answer<Response> {
    Ok(lines::sure(site.control.destroy_progress(&app)?, &site.drain))
}
