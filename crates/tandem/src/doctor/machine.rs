//! The kernel and the rights that Tandem has: what keeps apps apart and within their limits.

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Uid;
use tandem_kit::error::chain;
use tandem_kit::tasks;
use tandem_sandbox::packet_rules;
use tandem_sandbox::tool::Tool;
use tandem_types::Span;
use tandem_types::instance::Isolation;

use super::{Finding, with_line};

/// A program of the host that answers at once.
const SOON: Span = Span::seconds(5);
/// The first kernel that ends a whole control group at once.
const KERNEL: (u32, u32) = (5, 14);
/// What gives Tandem all its rights.
const AS_ROOT: &str = "sudo tandem up";
/// What brings a kernel that is new enough.
const NEWER_KERNEL: &str = "uname -r, and upgrade the distribution: Debian 12 has 6.1";
/// Open files: two for each request under way, and some hundred for the rest.
const OPEN_FILES: u64 = 16_384;

pub(super) async fn look() -> Vec<Finding> {
    let (isolation, reason) = tasks::blocking("isolation", tandem_sandbox::isolation).await;
    let is_root = Uid::effective().is_root();
    vec![
        user(is_root),
        kept_apart(isolation, &reason),
        limits(is_root, tandem_sandbox::limits()),
        packet_rules(is_root).await,
        kernel(&nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned())),
        open_files(getrlimit(Resource::RLIMIT_NOFILE).map(|(_, hard)| hard)),
        clock(synchronized().await),
    ]
}

fn user(is_root: bool) -> Finding {
    if is_root {
        return Finding::good("user", "root");
    }
    let uid = Uid::effective();
    Finding::note("user", format!("user {uid}, not root"))
        .costs("all apps run as this user, and only ports from 1024 on can be served")
        .line(AS_ROOT)
}

fn kept_apart(isolation: Isolation, reason: &str) -> Finding {
    const NAME: &str = "isolation";
    match isolation {
        Isolation::Sandbox => Finding::good(NAME, "each app in a sandbox of its own"),
        Isolation::Plain => {
            let reason = reason.split_once(": ").map_or(reason, |(_, reason)| reason);
            let (says, line) = with_line(reason);
            Finding::lacking(NAME, says)
                .costs(
                    "APPS ARE NOT KEPT APART: they run as plain processes, which read each other's files and config; well \
                     enough for a laptop, not for a server",
                )
                .line(or(line, "run Tandem where root may mount, and make namespaces"))
        }
    }
}

/// What is said where nobody says anything better.
fn or<'a>(line: &'a str, otherwise: &'a str) -> &'a str {
    if line.is_empty() { otherwise } else { line }
}

fn limits(is_root: bool, (whole, says): (bool, String)) -> Finding {
    const NAME: &str = "limits";
    if whole && is_root {
        return Finding::good(NAME, says);
    }
    if !is_root {
        return Finding::note(NAME, format!("{says}, which only root may use"))
            .costs("memory, CPU and process limits of apps do not hold")
            .line(AS_ROOT);
    }
    Finding::lacking(NAME, says)
        .costs("one app can take all memory or CPU of the machine")
        .line("boot with `systemd.unified_cgroup_hierarchy=1`, or give the container its controllers")
}

async fn packet_rules(is_root: bool) -> Finding {
    const NAME: &str = "packet rules";
    if !is_root {
        return Finding::note(NAME, "only root may set them")
            .costs("apps reach each other's ports and every service on the loopback")
            .line(AS_ROOT);
    }
    match packet_rules::check().await {
        Ok(()) => Finding::good(NAME, "nftables"),
        Err(error) => {
            let text = chain(&error);
            let (says, line) = with_line(&text);
            Finding::lacking(NAME, says)
                .costs("apps and builds reach each other's ports and every service on the loopback")
                .line(or(line, "modprobe nf_tables, or give the container CAP_NET_ADMIN"))
        }
    }
}

fn kernel(release: &nix::Result<String>) -> Finding {
    const NAME: &str = "kernel";
    let Ok(release) = release else {
        return Finding::note(NAME, "it does not tell its version").line(NEWER_KERNEL);
    };
    match version(release) {
        Some(version) if version >= KERNEL => Finding::good(NAME, release.as_str()),
        Some(_) => Finding::note(NAME, format!("{release}, older than 5.14"))
            .costs("an app's processes are ended one by one, which takes longer")
            .line(NEWER_KERNEL),
        None => {
            Finding::note(NAME, format!("{release}, which is no version that is known")).line(NEWER_KERNEL)
        }
    }
}

