//! `GET /v1/apps/A/envs/E/logs`: what instances wrote. The lines lie with the runners; this passes them on.

use std::pin::Pin;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tandem_control::{LogSource, Place};
use tandem_kit::api::{Client, Error, Server};
use tandem_types::event::LogLine;
use tandem_types::instance::Address;
use tandem_types::problem::Problem;
use tandem_types::{InstanceId, ProcessType, ReleaseNumber};

use super::EnvironmentPath;
use crate::extract::{Path, Query};
use crate::lines;
use crate::problem::{Answer, Refusal};
use crate::site::Site;

/// Past lines without `lines`.
const DEFAULT_LINES: u64 = 100;
/// Wait for the first line. A runner that accepted the request may be silent for ever, one that refuses says so at once.
const PATIENCE: Duration = Duration::from_millis(250);

/// What stands behind the question mark.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    process: Option<ProcessType>,
    instance: Option<InstanceId>,
    release: Option<ReleaseNumber>,
    lines: Option<u64>,
    #[serde(default)]
    follow: bool,
}

impl Asked {
    /// The runner's own path for the same lines. Names and numbers need no escaping.
    fn path(&self, place: &Place) -> String {
        let Place { app, environment } = place;
        let lines = self.lines.unwrap_or(DEFAULT_LINES);
        let mut path = format!("/v1/logs?app={app}&env={environment}&lines={lines}");
        let mut add = |name, value: Option<String>| {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={value}"));
            }
        };
        add("process", self.process.as_ref().map(ToString::to_string));
        add("instance", self.instance.map(|id| id.to_string()));
        add("release", self.release.map(|release| release.to_string()));
        add("follow", self.follow.then(|| "true".to_owned()));
        path
    }
}

type Lines = BoxStream<'static, Result<LogLine, Error>>;

pub(crate) async fn read(
    State(site): State<Site>,
    Path(path): Path<EnvironmentPath>,
    Query(asked): Query<Asked>,
) -> Answer<Response> {
    let place = path.place();
    let live: Vec<LogSource> =
        site.control.log_sources(&place)?.into_iter().filter(|source| source.live).collect();
    if live.is_empty() {
        let problem = Problem::new(503, "no_runner", "no runner reports, and the logs lie with the runners");
        return Err(problem.hint("tandem status").into());
    }
    let path = asked.path(&place);
    let mut opened = Vec::new();
    for source in live {
        opened.push(open(&source, &path).await?);
    }
    // One host's lines come in the order of time; those of several are mixed as they arrive.
    Ok(lines::answer(stream::select_all(opened), &site.drain))
}

/// Waits a moment for the first line, so that a refusal of the runner is still told as one.
async fn open(source: &LogSource, path: &str) -> Answer<Lines> {
    let server = match &source.api {
        Address::Unix(path) => Server::Unix(path.clone()),
        Address::Tcp(address) => Server::Http { authority: address.to_string(), token: None },
    };
    let mut lines = Client::new(server).lines::<LogLine>(path).peekable();
    let refused = Pin::new(&mut lines).next_if(Result::is_err);
    match tokio::time::timeout(PATIENCE, refused).await {
        Ok(Some(Err(Error::Problem(problem)))) => Err(problem.into()),
        Ok(Some(Err(error))) => {
            let title = format!("the runner of {} does not answer", source.host);
            tracing::warn!("{title}: {error}");
            Err(Refusal(Problem::new(502, "runner_unreachable", title).hint("tandem status")))
        }
        Ok(Some(Ok(_)) | None) | Err(_) => Ok(lines.boxed()),
    }
}
