//! What is left of a build goes with it, whether it came to its end or was given up.

use std::sync::Arc;

use tandem_kit::tasks;
use tokio::sync::OwnedMutexGuard;

use crate::workshop::Workshop;

/// Clears the workshop, at the latest when it is dropped; the app's lock is held until that is done, so that the next build
/// does not meet what is just being removed.
pub(super) struct Cleaning(Option<(Arc<Workshop>, OwnedMutexGuard<()>)>);

impl Cleaning {
    pub(super) fn after(shop: &Arc<Workshop>, guard: OwnedMutexGuard<()>) -> Self {
        Self(Some((Arc::clone(shop), guard)))
    }

    /// Cleans now.
    pub(super) async fn clean(mut self) {
        if let Some((shop, guard)) = self.0.take() {
            tasks::blocking("clear the build folder", move || clear(&shop, guard)).await;
        }
    }
}

impl Drop for Cleaning {
    fn drop(&mut self) {
        let Some((shop, guard)) = self.0.take() else { return };
        let thread = std::thread::Builder::new().name("clean".to_owned());
        if let Err(error) = thread.spawn(move || clear(&shop, guard)) {
            tracing::warn!(%error, "the next build removes what is left of one that was given up");
        }
    }
}

fn clear(shop: &Workshop, guard: OwnedMutexGuard<()>) {
    if let Err(error) = shop.clear() {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "the next build removes what is left of this one");
    }
    drop(guard);
}
