//! Sources that are fetched: under the app's lock, in its workshop, as a build is.

use std::sync::Arc;

use tandem_kit::points::{self, Effect};
use tandem_kit::tasks;
use tandem_types::AppName;

use super::part::{Part, count};
use super::{Builder, BuilderConfig};
use crate::git::{self, Attempt, Error, FetchRequest, KeyError, KeyPair};
use crate::workshop::{self, Occupied, Workshop};
use crate::{Events, bounds};

impl Builder {
    /// Makes a key with which the app's source can be fetched; it is on no disk.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn create_key(&self, app: &AppName) -> Result<KeyPair, KeyError> {
        git::create_key(&self.inner.config.data, app).await
    }

    /// Fetches a source into the blob store. What is in the returned tree is durable.
    pub async fn fetch(&self, request: FetchRequest, events: Events<'_>) -> Attempt {
        match self.fetch_in_turn(&request, events).await {
            Ok(attempt) => attempt,
            Err(error) => Attempt { result: Err(error), pins: Vec::new() },
        }
    }

    async fn fetch_in_turn(&self, request: &FetchRequest, events: Events<'_>) -> Result<Attempt, Error> {
        let limit = request.timeout;
        let turn = self.lock_of(&request.app).lock_owned();
        let guard = tokio::time::timeout(limit.as_duration(), turn);
        let guard = guard.await.map_err(|_| crate::Error::Busy { limit })?;
        if let Some(left) = bounds::too_little(self.inner.config.data.root()) {
            return Err(crate::Error::NoRoom { left }.into());
        }
        let (config, app, uid) = (self.inner.config.clone(), request.app.clone(), request.uid);
        let open = move || {
            let BuilderConfig { data, clock, isolation, network, limits, .. } = &config;
            let isolation = *isolation;
            let options =
                workshop::Options { data, app: &app, isolation, uid, network, clock, limit, limits };
            Workshop::open(&options).map(|shop| Occupied::new(shop, guard))
        };
        let shop = Arc::new(tasks::blocking("open build folder", open).await?);
        let part = Part::begin("fetch", &shop, events);
        let bounds = (self.inner.config.isolation, self.inner.config.git_bytes);
        let steps = git::Steps::new(Arc::clone(&shop), self.blobs().clone(), bounds, request);
        let (attempt, files) = steps.run().await;
        if let Ok(fetched) = &attempt.result {
            points::reached(Effect::SourceFetched).await;
            let commit: String =
                fetched.info.commit.iter().flat_map(|commit| commit.chars().take(10)).collect();
            let files = count(files, "file", "files");
            let of = fetched.info.reference.as_ref().or(fetched.info.branch.as_ref());
            part.end(match of.filter(|name| !name.starts_with(&commit)) {
                Some(name) => format!("{name} is {commit}, {files}"),
                None => format!("{commit}, {files}"),
            });
        }
        shop.leave().await;
        Ok(attempt)
    }
}
