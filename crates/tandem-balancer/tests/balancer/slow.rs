//! Requests that are open for as long as a test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use tandem_kit::tasks;
use tokio::sync::Notify;

use super::app::{App, text};
use super::client::{Answer, Client, get};
use super::world::{World, eventually};

/// An app that says its name; a request to `/slow` waits until it is let go.
pub(super) struct Slow {
    pub(super) address: SocketAddr,
    begun: Arc<AtomicU64>,
    go: Arc<Notify>,
    _app: App,
}

impl Slow {
    pub(super) async fn saying(name: &'static str) -> Self {
        let (begun, go) = (Arc::<AtomicU64>::default(), Arc::<Notify>::default());
        let of_app = (Arc::clone(&begun), Arc::clone(&go));
        let app = App::start(move |request| {
            let (begun, go) = of_app.clone();
            async move {
                if request.uri().path() == "/slow" {
                    begun.fetch_add(1, Ordering::SeqCst);
                    go.notified().await;
                }
                text(name)
            }
        })
        .await;
        Self { address: app.address, begun, go, _app: app }
    }

    /// A slow request on a connection of its own; it has come to the app.
    pub(super) async fn asked(&self, world: &World) -> tasks::Owned<Result<Answer, hyper::Error>> {
        self.sent(world, Method::GET).await
    }

    /// The same with a method.
    pub(super) async fn sent(
        &self,
        world: &World,
        method: Method,
    ) -> tasks::Owned<Result<Answer, hyper::Error>> {
        let mut client = Client::connect(world.address).await;
        let mut request = get("/slow");
        *request.method_mut() = method;
        self.asked_by(async move { client.ask(request).await }).await
    }

    /// A slow request that is sent so; it has come to the app.
    pub(super) async fn asked_by<T: Send + 'static>(
        &self,
        asks: impl Future<Output = T> + Send + 'static,
    ) -> tasks::Owned<T> {
        let before = self.begun.load(Ordering::SeqCst);
        let open = tasks::owned("open", asks);
        eventually(|| self.begun.load(Ordering::SeqCst) == before + 1).await;
        open
    }

    /// Lets one slow request go on.
    pub(super) fn let_go(&self) {
        self.go.notify_one();
    }
}

/// A world that serves the slow `old` and knows of `new`, as instances 1 and 2.
pub(super) async fn old_and_new() -> (World, Slow, App) {
    let (old, new) = (Slow::saying("old").await, App::saying("new").await);
    let world = World::serving(&[old.address]).await;
    world.place(&[(1, old.address), (2, new.address)]);
    (world, old, new)
}
