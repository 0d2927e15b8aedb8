//! `tandem balancer --routes FILE`: a balancer with a fixed table, without a server and without a data folder. All of it is
//! in `tandem_balancer`; this reads the arguments and turns signals into a drain or another look at the file.

use std::path::PathBuf;
use std::sync::Arc;

use tandem_balancer::{Alone, AloneConfig, AloneError, ListenError, Mistake};
use tandem_kit::drain;
use tandem_kit::logging::{self, LogOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};

use super::balancer::{Args, METRICS_HINT, explain_end, tell_ready};
use super::traffic::TrafficArgs;
use crate::exit::Exit;
use crate::failure::{Failure, chain_of};

/// Serves until SIGTERM or SIGINT; SIGHUP has the file read again.
///
/// # Errors
///
/// What keeps it from serving.
pub(super) fn run(routes: PathBuf, told: (Args, &TrafficArgs)) -> Result<Exit, Failure> {
    logging::init(LogOptions::default()).map_err(|error| Failure::usage(chain_of(&error)))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::chain("start the event loop", &e))?;
    runtime.block_on(Box::pin(serve(routes, told)))
}

async fn serve(routes: PathBuf, (args, traffic): (Args, &TrafficArgs)) -> Result<Exit, Failure> {
    let listen = |kind| signal(kind).map_err(|e| Failure::chain("listen for signals", &e));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut hang_up = listen(SignalKind::hangup())?;
    let (threads, access_log, metrics) = (args.threads, traffic.access_log(), traffic.metrics);
    let (https, handover) = (args.https, args.handover);
    let config =
        AloneConfig { https, threads, handover, access_log, metrics, ..AloneConfig::new(routes, args.http) };
    let alone = Alone::build(config).await.map_err(explain)?;
    let besides = (alone.secure_addresses().first().copied(), alone.metrics_address());
    let (trigger, drain) = drain::channel();
    let (tell, serving) = oneshot::channel();
    let asked = Arc::new(Notify::new());
    let run = alone.run(drain, Some(tell), Arc::clone(&asked));
    tokio::pin!(run);
    let ready = tell_ready(args.ready_file, besides, serving);
    tokio::pin!(ready);
    let ended = loop {
        tokio::select! {
            ended = &mut run => break ended,
            // Only what failed ends here.
            failure = &mut ready => return Err(failure),
            _ = terminate.recv() => trigger.fire(),
            _ = interrupt.recv() => trigger.fire(),
            _ = hang_up.recv() => asked.notify_one(),
        }
    };
    ended.map_err(explain_end)?;
    Ok(Exit::Done)
}

fn explain(error: AloneError) -> Failure {
    match error {
        AloneError::Routes(mistake) => mistaken(&mistake),
        AloneError::TakeOver(error) => Failure::new(format!("failed to {}", chain_of(&error)))
            .hint("one process at a time takes over: try again, or name another folder with --handover"),
        AloneError::Metrics(_) => Failure::new(format!("failed to {}", chain_of(&error))).hint(METRICS_HINT),
        AloneError::Listen(error) => {
            let in_use = matches!(error, ListenError::InUse { .. });
            let failure = Failure::new(format!("failed to {}", chain_of(&error)));
            if in_use { failure.hint("name another port with --http or --https") } else { failure }
        }
    }
}

fn mistaken(mistake: &Mistake) -> Failure {
    let failure = Failure::new(mistake.to_string()).code("routes_invalid");
    failure.detail(mistake.detail()).hint(mistake.hint.clone())
}
