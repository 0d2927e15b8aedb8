//! `/v1/volumes` and `…/volumes/V`: what apps keep, listed, taken out and put back. It lies with the runners; this passes it on.

use std::time::Duration;

use axum::Json as Answered;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt as _, TryStreamExt};
use http::header::{CONTENT_TYPE, HeaderName};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tandem_control::{LogSource, Place, VolumeHost, VolumePlace};
use tandem_kit::api::{Client, Error, Server};
use tandem_kit::http::{self as bodies, BoxError, read_limited};
use tandem_types::api::Reason;
use tandem_types::instance::Address;
use tandem_types::volume::{SwapVolume, VolumeFound, VolumeImported, VolumeLine, VolumeStaged};
use tandem_types::{AppName, EnvironmentName, ProcessType};

use crate::caller::Caller;
use crate::extract::{Json, Path};
use crate::problem::{Answer, Refusal};
use crate::site::Site;

/// What an archive has in it, as the runner says.
const CONTENTS: HeaderName = HeaderName::from_static("tandem-volume");
/// Hosts whose volumes are not in a list, since their runners cannot be asked; names with commas between.
const MISSING: HeaderName = HeaderName::from_static("tandem-volumes-missing");
/// Looking through volumes of many files takes its time.
const LIST_LIMIT: Duration = Duration::from_secs(60);
/// Processes have ten minutes to end; see the runner.
const SWAP_LIMIT: Duration = Duration::from_secs(660);
/// Longest answer of a runner to an import, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Names a volume in a path. Volumes are called as process types are.
#[derive(Debug, Deserialize)]
pub(crate) struct VolumePath {
    app: AppName,
    environment: EnvironmentName,
    volume: ProcessType,
}

impl VolumePath {
    fn at(self) -> VolumePlace {
        let place = Place { app: self.app, environment: self.environment };
        VolumePlace { place, name: self.volume.to_string() }
    }
}

/// One runner that cannot be asked hides its own volumes and no other's: it is named in a header.
pub(crate) async fn list(State(site): State<Site>) -> Answer<Response> {
    let (mut lines, mut missing) = (Vec::<VolumeLine>::new(), Vec::new());
    for runner in site.control.volume_runners() {
        let found = match runner.here {
            true => client(&runner).waiting(LIST_LIMIT).get::<Vec<VolumeFound>>("/v1/volumes").await.ok(),
            false => None,
        };
        match found {
            Some(found) => lines.extend(site.control.volume_lines(&runner.host, found)),
            None => missing.push(runner.host.to_string()),
        }
    }
    let mut response = Answered(lines).into_response();
    if let Ok(hosts) = missing.join(",").parse()
        && !missing.is_empty()
    {
        response.headers_mut().insert(MISSING, hosts);
    }
    Ok(response)
}

pub(crate) async fn export(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(path): Path<VolumePath>,
    Json(reason): Json<Reason>,
) -> Answer<Response> {
    let at = path.at();
    let host = site.control.volume_host(&at.place)?;
    site.control.note_export(&actor, &at, &reason.reason).await?;
    let sent = client(&host.runner).post_for_stream(&runners_path("export", &at, &host), &()).await;
    let sent = sent.map_err(|error| passed_on(&host.runner, error))?;
    let contents = sent.headers().get(CONTENTS).cloned();
    let body = Body::from_stream(sent.into_body().into_data_stream());
    let mut response = ([(CONTENT_TYPE, "application/x-tar")], body).into_response();
    if let Some(contents) = contents {
        response.headers_mut().insert(CONTENTS, contents);
    }
    Ok(response)
}

/// Takes an archive; nothing of the app changes by it.
pub(crate) async fn import(
    State(site): State<Site>,
    Path(path): Path<VolumePath>,
    body: Body,
) -> Answer<Answered<VolumeStaged>> {
    let at = path.at();
    let host = site.control.volume_host(&at.place)?;
    site.control.admit_import(&at)?;
    let body = bodies::stream(TryStreamExt::map_err(body.into_data_stream(), BoxError::from));
    let mut path = runners_path("import", &at, &host);
    // A name that nobody declares is most likely a slip: the runner looks whether there is such a volume nevertheless.
    if !site.control.declares_volume(&at) {
        path.push_str("&undeclared=true");
    }
    let answer = client(&host.runner).post_stream(&path, body).await;
    let answer = answer.map_err(|error| match error {
        Error::Problem(problem) if problem.code == "volume_not_found" => {
            Refusal(site.control.volume_not_found(&at))
        }
        error => passed_on(&host.runner, error),
    })?;
    // Boxed, since the compiler does not see through the error type of the body otherwise.
    let text = read_limited(answer.into_body(), ANSWER_LIMIT).boxed().await;
    let text = text.map_err(|error| Refusal::internal("read what the runner says", &error))?;
    let staged = serde_json::from_slice(&text);
    Ok(Answered(staged.map_err(|error| Refusal::internal("read what the runner says", &error))?))
}

pub(crate) async fn swap(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(path): Path<VolumePath>,
    Json(asked): Json<SwapVolume>,
) -> Answer<Answered<VolumeImported>> {
    let at = path.at();
    let host = site.control.volume_host(&at.place)?;
    site.control.admit_import(&at)?;
    site.control.note_import(&actor, &at, &asked.message).await?;
    let path = format!("{}&staged={}", runners_path("swap", &at, &host), asked.staged);
    let done: Result<VolumeImported, _> = client(&host.runner).waiting(SWAP_LIMIT).post(&path, &()).await;
    let done = done.map_err(|error| passed_on(&host.runner, error))?;
    site.control.note_imported(&actor, &at, &done).await?;
    Ok(Answered(done))
}

/// Names and numbers need no escaping.
fn runners_path(verb: &str, at: &VolumePlace, host: &VolumeHost) -> String {
    let Place { app, environment } = &at.place;
    format!("/v1/volumes/{verb}?app={app}&env={environment}&name={}&uid={}", at.name, host.uid)
}

fn client(runner: &LogSource) -> Client {
    Client::new(match &runner.api {
        Address::Unix(path) => Server::Unix(path.clone()),
        Address::Tcp(address) => Server::Http { authority: address.to_string(), token: None },
    })
}

/// A runner's refusal is the server's; one that cannot be asked is on another machine, or away.
fn passed_on(runner: &LogSource, error: Error) -> Refusal {
    match error {
        Error::Problem(problem) => problem.into(),
        error => {
            tracing::warn!("the runner of {} does not answer: {error}", runner.host);
            Refusal(tandem_control::volumes_unreachable(&runner.host, "does not answer"))
        }
    }
}
