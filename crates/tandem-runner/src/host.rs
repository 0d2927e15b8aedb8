//! What a runner says of its machine in every report.

use tandem_types::instance::{Address, Isolation};
use tandem_types::{HostName, Timestamp};

/// The unchanging head of an observation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Host {
    /// Its name.
    pub(crate) name: HostName,
    /// Kernel boot id: pids of another boot mean nothing.
    pub(crate) boot_id: String,
    /// When this runner started.
    pub(crate) started: Timestamp,
    /// Where the runner's own API answers.
    pub(crate) api: Address,
    /// How instances are kept apart.
    pub(crate) isolation: Isolation,
}

/// The kernel's boot id. Where it tells none it is equal over boots, which makes adoption rely on the shims' sockets alone.
pub(crate) fn boot_id() -> String {
    tandem_kit::boot::id()
}

#[cfg(test)]
pub(crate) mod testing {
    //! A host for tests.

    use super::{Address, Host, Isolation, Timestamp};

    /// A host that started at the epoch.
    pub(crate) fn host() -> Host {
        Host {
            name: "here".parse().expect("it is a name"),
            boot_id: "boot".to_owned(),
            started: Timestamp::UNIX_EPOCH,
            api: Address::Unix("/run/tandem/0/runner.sock".into()),
            isolation: Isolation::Sandbox,
        }
    }
}
