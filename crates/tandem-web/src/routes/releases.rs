//! `/v1/apps/A/envs/E/releases`: what could serve, what serves, what served.

use axum::Json as Body;
use axum::extract::State;
use serde::Deserialize;
use tandem_control::Place;
use tandem_types::api::ReleaseDetail;
use tandem_types::{AppName, EnvironmentName, ReleaseNumber};

use super::EnvironmentPath;
use crate::extract::Path;
use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn list(
    State(site): State<Site>,
    Path(path): Path<EnvironmentPath>,
) -> Answer<Body<Vec<ReleaseDetail>>> {
    Ok(Body(site.control.releases(&path.place())?))
}

/// Names one release.
#[derive(Debug, Deserialize)]
pub(crate) struct ReleasePath {
    app: AppName,
    environment: EnvironmentName,
    release: ReleaseNumber,
}

pub(crate) async fn show(
    State(site): State<Site>,
    Path(path): Path<ReleasePath>,
) -> Answer<Body<ReleaseDetail>> {
    let place = Place { app: path.app, environment: path.environment };
    Ok(Body(site.control.release(&place, path.release)?))
}
