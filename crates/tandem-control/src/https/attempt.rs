//! One attempt to get a certificate of an authority: written down first, then made, then its outcome.

use tandem_acme::{Account, Trouble};
use tandem_kit::error::chain;
use tandem_rules::https::failed;
use tandem_store::{Error, Expect, Transaction};
use tandem_types::document::Lease;
use tandem_types::https::{AcmeAccount, CertificateOrder, Signer};
use tandem_types::keys;

use super::published::Publication;
use super::{about, local};
use crate::shared::Shared;

/// Makes an attempt that is due.
///
/// # Errors
/// The store fails, or the lease is lost. What the authority does is written down and no error.
pub(super) async fn run(shared: &Shared, order: &CertificateOrder, lease: &Lease) -> Result<(), Error> {
    let domain = &order.domain;
    write(shared, ("certificate.order", order), lease).await?;
    tracing::info!("asking for a certificate of {domain} (attempt {})", order.attempts);
    let trouble = match make(shared, domain, lease).await {
        Ok(()) => return Ok(()),
        Err(Outcome::Store(error)) => return Err(error),
        Err(Outcome::Trouble(trouble)) => trouble,
    };
    if trouble.unknown_account {
        let transaction = Transaction::new(about("account.forget", &trouble.message, domain)).fenced(lease);
        shared.commit(transaction.delete(keys::ACME_ACCOUNT, Expect::Any)).await?;
    }
    let told = failed(order, &trouble.message, trouble.retry_after, shared.now());
    tracing::warn!("no certificate of {domain}: {trouble}; the next attempt is at {}", told.next);
    write(shared, ("certificate.fail", &told), lease).await
}

/// How an attempt ended that brought no certificate.
enum Outcome {
    Store(Error),
    Trouble(Trouble),
}

impl From<Trouble> for Outcome {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

async fn write(
    shared: &Shared,
    (action, order): (&str, &CertificateOrder),
    lease: &Lease,
) -> Result<(), Error> {
    let reason = order.problem.as_deref().unwrap_or_default();
    let transaction = Transaction::new(about(action, reason, &order.domain)).fenced(lease);
    let key = keys::certificate_order(&order.domain);
    shared.commit(transaction.put(key, order, Expect::Any)).await.map(drop)
}

async fn make(shared: &Shared, domain: &str, lease: &Lease) -> Result<(), Outcome> {
    let account = account(shared, lease).await?;
    let issued = tandem_acme::order(&account, domain, &Publication { shared, lease, domain }).await?;
    let written = local::write(shared, (domain, Signer::Acme), issued, lease).await;
    written.map_err(|failure| match failure {
        local::Failure::Store(error) => Outcome::Store(error),
        other => Outcome::Trouble(Trouble::new(chain(&other))),
    })
}

/// The account that was kept for this authority, or a new one.
async fn account(shared: &Shared, lease: &Lease) -> Result<Account, Outcome> {
    let config = shared.acme.as_ref().ok_or_else(|| Trouble::new("no authority is named: --acme"))?;
    let kept = shared.value::<AcmeAccount>(keys::ACME_ACCOUNT);
    let kept = kept.filter(|kept| kept.directory == config.directory);
    let credentials = kept.map(|kept| shared.keyring.open_value(&kept.credentials)).transpose();
    let credentials = credentials.map_err(|error| Trouble::new(chain(&error)))?;
    let (account, made) = tandem_acme::open(config, credentials.as_deref(), &shared.clock).await?;
    if let Some(text) = made {
        let sealed = shared.keyring.seal(&text).map_err(|error| Trouble::new(chain(&error)))?;
        let (directory, email) = (config.directory.clone(), config.email.clone());
        let kept = AcmeAccount { directory, email, credentials: sealed, created: shared.now() };
        let transaction = Transaction::new(about("account.create", &config.directory, "")).fenced(lease);
        let written = shared.commit(transaction.put(keys::ACME_ACCOUNT, &kept, Expect::Any)).await;
        written.map_err(Outcome::Store)?;
    }
    Ok(account)
}
