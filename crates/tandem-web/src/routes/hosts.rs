//! `/v1/hosts/H`: what a runner reports and asks for.

use axum::Json as Body;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use tandem_control::Place;
use tandem_types::api::InstanceConfig;
use tandem_types::instance::HostObservation;
use tandem_types::{AppName, EnvironmentName, HostName, JobId, ReleaseNumber};

use crate::extract::{Json, Path, Query};
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

/// What the config is for, where it is no instance.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    job: Option<JobId>,
}

pub(crate) async fn config(
    State(site): State<Site>,
    Path(path): Path<ConfigPath>,
    Query(asked): Query<Asked>,
) -> Answer<Body<InstanceConfig>> {
    let place = Place { app: path.app, environment: path.environment };
    if let Some(job) = asked.job {
        site.control.check_job(&path.host, &place, job).await?;
    }
    Ok(Body(site.control.instance_config(&path.host, &place, path.release).await?))
}
