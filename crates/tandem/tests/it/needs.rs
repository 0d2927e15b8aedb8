//! What a test cannot do without, and a machine may lack: said where it is so, and a failure where it should not be.

use std::path::Path;

use nix::unistd::Uid;
use tandem_types::instance::Isolation;

/// Set where root cannot keep apps apart, as in many containers: what needs that is left out then, and not a failure.
const WITHOUT_ISOLATION: &str = "TANDEM_TEST_WITHOUT_ISOLATION";

/// Something that a test cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// The rights of root.
    Root,
    /// Packet rules.
    Nft,
    /// Apps are kept apart, and their connections as well.
    Isolation,
    /// Every limit holds.
    Limits,
}

impl Need {
    /// What is missing, as Tandem itself finds out.
    fn lack(self) -> Option<String> {
        let has_nft = Path::new("/usr/sbin/nft").exists();
        let no_nft = || (!has_nft).then(|| "there is no /usr/sbin/nft".to_owned());
        let (isolation, reason) = tandem_sandbox::isolation();
        match self {
            Self::Root => (!Uid::effective().is_root()).then(|| "the tests do not run as root".to_owned()),
            Self::Nft => no_nft(),
            Self::Isolation if isolation == Isolation::Sandbox => no_nft(),
            Self::Isolation => Some(reason),
            Self::Limits => {
                (reason.contains("no limit on") || reason.contains("do not hold")).then_some(reason)
            }
        }
    }
}

/// Whether a test can run here; says why not.
///
/// # Panics
///
/// For root, whose machine should have all of it, unless [`WITHOUT_ISOLATION`] is set.
#[expect(clippy::print_stdout, reason = "a test that is left out says so; the test runner keeps it apart")]
pub(crate) fn are_met(needs: &[Need]) -> bool {
    let Some(lack) = needs.iter().find_map(|need| need.lack()) else { return true };
    let allowed = !Uid::effective().is_root() || std::env::var_os(WITHOUT_ISOLATION).is_some();
    assert!(allowed, "{lack}; where that cannot be helped, {WITHOUT_ISOLATION}=1 leaves out what needs it");
    println!("left out: {lack}");
    false
}
