//! `tandem store snapshot`: a copy of the store as it is now, beside a running server or without one.

use tandem_kit::stamp::Stamp;
use tandem_kit::tasks;
use tandem_kit::version::Version;
use tandem_store::sqlite::snapshots::{Reason, Snapshots};

use super::{failed, finish_restore, known_data};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::bytes;
use crate::session::Session;

pub(super) async fn run(session: &Session) -> Result<Exit, Failure> {
    let data = known_data(session)?;
    finish_restore(&data)?;
    // Who wrote the store, which need not be this version.
    let stamp = Stamp::read(data.root()).ok().flatten();
    let version = stamp.map_or_else(|| Version::current().name.clone(), |stamp| stamp.version);
    let (snapshots, now) = (Snapshots::of(data.database()), session.clock.now());
    let take = move || snapshots.take(Reason::Manual, &version, now);
    let taken = tasks::blocking("take a snapshot", take).await.map_err(|error| failed(&error))?;
    session.output.show(&taken, |taken| format!("{}\n", taken.path.display()))?;
    session.output.note(format!("revision {}, {}", taken.revision, bytes(taken.bytes)));
    Ok(Exit::Done)
}
