//! `tandem rollback [RELEASE]`: back to an earlier release, under its own number and with its config.

use tandem_types::ReleaseNumber;
use tandem_types::api::{RolloutAction, StartRollout};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::Until;
use crate::session::Session;

use super::rollout::Start;

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a number it goes back to the release that served before the current one. While that one is
still warm (30 minutes) this is one change of the routing table; later its instances are started
first. Its config comes back with it; the database is left as it is.

Examples:
  tandem rollback                      back to the previous release
  tandem rollback r12 -m 'slow pages'  back to r12, with a reason for the journal")]
pub(crate) struct Args {
    /// Release to go back to [default: the one that served before]
    release: Option<ReleaseNumber>,
    /// Stay until the traffic has moved, or until the verdict
    #[arg(long, value_name = "WHEN", default_value = "flip")]
    wait: Until,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let begun = session.clock.monotonic();
    let place = session.place().await?;
    let request = StartRollout {
        action: RolloutAction::Rollback { release: args.release },
        message: session.global.reason(),
        no_wait: session.global.no_wait,
    };
    super::rollout::start(session, Start { place, request, begun, until: args.wait }).await
}
