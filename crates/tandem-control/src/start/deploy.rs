//! `deploy`: new source.

use tandem_kit::tasks;
use tandem_types::problem::Problem;
use tandem_types::rollout::Source;

use super::Ask;
use crate::handle::Handle;
use crate::place::Place;

impl Handle {
    pub(super) async fn ask_deploy(&self, place: &Place, source: Source, ask: Ask) -> Result<Ask, Problem> {
        let (blobs, tree) = (self.shared.blobs.clone(), source.tree);
        let here = tasks::blocking("look for source", move || blobs.has(&[tree])).await;
        if here != [true] {
            let title = format!("the source {} is not on this server", tree.short());
            return Err(Problem::new(422, "source_missing", title).hint("tandem deploy sends it first"));
        }
        self.ensure_environment(place, &ask.cause).await?;
        Ok(Ask { source: Some(source), ..ask })
    }
}
