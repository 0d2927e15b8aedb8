//! The processes of a command, however they are kept together.
//!
//! With control groups its members are known for sure. Without any (no root, no delegation), they are those of its session
//! and all descendants of whoever keeps it; a process that leaves both at once is lost, which is why that is for
//! laptops only.

use std::collections::BTreeSet;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tandem_types::instance::Isolation;

use crate::cgroup::Group;
use crate::process::{self, Stat};

/// Where the processes of a command are found.
#[derive(Debug, Clone)]
pub(crate) struct Members {
    pub group: Group,
    /// With `Sandbox`, bubblewrap's own two processes are among them.
    pub isolation: Isolation,
    /// First process of the command, which leads its session, and its start time.
    pub first: (i32, u64),
    /// Process to which the kernel gives orphans of the command: the shim.
    pub keeper: Option<i32>,
}

impl Members {
    /// All processes, bubblewrap's included.
    pub(crate) fn all(&self) -> Vec<i32> {
        if self.group.exists() {
            return self.group.processes();
        }
        let (first, start_time) = self.first;
        let mut found: BTreeSet<i32> =
            self.keeper.map(process::descendants).unwrap_or_default().into_iter().collect();
        // The number stays taken while the session has members; if somebody else has it, the session is over.
        let taken = Stat::of(first).is_some_and(|stat| stat.start_time != start_time);
        if !taken {
            found.extend(process::descendants(first));
            found.extend(process::living().iter().filter(|stat| stat.session == first).map(|stat| stat.pid));
        }
        found.into_iter().collect()
    }

    /// Living processes of the app itself.
    pub(crate) fn of_app(&self) -> Vec<Stat> {
        let depth = process::namespace_ids(std::process::id() as i32).len();
        let own = |pid: &i32| match self.isolation {
            Isolation::Plain => true,
            Isolation::Sandbox => is_inside(&process::namespace_ids(*pid), depth),
        };
        self.all().into_iter().filter(own).filter_map(Stat::of).filter(Stat::lives).collect()
    }

    /// Whether any process lives.
    pub(crate) fn any(&self) -> bool {
        if self.group.exists() { self.group.populated() } else { !self.all().is_empty() }
    }

    /// Sends SIGKILL to all of them.
    pub(crate) fn kill(&self) {
        if self.group.exists() && self.group.kill().is_ok() {
            return;
        }
        for process in self.all() {
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
    }
}

/// bubblewrap's first process lives in our own process id namespace, its second is process 1 of the new one.
fn is_inside(ids: &[i32], depth: usize) -> bool {
    ids.len() > depth && ids.last() != Some(&1)
}

#[cfg(test)]
mod tests {
    use super::is_inside;

    #[test]
    fn bubblewraps_own_processes_are_told_from_the_apps() {
        assert!(!is_inside(&[100], 1), "the outer one");
        assert!(!is_inside(&[101, 1], 1), "the inner one");
        assert!(is_inside(&[102, 2], 1));
        assert!(is_inside(&[7, 102, 2], 2), "Tandem in a container itself");
        assert!(!is_inside(&[], 1), "a process that is gone");
    }
}