/// The first two numbers: `6.1.0-18-amd64` → 6, 1.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn open_files(limit: nix::Result<u64>) -> Finding {
    const NAME: &str = "open files";
    match limit {
        Ok(limit) if limit >= OPEN_FILES => Finding::good(NAME, limit.to_string()),
        Ok(limit) => Finding::note(NAME, format!("at most {limit}"))
            .costs(format!("about {} requests at a time", limit / 2))
            .line("LimitNOFILE=1048576 in the unit of systemd, or a line in /etc/security/limits.conf"),
        Err(error) => Finding::note(NAME, format!("the limit is not known: {error}")).line("ulimit -Hn"),
    }
}

/// Whether the time comes from somewhere; none where nobody tells.
async fn synchronized() -> Option<bool> {
    let asked = Tool::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]);
    match String::from_utf8_lossy(&asked.run_ok(SOON).await.ok()?.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn clock(synchronized: Option<bool>) -> Finding {
    const NAME: &str = "clock";
    match synchronized {
        Some(true) => Finding::good(NAME, "synchronized"),
        Some(false) => Finding::note(NAME, "not synchronized")
            .costs("times in journal and logs are wrong, and certificates may be taken for expired")
            .line("apt-get install systemd-timesyncd && timedatectl set-ntp true"),
        None => Finding::note(
            NAME,
            "cannot tell whether it is synchronized: there is no timedatectl that answers",
        )
        .costs("where it is not, certificates may be taken for expired")
        .line("apt-get install systemd-timesyncd; in a container, see that its host keeps time: date -u"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn plain_processes_are_said_loudly_with_the_reason_and_what_to_type() {
        let reason = "apps run as plain processes that are not kept apart: bubblewrap is missing: apt-get install bubblewrap";
        let finding = kept_apart(Isolation::Plain, reason);
        assert_eq!(finding.state, State::Lacking);
        assert_eq!(
            (finding.says.as_str(), finding.line.as_str()),
            ("bubblewrap is missing", "apt-get install bubblewrap")
        );
        assert!(finding.costs.starts_with("APPS ARE NOT KEPT APART"));
        assert_eq!(kept_apart(Isolation::Sandbox, "bubblewrap, control groups v2").state, State::Good);
    }

    #[test]
    fn kernels_are_compared_by_their_numbers() {
        for (release, state) in [
            ("6.1.0-18-amd64", State::Good),
            ("5.14.0", State::Good),
            ("5.4.0-generic", State::Note),
            ("x", State::Note),
        ] {
            assert_eq!(kernel(&Ok(release.to_owned())).state, state, "{release}");
        }
    }

    #[test]
    fn limits_that_do_not_hold_are_lacking_for_root_and_known_to_others() {
        let told = || "control groups v2, no limit on memory".to_owned();
        assert_eq!(limits(true, (false, told())).state, State::Lacking);
        assert_eq!(limits(false, (true, told())).state, State::Note);
        assert_eq!(limits(true, (true, "control groups v2".to_owned())).state, State::Good);
    }

    #[test]
    fn whatever_is_not_good_has_a_line_to_type() {
        let unknown = || Err(nix::errno::Errno::EPERM);
        let all = [
            user(false),
            limits(false, (true, "control groups v2".to_owned())),
            limits(true, (false, "no limit on memory".to_owned())),
            kernel(&Ok("5.4.0".to_owned())),
            kernel(&Ok("x".to_owned())),
            kernel(&unknown()),
            open_files(Ok(1024)),
            open_files(Err(nix::errno::Errno::EPERM)),
            clock(Some(false)),
            clock(None),
        ];
        for finding in &all {
            assert!(finding.state != State::Good && !finding.line.is_empty(), "{finding:?}");
        }
    }

    #[test]
    fn few_open_files_are_told_as_requests() {
        assert!(open_files(Ok(1024)).costs.contains("512 requests"));
        assert_eq!(open_files(Ok(1 << 20)).state, State::Good);
    }
}
