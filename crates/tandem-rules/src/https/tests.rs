//! What holds of certificates at any time.

use tandem_types::environment::Sealed;

use super::*;

const DAY: i64 = 24 * 3600;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn certificate(domain: &str, signer: Signer, (from, to): (i64, i64)) -> Arc<Certificate> {
    let key = Sealed { ciphertext: String::new(), digest: String::new() };
    let (domain, chain) = (domain.to_owned(), String::new());
    Arc::new(Certificate { domain, signer, chain, key, not_before: at(from), not_after: at(to) })
}

fn world(domains: &[&str], acme: Option<Ability>) -> World {
    World { domains: domains.iter().map(ToString::to_string).collect(), acme, ..World::default() }
}

fn with(mut world: World, certificate: &Arc<Certificate>) -> World {
    world.certificates.insert(certificate.domain.clone(), Arc::clone(certificate));
    world
}

fn with_order(mut world: World, order: CertificateOrder) -> World {
    world.orders.insert(order.domain.clone(), Arc::new(order));
    world
}

const ACME: Option<Ability> = Some(Ability { dns: false });

fn attempted(plan: &Plan) -> Option<&CertificateOrder> {
    plan.steps.iter().find_map(|step| match step {
        Step::Attempt(order) => Some(order),
        _ => None,
    })
}

#[test]
fn every_domain_has_a_local_certificate_at_once_and_public_ones_are_ordered_besides() {
    let domains = ["shop.example.org", "shop.localhost", "*.shop.example.org"];
    let sign = |domain: &str| Step::Sign(domain.to_owned());
    let all = ["*.shop.example.org", "shop.example.org", "shop.localhost"].map(sign);
    assert_eq!(plan(&world(&domains, None), at(0)).steps, all);
    let planned = plan(&world(&domains, ACME), at(0));
    assert_eq!(planned.steps[..3], all);
    let order = attempted(&planned).unwrap();
    assert_eq!((order.domain.as_str(), order.attempts, order.next), ("shop.example.org", 1, at(60)));
    let planned = plan(&world(&["*.shop.example.org"], Some(Ability { dns: true })), at(0));
    assert_eq!(attempted(&planned).unwrap().domain, "*.shop.example.org");
}

#[test]
fn the_local_authority_is_there_before_the_first_app() {
    let empty = World { lacks_authority: true, ..world(&[], None) };
    assert_eq!(plan(&empty, at(0)), Plan { steps: vec![Step::Found], look_again: None });
    assert_eq!(plan(&world(&[], None), at(0)), Plan::default());
}

#[test]
fn names_that_no_authority_can_reach_are_never_ordered() {
    for domain in [
        "localhost",
        "shop.localhost",
        "*.shop.localhost",
        "box",
        "a.test",
        "a.local",
        "x.home.arpa",
        "10.0.0.1",
    ] {
        assert!(!is_public(domain), "{domain}");
    }
    for domain in ["example.org", "*.example.org", "localhost.example.org", "mylocalhost.org", "nottest.org"]
    {
        assert!(is_public(domain), "{domain}");
    }
}

#[test]
fn nothing_is_asked_before_the_time_that_was_written_down() {
    let order = attempt(&world(&["a.org"], ACME), "a.org", at(0));
    let known = with(world(&["a.org"], ACME), &certificate("a.org", Signer::Local, (-DAY, 90 * DAY)));
    let killed = with_order(known, order);
    let planned = plan(&killed, at(59));
    assert_eq!((planned.steps.len(), planned.look_again), (0, Some(at(60))));
    let again = plan(&killed, at(60));
    assert_eq!(attempted(&again).map(|order| (order.attempts, order.next)), Some((2, at(60 + 120))));
}

#[test]
fn waits_double_up_to_half_a_day_and_are_never_shorter_than_the_authority_said() {
    let order = |attempts| CertificateOrder { attempts, ..attempt(&world(&[], ACME), "a.org", at(0)) };
    let waits = |attempts, said: Option<i64>| {
        let failed = failed(&order(attempts), "no", said.map(SignedDuration::from_secs), at(100));
        failed.next.as_second() - at(100).as_second()
    };
    assert_eq!([1, 2, 3, 4].map(|attempts| waits(attempts, None)), [60, 120, 240, 480]);
    assert_eq!([11, 40, u32::MAX].map(|attempts| waits(attempts, None)), [DAY / 2; 3]);
    assert_eq!((waits(1, Some(3600)), waits(1, Some(5)), waits(40, Some(7 * DAY))), (3600, 60, 7 * DAY));
}

