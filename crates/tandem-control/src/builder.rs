//! What makes a build of source. The real one is `tandem_build`; control knows only what it asks and gets.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tandem_types::build::Build;
use tandem_types::event::Event;
use tandem_types::problem::Problem;
use tandem_types::rollout::Source;
use tandem_types::{AppName, BuildNumber};

/// A builder that its users share.
pub type SharedBuilder = Arc<dyn Builder>;

/// Takes what people should see while a build runs: parts, lines, warnings.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// Source to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOrder {
    /// The app.
    pub app: AppName,
    /// The number the build gets. A build that was cut off is made again under the same one.
    pub number: BuildNumber,
    /// The source, already in the blob store.
    pub source: Source,
    /// User and group id of the app's environment, for commands of the build.
    pub uid: u32,
}

/// Makes builds. Dropping the future stops the build and everything it started.
pub trait Builder: Send + Sync {
    /// Builds, and keeps the parts in the blob store before it answers.
    fn build(&self, order: BuildOrder, events: Events) -> BoxFuture<'static, Result<Build, Problem>>;
}
