//! What balancers and people get: certificates with their keys for the ones, the authority's own for the others.

use tandem_types::https::{
    AuthorityCertificate, Certificate, LocalAuthority, ServedCertificate, ServedCertificates,
};
use tandem_types::problem::Problem;
use tandem_types::{BalancerId, keys};

use crate::handle::Handle;
use crate::problem;

impl Handle {
    /// All certificates with their keys, for a balancer to show.
    ///
    /// # Errors
    /// `internal` where a key cannot be opened, or the store fails.
    pub async fn served_certificates(&self, _balancer: &BalancerId) -> Result<ServedCertificates, Problem> {
        // A balancer asks as soon as it is told of one, and it may be told before our mirror is.
        let documents = self.shared.store.list(keys::CERTIFICATES).await;
        let documents = documents.map_err(|error| problem::store("read certificates", &error))?.documents;
        let mut served = ServedCertificates::default();
        for document in documents {
            let Ok(found) = serde_json::from_value::<Certificate>(document.body) else { continue };
            let key = self.shared.keyring.open_value(&found.key);
            let key = key.map_err(|error| problem::internal("open the key of a certificate", &error))?;
            served.certificates.push(ServedCertificate { domain: found.domain, chain: found.chain, key });
        }
        Ok(served)
    }

    /// The installation's own authority, to be trusted.
    ///
    /// # Errors
    /// `authority_not_found` where there was no need of one yet.
    pub fn authority(&self) -> Result<AuthorityCertificate, Problem> {
        let kept = self.shared.value::<LocalAuthority>(keys::LOCAL_AUTHORITY);
        let kept = kept.ok_or_else(|| {
            Problem::new(
                404,
                "authority_not_found",
                "there is no local authority yet: no balancer serves HTTPS",
            )
            .hint("start `tandem up --https 127.0.0.1:8443`, then type `tandem trust` again")
        })?;
        let LocalAuthority { name, certificate, not_after, .. } = (*kept).clone();
        Ok(AuthorityCertificate { name, certificate, not_after })
    }
}
