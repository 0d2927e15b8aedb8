//! Certificates: there once a balancer shows them, sealed, and a challenge is confirmed by every balancer before it counts.

use std::pin::pin;

use tandem_acme::{Challenge, Publisher};
use tandem_store::JournalQuery;
use tandem_types::https::{Certificate, Challenges, LocalAuthority, Signer};
use tandem_types::instance::Address;
use tandem_types::routing::BalancerStatus;
use tandem_types::{Fence, Timestamp, defaults, keys};

use super::actors::cut_off;
use super::site::Site;
use crate::https::Publication;

const DOMAIN: &str = "guestbook.localhost";

fn secure(name: &str, challenges: u64) -> BalancerStatus {
    let https = vec![Address::Tcp("127.0.0.1:8443".parse().expect("an address"))];
    BalancerStatus { https, challenges, ..cut_off(name) }
}

async fn report(site: &Site, status: BalancerStatus) {
    site.handle.record_balancer_status(&status.balancer.clone(), status).await.expect("recorded");
}

fn certificate(site: &Site) -> Option<std::sync::Arc<Certificate>> {
    site.handle.shared.value::<Certificate>(&keys::certificate(DOMAIN))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_has_a_certificate_once_a_balancer_shows_it_and_its_key_is_nowhere_to_be_read() {
    let mut site = Site::start().await;
    assert_eq!(site.handle.authority().expect_err("nobody needs it").code, "authority_not_found");
    site.deploy().await;
    assert!(certificate(&site).is_none(), "nobody shows it");
    report(&site, secure("far", 0)).await;
    site.until("it has a certificate", || certificate(&site).is_some()).await;
    let signed = certificate(&site).expect("it is there");
    assert_eq!((signed.signer, signed.domain.as_str()), (Signer::Local, DOMAIN));
    let served = site.handle.served_certificates(&"far".parse().expect("a name")).await.expect("served");
    let key = &served.certificates[0].key;
    assert!(key.contains("PRIVATE KEY") && served.certificates[0].chain == signed.chain);
    let secret = key.lines().nth(1).expect("a line of the key").to_owned();
    let journal = site.store.journal(JournalQuery::default()).await.expect("a journal");
    let documents = site.store.list("").await.expect("all documents");
    for text in [format!("{journal:?}"), format!("{documents:?}"), format!("{served:?}")] {
        assert!(!text.contains(&secret) && !text.contains("PRIVATE KEY"), "{text}");
    }
    let status = site.handle.status().await.expect("a status");
    assert_eq!((status.certificates[0].domain.as_str(), &status.certificates[0].problem), (DOMAIN, &None));
    // The same over a restart: people have trusted it.
    let before = site.handle.authority().expect("it is made");
    site.restart().await;
    report(&site, secure("far", 0)).await;
    assert_eq!(site.handle.authority().expect("it is kept"), before);
    assert_eq!(certificate(&site), Some(signed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_counts_once_every_live_balancer_answers_it() {
    let site = Site::start().await;
    report(&site, secure("far", 0)).await;
    let shared = &*site.handle.shared;
    site.until("the authority is made", || shared.value::<LocalAuthority>(keys::LOCAL_AUTHORITY).is_some())
        .await;
    let lease =
        shared.store.acquire("test", "test", defaults::LEASE).await.expect("a store").expect("a lease");
    assert!(lease.fence > Fence(0) && lease.deadline > Timestamp::UNIX_EPOCH);
    let publication = Publication { shared, lease: &lease, domain: "shop.example" };
    let challenge = Challenge::Http { token: "token".to_owned(), authorization: "answer".to_owned() };
    let mut published = pin!(publication.publish(&challenge));
    let number = || shared.value::<Challenges>(keys::CHALLENGES).map_or(0, |all| all.number);
    let one_of_two = async {
        site.until("it is published", || number() == 1).await;
        report(&site, secure("far", 1)).await;
        // The other one, of the site, answers nothing yet.
        let key = keys::balancer(&"edge".parse().expect("a name"));
        let edge = shared.value::<BalancerStatus>(&key).expect("it reports");
        let edge = (*edge).clone();
        assert_eq!(edge.challenges, 0);
        edge
    };
    let edge = tokio::select! {
        published = &mut published => panic!("nobody waited for edge: {published:?}"),
        edge = one_of_two => edge,
    };
    report(&site, BalancerStatus { challenges: 1, ..edge }).await;
    published.await.expect("all answer it");
    publication.withdraw(&challenge).await;
    let all = shared.value::<Challenges>(keys::CHALLENGES).expect("it is there");
    assert_eq!((all.number, all.http.len()), (2, 0));
}
