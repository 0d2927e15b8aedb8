//! The installation's own authority: made at the first need, its key sealed like config values.

use tandem_certificates::{Authority, Issued, SignError};
use tandem_rules::https::succeeded;
use tandem_store::{Error, Expect, Transaction};
use tandem_types::document::Lease;
use tandem_types::https::{Certificate, LocalAuthority, Signer};
use tandem_types::keys;

use super::about;
use crate::secrets::SealError;
use crate::shared::Shared;

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] Error),
    /// The authority does.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A key cannot be sealed or opened.
    #[error("keep the key of a certificate")]
    Seal(#[from] SealError),
}

/// Signs for a domain and writes it down.
pub(super) async fn sign(shared: &Shared, domain: &str, lease: &Lease) -> Result<(), Failure> {
    let authority = ensure(shared, lease).await?;
    let issued = authority.issue(domain, shared.now())?;
    write(shared, (domain, Signer::Local), issued, lease).await
}

/// Writes a certificate down that was signed, and that its order has come to its end.
pub(super) async fn write(
    shared: &Shared,
    (domain, signer): (&str, Signer),
    issued: Issued,
    lease: &Lease,
) -> Result<(), Failure> {
    let Issued { chain, key, not_before, not_after } = issued;
    let key = shared.keyring.seal(&key)?;
    let certificate = Certificate { domain: domain.to_owned(), signer, chain, key, not_before, not_after };
    let by = match signer {
        Signer::Local => "by the local authority",
        Signer::Acme => "by the authority of --acme",
    };
    let transaction = Transaction::new(about("certificate.write", by, domain)).fenced(lease);
    let mut transaction = transaction.put(keys::certificate(domain), &certificate, Expect::Any);
    if signer == Signer::Acme {
        let order = succeeded(domain, (not_before, not_after), shared.now());
        transaction = transaction.put(keys::certificate_order(domain), &order, Expect::Any);
    }
    shared.commit(transaction).await?;
    tracing::info!("{domain} has a certificate {by} until {not_after}");
    Ok(())
}

/// The authority that was made, or a new one.
pub(super) async fn ensure(shared: &Shared, lease: &Lease) -> Result<Authority, Failure> {
    if let Some(kept) = shared.value::<LocalAuthority>(keys::LOCAL_AUTHORITY) {
        let key = shared.keyring.open_value(&kept.key)?;
        return Ok(Authority::read(&kept.name, &kept.certificate, (&key, kept.not_after))?);
    }
    let now = shared.now();
    let name = name(shared);
    let made = Authority::create(&name, now)?;
    let kept = LocalAuthority {
        name: name.clone(),
        certificate: made.certificate().to_owned(),
        key: shared.keyring.seal(&made.key())?,
        created: now,
        not_after: made.not_after(),
    };
    let transaction = Transaction::new(about("authority.create", &name, "")).fenced(lease);
    shared.commit(transaction.put(keys::LOCAL_AUTHORITY, &kept, Expect::Absent)).await?;
    tracing::info!("made a local authority, {name}; `tandem trust` says how to trust it");
    Ok(made)
}

/// Tells this installation from others in a list of authorities.
fn name(shared: &Shared) -> String {
    let host = shared.hosts.first().map_or("local", |host| host.as_str());
    let mut mark = [0_u8; 4];
    // Without random numbers no key is made either, and that tells it.
    let _ = getrandom::fill(&mut mark);
    format!("Tandem on {host} ({:08x})", u32::from_be_bytes(mark))
}
