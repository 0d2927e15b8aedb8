//! Keys of the documents in the store, all made here.

use crate::{
    AppName, BalancerId, BuildNumber, EnvironmentName, HostName, JobId, ReleaseNumber, RolloutNumber,
};

/// All apps, environments, builds, releases and rollouts.
pub const APPS: &str = "apps/";
/// All hosts: assignments and observations.
pub const HOSTS: &str = "hosts/";
/// All balancers.
pub const BALANCERS: &str = "balancers/";
/// Everything about routing.
pub const ROUTING: &str = "routing/";
/// The routing table.
pub const ROUTING_TABLE: &str = "routing/table";
/// Counters and settings of the whole installation.
pub const INSTALLATION: &str = "installation";
/// API tokens.
pub const TOKENS: &str = "tokens/";
/// All about sources that the server fetches: keys of apps and of hosts.
pub const GIT: &str = "git/";
/// All about HTTPS: authority, account, certificates, orders, challenges.
pub const HTTPS: &str = "https/";
/// The installation's own authority.
pub const LOCAL_AUTHORITY: &str = "https/authority";
/// The account at an authority that speaks ACME.
pub const ACME_ACCOUNT: &str = "https/account";
/// All certificates.
pub const CERTIFICATES: &str = "https/certificates/";
/// All orders of certificates.
pub const CERTIFICATE_ORDERS: &str = "https/orders/";
/// What balancers answer to authorities.
pub const CHALLENGES: &str = "https/challenges";
/// Keys of the hosts that sources are fetched from.
pub const GIT_HOSTS: &str = "git/hosts";

/// An app.
#[must_use]
pub fn app(app: &AppName) -> String {
    format!("apps/{app}")
}

/// An environment.
#[must_use]
pub fn environment(app: &AppName, environment: &EnvironmentName) -> String {
    format!("apps/{app}/envs/{environment}")
}

/// All builds of an app (prefix). Numbers are padded, so that keys sort as numbers do.
#[must_use]
pub fn builds(app: &AppName) -> String {
    format!("apps/{app}/builds/")
}

/// A build.
#[must_use]
pub fn build(app: &AppName, build: BuildNumber) -> String {
    format!("apps/{app}/builds/{:010}", build.0)
}

/// All releases of an environment (prefix).
#[must_use]
pub fn releases(app: &AppName, environment: &EnvironmentName) -> String {
    format!("apps/{app}/envs/{environment}/releases/")
}

/// A release.
#[must_use]
pub fn release(app: &AppName, environment: &EnvironmentName, release: ReleaseNumber) -> String {
    format!("apps/{app}/envs/{environment}/releases/{:010}", release.0)
}

/// All rollouts of an environment (prefix).
#[must_use]
pub fn rollouts(app: &AppName, environment: &EnvironmentName) -> String {
    format!("apps/{app}/envs/{environment}/rollouts/")
}

/// A rollout.
#[must_use]
pub fn rollout(app: &AppName, environment: &EnvironmentName, rollout: RolloutNumber) -> String {
    format!("apps/{app}/envs/{environment}/rollouts/{:010}", rollout.0)
}

/// All one-off commands of an environment (prefix).
#[must_use]
pub fn sessions(app: &AppName, environment: &EnvironmentName) -> String {
    format!("apps/{app}/envs/{environment}/sessions/")
}

/// A one-off command.
#[must_use]
pub fn session(app: &AppName, environment: &EnvironmentName, session: JobId) -> String {
    format!("apps/{app}/envs/{environment}/sessions/{:010}", session.0)
}

/// A host.
#[must_use]
pub fn host(host: &HostName) -> String {
    format!("hosts/{host}")
}

/// All assignments of a host (prefix).
#[must_use]
pub fn assignments(host: &HostName) -> String {
    format!("hosts/{host}/assignments/")
}

/// What should be on a host for one environment. A name has no dot, so the pair is told apart.
#[must_use]
pub fn assignment(host: &HostName, app: &AppName, environment: &EnvironmentName) -> String {
    format!("hosts/{host}/assignments/{app}.{environment}")
}

/// What a runner reports.
#[must_use]
pub fn host_observed(host: &HostName) -> String {
    format!("hosts/{host}/observed")
}

/// What a balancer reports.
#[must_use]
pub fn balancer(balancer: &BalancerId) -> String {
    format!("balancers/{balancer}")
}

/// The key with which an app's source is fetched.
#[must_use]
pub fn deploy_key(app: &AppName) -> String {
    format!("git/keys/{app}")
}

/// A domain's certificate.
#[must_use]
pub fn certificate(domain: &str) -> String {
    format!("{CERTIFICATES}{domain}")
}

/// The order of a domain's certificate.
#[must_use]
pub fn certificate_order(domain: &str) -> String {
    format!("{CERTIFICATE_ORDERS}{domain}")
}
