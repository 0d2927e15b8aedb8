//! Processes as `/proc` shows them.
//!
//! A bare process id names whoever has it now. So what is kept beyond one look is an [`Identity`]: id, start time and
//! boot, which no other process ever has together.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::{Deserialize, Serialize};

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Id of the session's first process; stays taken as long as the session has members.
    pub(crate) session: i32,
    /// In clock ticks since boot.
    pub(crate) start_time: u64,
    state: u8,
}

impl Stat {
    /// Reads one process; none where it is gone.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads the threads of a process; none where it is gone.
    #[must_use]
    pub fn threads_of(pid: i32) -> Vec<Self> {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let stats = threads.filter_map(|thread| std::fs::read(thread.path().join("stat")).ok());
        stats.filter_map(|stat| parse_stat(&stat)).collect()
    }

    /// When it began, in clock ticks since boot: with its id it is told from all others of this boot.
    #[must_use]
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// The letter of its state, as in `proc(5)`.
    #[must_use]
    pub fn state(&self) -> char {
        self.state.into()
    }

    /// Whether it can still run code: a zombie only waits to be reaped.
    #[must_use]
    pub fn lives(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// The command's name is whatever a process calls itself. It may hold blanks and parentheses, so fields are counted from the
/// last parenthesis; and it need not be UTF-8: a process must not hide by a name that cannot be read.
pub(crate) fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let text = String::from_utf8_lossy(bytes);
    let pid = text.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Stat {
        pid,
        state: fields.first()?.bytes().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

/// All living processes of the machine.
pub(crate) fn living() -> Vec<Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Stat::of)
        .filter(Stat::lives)
        .collect()
}

/// Living processes below this one, however deep, without itself.
pub(crate) fn descendants(ancestor: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for stat in living() {
        children.entry(stat.parent).or_default().push(stat.pid);
    }
    let mut found = BTreeSet::new();
    let mut open = vec![ancestor];
    while let Some(parent) = open.pop() {
        open.extend(children.get(&parent).into_iter().flatten().filter(|child| found.insert(**child)));
    }
    found.remove(&ancestor);
    found.into_iter().collect()
}

/// Whether the process has a handler of its own for the signal.
pub(crate) fn catches(pid: i32, signal: i32) -> bool {
    let caught = status_field(pid, "SigCgt:").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    (1..=64).contains(&signal) && caught.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Programs that run a script of `package.json` in a shell.
const SCRIPT_RUNNERS: [&str; 8] =
    ["npm", "npm-cli.js", "npx", "npx-cli.js", "pnpm", "pnpm.cjs", "yarn", "yarn.js"];

/// Whether it is `npm start` or one of its kind. These handle signals, but hand them to no more than the shell between them and
/// the app, which dies of them without a word to its children.
pub(crate) fn runs_scripts(pid: i32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    is_script_runner(&String::from_utf8_lossy(&command))
}

/// npm writes what it runs over its arguments (`npm start`, one text); others are an argument of `node`.
fn is_script_runner(command: &str) -> bool {
    let mut words = command.split(['\0', ' ']).filter(|word| !word.is_empty() && !word.starts_with('-'));
    let names = |word: &str| {
        let name = word.rsplit('/').next().unwrap_or(word);
        // As it is kept in repositories: `.yarn/releases/yarn-4.1.0.cjs`.
        SCRIPT_RUNNERS.contains(&name) || (name.starts_with("yarn-") && name.ends_with("js"))
    };
    let first = words.next().unwrap_or_default();
    let is_node = matches!(first.rsplit('/').next(), Some("node" | "nodejs"));
    names(first) || (is_node && words.next().is_some_and(names))
}

/// Its ids from our process id namespace inwards: one, where it shares ours.
pub(crate) fn namespace_ids(pid: i32) -> Vec<i32> {
    let field = status_field(pid, "NSpid:").unwrap_or_default();
    field.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn status_field(pid: i32, name: &str) -> Option<String> {
    // Lossy, since the name of the process is in it.
    let status = std::fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}

/// The kernel's name for its present run.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// A process that can be told from every other one, ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub pid: i32,
    pub start_time: u64,
    pub boot_id: String,
}

impl Identity {
    /// Takes down who has this id now.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        let stat = Stat::of(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self { pid, start_time: stat.start_time, boot_id: boot_id()? })
    }

    /// Whether that very process lives.
    pub(crate) fn lives(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot_id)
            && Stat::of(self.pid).is_some_and(|stat| stat.start_time == self.start_time && stat.lives())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let text = "42 (a) b (c)) S 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        let stat = parse_stat(text.as_bytes()).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.session, stat.start_time), (42, 7, 41, 98765));
        assert!(stat.lives());
        assert!(!parse_stat(text.replace(") S 7", ") Z 7").as_bytes()).unwrap().lives());
    }

    #[test]
    fn a_process_cannot_hide_by_a_name_that_is_no_text() {
        use std::io::Write as _;
        let me = std::process::id() as i32;
        let call = |name: &[u8]| {
            let mut comm = std::fs::OpenOptions::new().write(true).open("/proc/self/comm").unwrap();
            comm.write_all(name).unwrap();
        };
        let before = std::fs::read("/proc/self/comm").unwrap();
        call(b"\xff) Z 1 (");
        let (stat, ids) = (Stat::of(me), namespace_ids(me));
        let listed = living().iter().any(|stat| stat.pid == me);
        call(&before);
        assert!(stat.is_some_and(|stat| stat.pid == me && stat.lives()));
        assert!(listed && !ids.is_empty());
    }

    #[test]
    fn package_managers_are_known_by_their_command_lines() {
        for command in [
            "npm start\0\0\0",
            "npm run web\0",
            "node\0/usr/bin/npm\0start\0",
            "/usr/bin/node\0--no-warnings\0/usr/share/yarn/bin/yarn.js\0start\0",
            "pnpm\0start\0",
            "node\0/app/.yarn/releases/yarn-4.1.0.cjs\0start\0",
        ] {
            assert!(is_script_runner(command), "{command:?}");
        }
        for command in ["", "node\0server.js\0", "python3\0npm\0", "/bin/sh\0-c\0npm start\0", "npm-watch\0"]
        {
            assert!(!is_script_runner(command), "{command:?}");
        }
    }

    #[test]
    fn another_start_time_or_boot_is_another_process() {
        let me = Identity::of(std::process::id() as i32).unwrap();
        assert!(me.lives());
        assert!(!Identity { start_time: me.start_time + 1, ..me.clone() }.lives());
        assert!(!Identity { boot_id: "another".to_owned(), ..me }.lives());
    }
}
