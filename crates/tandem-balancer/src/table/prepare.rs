//! Gets a balancer ready for a table: its new instances answer, its static files are here.

use std::sync::Arc;

use futures_util::future::join_all;
use tandem_kit::api::Client;
use tandem_kit::error::chain;

use super::Instance;
use crate::probe::{Target, probe};
use tandem_static::{Folder, LoadError, Shelf, Site, load, prove};

/// What is to be done before a table can be served.
#[derive(Debug)]
pub(crate) struct Preparation {
    /// Its pools.
    pub pools: Vec<NewPool>,
    /// Folders without which it is not served, with their own trees alone: a release takes traffic with its files or not at all.
    pub folders: Vec<Folder>,
    /// Trees that are tried once and not waited for: of earlier builds, whose pages are open somewhere. One that is gone
    /// for good must not keep every app of the installation from being deployed and rolled back.
    pub wished: Vec<Arc<Site>>,
    /// Where they go.
    pub shelf: Shelf,
}

/// A pool of the table.
#[derive(Debug)]
pub(crate) struct NewPool {
    /// App, environment and release, for people.
    pub name: String,
    /// Members that are served already.
    pub old: Vec<Arc<Instance>>,
    /// Members that are not.
    pub new: Vec<Target>,
}

impl Preparation {
    /// Tries once to do it. The health of new instances is written down as found.
    ///
    /// # Errors
    /// Why the table cannot be served yet, for people.
    pub(crate) async fn attempt(&self, client: &Client) -> Result<(), String> {
        let proofs = join_all(self.folders.iter().map(|folder| prove(client, &self.shelf, folder)));
        let wished = self.load(client);
        let probes = join_all(self.pools.iter().map(NewPool::probe));
        let (proofs, wished, probes) = tokio::join!(proofs, wished, probes);
        // Told when the table is served, from when on they are tried until they come.
        for error in wished.into_iter().filter_map(Result::err) {
            tracing::debug!("went on without static files of an earlier build: {}", chain(&error));
        }
        let unproven = proofs.into_iter().filter_map(Result::err).map(|error| chain(&error));
        let problems: Vec<_> = probes.into_iter().filter_map(Result::err).chain(unproven).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    async fn load(&self, client: &Client) -> Vec<Result<(), LoadError>> {
        let sites = self.wished.iter().filter(|site| !site.is_loaded());
        join_all(sites.map(|site| load(client, &self.shelf, site))).await
    }
}

impl NewPool {
    /// At least one member must answer; the others come in when they do.
    async fn probe(&self) -> Result<(), String> {
        let probes = join_all(self.new.iter().map(|target| async move {
            let probed = probe(target).await;
            target.instance.set_healthy(probed.is_ok());
            probed.map_err(|error| format!("{}: {}", target.instance.id(), chain(&error)))
        }));
        let probes = probes.await;
        let answers = probes.iter().any(Result::is_ok) || self.old.iter().any(|old| old.is_healthy());
        if answers || probes.is_empty() {
            return Ok(());
        }
        let reasons: Vec<_> = probes.into_iter().filter_map(Result::err).collect();
        Err(format!("no instance of {} answers ({})", self.name, reasons.join(", ")))
    }
}
