//! `tandem deploy PATH --ref REF`: a commit of a repository on this machine, whatever its work tree holds.

use std::path::Path;

use tandem_types::AppName;

use super::send_and_start;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::Until;
use crate::place::{self, Place};
use crate::session::Session;
use crate::source::{Sent, commit};

/// What else was said.
pub(super) struct Options {
    pub(super) root: Option<String>,
    pub(super) wait: Until,
}

/// Takes the commit out of the repository, sends it, asks for a rollout.
pub(super) async fn run(
    session: &Session,
    folder: &Path,
    reference: &str,
    options: Options,
) -> Result<Exit, Failure> {
    let begun = session.clock.monotonic();
    let sending = send(session, folder, (reference, options.root.as_deref()));
    send_and_start(session, sending, (begun, options.wait)).await
}

/// The folder into which the commit is written is gone behind this.
async fn send(
    session: &Session,
    folder: &Path,
    (reference, root): (&str, Option<&str>),
) -> Result<(Place, Sent), Failure> {
    let taken = commit::take(session, folder, reference).await?;
    let source = taken.folder();
    let below = root.map_or_else(|| source.clone(), |root| source.join(root));
    if let Some(root) = root.filter(|_| !below.is_dir()) {
        return Err(Failure::new(format!("there is no folder {root} in {reference}"))
            .hint("--root is a folder of the commit: `tandem deploy --ref REF --root api`"));
    }
    let place = Place::new(app(session, folder, &below)?, session.global.environment());
    session.output.note(format!("deploying {place} from {} at {reference}", folder.display()));
    let sent = commit::send(session, &taken, root).await?;
    Ok((place, sent))
}

/// By the app file of the commit, else by the folder's name.
fn app(session: &Session, folder: &Path, taken: &Path) -> Result<AppName, Failure> {
    if let Some(app) = &session.global.app {
        return Ok(app.clone());
    }
    let file = tandem_app_file::read(taken).map_err(|e| Failure::from(tandem_app_file::problem(&e)))?;
    if let Some(app) = file.and_then(|file| file.app) {
        return Ok(app);
    }
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    place::name_from(name.trim_end_matches(".git")).ok_or_else(|| {
        Failure::new(format!("no app name can be made of {}", folder.display()))
            .hint("type `tandem deploy PATH --ref REF --app NAME`")
    })
}
