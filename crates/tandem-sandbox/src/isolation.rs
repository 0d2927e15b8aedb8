//! What this machine can do to keep apps apart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use tandem_types::instance::Isolation;

use crate::bubblewrap::Programs;
use crate::cgroup::Hierarchies;
use crate::supervisor::{Streams, program};
use crate::{Limits, Network, Spec, User};

/// How apps can be kept apart here, and for people: what is used, or what is missing and the line to type for more.
///
/// Tries bubblewrap for real, which takes some 10 ms: ask once at the start, from a thread that may block.
#[must_use]
pub fn isolation() -> (Isolation, String) {
    let limits = Hierarchies::detect().describe();
    match try_sandbox() {
        Ok(()) => (Isolation::Sandbox, format!("bubblewrap, {limits}")),
        Err(reason) => {
            (Isolation::Plain, format!("apps run as plain processes that are not kept apart: {reason}"))
        }
    }
}

/// What limits of memory, CPU and processes stand on here, for people, and whether all of them hold.
#[must_use]
pub fn limits() -> (bool, String) {
    let hierarchies = Hierarchies::detect();
    (hierarchies.is_whole(), hierarchies.describe())
}

fn try_sandbox() -> Result<(), String> {
    if !Uid::effective().is_root() {
        return Err("Tandem does not run as root; type: sudo tandem up".to_owned());
    }
    Programs::find()?;
    let failed = |error: &dyn std::error::Error| format!("bubblewrap cannot be used: {error}");
    let program = program(&trial(), Streams::Captured).map_err(|error| failed(&error))?;
    let output =
        program.start().and_then(|child| child.wait_with_output()).map_err(|error| failed(&error))?;
    if output.status.success() {
        return Ok(());
    }
    // In containers the kernel often refuses the mounts; bubblewrap says which.
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("bubblewrap cannot be used here: {}", said.lines().next_back().unwrap_or("it said nothing")))
}

/// The least that goes through every step: namespaces, mounts, filter, user.
fn trial() -> Spec {
    Spec {
        id: "trial".to_owned(),
        cgroup_parent: "tandem".to_owned(),
        isolation: Isolation::Sandbox,
        command: "true".to_owned(),
        cwd: PathBuf::from("/tmp"),
        environment: BTreeMap::new(),
        user: User { uid: 65_534, name: "nobody-else".to_owned() },
        hostname: "trial".to_owned(),
        // Mounted, but not touched by the command.
        home: Path::new("/usr").to_owned(),
        mounts: Vec::new(),
        limits: Limits::default(),
        network: Network::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_what_is_used_or_what_to_type() {
        let (isolation, reason) = isolation();
        match isolation {
            Isolation::Sandbox => assert!(reason.starts_with("bubblewrap, "), "{reason}"),
            Isolation::Plain => assert!(reason.contains(": "), "{reason}"),
        }
        assert_eq!(isolation == Isolation::Sandbox, crate::tests::can_isolate(), "{reason}");
    }
}
