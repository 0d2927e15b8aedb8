//! `tandem deploy URL`: the server fetches the source, and nothing is sent from here.

use tandem_build::git::Remote;
use tandem_types::AppName;
use tandem_types::api::{RolloutAction, StartRollout};
use tandem_types::git::GitSource;

use crate::cli::rollout::{self, Start};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::Until;
use crate::place::{self, Place};
use crate::session::Session;

/// Asks for a rollout of what the server finds there.
pub(super) async fn run(session: &Session, git: GitSource, until: Until) -> Result<Exit, Failure> {
    let begun = session.clock.monotonic();
    let remote = tandem_build::git::check(&git).map_err(|refused| Failure::from(refused.to_problem()))?;
    let place = Place::new(app(session, &remote, git.root.as_deref())?, session.global.environment());
    let of = git.reference.as_ref().map_or(String::new(), |reference| format!(" ({reference})"));
    session.output.note(format!("deploying {place} from {}{of}", remote.url()));
    let action = RolloutAction::DeployGit { git };
    let request = StartRollout { action, message: session.global.reason(), no_wait: session.global.no_wait };
    rollout::start(session, Start { place, request, begun, until }).await
}

/// What the source itself calls the app is known only once it is there.
fn app(session: &Session, remote: &Remote, root: Option<&str>) -> Result<AppName, Failure> {
    if let Some(app) = &session.global.app {
        return Ok(app.clone());
    }
    let folder = root.and_then(|root| root.trim_end_matches('/').rsplit('/').next());
    place::name_from(folder.unwrap_or(remote.name())).ok_or_else(|| {
        Failure::new(format!("no app name can be made of {}", remote.url()))
            .hint("type `tandem deploy URL --app NAME`")
    })
}