#[test]
fn a_clock_that_is_wrong_does_not_make_us_ask_again_and_again() {
    // It comes as one that should have been renewed a month ago.
    let late = certificate("a.org", Signer::Acme, (-90 * DAY, 10));
    let known = with(world(&["a.org"], ACME), &late);
    let rested = with_order(known, succeeded("a.org", (late.not_before, late.not_after), at(0)));
    assert_eq!(plan(&rested, at(0)).look_again, Some(at(3600)));
    assert_eq!(attempted(&plan(&rested, at(3600))).unwrap().attempts, 1);
    assert_eq!(succeeded("a.org", (at(0), at(60)), at(0)).next, at(20), "one of a minute is renewed in time");
}

#[test]
fn one_that_fails_for_ever_does_not_keep_others_waiting() {
    let failing =
        CertificateOrder { attempts: 9, next: at(-1), ..attempt(&world(&[], ACME), "a.org", at(-2)) };
    let planned = plan(&with_order(world(&["a.org", "b.org"], ACME), failing), at(0));
    assert_eq!(attempted(&planned).unwrap().domain, "b.org");
}

#[test]
fn renewal_begins_after_about_two_thirds_of_the_life_not_at_once_for_all() {
    let names: Vec<_> = (0..50).map(|number| format!("{number}.example.org")).collect();
    let times: BTreeSet<_> = names
        .iter()
        .map(|name| renew_at(&certificate(name, Signer::Acme, (0, 90 * DAY))).as_second() - at(0).as_second())
        .collect();
    assert!(times.len() > 40 && times.iter().all(|time| (54 * DAY..=60 * DAY).contains(time)), "{times:?}");
    let old = certificate("a.org", Signer::Acme, (0, 90 * DAY));
    let renewal = renew_at(&old);
    let known = with(world(&["a.org"], ACME), &old);
    assert_eq!(plan(&known, at(0)), Plan { steps: vec![], look_again: Some(renewal) });
    assert_eq!(attempted(&plan(&known, renewal)).unwrap().attempts, 1);
    // Nobody renews it any more: the local authority signs when it has ended, and no earlier.
    let without = World { acme: None, ..known };
    assert_eq!(plan(&without, at(89 * DAY)).look_again, Some(at(90 * DAY)));
    assert_eq!(plan(&without, at(90 * DAY)).steps, [Step::Sign("a.org".to_owned())]);
}

#[test]
fn a_local_certificate_is_signed_anew_in_time_and_one_that_nobody_needs_forgotten_late() {
    let local = certificate("a.localhost", Signer::Local, (0, 90 * DAY));
    let known = with(world(&["a.localhost"], ACME), &local);
    assert_eq!(plan(&known, at(53 * DAY)).steps, []);
    assert_eq!(plan(&known, at(61 * DAY)).steps, [Step::Sign("a.localhost".to_owned())]);
    let gone = with(world(&[], ACME), &local);
    assert_eq!(plan(&gone, at(61 * DAY)), Plan { steps: vec![], look_again: Some(at(89 * DAY)) });
    assert_eq!(plan(&gone, at(89 * DAY)).steps, [Step::Forget("a.localhost".to_owned())]);
    let order = attempt(&world(&[], ACME), "b.org", at(0));
    assert_eq!(plan(&with_order(world(&[], ACME), order), at(0)).steps, [Step::Forget("b.org".to_owned())]);
}

#[test]
fn what_fails_and_what_is_about_to_end_is_told() {
    let old = certificate("a.org", Signer::Acme, (0, 90 * DAY));
    let known = with(world(&["a.org"], ACME), &old);
    assert!(problems(&known, at(74 * DAY)).is_empty());
    assert!(problems(&known, at(76 * DAY))[0].contains("a.org ends at "));
    assert!(problems(&known, at(90 * DAY))[0].contains("a.org ended at "));
    let order = failed(&attempt(&known, "a.org", at(0)), "connection refused", None, at(10));
    let failing = with_order(known, order);
    let told = problems(&failing, at(20));
    assert!(
        told[0].contains("connection refused (attempt 1, the next one at 2027-01-15 08:01 UTC)"),
        "{told:?}"
    );
    assert_eq!(lines(&failing)[0].next_attempt, Some(at(70)));
    assert!(problems(&world(&["*.a.org"], ACME), at(0))[0].contains("--acme-dns-hook"));
}
