//! Certificates: which domain needs one, who signs it, when it is asked for (decision 023).
//!
//! A domain has a certificate of the local authority at once, and keeps it until a better one is there. An attempt to get
//! that one is written down before it begins, with the time of the next: whoever dies of it does not try again at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;
use tandem_types::Timestamp;
use tandem_types::domain::{ANY_HOST, WILDCARD};
use tandem_types::https::{Certificate, CertificateLine, CertificateOrder, Signer};
use tandem_types::routing::RoutingDocument;

/// Wait after a first failure; doubles with each further one.
const FIRST_WAIT: SignedDuration = SignedDuration::from_mins(1);
/// Longest wait after a failure that the authority has said nothing about.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(12);
/// Longest time after a success in which nothing is asked for.
const REST: SignedDuration = SignedDuration::from_hours(1);
/// A certificate that no route asks for is forgotten this long before its end: an app that is away for an hour, or rolled
/// back, has its own when it is back.
const FORGET_BEFORE_END: SignedDuration = SignedDuration::from_hours(24);
/// Names that mean nothing outside of a machine or a network (RFC 6761, RFC 6762, RFC 8375, and `internal`).
const PRIVATE: [&str; 6] = ["localhost", "local", "test", "invalid", "internal", "home.arpa"];

/// What is decided about.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Domains that routes name, or are about to.
    pub domains: BTreeSet<String>,
    /// By domain.
    pub certificates: BTreeMap<String, Arc<Certificate>>,
    /// By domain.
    pub orders: BTreeMap<String, Arc<CertificateOrder>>,
    /// Whether certificates are shown anywhere and the local authority is not made yet.
    pub lacks_authority: bool,
    /// What can be asked of an authority; none: nothing.
    pub acme: Option<Ability>,
}

/// How an authority can be convinced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ability {
    /// By a record of the domain's: needed for wildcards.
    pub dns: bool,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The local authority is made: who wants to trust it need not wait for the first app.
    Found,
    /// The local authority signs one for this domain.
    Sign(String),
    /// Everything about this domain is forgotten.
    Forget(String),
    /// An authority is asked; to be written down before it begins.
    Attempt(CertificateOrder),
}

/// What to do now, in this order, and when to look again at the latest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// At most one attempt, behind all else.
    pub steps: Vec<Step>,
    /// None: when something changes.
    pub look_again: Option<Timestamp>,
}

/// Domains that the routes name or are about to, without the one of every host, which nobody can sign.
#[must_use]
pub fn domains(routing: &RoutingDocument) -> BTreeSet<String> {
    let tables = std::iter::once(&routing.serving).chain(&routing.prepared);
    let domains = tables.flat_map(|table| &table.routes).map(|route| &route.domain);
    domains.filter(|domain| *domain != ANY_HOST).cloned().collect()
}

/// Decides.
#[must_use]
pub fn plan(world: &World, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    plan.steps.extend(world.lacks_authority.then_some(Step::Found));
    let mut due: Option<CertificateOrder> = None;
    for domain in &world.domains {
        let certificate = world.certificates.get(domain);
        match certificate.map_or(Some(now), |certificate| sign_at(world, certificate)) {
            Some(time) if time <= now => plan.steps.push(Step::Sign(domain.clone())),
            time => wake(&mut plan, time),
        }
        match attempt_at(world, domain, now) {
            Some(time) if time <= now => {
                let order = attempt(world, domain, now);
                // Whoever waited longest, so that one that fails for ever does not keep the others waiting.
                if due.as_ref().is_none_or(|due| order.attempts < due.attempts) {
                    due = Some(order);
                }
            }
            time => wake(&mut plan, time),
        }
    }
    for domain in world.certificates.keys().chain(world.orders.keys()) {
        match forget_at(world, domain) {
            Some(time) if time <= now => {
                let step = Step::Forget(domain.clone());
                if !plan.steps.contains(&step) {
                    plan.steps.push(step);
                }
            }
            time => wake(&mut plan, time),
        }
    }
    plan.steps.extend(due.map(Step::Attempt));
    plan
}

fn wake(plan: &mut Plan, time: Option<Timestamp>) {
    let earliest = plan.look_again.into_iter().chain(time).min();
    plan.look_again = earliest;
}

/// When the local authority signs anew what there is already.
fn sign_at(world: &World, certificate: &Certificate) -> Option<Timestamp> {
    match (certificate.signer, world.acme) {
        (Signer::Local, _) => Some(renew_at(certificate)),
        // Nobody renews it any more.
        (Signer::Acme, None) => Some(certificate.not_after),
        (Signer::Acme, Some(_)) => None,
    }
}

/// When an authority is asked; never: none is, or none would.
fn attempt_at(world: &World, domain: &str, now: Timestamp) -> Option<Timestamp> {
    let ability = world.acme?;
    if !is_public(domain) || domain.starts_with(WILDCARD) && !ability.dns {
        return None;
    }
    let wanted = match world.certificates.get(domain) {
        Some(certificate) if certificate.signer == Signer::Acme => renew_at(certificate),
        _ => now,
    };
    let allowed = world.orders.get(domain).map_or(wanted, |order| order.next);
    Some(wanted.max(allowed))
}

