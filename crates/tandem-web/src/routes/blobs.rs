//! `POST /v1/blobs/missing`, `POST /v1/blobs`, `POST /v1/blobs/fetch`: sources come in, builds go out.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tandem_blobs::frames::Limits;
use tandem_blobs::receive::{Error, Receiver, Target};
use tandem_blobs::stream;
use tandem_kit::http::BoxError;
use tandem_kit::points::{self, Effect};
use tandem_kit::tasks;
use tandem_types::api::Digests;
use tandem_types::problem::Problem;

use crate::extract::Json;
use crate::problem::{Answer, Refusal};
use crate::site::Site;

/// Which of these blobs must be sent. A tree that is here is looked through, so that one whose files were lost is
/// asked for again.
pub(crate) async fn missing(
    State(site): State<Site>,
    Json(asked): Json<Digests>,
) -> Answer<axum::Json<Digests>> {
    // Before a byte of it is sent.
    site.control.admit_source().await?;
    let missing = tasks::blocking("find missing blobs", move || site.blobs.missing(&asked.digests)).await;
    let digests = missing.map_err(|error| Refusal::internal("look for blobs", &error))?;
    Ok(axum::Json(Digests { digests }))
}

/// Takes a framed stream; what arrived is on the disk when this answers.
pub(crate) async fn receive(State(site): State<Site>, body: Body) -> Answer<StatusCode> {
    site.control.admit_source().await?;
    let receiver = Receiver::new(Target::Store(site.blobs.clone()), Limits::default());
    let pieces = body.into_data_stream().map_err(BoxError::from);
    stream::receive(pieces, receiver).await.map_err(refuse)?;
    points::reached(Effect::SourceReceived).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends blobs as a framed stream, all or none: a missing one is told before the first byte.
pub(crate) async fn fetch(State(site): State<Site>, Json(asked): Json<Digests>) -> Answer<Response> {
    let (store, digests) = (site.blobs.clone(), asked.digests.clone());
    let has = tasks::blocking("look for blobs", move || store.has(&digests)).await;
    if let Some((missing, _)) = asked.digests.iter().zip(has).find(|(_, has)| !has) {
        let title = format!("blob {} is not on this server", missing.short());
        return Err(Refusal(Problem::new(404, "blob_missing", title)));
    }
    let body = Body::from_stream(stream::send(site.blobs, asked.digests));
    Ok(([(CONTENT_TYPE, "application/octet-stream")], body).into_response())
}

/// What the sender did wrong is told to it; what the disk did is ours.
fn refuse(error: Error) -> Refusal {
    let causes = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    let detail: Vec<String> = causes.map(ToString::to_string).collect();
    match error {
        Error::Idle(_) => {
            let problem = Problem::new(408, "blobs_idle", format!("failed to {error}"));
            Refusal(problem.hint(
                "the disk that the source is on, or the connection, stood still: once both are there again, `tandem deploy` \
                 sends what is missing",
            ))
        }
        Error::Stream(_) | Error::Wrong { .. } | Error::Connection(_) => {
            let problem = Problem::new(400, "blobs_malformed", format!("failed to {error}"));
            Refusal(problem.detail(detail.join(": ")).hint("send the source again: `tandem deploy`"))
        }
        _ => Refusal::internal("keep the blobs", &error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sender_that_fell_silent_is_not_told_that_it_sent_something_wrong() {
        let Refusal(problem) = refuse(Error::Idle(Duration::from_secs(60)));
        assert_eq!((problem.status, problem.code.as_str()), (408, "blobs_idle"));
        assert_eq!(problem.title, "failed to receive blobs: nothing came for 60 seconds");
        assert!(problem.hint.contains("`tandem deploy` sends what is missing"), "{}", problem.hint);
    }
}
