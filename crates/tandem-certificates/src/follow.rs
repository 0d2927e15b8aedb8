//! A balancer's certificates: asked of the server when they changed, kept on the disk, so that one that starts while the
//! server is away shows what it had.

use std::path::PathBuf;
use std::time::Duration;

use tandem_kit::api::Client;
use tandem_kit::error::chain;
use tandem_kit::{files, tasks};
use tandem_types::https::ServedCertificates;
use tokio::sync::watch;

use crate::{Certificate, Certificates};

/// Wait before the server is asked again that gave no answer.
const AGAIN: Duration = Duration::from_secs(1);
/// Only for who owns the folder: keys are in it.
const MODE: u32 = 0o600;

/// The file in the balancer's folder.
#[derive(Debug, Clone)]
pub struct Cached(PathBuf);

impl Cached {
    /// The file, whether or not it is there.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// What is in it. A damaged one counts as none: the server has them all.
    #[must_use]
    pub fn load(&self) -> Option<ServedCertificates> {
        let read = files::read_json(&self.0);
        read.unwrap_or_else(|error| {
            tracing::warn!("{}; waiting for the server instead", chain(&error));
            None
        })
    }

    async fn store(&self, served: ServedCertificates) -> Result<(), files::Error> {
        let path = self.0.clone();
        tasks::blocking("keep certificates", move || files::write_json(&path, &served, MODE)).await
    }
}

/// What is followed.
#[derive(Debug)]
pub struct Followed {
    /// Whom to ask.
    pub client: Client,
    /// The path there.
    pub path: String,
    /// Where to keep what was said.
    pub cached: Cached,
    /// Where it is shown.
    pub certificates: Certificates,
}

impl Followed {
    /// Shows what an earlier life of the balancer kept.
    pub async fn show_kept(&self) -> Option<ServedCertificates> {
        let cached = self.cached.clone();
        let kept = tasks::blocking("read kept certificates", move || cached.load()).await;
        if let Some(kept) = &kept {
            show(kept, &self.certificates);
        }
        kept
    }

    /// Shows what the server says, each time `wanted` changes, for ever. `known` is what is shown already.
    pub async fn run(self, mut known: Option<ServedCertificates>, mut wanted: watch::Receiver<u64>) {
        while wanted.changed().await.is_ok() {
            let served = match self.client.get::<ServedCertificates>(&self.path).await {
                Ok(served) => served,
                Err(error) => {
                    tracing::debug!("no certificates: {}", chain(&error));
                    wanted.mark_changed();
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            if known.as_ref() == Some(&served) {
                continue;
            }
            show(&served, &self.certificates);
            if let Err(error) = self.cached.store(served.clone()).await {
                let error = chain(&error);
                tracing::error!("{error}; a restart without the server would show older certificates");
            }
            known = Some(served);
        }
    }
}

fn show(served: &ServedCertificates, certificates: &Certificates) {
    let read = served.certificates.iter().filter_map(|one| {
        let read = Certificate::read(vec![one.domain.clone()], one.chain.as_bytes(), one.key.as_bytes());
        let told = read.inspect_err(|error| tracing::error!("{} is not shown: {}", one.domain, chain(error)));
        told.ok()
    });
    let read: Vec<_> = read.collect();
    tracing::info!("showing certificates: {}", read.len());
    certificates.set(&read);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tandem_types::https::ServedCertificate;

    use super::*;

    #[tokio::test]
    async fn keys_are_kept_for_their_owner_alone_and_a_damaged_file_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certificates.json");
        let cached = Cached::at(path.clone());
        assert_eq!(cached.load(), None);
        let one = ServedCertificate { domain: "a.org".into(), chain: "chain".into(), key: "secret".into() };
        let served = ServedCertificates { certificates: vec![one] };
        cached.store(served.clone()).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(cached.load(), Some(served.clone()));
        assert!(!format!("{served:?}").contains("secret"));
        files::write_atomic(&path, b"{", MODE).unwrap();
        assert_eq!(cached.load(), None);
    }
}
