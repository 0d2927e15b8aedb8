//! `deploy`: new source.

use tandem_kit::tasks;
use tandem_types::git::GitSource;
use tandem_types::problem::Problem;
use tandem_types::rollout::Source;

use super::Ask;
use crate::handle::Handle;
use crate::place::Place;
use crate::problem;

impl Handle {
    pub(super) async fn ask_deploy(&self, place: &Place, source: Source, ask: Ask) -> Result<Ask, Problem> {
        self.admit_source().await?;
        let (blobs, tree) = (self.shared.blobs.clone(), source.tree);
        let here = tasks::blocking("look for source", move || blobs.missing(&[tree])).await;
        let missing = here.map_err(|error| problem::internal("look for the source", &error))?;
        if !missing.is_empty() {
            let title = format!("the source {} is not on this server", tree.short());
            return Err(Problem::new(422, "source_missing", title).hint("tandem deploy sends it first"));
        }
        self.ensure_environment(place, &ask.cause).await?;
        Ok(Ask { source: Some(source), ..ask })
    }

    /// What the URL leads to is found out by the fetch; that it may be fetched from at all is certain before anything is
    /// written down.
    pub(super) async fn ask_deploy_git(
        &self,
        place: &Place,
        git: GitSource,
        ask: Ask,
    ) -> Result<Ask, Problem> {
        self.admit_source().await?;
        tandem_build::git::check(&git).map_err(|refused| refused.to_problem())?;
        self.ensure_environment(place, &ask.cause).await?;
        Ok(Ask { git: Some(git), ..ask })
    }
}
