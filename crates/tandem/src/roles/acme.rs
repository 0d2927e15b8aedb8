//! Which authority is asked for certificates, as `tandem up` and `tandem server` are told.

use std::path::PathBuf;

use tandem_acme::{Config, Way};

use crate::failure::Failure;

/// Options about it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Certificates")]
pub(super) struct AcmeArgs {
    /// Get certificates from letsencrypt, letsencrypt-staging, or the https:// URL of another authority's directory; by
    /// this you agree to its terms
    #[arg(long, value_name = "AUTHORITY")]
    acme: Option<String>,
    /// Where the authority writes to when something is wrong
    #[arg(long, value_name = "ADDRESS", requires = "acme")]
    acme_email: Option<String>,
    /// How it is shown that a domain leads here: http-01 (port 80), tls-alpn-01 (port 443) or dns-01
    #[arg(long, value_name = "WAY", default_value = "http-01", requires = "acme")]
    acme_challenge: Way,
    /// Command that sets records of domains, for dns-01 and wildcards: COMMAND set|remove NAME VALUE
    #[arg(long, value_name = "COMMAND", requires = "acme")]
    acme_dns_hook: Option<String>,
    /// Roots (PEM) by which the authority itself is known, instead of the system's
    #[arg(long, value_name = "FILE", requires = "acme")]
    acme_ca: Option<PathBuf>,
}

impl AcmeArgs {
    /// What was asked for.
    ///
    /// # Errors
    ///
    /// An authority that makes no sense.
    pub(super) fn config(&self) -> Result<Option<Config>, Failure> {
        let Some(authority) = &self.acme else { return Ok(None) };
        let config = Config::new(authority);
        let refuse = |why| {
            Failure::usage(format!("--acme {authority}: {why}"))
                .hint("`--acme letsencrypt-staging` is there to try things out, see docs/https.md")
        };
        let config = config.map_err(refuse)?;
        if self.acme_challenge == Way::Dns01 && self.acme_dns_hook.is_none() {
            return Err(Failure::usage("--acme-challenge dns-01 needs a command that sets records")
                .hint("name it with --acme-dns-hook COMMAND, see docs/https.md"));
        }
        Ok(Some(Config {
            email: self.acme_email.clone(),
            roots: self.acme_ca.clone(),
            way: self.acme_challenge,
            dns_hook: self.acme_dns_hook.clone(),
            ..config
        }))
    }
}
