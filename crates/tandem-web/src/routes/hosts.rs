//! `/v1/hosts/H`: what a runner reports and asks for.

use axum::Json as Body;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use tandem_control::Place;
use tandem_types::api::InstanceConfig;
use tandem_types::instance::HostObservation;
use tandem_types::{AppName, EnvironmentName, HostName, ReleaseNumber};

use crate::extract::{Json, Path};
use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn observe(
    State(site): State<Site>,
    Path(host): Path<HostName>,
    Json(observation): Json<HostObservation>,
) -> Answer<StatusCode> {
    site.control.record_host_observation(&host, observation).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Names a release on a host.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigPath {
    host: HostName,
    app: AppName,
    environment: EnvironmentName,
    release: ReleaseNumber,
}

pub(crate) async fn config(
    State(site): State<Site>,
    Path(path): Path<ConfigPath>,
) -> Answer<Body<InstanceConfig>> {
    let place = Place { app: path.app, environment: path.environment };
    Ok(Body(site.control.instance_config(&path.host, &place, path.release).await?))
}
