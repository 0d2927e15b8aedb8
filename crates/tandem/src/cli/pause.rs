//! `tandem pause`: a page instead of the app, until `tandem resume`.

use tandem_types::Network;
use tandem_types::api::{AskPause, Paused};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::place::Place;
use crate::session::Session;

/// Arguments of `pause`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Balancers answer with 503 and a page that says so: 503.html of the app's static
files where there is one. Instances run on and are probed, static files are
served, and the app can be deployed and rolled back. It lasts until
`tandem resume`, also over restarts and while the server is away.

Examples:
  tandem pause -m \"move the database\"
  tandem pause --allow 192.0.2.7 --allow 10.0.0.0/8")]
pub(crate) struct Args {
    /// Clients that reach the app as always: an address or a network
    #[arg(long, value_name = "ADDRESS")]
    allow: Vec<Network>,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let place = session.place().await?;
    let asked = AskPause { reason: session.global.reason(), allow: args.allow };
    let paused: Paused = session.client()?.post(&path(&place, "pause"), &asked).await?;
    show(session, &paused)
}

/// Where a verb of an environment is asked for.
pub(super) fn path(place: &Place, verb: &str) -> String {
    format!("/v1/apps/{}/envs/{}/{verb}", place.app, place.environment)
}

/// Tells how it stands now, and of balancers that do not follow.
pub(super) fn show(session: &Session, paused: &Paused) -> Result<Exit, Failure> {
    for balancer in &paused.unconfirmed {
        session.output.note(format!("the balancer {balancer} does not say that it follows"));
    }
    session.output.show(paused, |paused| {
        let state = if paused.pause.is_some() { "is paused" } else { "takes requests" };
        format!("{}/{} {state}\n", paused.app, paused.environment)
    })?;
    Ok(Exit::Done)
}
