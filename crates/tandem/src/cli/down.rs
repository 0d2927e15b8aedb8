//! `tandem down`: stops the server, the balancer and every app, and returns when nothing of them is left.
//!
//! A running server does it itself. Where none runs (it was killed), the same stopping runs here, over what is on
//! disk: see [`crate::roles::stop`].

use serde::Serialize;
use tandem_kit::api;
use tandem_types::api::Reason;

use crate::data_folder;
use crate::elsewhere;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hung;
use crate::roles::stop;
use crate::session::Session;

/// Arguments of `down`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Apps get their stop time (30 s for web, 120 s for workers) before they are killed. Their data stays.

Examples:
  tandem down                     stop what runs on the default data folder
  tandem down --data ./.demo      stop what runs on another one")]
pub(crate) struct Args {}

pub(super) async fn run(_args: Args, session: &Session) -> Result<Exit, Failure> {
    if session.global.server.is_none() {
        // Before the server is asked: half an end, with apps that nobody here may touch, would be worse than none.
        data_folder::check(&session.data())?;
    }
    let reason = Reason { reason: session.global.reason() };
    let client = session.client()?;
    let asked: Result<(), api::Error> = tokio::select! {
        asked = client.post("/v1/down", &reason) => asked,
        // Nothing is under way yet. Once it is, the wait for its end says so and goes on.
        failure = hung::stays_stopped(session) => return Err(failure),
    };
    let ran = asked.is_ok();
    match asked {
        Ok(()) if session.global.server.is_some() => {
            session.output.note("the server is stopping");
            return told(session, "stopping");
        }
        Ok(()) => session.output.note("stopping"),
        Err(api::Error::Problem(problem)) => return Err(problem.into()),
        Err(error) if session.global.server.is_some() => return Err(error.into()),
        // It runs, so nobody can stop the apps in its place.
        Err(silent @ api::Error::Silent { .. }) => return Err(silent.into()),
        Err(_) => session.output.note("no server runs; stopping what it left behind"),
    }
    let stopped = stop::wait_or_stop(session).await;
    stopped.map_err(|failure| failure.or_hint("name the data folder with --data or TANDEM_DATA"))?;
    session.output.note("everything is stopped");
    // Where none ran, another installation may have been meant.
    let others = if ran { Vec::new() } else { elsewhere::running(&session.data()) };
    for other in others {
        session
            .output
            .note(format!("{other} goes on; `tandem down --data {}` stops it", other.data.display()));
    }
    told(session, "stopped")
}

/// What `--json` prints; a server at another address is not waited for, and is `stopping`.
#[derive(Debug, Serialize)]
struct Down {
    state: &'static str,
}

fn told(session: &Session, state: &'static str) -> Result<Exit, Failure> {
    session.output.show(&Down { state }, |_| String::new())?;
    Ok(Exit::Done)
}
