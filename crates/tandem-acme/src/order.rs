//! One attempt for one domain: order, challenge, chain.

use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use instant_acme::{AuthorizationStatus, ChallengeType, Identifier, NewOrder, OrderStatus, RetryPolicy};
use tandem_certificates::{Issued, Request, validity};

use crate::account::Account;
use crate::config::Way;
use crate::hook;
use crate::trouble::{Trouble, words};

/// How long the authority is waited for, twice: until it has looked, and until it has signed.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));

/// What is answered to the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// This text to this token, over HTTP.
    Http {
        /// Last part of the path.
        token: String,
        /// The answer.
        authorization: String,
    },
    /// A certificate with this digest, at a handshake.
    TlsAlpn {
        /// The name that is asked for.
        domain: String,
        /// SHA-256 in hexadecimal digits.
        digest: String,
    },
    /// A TXT record.
    Dns {
        /// Its whole name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// Has balancers answer.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Returns once every one that may be asked answers.
    ///
    /// # Errors
    /// One does not.
    async fn publish(&self, challenge: &Challenge) -> Result<(), Trouble>;

    /// It need not be answered any more.
    async fn withdraw(&self, challenge: &Challenge);
}

/// Gets a certificate.
///
/// # Errors
/// Any step fails; what was published is withdrawn then, too.
pub async fn order(account: &Account, domain: &str, publisher: &dyn Publisher) -> Result<Issued, Trouble> {
    let mut published = Vec::new();
    let ended = attempt(account, domain, (publisher, &mut published)).await;
    for challenge in &published {
        withdraw(account, challenge, publisher).await;
    }
    ended.map_err(|trouble| Trouble { retry_after: account.left_alone.get(), ..trouble })
}

async fn attempt(
    account: &Account,
    domain: &str,
    (publisher, published): (&dyn Publisher, &mut Vec<Challenge>),
) -> Result<Issued, Trouble> {
    let said = |error: instant_acme::Error| Trouble::said("speak to the authority", &error);
    let identifiers = [Identifier::Dns(domain.to_owned())];
    let mut order = account.account.new_order(&NewOrder::new(&identifiers)).await.map_err(said)?;
    if order.state().status == OrderStatus::Pending {
        convince(&mut order, (account, domain), (publisher, published)).await?;
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) | Err(instant_acme::Error::Api(_)) => return Err(refusal(&mut order).await),
            Err(error) => return Err(said(error)),
        }
    }
    let request = Request::of(domain).map_err(|error| Trouble::of("make a key", &error))?;
    order.finalize_csr(&request.der).await.map_err(said)?;
    let chain = order.poll_certificate(&PATIENCE).await.map_err(said)?;
    let (not_before, not_after) =
        validity(&chain).map_err(|error| Trouble::of("understand the authority", &error))?;
    Ok(Issued { chain, key: request.key, not_before, not_after })
}

/// Publishes what the authority wants to see, and tells it to look.
async fn convince(
    order: &mut instant_acme::Order,
    (account, domain): (&Account, &str),
    (publisher, published): (&dyn Publisher, &mut Vec<Challenge>),
) -> Result<(), Trouble> {
    let said = |error: instant_acme::Error| Trouble::said("speak to the authority", &error);
    let way = account.config.way_for(domain);
    let way = way.ok_or_else(|| Trouble::new("a wildcard needs --acme-dns-hook"))?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(said)?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let kind = match way {
            Way::Http01 => ChallengeType::Http01,
            Way::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Way::Dns01 => ChallengeType::Dns01,
        };
        let unknown = || Trouble::new("the authority cannot be convinced in this way: see --acme-challenge");
        let mut handle = authorization.challenge(kind).ok_or_else(unknown)?;
        let answer = handle.key_authorization();
        let name = domain.strip_prefix("*.").unwrap_or(domain);
        let challenge = match way {
            Way::Http01 => {
                Challenge::Http { token: handle.token.clone(), authorization: answer.as_str().to_owned() }
            }
            Way::TlsAlpn01 => {
                Challenge::TlsAlpn { domain: name.to_owned(), digest: digits(answer.digest().as_ref()) }
            }
            Way::Dns01 => {
                Challenge::Dns { name: format!("_acme-challenge.{name}"), value: answer.dns_value() }
            }
        };
        published.push(challenge.clone());
        publish(account, &challenge, publisher).await?;
        handle.set_ready().await.map_err(said)?;
    }
    Ok(())
}

async fn publish(account: &Account, challenge: &Challenge, publisher: &dyn Publisher) -> Result<(), Trouble> {
    match (challenge, &account.config.dns_hook) {
        (Challenge::Dns { name, value }, Some(command)) => hook::run(command, "set", (name, value)).await,
        _ => publisher.publish(challenge).await,
    }
}

async fn withdraw(account: &Account, challenge: &Challenge, publisher: &dyn Publisher) {
    match (challenge, &account.config.dns_hook) {
        (Challenge::Dns { name, value }, Some(command)) => {
            if let Err(trouble) = hook::run(command, "remove", (name, value)).await {
                tracing::warn!("the record {name} may be left: {trouble}");
            }
        }
        _ => publisher.withdraw(challenge).await,
    }
}

/// What the authority found when it looked.
async fn refusal(order: &mut instant_acme::Order) -> Trouble {
    let mut found = order.state().error.as_ref().map(words);
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await {
            found = state.challenges.iter().find_map(|one| one.error.as_ref().map(words)).or(found);
        }
    }
    Trouble::new(found.unwrap_or_else(|| "the authority refused it and does not say why".to_owned()))
}

fn digits(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
