//! What makes a build of source. The real one is `tandem_build`; control knows only what it asks and gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tandem_blobs::BlobStore;
use tandem_build::Stock;
use tandem_build::git::{Attempt, FetchRequest, KeyPair};
use tandem_kit::error::chain;
use tandem_rules::room::{Kept, Use};
use tandem_types::build::Build;
use tandem_types::event::Event;
use tandem_types::problem::Problem;
use tandem_types::rollout::Source;
use tandem_types::{AppName, BuildNumber, Digest, defaults};

use crate::problem;

/// What of which app a builder keeps only to be quicker.
pub type Stocked = (AppName, Stock);

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
    /// Fetches a source into the blob store.
    fn fetch(&self, request: FetchRequest, events: Events) -> BoxFuture<'static, Attempt>;

    /// Makes a key with which an app's source can be fetched.
    fn create_key(&self, app: AppName) -> BoxFuture<'static, Result<KeyPair, Problem>>;

    /// Builds, and keeps the parts in the blob store before it answers.
    fn build(&self, order: BuildOrder, events: Events) -> BoxFuture<'static, Result<Build, Problem>>;

    /// URL prefix → root tree of the files that balancers serve under it.
    ///
    /// # Errors
    /// Parts of the build are no longer here.
    fn static_trees(&self, build: &Build, blobs: &BlobStore) -> Result<BTreeMap<String, Digest>, Problem>;

    /// Roots of trees that the builder's caches name: a sweep that spares them spares the next builds some work.
    fn cached_roots(&self) -> Vec<Digest>;

    /// What is kept only to be quicker the next time. Takes a while.
    fn stock(&self) -> BoxFuture<'static, Vec<Kept<Stocked>>>;

    /// Removes some of that, unless a build of the app is under way.
    fn remove_stock(&self, key: Stocked) -> BoxFuture<'static, ()>;

    /// Removes everything that is kept for an app.
    fn forget(&self, app: AppName) -> BoxFuture<'static, ()>;
}

/// The real builder.
pub struct SourceBuilder(tandem_build::Builder);

impl SourceBuilder {
    /// Ready for [`crate::ControlConfig`].
    #[must_use]
    pub fn shared(builder: tandem_build::Builder) -> SharedBuilder {
        Arc::new(Self(builder))
    }
}

impl Builder for SourceBuilder {
    fn fetch(&self, request: FetchRequest, events: Events) -> BoxFuture<'static, Attempt> {
        let builder = self.0.clone();
        Box::pin(async move { builder.fetch(request, &*events).await })
    }

    fn create_key(&self, app: AppName) -> BoxFuture<'static, Result<KeyPair, Problem>> {
        let builder = self.0.clone();
        Box::pin(async move { builder.create_key(&app).await.map_err(|error| error.to_problem()) })
    }

    fn build(&self, order: BuildOrder, events: Events) -> BoxFuture<'static, Result<Build, Problem>> {
        let builder = self.0.clone();
        let request = tandem_build::BuildRequest {
            app: order.app,
            number: order.number,
            tree: order.source.tree,
            source: order.source.info,
            uid: order.uid,
            timeout: defaults::BUILD_TIMEOUT,
        };
        let built = async move { builder.build(request, &*events).await.map_err(|error| error.to_problem()) };
        Box::pin(built)
    }

    fn static_trees(&self, build: &Build, blobs: &BlobStore) -> Result<BTreeMap<String, Digest>, Problem> {
        let trees = tandem_build::static_trees(build, blobs);
        // Asked again and again; who asks tells it once.
        trees.map_err(|error| Problem::new(500, "internal", format!("failed to {}", chain(&error))))
    }

    fn cached_roots(&self) -> Vec<Digest> {
        self.0.roots()
    }

    fn stock(&self) -> BoxFuture<'static, Vec<Kept<Stocked>>> {
        let builder = self.0.clone();
        Box::pin(async move {
            let kept = |stocked: tandem_build::Stocked| Kept {
                key: (stocked.app, stocked.stock),
                used: match stocked.stock {
                    Stock::Copies => Use::Copies,
                    Stock::Downloads | Stock::Repository => Use::Downloads,
                    Stock::Parts => Use::Parts,
                },
                bytes: stocked.bytes,
                last_used: stocked.last_used,
            };
            builder.stock().await.into_iter().map(kept).collect()
        })
    }

    fn remove_stock(&self, (app, stock): Stocked) -> BoxFuture<'static, ()> {
        let builder = self.0.clone();
        Box::pin(async move {
            match builder.remove_stock(&app, stock).await {
                Ok(true) => tracing::info!(app.id = %app, "gave back what builds of {app} kept: {stock:?}"),
                Ok(false) => {}
                Err(error) => drop(problem::internal("give back what builds keep", &error)),
            }
        })
    }

    fn forget(&self, app: AppName) -> BoxFuture<'static, ()> {
        let builder = self.0.clone();
        Box::pin(async move {
            if let Err(error) = builder.forget(&app).await {
                problem::internal("remove the build folder", &error);
            }
        })
    }
}
