//! A control group: limits, members, weight, end.

use crate::spec::{Limits, Weight};

/// Why something could not be done with a control group.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

/// The control group `parent/id`, in the v2 hierarchy for its life cycle and wherever the controllers are for limits.
/// A handle only: dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct Group {}

/// Ids of all groups below the parent (`DataDir::cgroup_name()`), those of dead shims included.
///
/// # Errors
/// Fails where a hierarchy is there but cannot be read.
pub fn list(parent: &str) -> Result<Vec<String>, Error> {
    let _ = parent;
    todo!()
}

impl Group {
    /// A handle to a group, whether it exists or not.
    #[must_use]
    pub fn open(parent: &str, id: &str) -> Self {
        let _ = (parent, id);
        todo!()
    }

    /// Makes the group and sets its limits.
    ///
    /// # Errors
    /// Fails where a hierarchy can be written but refuses the group or a limit. Without any hierarchy it succeeds and the
    /// group has no effect.
    pub fn create(parent: &str, id: &str, limits: &Limits) -> Result<Self, Error> {
        let _ = (parent, id, limits);
        todo!()
    }

    /// Host process ids of its members.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        todo!()
    }

    /// Whether it has a living member.
    #[must_use]
    pub fn populated(&self) -> bool {
        todo!()
    }

    /// Sends SIGKILL to every member; returns at once.
    ///
    /// # Errors
    /// Fails where the kernel refuses.
    pub fn kill(&self) -> Result<(), Error> {
        todo!()
    }

    /// Sets its share of CPU.
    ///
    /// # Errors
    /// Fails where the kernel refuses; without a CPU controller it does nothing.
    pub fn set_weight(&self, weight: Weight) -> Result<(), Error> {
        let _ = weight;
        todo!()
    }

    /// Kills every member, waits until they are gone (10 s at most) and removes the group. For groups without a shim.
    ///
    /// # Errors
    /// Fails where members do not die or the group cannot be removed.
    pub async fn sweep(&self) -> Result<(), Error> {
        todo!()
    }
}
