//! Tasks that belong to a value, and work for threads that may block.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::{JoinError, JoinHandle};

/// Starts a task that ends when the returned handle is dropped; awaiting the handle yields what it returned.
/// For a task that serves one value, such as the driver of a connection; what the process is made of goes through
/// [`super::Tasks`].
#[expect(clippy::disallowed_methods, reason = "this is the one home of spawning")]
pub fn owned<F>(name: &'static str, future: F) -> Owned<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Owned { name, handle: tokio::spawn(future) }
}

/// A task that ends with this handle.
#[derive(Debug)]
pub struct Owned<T> {
    name: &'static str,
    handle: JoinHandle<T>,
}

impl<T> Owned<T> {
    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Future for Owned<T> {
    type Output = T;

    /// A panic of the task goes on in whoever awaits it.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let name = self.name;
        Pin::new(&mut self.handle)
            .poll(context)
            .map(|ended| ended.unwrap_or_else(|error| pass_on(name, error)))
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Runs `work` on a thread where blocking is fine. It cannot be cut off: dropping the future only forgets the result.
/// A panic goes on in the caller.
pub async fn blocking<T, W>(name: &'static str, work: W) -> T
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| pass_on(name, error))
}

fn pass_on<T>(name: &'static str, error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // Only the handle's owner or a runtime that goes down cancels, and neither polls it afterwards.
        Err(_) => unreachable!("task {name} was awaited after the runtime ended"),
    }
}
