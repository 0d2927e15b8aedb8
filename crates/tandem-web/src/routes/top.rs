//! `GET /v1/top`: the last minute's traffic; with `follow` each second anew. `GET /v1/slow`: the slowest requests of each minute.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use tandem_control::TrafficFilter;
use tandem_types::traffic::SlowMinute;
use tandem_types::{AppName, EnvironmentName};
use tokio::time::MissedTickBehavior;

use crate::extract::Query;
use crate::lines;
use crate::problem::Answer;
use crate::site::Site;

/// Time between two lines: balancers report as often.
const EVERY: Duration = Duration::from_secs(1);

/// What stands behind the question mark.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    app: Option<AppName>,
    environment: Option<EnvironmentName>,
    #[serde(default)]
    follow: bool,
}

pub(crate) async fn read(State(site): State<Site>, Query(asked): Query<Asked>) -> Answer<Response> {
    let Asked { app, environment, follow } = asked;
    let filter = TrafficFilter { app, environment };
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let control = site.control.clone();
    let tops = stream::unfold(ticks, move |mut ticks| {
        let (control, filter) = (control.clone(), filter.clone());
        async move {
            ticks.tick().await;
            Some((control.top(&filter), ticks))
        }
    });
    let most = if follow { usize::MAX } else { 1 };
    Ok(lines::sure(tops.take(most), &site.drain))
}

/// Of whom the slowest requests are asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct AskedSlow {
    app: Option<AppName>,
    environment: Option<EnvironmentName>,
}

pub(crate) async fn slow(
    State(site): State<Site>,
    Query(AskedSlow { app, environment }): Query<AskedSlow>,
) -> Json<Vec<SlowMinute>> {
    Json(site.control.slow(&TrafficFilter { app, environment }))
}
