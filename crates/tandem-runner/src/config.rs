//! The config of a release, asked for when a process is to start.
//!
//! It is not in the assignment, so that secrets travel only to hosts that need them, when they need them.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_kit::api::Error;
use tandem_types::api::InstanceConfig;
use tandem_types::{JobId, ReleaseNumber};

use crate::context::Context;
use crate::intent::Place;

/// First wait after the server could not be asked; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Waits between questions to a server that does not answer them.
#[derive(Debug)]
pub(crate) struct Patience(Duration);

impl Patience {
    /// Fresh.
    pub(crate) fn new() -> Self {
        Self(FIRST_WAIT)
    }

    /// Waits, and the next time longer.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_WAIT);
    }
}

/// Whether the server said no, so that asking again would not help a command that is to run once.
pub(crate) fn is_refusal(error: &Error) -> bool {
    error.problem().is_some_and(|problem| (400..500).contains(&problem.status))
}

/// Asks once. For a job, which is named, that is also the question whether it still is to begin.
///
/// # Errors
/// The server is away, or refuses.
pub(crate) async fn fetch(
    Context { client, host, .. }: &Context,
    Place { app, environment }: &Place,
    release: ReleaseNumber,
    job: Option<JobId>,
) -> Result<BTreeMap<String, String>, Error> {
    let job = job.map_or_else(String::new, |job| format!("?job={job}"));
    let path = format!("/v1/hosts/{host}/config/{app}/{environment}/{release}{job}");
    let config: InstanceConfig = client.get(&path).await?;
    Ok(config.environment)
}
