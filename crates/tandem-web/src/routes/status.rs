//! `GET /v1/status`: how everything stands.

use axum::Json as Body;
use axum::extract::State;
use tandem_types::api::Status;

use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn show(State(site): State<Site>) -> Answer<Body<Status>> {
    Ok(Body(site.control.status().await?))
}
