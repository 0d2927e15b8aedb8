//! Asking a command to end (decision 003).
//!
//! The signal goes to those who are in charge: a process that handles it is trusted to bring its own children to an end,
//! as gunicorn and celery do; their workers must not get it too, or celery's lose their tasks. One that does not
//! handle it (a shell between Tandem and the app) would die at once, so its children are asked as well.
//!
//! When the command's first process dies, the whole sandbox goes with it. If that is such a shell, it is therefore
//! stopped (SIGSTOP) until its children have ended, and gets the signal then; it does not go on to the next command of
//! its script either. `npm start` is such a shell, though it handles signals.
//!
//! Shortly before the time is up, whoever is left gets SIGTERM, wherever it stands in the tree: some take the first signal
//! for something else (a reload), some keep it to themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::members::Members;
use crate::process::{self, Stat};

/// Most of the time that whoever is left has between SIGTERM to all and the end: enough to close files and answer a last
/// request, and no more, since it is taken from those who are finishing what they do.
const LAST_CALL: Duration = Duration::from_secs(5);

/// A stop under way.
#[derive(Debug)]
pub(super) struct Stop {
    signal: i32,
    /// Whether all that were left have got SIGTERM.
    has_told_all: bool,
    /// Whether anybody was there to be asked: not while bubblewrap still prepares the sandbox.
    asked: bool,
    /// The first process, held back until it is alone.
    held: Option<i32>,
}

impl Stop {
    /// Sends the signal.
    pub(super) fn begin(members: &Members, signal: i32) -> Self {
        let mut stop = Self { signal, has_told_all: false, asked: false, held: None };
        stop.step(members);
        stop
    }

    pub(super) fn signal(&self) -> i32 {
        self.signal
    }

    /// How long before the end of its time whoever is left is told once more: five seconds, or a third of a shorter time.
    pub(super) fn last_call(timeout: Duration) -> Duration {
        LAST_CALL.min(timeout / 3)
    }

    /// Whether [`Stop::tell_all`] has still to be called.
    pub(super) fn has_told_all(&self) -> bool {
        self.has_told_all
    }

    /// Sends SIGTERM to everybody who is left, and says to how many; not to a shell that is held, which would die before its
    /// children have ended.
    pub(super) fn tell_all(&mut self, members: &Members) -> usize {
        self.has_told_all = true;
        let left = members.of_app();
        let left = left.iter().filter(|stat| Some(stat.pid) != self.held);
        left.map(|stat| send(stat.pid, libc::SIGTERM)).count()
    }

    /// Does what could not be done at once: asks who was not there yet, lets the held process go once nobody else is left.
    pub(super) fn step(&mut self, members: &Members) {
        if !self.asked {
            let tree = Tree::of(members.of_app());
            self.asked = !tree.stats.is_empty();
            for root in tree.roots() {
                self.ask(&tree, root);
            }
        } else if let Some(held) = self.held
            && members.of_app().iter().all(|stat| stat.pid == held)
        {
            // In this order: it dies of the first before it runs another instruction.
            send(held, self.signal);
            send(held, libc::SIGCONT);
            self.held = None;
        }
    }

    /// Whether [`Stop::step`] has something to do soon.
    pub(super) fn is_waiting(&self) -> bool {
        !self.asked || self.held.is_some()
    }

    fn ask(&mut self, tree: &Tree, process: i32) {
        let children = tree.children(process);
        let runs_scripts = !children.is_empty() && process::runs_scripts(process);
        if process::catches(process, self.signal) && !runs_scripts {
            return send(process, self.signal);
        }
        if tree.first() == Some(process) && !children.is_empty() {
            // Held before its children end, lest it sees that and goes on. The signal itself must wait: until a process
            // is really stopped, one that it does not handle kills it at once.
            send(process, libc::SIGSTOP);
            self.held = Some(process);
        } else {
            send(process, self.signal);
        }
        for child in children {
            self.ask(tree, *child);
        }
    }
}

/// Sends the signal to every process of the app alike.
pub(super) fn signal_all(members: &Members, signal: i32) {
    for stat in members.of_app() {
        send(stat.pid, signal);
    }
}

fn send(process: i32, signal: i32) {
    // A process that ended meanwhile needs no signal. Real-time signals have no name in nix.
    match Signal::try_from(signal) {
        Ok(signal) => drop(kill(Pid::from_raw(process), signal)),
        Err(_) => tracing::debug!(signal, "signal {signal} has no name and is not sent"),
    }
}

/// Who is whose child within the app.
struct Tree {
    stats: Vec<Stat>,
    children: BTreeMap<i32, Vec<i32>>,
}

impl Tree {
    fn of(stats: Vec<Stat>) -> Self {
        let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for stat in &stats {
            children.entry(stat.parent).or_default().push(stat.pid);
        }
        Self { stats, children }
    }

    /// Those whose parent is not of the app: the first process, and daemons that left theirs.
    fn roots(&self) -> Vec<i32> {
        let known = |pid: i32| self.stats.iter().any(|stat| stat.pid == pid);
        self.stats.iter().filter(|stat| !known(stat.parent)).map(|stat| stat.pid).collect()
    }

    /// The one that was started first: its end is the command's end.
    fn first(&self) -> Option<i32> {
        self.stats.iter().min_by_key(|stat| (stat.start_time, stat.pid)).map(|stat| stat.pid)
    }

    fn children(&self, process: i32) -> &[i32] {
        self.children.get(&process).map_or(&[], Vec::as_slice)
    }
}
