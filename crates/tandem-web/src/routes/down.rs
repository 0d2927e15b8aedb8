//! `POST /v1/down`: everything should stop. Answered before anything does.

use axum::extract::{Extension, State};
use http::StatusCode;
use tandem_types::api::Reason;

use crate::caller::Caller;
use crate::extract::Json;
use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn down(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Json(reason): Json<Reason>,
) -> Answer<StatusCode> {
    site.control.down(&actor, reason).await?;
    Ok(StatusCode::ACCEPTED)
}
