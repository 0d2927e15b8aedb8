//! What is left of a build goes with it, whether it came to its end or was given up.
//!
//! A step on a thread that blocks cannot be cut off: it goes on when its build is given up. Were the workshop cleared at
//! once, the removal would run beside the step, and go on in a folder that the step was just moving to where it is kept:
//! later builds found half of their dependencies. So each step holds the workshop, and whoever leaves it last clears it. A
//! step that never ends, on a disk that hangs, keeps the app's lock with it: nothing is removed, and who waits for the lock
//! is told so after a while.

use std::ops::Deref;
use std::sync::Arc;

use tandem_kit::tasks;
use tokio::sync::OwnedMutexGuard;

use super::Workshop;

/// A workshop in use, and the app's lock. It is cleared when the last holder drops it; the lock is held until that is done,
/// so that the next build does not meet what is just being removed.
pub(crate) struct Occupied(Option<(Workshop, OwnedMutexGuard<()>)>);

impl Occupied {
    pub(crate) fn new(shop: Workshop, guard: OwnedMutexGuard<()>) -> Self {
        Self(Some((shop, guard)))
    }

    /// Clears it now, unless somebody else still works in it, who does that then.
    pub(crate) async fn leave(self: Arc<Self>) {
        if let Some(last) = Arc::into_inner(self) {
            tasks::blocking("clear the build folder", move || last.clear()).await;
        }
    }

    fn clear(mut self) {
        if let Some((shop, guard)) = self.0.take() {
            clear(&shop, guard);
        }
    }
}

impl Deref for Occupied {
    type Target = Workshop;

    fn deref(&self) -> &Workshop {
        let (shop, _) = self.0.as_ref().expect("it is taken out only by who is the last to hold it");
        shop
    }
}

impl Drop for Occupied {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tandem_kit::clock::Clock;
    use tandem_kit::paths::DataDir;
    use tandem_sandbox::Limits;
    use tandem_types::instance::Isolation;
    use tandem_types::{Span, defaults};

    use super::*;
    use crate::NetworkSettings;
    use crate::workshop::Options;

    #[tokio::test]
    async fn who_leaves_a_workshop_last_clears_it_and_lets_the_next_build_in_behind_that() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        let options = Options {
            data: &data,
            app: &"shop".parse().unwrap(),
            isolation: Isolation::Plain,
            uid: defaults::FIRST_UID,
            network: &NetworkSettings::default(),
            clock: &Clock::system(),
            limit: Span::minutes(1),
            limits: &Limits::default(),
        };
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        for is_given_up in [true, false] {
            let guard = Arc::clone(&lock).lock_owned().await;
            let shop = Arc::new(Occupied::new(Workshop::open(&options).unwrap(), guard));
            let work = shop.work("");
            let step = Arc::clone(&shop);
            if is_given_up {
                drop(shop);
            } else {
                shop.leave().await;
            }
            assert!(work.exists() && lock.try_lock().is_err(), "a step still works there");
            drop(step);
            let _next = tokio::time::timeout(Duration::from_secs(30), lock.lock()).await.unwrap();
            assert!(!work.exists());
        }
    }
}
