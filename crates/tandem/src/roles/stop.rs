//! The end of an installation as `tandem down` sees it: waiting for a server that stops, or stopping what a killed one
//! left behind.
//!
//! Instances and the balancer outlive the server by design, so a `kill -9` of it leaves them serving. Nobody but a server
//! could stop them then; this does what the server would: it takes the lock, runs a runner that only stops, and ends
//! the balancer last.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tandem_kit::api::Server;
use tandem_kit::files::{self, LockGuard};
use tandem_kit::paths::DataDir;
use tokio::sync::watch;
use tokio::time::sleep;

use super::lock::Holder;
use super::supervise;
use super::up::runner::Runner;
use crate::data_folder;
use crate::failure::{Failure, chain_of};
use crate::hung;
use crate::output::{Output, Spinner};
use crate::session::Session;

/// Time between two looks at the lock.
const INTERVAL: Duration = Duration::from_millis(50);

/// Returns when no process of this data folder's installation is left.
///
/// # Errors
///
/// There is no data folder, or what was left behind cannot be stopped.
pub(crate) async fn wait_or_stop(session: &Session) -> Result<(), Failure> {
    let folder = session.data();
    if !folder.is_dir() {
        return Err(nothing(&folder));
    }
    let spinner = Spinner::new(&session.output);
    spinner.show("waiting for apps to stop");
    let _lock = wait_for_lock(&data_folder::open(&folder)?, &session.output).await?;
    // Anew: the server that held the lock has removed the runtime folder.
    let data = data_folder::open(&folder)?;
    let runner =
        Runner::start(&data, Server::Unix(data.api_socket()), (watch::channel([].into()).1, &session.clock))
            .await?;
    runner.stop_all().await;
    supervise::stop(&data).await;
    data.remove_runtime().map_err(|error| Failure::new(format!("failed to {}", chain_of(&error))))
}

fn nothing(folder: &Path) -> Failure {
    Failure::new(format!("nothing runs: there is no data folder {}", folder.display()))
        .hint("name another one with --data or TANDEM_DATA")
}

/// The server holds the lock until everything it could stop is stopped. How long that takes is up to the apps' stop
/// times, so there is no limit here; Ctrl-C ends the waiting. Of who is stopped by a signal meanwhile people are told how to
/// let it go on, and the waiting goes on too: what was asked is written down. A runner whose server is dead hears of nothing,
/// and is not killed by a number that was written down: people are told which one it is.
async fn wait_for_lock(data: &DataDir, output: &Output) -> Result<LockGuard, Failure> {
    let mut told = false;
    let mut named = BTreeSet::new();
    loop {
        let lock =
            files::lock_exclusive(&data.lock()).map_err(|e| Failure::chain("lock the data folder", &e))?;
        if let Some(lock) = lock {
            return Ok(lock);
        }
        if let (false, Some(pid)) = (told, Holder::lonely_runner(data.runtime())) {
            told = true;
            output.note(format!(
                "a runner goes on without a server, which would tell it to stop: end it with `kill {pid}`, \
                 and the apps that it leaves are stopped here"
            ));
        }
        for (who, pid) in Holder::all(data.runtime()) {
            if let Some((how, hint)) = hung::held(pid)
                && named.insert(pid)
            {
                output.note(format!("{who} {how}: {hint}"));
            }
        }
        sleep(INTERVAL).await;
    }
}
