//! `/v1/apps/A/envs/E/config`: the environment variables of an app. Values leave the server only where they are asked
//! for, which the journal notes.

use axum::Json as Body;
use axum::extract::{Extension, State};
use serde::Deserialize;
use tandem_types::api::{ConfigChange, ConfigChanged, ConfigListing};

use super::EnvironmentPath;
use crate::caller::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::Answer;
use crate::site::Site;

/// What stands behind the question mark.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    reveal: bool,
}

pub(crate) async fn list(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(path): Path<EnvironmentPath>,
    Query(asked): Query<Asked>,
) -> Answer<Body<ConfigListing>> {
    Ok(Body(site.control.config(&actor, &path.place(), asked.reveal).await?))
}

pub(crate) async fn change(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(path): Path<EnvironmentPath>,
    Json(change): Json<ConfigChange>,
) -> Answer<Body<ConfigChanged>> {
    Ok(Body(site.control.change_config(&actor, &path.place(), change).await?))
}
