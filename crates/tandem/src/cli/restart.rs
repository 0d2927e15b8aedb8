//! `tandem restart`: the current release in new instances, with a gate and a drain like a deploy.

use tandem_types::ProcessType;
use tandem_types::api::{RolloutAction, StartRollout};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::Until;
use crate::session::Session;

use super::rollout::Start;

/// Arguments of `restart`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
New instances start and pass the health gate before the old ones stop: no request is lost.

Examples:
  tandem restart               every process type
  tandem restart worker        only the workers")]
pub(crate) struct Args {
    /// Process types to restart [default: all]
    #[arg(value_name = "PROCESS")]
    processes: Vec<ProcessType>,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let begun = session.clock.monotonic();
    let place = session.place().await?;
    let request = StartRollout {
        action: RolloutAction::Restart { processes: args.processes },
        message: session.global.reason(),
        no_wait: session.global.no_wait,
    };
    super::rollout::start(session, Start { place, request, begun, until: Until::Flip }).await
}
