//! What is decided about certificates, from the documents; and what people are told of it.

use std::sync::Arc;

use tandem_rules::https::{self, Ability, World};
use tandem_types::Timestamp;
use tandem_types::https::{Certificate, CertificateLine, CertificateOrder, LocalAuthority};
use tandem_types::keys;
use tandem_types::routing::{BalancerStatus, RoutingDocument};

use crate::mirror::Mirror;

/// The world of the rules. Without a balancer that serves HTTPS nobody needs a certificate.
pub(super) fn gather(mirror: &Mirror, acme: Option<&tandem_acme::Config>) -> World {
    let mut reports = mirror.list::<BalancerStatus>(keys::BALANCERS);
    let is_served = reports.any(|(_, report)| !report.value.https.is_empty());
    let routing = mirror.value::<RoutingDocument>(keys::ROUTING_TABLE).filter(|_| is_served);
    let certificates = mirror.list::<Certificate>(keys::CERTIFICATES).map(|(_, found)| found.value);
    let orders = mirror.list::<CertificateOrder>(keys::CERTIFICATE_ORDERS).map(|(_, found)| found.value);
    World {
        lacks_authority: is_served && mirror.value::<LocalAuthority>(keys::LOCAL_AUTHORITY).is_none(),
        domains: routing.map(|routing| https::domains(&routing)).unwrap_or_default(),
        certificates: certificates.map(|one| (one.domain.clone(), one)).collect(),
        orders: orders.map(|one: Arc<CertificateOrder>| (one.domain.clone(), one)).collect(),
        acme: acme.map(|config| Ability { dns: config.dns_hook.is_some() }),
    }
}

/// The certificates in `tandem status`.
pub(crate) fn lines(mirror: &Mirror, acme: Option<&tandem_acme::Config>) -> Vec<CertificateLine> {
    https::lines(&gather(mirror, acme))
}

/// What a person should look at.
pub(crate) fn problems(mirror: &Mirror, acme: Option<&tandem_acme::Config>, now: Timestamp) -> Vec<String> {
    https::problems(&gather(mirror, acme), now)
}
