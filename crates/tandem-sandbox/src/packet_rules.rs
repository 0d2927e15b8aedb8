//! Packet rules by user id: what apps and builds must not reach over the loopback of the host they share.
//!
//! Two tables per data folder, written by nft: `inet tandem_XXXXXXXX` for apps, `inet tandem_XXXXXXXX_build` for builds.
//! Each has one writer, which always replaces its table whole and in one transaction. So what a killed process left, or
//! somebody flushed, is right again with the next change, and no moment is without rules. Which instance has which port is
//! left to the runner. See decision 009 for what is covered and what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use tandem_kit::paths::DataDir;
use tandem_types::{Span, defaults};

use crate::bubblewrap::programs;
use crate::tool::{self, Tool};

/// Some 20 ms as a rule; a machine that swaps may take seconds, and a start of an app waits for it.
const NFT_TIME: Span = Span::seconds(10);
/// Build users of one data folder: one for each user id that an app's environment may have (30,000), as a power of two.
const BUILDERS: u32 = 1 << 15;

/// Why the rules are not what they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no nft.
    #[error("nft is missing: apt-get install nftables")]
    Missing,
    /// It did not do it: no right to, or a kernel without it.
    #[error("nft cannot be used here")]
    Refused(#[source] tool::Error),
}

/// What instances must not reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guarded {
    /// Ports that no app may reach.
    pub closed: BTreeSet<u16>,
    /// Ports of instances, each with the users that may reach it.
    pub owned: BTreeMap<u16, BTreeSet<u32>>,
}

/// The tables of one data folder.
#[derive(Debug, Clone)]
pub struct Tables {
    name: String,
    builders: RangeInclusive<u32>,
}

impl Tables {
    /// The tables of a data folder; nothing is touched yet.
    #[must_use]
    pub fn of(data: &DataDir) -> Self {
        // Unique on the machine by the same name that its control groups have.
        let name = data.cgroup_name().replace('/', "_");
        let digits = name.rsplit('_').next().unwrap_or_default();
        let number = u32::from_str_radix(digits, 16).expect("a control group's name ends in eight digits");
        let places = (defaults::LAST_BUILD_UID - defaults::FIRST_BUILD_UID + 1) / BUILDERS;
        let first = defaults::FIRST_BUILD_UID + (number % places) * BUILDERS;
        Self { name, builders: first..=first + (BUILDERS - 1) }
    }

    /// The user of builds for the environment whose instances have this user id. No app has it, so rules for builds never
    /// meet one. Two data folders of one machine have the same range once in 4,092 pairs: then either's builds are refused
    /// the index or proxy on the loopback that only it names (decision 009).
    #[must_use]
    pub fn build_uid(&self, uid: u32) -> u32 {
        self.builders.start() + uid.wrapping_sub(defaults::FIRST_UID) % BUILDERS
    }

    /// Lets apps open TCP connections over loopback only to what is not guarded against them. Everything else of the
    /// host stays as open to them as it is.
    ///
    /// # Errors
    /// See [`Error`]; the rules are those of the last call that succeeded then.
    pub async fn guard_instances(&self, guarded: &Guarded) -> Result<(), Error> {
        load(instances_table(&self.name, guarded)).await
    }

    /// Lets builds reach nothing over loopback but name servers and these addresses.
    ///
    /// # Errors
    /// As [`Tables::guard_instances`].
    pub async fn guard_builds(&self, open: &BTreeSet<SocketAddr>) -> Result<(), Error> {
        load(builds_table(&self.build_table(), &self.builders, open)).await
    }

    /// Removes both tables, if they are there.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn remove(&self) -> Result<(), Error> {
        load(absent(&self.name) + &absent(&self.build_table())).await
    }

    fn build_table(&self) -> String {
        format!("{}_build", self.name)
    }
}

/// Whether packet rules can be read here, and so most likely written. Nothing is changed.
///
/// # Errors
/// See [`Error`].
pub async fn check() -> Result<(), Error> {
    let nft = programs::find("nft").ok_or(Error::Missing)?;
    let listed = Tool::new(nft).args(["list", "tables"]).run_ok(NFT_TIME).await;
    listed.map(drop).map_err(Error::Refused)
}

async fn load(script: String) -> Result<(), Error> {
    let nft = programs::find("nft").ok_or(Error::Missing)?;
    let call = Tool::new(nft).args(["-f", "-"]).input(script);
    call.run_ok(NFT_TIME).await.map(drop).map_err(Error::Refused)
}

