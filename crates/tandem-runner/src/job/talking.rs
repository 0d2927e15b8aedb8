//! Lets people talk with a one-off command: the server gets connections to its shim.
//!
//! One is offered at a time. When a client is given it, its first words come over it; then the shim is asked to let that
//! client attach, and the next connection is offered.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tandem_kit::api::{Error, Link};
use tandem_kit::splice::splice;
use tandem_kit::tasks::{self, Owned};
use tandem_sandbox::shim::{self, ShimHandle};
use tandem_types::assignment::{AssignedJob, JobKind};
use tandem_types::frame::{Frame, PROTOCOL};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use crate::context::Context;

/// Wait before a server that is away is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// The same for one that does not want to.
const AGAIN_LATE: Duration = Duration::from_secs(2);
/// Longest time in which a shim lets its clients read what is left; it has a shorter one of its own.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// Time for what is under way to the server when the shim is gone.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks whether the shim has gone.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// People may talk with a command while this lives.
pub(super) struct Talking {
    shim: ShimHandle,
    over: watch::Sender<bool>,
    offers: Owned<()>,
}

impl Talking {
    /// Begins to offer connections; none for a job that nobody talks with.
    pub(super) fn begin(context: &Arc<Context>, job: &AssignedJob, shim: &ShimHandle) -> Option<Self> {
        if job.kind != JobKind::Run {
            return None;
        }
        let (over, seen) = watch::channel(false);
        let path = format!("/v1/hosts/{}/sessions/{}", context.host, job.id);
        let offers = tasks::owned("job-talking", offer(Arc::clone(context), path, shim.clone(), seen));
        Some(Self { shim: shim.clone(), over, offers })
    }

    /// Waits until the shim has told everybody of the end, and until that is on its way.
    pub(super) async fn end(self) {
        let gone = async {
            while self.shim.lives() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let _ = tokio::time::timeout(READ_WITHIN, gone).await;
        self.over.send_replace(true);
        let _ = tokio::time::timeout(SENT_WITHIN, self.offers).await;
    }
}

async fn offer(context: Arc<Context>, path: String, shim: ShimHandle, mut over: watch::Receiver<bool>) {
    let mut talks: Vec<Owned<()>> = Vec::new();
    loop {
        talks.retain(|talk| !talk.is_finished());
        let next = tokio::select! {
            next = wanted(&context, &path) => next,
            _ = over.wait_for(|over| *over) => break,
        };
        match next {
            Ok((link, first)) => {
                talks.push(tasks::owned("job-talk", talk(shim.clone(), link, first)));
            }
            Err(wait) => tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = over.wait_for(|over| *over) => break,
            },
        }
    }
    for talk in talks {
        talk.await;
    }
}

/// Offers a connection until a client has it, with its first words; or how long to wait before the next try.
async fn wanted(context: &Context, path: &str) -> Result<(Link, Vec<u8>), Duration> {
    let offered = context.client.upgrade(Method::POST, path, PROTOCOL).await;
    let mut link = offered.map_err(|error| match error {
        Error::Problem(problem) => {
            tracing::warn!("the server does not want {path}: {}", problem.title);
            AGAIN_LATE
        }
        _ => AGAIN,
    })?;
    let mut first = vec![0; 4096];
    match link.read(&mut first).await {
        Ok(count @ 1..) => {
            first.truncate(count);
            Ok((link, first))
        }
        // The server has ended, or nobody came.
        Ok(_) | Err(_) => Err(AGAIN),
    }
}

async fn talk(shim: ShimHandle, mut link: Link, first: Vec<u8>) {
    match shim.attach().await {
        Ok(mut attached) => match attached.write_all(&first).await {
            Ok(()) => splice(link, attached).await,
            Err(error) => tracing::debug!("a client is not let in: {error}"),
        },
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "a client is not let in");
            // It has its connection already: without a word it would ask again and again.
            if let shim::Error::Refused { reason } = error {
                let _ = tokio::time::timeout(SENT_WITHIN, refuse(&mut link, reason)).await;
            }
        }
    }
}

async fn refuse(link: &mut Link, reason: String) -> std::io::Result<()> {
    let mut words = Vec::new();
    Frame::Refused(reason).write(&mut words);
    link.write_all(&words).await?;
    link.shutdown().await
}
