//! `/v1/apps/A/envs/E/rollouts`: start, list, show, follow, abort.

use axum::Json as Body;
use axum::extract::{Extension, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use tandem_control::{Place, RolloutPlace};
use tandem_types::api::{Reason, RolloutStarted, StartRollout};
use tandem_types::problem::Problem;
use tandem_types::rollout::Rollout;
use tandem_types::{AppName, EnvironmentName};

use super::EnvironmentPath;
use crate::caller::Caller;
use crate::extract::{Json, Path, Query};
use crate::lines;
use crate::problem::{Answer, Refusal};
use crate::site::Site;

/// Names one rollout: by its number, or `latest`.
#[derive(Debug, Deserialize)]
pub(crate) struct RolloutPath {
    app: AppName,
    environment: EnvironmentName,
    rollout: String,
}

impl RolloutPath {
    fn place(self) -> Answer<RolloutPlace> {
        let place = Place { app: self.app, environment: self.environment };
        if self.rollout == "latest" {
            return Ok(RolloutPlace { place, number: None });
        }
        let number = self.rollout.parse();
        let number = number.map_err(|error: tandem_types::ids::ParseError| {
            Refusal(Problem::new(404, "path_invalid", error.to_string()))
        })?;
        Ok(RolloutPlace { place, number: Some(number) })
    }
}

pub(crate) async fn list(
    State(site): State<Site>,
    Path(path): Path<EnvironmentPath>,
) -> Answer<Body<Vec<Rollout>>> {
    Ok(Body(site.control.rollouts(&path.place())?))
}

pub(crate) async fn start(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(path): Path<EnvironmentPath>,
    Json(asked): Json<StartRollout>,
) -> Answer<(StatusCode, Body<RolloutStarted>)> {
    let started = site.control.start_rollout(&actor, &path.place(), asked).await?;
    Ok((StatusCode::ACCEPTED, Body(started)))
}

pub(crate) async fn show(State(site): State<Site>, Path(path): Path<RolloutPath>) -> Answer<Body<Rollout>> {
    Ok(Body(site.control.rollout(&path.place()?)?))
}

/// What stands behind the question mark.
#[derive(Debug, Deserialize)]
pub(crate) struct Following {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    follow: bool,
}

pub(crate) async fn events(
    State(site): State<Site>,
    Path(path): Path<RolloutPath>,
    Query(asked): Query<Following>,
) -> Answer<Response> {
    let events = site.control.rollout_events(&path.place()?, asked.after, asked.follow).await?;
    Ok(lines::sure(events, &site.drain))
}

pub(crate) async fn abort(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(path): Path<RolloutPath>,
    Json(reason): Json<Reason>,
) -> Answer<(StatusCode, Body<Rollout>)> {
    let rollout = site.control.abort(&actor, &path.place()?, reason).await?;
    Ok((StatusCode::ACCEPTED, Body(rollout)))
}