/// Makes sure that there is no such table: nft of today's distributions has no word for "delete if there".
fn absent(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

fn instances_table(name: &str, guarded: &Guarded) -> String {
    let apps = [
        format!("{}-{}", defaults::FIRST_UID, defaults::LAST_UID),
        format!("{}-{}", defaults::FIRST_BUILD_UID, defaults::LAST_BUILD_UID),
    ];
    let owners = guarded.owned.iter().flat_map(|(port, uids)| uids.iter().map(move |uid| (uid, port)));
    let mut text = absent(name);
    writeln!(text, "table inet {name} {{").expect(INFALLIBLE);
    set(&mut text, "apps", "uid; flags interval", apps.into_iter());
    set(&mut text, "closed", "inet_service", guarded.closed.iter().map(ToString::to_string));
    set(&mut text, "owned", "inet_service", guarded.owned.keys().map(ToString::to_string));
    set(&mut text, "owners", "uid . inet_service", owners.map(|(uid, port)| format!("{uid} . {port}")));
    // What has no socket, as the resets that answer here, has no user: each rule must match a user, not exclude others.
    text += "  chain apps_out {\n\
        \x20   tcp dport @closed reject with tcp reset\n\
        \x20   tcp dport @owned meta skuid . tcp dport != @owners reject with tcp reset\n\
        \x20 }\n\
        \x20 chain output {\n\
        \x20   type filter hook output priority filter; policy accept\n\
        \x20   oifname \"lo\" tcp flags & (syn | ack) == syn meta skuid @apps jump apps_out\n\
        \x20 }\n}\n";
    text
}

fn builds_table(name: &str, builders: &RangeInclusive<u32>, open: &BTreeSet<SocketAddr>) -> String {
    let addresses = |wanted: fn(&IpAddr) -> bool| {
        let found = open.iter().filter(move |address| wanted(&address.ip()));
        found.map(|address| format!("{} . {}", address.ip(), address.port()))
    };
    let mut text = absent(name);
    writeln!(text, "table inet {name} {{").expect(INFALLIBLE);
    set(&mut text, "open4", "ipv4_addr . inet_service", addresses(IpAddr::is_ipv4));
    set(&mut text, "open6", "ipv6_addr . inet_service", addresses(IpAddr::is_ipv6));
    text += "  chain builds_out {\n\
        \x20   meta l4proto { tcp, udp } th dport 53 accept\n\
        \x20   ip daddr . tcp dport @open4 accept\n\
        \x20   ip6 daddr . tcp dport @open6 accept\n\
        \x20   meta l4proto tcp reject with tcp reset\n\
        \x20   reject\n\
        \x20 }\n\
        \x20 chain output {\n\
        \x20   type filter hook output priority filter; policy accept\n";
    let (first, last) = (builders.start(), builders.end());
    writeln!(text, "    oifname \"lo\" meta skuid {first}-{last} jump builds_out").expect(INFALLIBLE);
    text + "  }\n}\n"
}

const INFALLIBLE: &str = "writing to a string cannot fail";

fn set(text: &mut String, name: &str, kind: &str, elements: impl Iterator<Item = String>) {
    let elements = elements.collect::<Vec<_>>().join(", ");
    // An empty list is a mistake to nft.
    let line = if elements.is_empty() { String::new() } else { format!("elements = {{ {elements} }} ") };
    writeln!(text, "  set {name} {{ type {kind}; {line}}}").expect(INFALLIBLE);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Tables {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let tables = Tables::of(&data);
        data.remove_runtime().unwrap();
        assert!(tables.name.starts_with("tandem_") && tables.name.len() == 15, "{}", tables.name);
        tables
    }

    #[test]
    fn builds_have_users_of_their_own_that_no_app_or_other_data_folder_has() {
        let (one, other) = (tables(), tables());
        let last = one.build_uid(defaults::LAST_UID);
        assert_ne!(one.build_uid(defaults::FIRST_UID), last);
        for uid in [one.build_uid(defaults::FIRST_UID), last, other.build_uid(defaults::FIRST_UID)] {
            assert!((defaults::FIRST_BUILD_UID..=defaults::LAST_BUILD_UID).contains(&uid), "{uid}");
        }
        assert!(one.builders.contains(&last));
        assert_eq!(one.builders.contains(other.builders.start()), one.builders == other.builders);
    }

    #[test]
    fn a_set_without_elements_is_written_without_a_list() {
        let text = instances_table("t", &Guarded::default());
        assert!(text.contains("  set owned { type inet_service; }\n"), "{text}");
        let owned = BTreeMap::from([(20_001, BTreeSet::from([70_000, 70_001]))]);
        let text = instances_table("t", &Guarded { closed: BTreeSet::from([7070]), owned });
        assert!(text.contains("elements = { 70000 . 20001, 70001 . 20001 }"), "{text}");
        assert!(text.contains("set closed { type inet_service; elements = { 7070 } }"), "{text}");
    }

    #[test]
    fn addresses_that_builds_may_reach_are_listed_by_family() {
        let open = ["127.0.0.1:3128", "[::1]:3141"].map(|text| text.parse().unwrap());
        let text = builds_table("t", &(5..=6), &BTreeSet::from(open));
        assert!(text.contains("elements = { 127.0.0.1 . 3128 }"), "{text}");
        assert!(text.contains("elements = { ::1 . 3141 }"), "{text}");
        assert!(text.contains("meta skuid 5-6 jump"), "{text}");
    }
}
