//! What balancers answer to an authority: published in one document, and confirmed by every live balancer before the
//! authority is told to look.

use std::time::Duration;

use async_trait::async_trait;
use tandem_acme::{Challenge, Publisher, Trouble};
use tandem_kit::error::chain;
use tandem_store::{Error, Expect, Transaction};
use tandem_types::document::Lease;
use tandem_types::https::Challenges;
use tandem_types::routing::BalancerStatus;
use tandem_types::{BalancerId, defaults, keys};
use tokio::time::timeout;

use super::about;
use crate::shared::Shared;

/// Longest wait for the word of all live balancers.
const LIMIT: Duration = Duration::from_secs(30);

/// Publishes for one domain.
pub(crate) struct Publication<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) lease: &'a Lease,
    pub(crate) domain: &'a str,
}

#[async_trait]
impl Publisher for Publication<'_> {
    async fn publish(&self, challenge: &Challenge) -> Result<(), Trouble> {
        let mut all = Challenges::default();
        match challenge.clone() {
            Challenge::Http { token, authorization } => drop(all.http.insert(token, authorization)),
            Challenge::TlsAlpn { domain, digest } => drop(all.tls_alpn.insert(domain, digest)),
            Challenge::Dns { .. } => return Ok(()),
        }
        let written = self.write("challenge.publish", all).await;
        let number =
            written.map_err(|error| Trouble::new(format!("failed to publish it: {}", chain(&error))))?;
        self.confirmed(number).await
    }

    async fn withdraw(&self, _challenge: &Challenge) {
        // There is one at a time. What is left of one that died is replaced by the next.
        if let Err(error) = self.write("challenge.withdraw", Challenges::default()).await {
            tracing::warn!("what {} was asked for is still answered: {}", self.domain, chain(&error));
        }
    }
}

impl Publication<'_> {
    /// Writes what is answered now; returns its number.
    async fn write(&self, action: &str, all: Challenges) -> Result<u64, Error> {
        let stored = self.shared.get::<Challenges>(keys::CHALLENGES);
        let number = stored.as_ref().map_or(0, |stored| stored.value.number) + 1;
        let expect = stored.map_or(Expect::Absent, |stored| stored.unchanged());
        let transaction = Transaction::new(about(action, "", self.domain)).fenced(self.lease);
        let transaction = transaction.put(keys::CHALLENGES, &Challenges { number, ..all }, expect);
        self.shared.commit(transaction).await?;
        Ok(number)
    }

    async fn confirmed(&self, number: u64) -> Result<(), Trouble> {
        let mut news = self.shared.generation.subscribe();
        let all = async {
            while !self.behind(number).is_empty() {
                if news.changed().await.is_err() {
                    return;
                }
            }
        };
        let ended = timeout(LIMIT, all).await;
        let behind = self.behind(number);
        if ended.is_ok() && behind.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = behind.iter().map(BalancerId::as_str).collect();
        Err(Trouble::new(format!(
            "the authority was not asked, since it may ask any balancer and these do not answer for it yet: {}",
            names.join(", ")
        )))
    }

    /// Live balancers that have not said that they answer it. Not by `<`: in a store that was put back numbers come again.
    fn behind(&self, number: u64) -> Vec<BalancerId> {
        let now = self.shared.now();
        self.shared.look(|mirror| {
            let reports = mirror.list::<BalancerStatus>(keys::BALANCERS);
            let live = reports.filter(|(_, report)| {
                let silent_at = report.heard.checked_add(defaults::BALANCER_LIVE.as_duration());
                silent_at.is_ok_and(|silent_at| now < silent_at)
            });
            let behind = live.filter(|(_, report)| report.value.challenges != number);
            behind.map(|(_, report)| report.value.balancer.clone()).collect()
        })
    }
}
