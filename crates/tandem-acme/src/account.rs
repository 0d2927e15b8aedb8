//! The account at an authority: made once, kept by others, opened again.

use instant_acme::{AccountCredentials, NewAccount};
use tandem_kit::clock::Clock;

use crate::config::Config;
use crate::trouble::Trouble;
use crate::wire::{LeftAlone, Wire};

/// An account, ready to order.
pub struct Account {
    pub(crate) account: instant_acme::Account,
    pub(crate) left_alone: LeftAlone,
    pub(crate) config: Config,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.account.id())
    }
}

/// Opens the account of these credentials, or makes one and returns its credentials, a secret to be kept.
///
/// # Errors
/// The authority is not reached or refuses.
pub async fn open(
    config: &Config,
    credentials: Option<&str>,
    clock: &Clock,
) -> Result<(Account, Option<String>), Trouble> {
    let wire = Wire::new(config.roots.as_deref(), clock)?;
    let left_alone = wire.left_alone();
    let told = |error: instant_acme::Error| Trouble {
        retry_after: left_alone.get(),
        ..Trouble::said("reach the authority", &error)
    };
    let builder = instant_acme::Account::builder_with_http(Box::new(wire));
    let (account, made) = match credentials {
        Some(text) => {
            let credentials: AccountCredentials = serde_json::from_str(text)
                .map_err(|_| Trouble::new("the account that was kept is not understood"))?;
            (builder.from_credentials(credentials).await.map_err(told)?, None)
        }
        None => {
            let contact = config.email.as_ref().map(|email| format!("mailto:{email}"));
            let contact: Vec<_> = contact.iter().map(String::as_str).collect();
            let new =
                NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
            let (account, credentials) =
                builder.create(&new, config.directory.clone(), None).await.map_err(told)?;
            let text = serde_json::to_string(&credentials)
                .map_err(|error| Trouble::of("keep the account", &error))?;
            (account, Some(text))
        }
    };
    Ok((Account { account, left_alone, config: config.clone() }, made))
}
