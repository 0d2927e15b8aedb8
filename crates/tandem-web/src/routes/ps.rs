//! `GET /v1/apps/A/envs/E/ps`: what runs.

use axum::Json as Body;
use axum::extract::State;
use tandem_types::api::ProcessLine;

use super::EnvironmentPath;
use crate::extract::Path;
use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn list(
    State(site): State<Site>,
    Path(path): Path<EnvironmentPath>,
) -> Answer<Body<Vec<ProcessLine>>> {
    Ok(Body(site.control.ps(&path.place())?))
}
