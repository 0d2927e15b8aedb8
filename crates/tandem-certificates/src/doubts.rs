//! What browsers will say against a certificate, said to those who run the balancer before.

use jiff::SignedDuration;
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use tandem_types::Timestamp;

use super::shown::Certificate;
use super::validity;

/// Time before its end from which on a certificate is told: it should have been renewed by then, and somebody is there to do so.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Why clients refuse a certificate, or will soon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It does not hold yet.
    #[error("it does not hold before {0}")]
    Early(Timestamp),
    /// It holds no more.
    #[error("it ended at {0}")]
    Ended(Timestamp),
    /// It will not hold for long.
    #[error("it ends at {0}")]
    Ends(Timestamp),
    /// It is shown for a name that is not in it.
    #[error("{0} is not among its names")]
    Name(String),
}

impl Certificate {
    /// What there is against it at this time.
    #[must_use]
    pub fn doubts(&self, now: Timestamp) -> Vec<Doubt> {
        let Some(own) = self.chain().first() else { return Vec::new() };
        let mut doubts = Vec::new();
        if let Some((from, to)) = validity::read(own) {
            match () {
                () if now < from => doubts.push(Doubt::Early(from)),
                () if now >= to => doubts.push(Doubt::Ended(to)),
                () if to.duration_since(now) <= SOON => doubts.push(Doubt::Ends(to)),
                () => {}
            }
        }
        let Ok(parsed) = ParsedCertificate::try_from(own) else { return doubts };
        let is_in_it = |domain: &&String| {
            // Of a wildcard, any name that it covers.
            let name =
                domain.strip_prefix("*.").map_or_else(|| (*domain).clone(), |parent| format!("any.{parent}"));
            let name = ServerName::try_from(name);
            name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
        };
        let others = self.domains.iter().filter(|domain| !is_in_it(domain));
        doubts.extend(others.map(|domain| Doubt::Name(domain.clone())));
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    fn shown_for(domains: &[&str], now: Timestamp) -> (Certificate, Timestamp) {
        let authority = Authority::create("test", now).unwrap();
        let issued = authority.issue("shop.localhost", now).unwrap();
        let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
        (
            Certificate::read(domains, issued.chain.as_bytes(), issued.key.as_bytes()).unwrap(),
            issued.not_after,
        )
    }

    #[test]
    fn what_does_not_hold_or_not_for_long_is_told() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let (certificate, end) = shown_for(&["shop.localhost"], now);
        assert_eq!(certificate.doubts(now), []);
        let before = "2026-11-20T12:00:00Z".parse().unwrap();
        assert!(matches!(certificate.doubts(before)[..], [Doubt::Early(_)]));
        let last = Timestamp::from_second(end.as_second() - 3600).unwrap();
        assert_eq!(certificate.doubts(last), [Doubt::Ends(end)]);
        assert_eq!(certificate.doubts(end), [Doubt::Ended(end)]);
    }

    #[test]
    fn a_name_that_is_not_in_it_is_told() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let (certificate, _) = shown_for(&["shop.localhost", "other.example", "*.example.org"], now);
        let others = ["other.example", "*.example.org"].map(|name| Doubt::Name(name.to_owned()));
        assert_eq!(certificate.doubts(now), others);
    }
}
