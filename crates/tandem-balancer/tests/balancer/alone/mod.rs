//! A balancer with a fixed table between real sockets: a file, apps that answer, clients that ask.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::Request;
use http::header::HOST;
use tandem_kit::drain::{self, Trigger};
use tandem_kit::http as bodies;
use tandem_kit::tasks::{self, Owned};
use tokio::sync::{Notify, oneshot};

use super::client::{Answer, ask};
use super::world::within;
use tandem_balancer::RunError;
use tandem_balancer::{Alone, AloneConfig};

mod certificates;
mod folders;
mod handover;
mod routes;
mod tcp;
mod v6;

/// A balancer with a file of routes.
struct Lone {
    folder: tempfile::TempDir,
    /// Where it serves.
    address: SocketAddr,
    /// Where it serves HTTPS.
    secure: SocketAddr,
    asked: Arc<Notify>,
    drain: Trigger,
    run: Owned<Result<(), RunError>>,
}

/// A route of a domain to targets.
fn route(domain: &str, targets: &[&dyn std::fmt::Display]) -> String {
    let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    format!("[[route]]\ndomain = \"{domain}\"\ntargets = [{}]\n", targets.join(", "))
}

/// As a target is written.
fn http(address: SocketAddr) -> String {
    format!("http://{address}")
}

impl Lone {
    /// Serves what a file with this text says.
    async fn serving(text: &str) -> Self {
        Self::serving_in(tempfile::tempdir().unwrap(), text).await
    }

    /// The same in a folder with files.
    async fn serving_in(folder: tempfile::TempDir, text: &str) -> Self {
        Self::serving_at((folder, text), "127.0.0.1:0").await
    }

    /// The same, listening somewhere else.
    async fn serving_at((folder, text): (tempfile::TempDir, &str), at: &str) -> Self {
        let path = folder.path().join("routes.toml");
        tandem_kit::files::write_atomic(&path, text.as_bytes(), 0o644).unwrap();
        let mut config = AloneConfig::new(path, vec![at.parse().unwrap()]);
        config.https = vec![at.parse().unwrap()];
        config.threads = Some(2);
        let alone = within(Alone::build(config)).await.unwrap();
        let secure = alone.secure_addresses()[0];
        let (drain, drained) = drain::channel();
        let (serving, served) = oneshot::channel();
        let asked = Arc::new(Notify::new());
        let run = tasks::owned("alone", alone.run(drained, Some(serving), Arc::clone(&asked)));
        let address = within(served).await.unwrap()[0];
        Self { folder, address, secure, asked, drain, run }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("routes.toml")
    }

    /// Changes the file and has it read at once.
    fn change(&self, text: &str) {
        tandem_kit::files::write_atomic(&self.path(), text.as_bytes(), 0o644).unwrap();
        self.asked.notify_one();
    }

    /// Asks for a page under a host name.
    async fn get(&self, host: &str, path: &str) -> Answer {
        let request = Request::get(path).header(HOST, host).body(bodies::empty()).unwrap();
        ask(self.address, request).await
    }

    /// Asks until an answer is as wanted.
    async fn until(&self, (host, path): (&str, &str), wanted: impl Fn(&Answer) -> bool) -> Answer {
        within(async {
            loop {
                let answer = self.get(host, path).await;
                if wanted(&answer) {
                    return answer;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// Asks it to end and waits for that.
    async fn stop(self) {
        self.drain.fire();
        within(self.run).await.unwrap();
    }
}
