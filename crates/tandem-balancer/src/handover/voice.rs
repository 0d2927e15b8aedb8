//! Who speaks for the balancer: reports to the server and writes the state file. One process at a time.
//!
//! Two that did would contradict each other: the server would take an instance for drained because the process that
//! reported last has no request with it.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockWriteGuard, RwLock, RwLockReadGuard};

/// The right to speak, shared by whatever speaks in this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Voice(Arc<RwLock<bool>>);

/// Held while something is being said.
#[derive(Debug)]
pub(crate) struct Speaking<'a> {
    _lost: RwLockReadGuard<'a, bool>,
}

/// While this is held nobody here speaks.
#[derive(Debug)]
pub(crate) struct Silence(OwnedRwLockWriteGuard<bool>);

impl Voice {
    /// Waits for the right to speak. None: another process has it for good.
    pub(crate) async fn speak(&self) -> Option<Speaking<'_>> {
        let lost = self.0.read().await;
        (!*lost).then_some(Speaking { _lost: lost })
    }

    /// Waits until what is being said is said, and lets nothing more begin.
    pub(crate) async fn silence(&self) -> Silence {
        Silence(Arc::clone(&self.0).write_owned().await)
    }
}

impl Silence {
    /// Another process speaks from now on.
    pub(crate) fn for_good(mut self) {
        *self.0 = true;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn silence_waits_for_what_is_being_said_and_is_final_only_when_it_is_said_so() {
        let voice = Voice::default();
        let speaking = voice.speak().await.unwrap();
        let mut silence = std::pin::pin!(voice.silence());
        assert!(silence.as_mut().now_or_never().is_none(), "somebody speaks");
        drop(speaking);
        let silence = silence.await;
        assert!(voice.speak().now_or_never().is_none(), "nobody may begin");
        drop(silence);
        assert!(voice.speak().await.is_some());
        voice.silence().await.for_good();
        assert!(voice.speak().await.is_none());
    }
}
