//! `tandem resume`: the app again, after `tandem pause`.

use tandem_types::api::{Paused, Reason};

use super::pause::{path, show};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tandem resume --app shop")]
pub(crate) struct Args {}

pub(super) async fn run(_args: Args, session: &Session) -> Result<Exit, Failure> {
    let place = session.place().await?;
    let asked = Reason { reason: session.global.reason() };
    let resumed: Paused = session.client()?.post(&path(&place, "resume"), &asked).await?;
    show(session, &resumed)
}
