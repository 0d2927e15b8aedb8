//! Named points at which a test can hold a part of Tandem and kill another.
//!
//! The kill matrix takes its cases from [`Point::all`]: the states of a rollout give points by themselves, [`Effect`]
//! lists what happens outside of the store. See `docs/decisions/013-kill-matrix.md`.
//!
//! Only debug builds hold: where [`VARIABLE`] names a folder, whoever comes to a point leaves the file `<point>.passed`
//! there, and where the folder has `<point>.hold` waits until that is gone, having left `<point>.reached`. A release
//! build reads no variable and contains no wait.

use std::ffi::OsString;
use std::fmt;

use tandem_types::rollout::RolloutState;

/// Environment variable that names the folder of holds; debug builds only.
pub const VARIABLE: &str = "TANDEM_POINTS";

/// A moment that can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// The transaction that brings a rollout into this state is about to be committed.
    Entering(RolloutState),
    /// That transaction was committed, and nobody was told yet.
    Entered(RolloutState),
    /// Something happens that no state tells of.
    Effect(Effect),
}

/// Declares the effects with their names and lists them all.
macro_rules! effects {
    ($($name:ident $text:literal $summary:literal)*) => {
        /// What happens outside of a rollout's state, each at one place of the code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Effect { $(#[doc = $summary] $name),* }

        impl Effect {
            /// All of them, as far as possible in the order of a deploy.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in files and tables.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

effects! {
    ClientSent "client-sent" "The client has sent its source and has asked for nothing yet."
    ClientTold "client-told" "The client knows the number of its rollout, and has shown nothing yet."
    SourceReceived "source-received" "The server has a source on its disk; its sender does not know."
    SourceFetched "source-fetched" "The server has fetched a source into the blob store; its build has not begun."
    BuildParted "build-parted" "The parts of a build are in the blob store; the build is not put together."
    BuildEnded "build-ended" "A build has come out; no document says so."
    StepWritten "step-written" "A rollout took a step within its state."
    UpkeepWritten "upkeep-written" "Instances were started, stopped or forgotten without a rollout."
    TreeFetched "tree-fetched" "A host has the blobs of a tree and has not checked it out."
    TreeStaged "tree-staged" "A host has checked a tree out and has told nobody."
    JobLaunching "job-launching" "A job is described in its folder; its shim is not started."
    JobLaunched "job-launched" "A job runs, and nobody was told."
    JobEnded "job-ended" "A job has ended; its shim still waits to be dismissed."
    InstanceLaunching "instance-launching" "An instance is described in its folder; its shim is not started."
    InstanceLaunched "instance-launched" "An instance runs, and nobody was told."
    InstanceFound "instance-found" "A new runner has found a living instance and has not taken it over."
    GatePassed "gate-passed" "An instance has passed the gate; neither its record nor its report says so."
    StopSending "stop-sending" "An instance should stop and was not told."
    StopEnded "stop-ended" "An instance has stopped as it should; its shim still waits to be dismissed."
    InstanceLeaving "instance-leaving" "What an instance left on the disk is about to be removed."
    ShimBegun "shim-begun" "A shim was executed and has written nothing down yet."
    ShimMarked "shim-marked" "A shim is written down, and the marker of a job set; the command was not executed."
    ShimStarted "shim-started" "A shim has executed its command and has not said so."
    ShimEnded "shim-ended" "A shim knows how its command ended; its record is not on the disk."
    BalancerHeard "balancer-heard" "A balancer has heard of a routing table and has not acted."
    BalancerReady "balancer-ready" "A balancer is ready for a table and has told nobody."
    BalancerTelling "balancer-telling" "A balancer is about to report how it stands."
    HandoverAsked "handover-asked" "A balancer was asked for its sockets and has given nothing yet."
    HandoverTaken "handover-taken" "A new balancer has lock and sockets of the old one, and serves nothing yet."
    HandoverGo "handover-go" "A balancer is silent and has told the new one to serve."
    HandoverOpened "handover-opened" "A new balancer serves and is found; the old one does not know."
    HandoverLeft "handover-left" "A balancer has let lock and sockets go to the new one and has not said so."
    FileAside "file-aside" "A file is written aside and has not got its name."
}

impl Point {
    /// Every point there is.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let states =
            RolloutState::ALL.iter().flat_map(|state| [Self::Entering(*state), Self::Entered(*state)]);
        states.chain(Effect::ALL.iter().copied().map(Self::Effect)).collect()
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |state: &RolloutState| format!("{state:?}").to_lowercase();
        match self {
            Self::Entering(state) => write!(f, "entering-{}", named(state)),
            Self::Entered(state) => write!(f, "entered-{}", named(state)),
            Self::Effect(effect) => f.write_str(effect.name()),
        }
    }
}

impl From<Effect> for Point {
    fn from(effect: Effect) -> Self {
        Self::Effect(effect)
    }
}

/// Says that this task is at a point; returns at once unless a test holds it there.
#[cfg(debug_assertions)]
pub async fn reached(point: impl Into<Point>) {
    let Some(hold) = hold::begin(point.into()) else { return };
    while hold.lasts() {
        tokio::time::sleep(hold::LOOK).await;
    }
}

/// Says that this task is at a point.
#[cfg(not(debug_assertions))]
#[inline]
pub async fn reached(_point: impl Into<Point>) {}

/// As [`reached`], for a thread that may block.
#[cfg(debug_assertions)]
pub fn reached_blocking(point: impl Into<Point>) {
    let Some(hold) = hold::begin(point.into()) else { return };
    while hold.lasts() {
        std::thread::sleep(hold::LOOK);
    }
}

/// As [`reached`], for a thread that may block.
#[cfg(not(debug_assertions))]
#[inline]
pub fn reached_blocking(_point: impl Into<Point>) {}

/// The variable with its value, for a child whose environment is made anew: none where nothing is held.
#[must_use]
pub fn to_inherit() -> Option<(OsString, OsString)> {
    if cfg!(debug_assertions) { Some((VARIABLE.into(), std::env::var_os(VARIABLE)?)) } else { None }
}

#[cfg(debug_assertions)]
mod hold {
    use std::fs::File;
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::{Point, VARIABLE};

    /// Time between two looks whether the hold is over.
    pub(super) const LOOK: Duration = Duration::from_millis(2);

    /// A point that is held.
    pub(super) struct Hold(PathBuf);

    impl Hold {
        pub(super) fn lasts(&self) -> bool {
            self.0.exists()
        }
    }

    /// Notes the pass, and the hold where there is one.
    pub(super) fn begin(point: Point) -> Option<Hold> {
        static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
        let folder = FOLDER.get_or_init(|| std::env::var_os(VARIABLE).map(PathBuf::from)).as_deref()?;
        note(folder, point, "passed");
        let hold = Hold(folder.join(format!("{point}.hold")));
        if !hold.lasts() {
            return None;
        }
        note(folder, point, "reached");
        Some(hold)
    }

    /// The folder may be gone with the test that made it.
    fn note(folder: &Path, point: Point, what: &str) {
        let _ = File::create(folder.join(format!("{point}.{what}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own_that_fits_a_file() {
        let mut names: Vec<_> = Point::all().iter().map(Point::to_string).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        let plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        assert!(names.iter().all(plain), "{names:?}");
    }
}