fn attempt(world: &World, domain: &str, now: Timestamp) -> CertificateOrder {
    let attempts = world.orders.get(domain).map_or(0, |order| order.attempts).saturating_add(1);
    let next = after(now, wait(attempts));
    CertificateOrder { domain: domain.to_owned(), attempts, began: now, next, problem: None }
}

/// When what belongs to a domain that no route names is forgotten.
fn forget_at(world: &World, domain: &str) -> Option<Timestamp> {
    if world.domains.contains(domain) {
        return None;
    }
    let end = world.certificates.get(domain).map(|certificate| certificate.not_after);
    let time = end.map(|end| end.checked_sub(FORGET_BEFORE_END).unwrap_or(end));
    Some(time.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// An attempt that failed: when the next one may begin, no earlier than the authority said.
#[must_use]
pub fn failed(
    order: &CertificateOrder,
    problem: &str,
    retry_after: Option<SignedDuration>,
    now: Timestamp,
) -> CertificateOrder {
    let next = after(now, retry_after.unwrap_or_default().max(wait(order.attempts)));
    CertificateOrder { next, problem: Some(problem.to_owned()), ..order.clone() }
}

/// An attempt that brought a certificate. Where a clock is wrong, or certificates hold for minutes, the new one may be due for renewal as
/// it comes: it is not asked for again at once.
#[must_use]
pub fn succeeded(
    domain: &str,
    (not_before, not_after): (Timestamp, Timestamp),
    now: Timestamp,
) -> CertificateOrder {
    let next = after(now, (not_after.duration_since(not_before) / 3).min(REST));
    CertificateOrder { domain: domain.to_owned(), attempts: 0, began: now, next, problem: None }
}

/// The wait after so many failures.
fn wait(attempts: u32) -> SignedDuration {
    let doubled = 1_i32.checked_shl(attempts.saturating_sub(1).min(20)).unwrap_or(i32::MAX);
    FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
}

/// When a certificate is to be followed by another: after two thirds of its life, less up to a tenth of that by its name.
/// Those that were made in one minute are not all followed in one.
#[must_use]
pub fn renew_at(certificate: &Certificate) -> Timestamp {
    let life = certificate.not_after.duration_since(certificate.not_before);
    let usual = life * 2 / 3;
    let thousandths = i32::try_from(hash(&certificate.domain) % 1000).unwrap_or(0);
    after(certificate.not_before, usual - usual / 10_000 * thousandths)
}

/// FNV-1a: the same for a name wherever it is asked.
fn hash(name: &str) -> u64 {
    let add = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, add)
}

fn after(time: Timestamp, wait: SignedDuration) -> Timestamp {
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Whether an authority of the world may sign for a domain.
#[must_use]
pub fn is_public(domain: &str) -> bool {
    let name = domain.strip_prefix(WILDCARD).unwrap_or(domain);
    let below =
        |suffix: &&str| name.strip_suffix(*suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    name.contains('.') && !PRIVATE.iter().any(below) && name.parse::<std::net::IpAddr>().is_err()
}

/// How each domain stands, for `tandem status`.
#[must_use]
pub fn lines(world: &World) -> Vec<CertificateLine> {
    let line = |domain: &String| {
        let certificate = world.certificates.get(domain);
        let failed = world.orders.get(domain).filter(|order| order.problem.is_some());
        CertificateLine {
            domain: domain.clone(),
            signer: certificate.map(|certificate| certificate.signer),
            not_after: certificate.map(|certificate| certificate.not_after),
            next_attempt: failed.map(|order| order.next),
            problem: failed.and_then(|order| order.problem.clone()),
        }
    };
    world.domains.iter().map(line).collect()
}

/// What a person should look at.
#[must_use]
pub fn problems(world: &World, now: Timestamp) -> Vec<String> {
    world.domains.iter().flat_map(|domain| problems_of(world, domain, now)).collect()
}

fn problems_of(world: &World, domain: &str, now: Timestamp) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some((order, problem)) = world.orders.get(domain).and_then(|o| Some((o, o.problem.as_ref()?))) {
        let next = order.next.strftime("%Y-%m-%d %H:%M UTC");
        problems.push(format!(
            "the certificate of {domain} is not to be had: {problem} (attempt {}, the next one at {next}); see \
             docs/https.md",
            order.attempts
        ));
    }
    if world.acme == Some(Ability { dns: false }) && domain.starts_with(WILDCARD) && is_public(domain) {
        problems.push(format!(
            "{domain} has a certificate of the local authority alone: for a wildcard start `tandem up` with \
             --acme-dns-hook COMMAND"
        ));
    }
    if let Some(certificate) = world.certificates.get(domain).filter(|found| is_about_to_end(found, now)) {
        let end = certificate.not_after.strftime("%Y-%m-%d %H:%M UTC");
        let verb = if certificate.not_after <= now { "ended" } else { "ends" };
        problems.push(format!("the certificate of {domain} {verb} at {end}, and there is no other yet"));
    }
    problems
}

/// Whether a sixth of its life is left: it should have been followed when a third was.
fn is_about_to_end(certificate: &Certificate, now: Timestamp) -> bool {
    let life = certificate.not_after.duration_since(certificate.not_before);
    certificate.not_after.duration_since(now) < life / 6
}

#[cfg(test)]
mod tests;
