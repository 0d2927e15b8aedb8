//! Where Tandem runs, when it is not where a command looked: three cases that need three hints. It never ran on this data
//! folder, it is stopped, or it runs on another one.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tandem_kit::paths;

use crate::data_folder;
use crate::failure::{Failure, NOT_RUNNING};
use crate::roles::{Holder, Role};
use crate::session::Session;

/// Data folder of a Tandem that root started.
const OF_ROOT: &str = "/var/lib/tandem";

/// A `tandem up` or `tandem server` that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// Its data folder.
    pub(crate) data: PathBuf,
    pid: u32,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Tandem on {} (process {})", self.data.display(), self.pid)
    }
}

/// Installations of this user that answer, but the one on `data`.
pub(crate) fn running(data: &Path) -> Vec<Elsewhere> {
    running_in(&paths::runtime_parent(), data)
}

fn running_in(parent: &Path, data: &Path) -> Vec<Elsewhere> {
    let own = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let folders = std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = folders.filter_map(|folder| answering(&folder)).collect();
    found.retain(|other| other.data != own);
    found.sort_by(|one, other| one.data.cmp(&other.data));
    found
}

/// The note of who holds the lock outlives a crash; only the socket proves that somebody is there.
fn answering(runtime: &Path) -> Option<Elsewhere> {
    let holder = [Role::Up, Role::Server].iter().find_map(|role| Holder::living(runtime, *role))?;
    UnixStream::connect(paths::socket_in(runtime)).ok()?;
    Some(Elsewhere { data: holder.data?, pid: holder.pid })
}

/// Says of a server that does not run which of the three cases it is; any other failure stays as it is.
pub(crate) fn explain(failure: Failure, session: &Session) -> Failure {
    if session.global.server.is_some() || failure.code_is() != Some(NOT_RUNNING) {
        return failure;
    }
    let data = session.data();
    // That `tandem up` starts it would be wrong of a folder that this version refuses.
    if let Err(refused) = data_folder::check(&data) {
        return refused;
    }
    if Holder::beside(&data, Role::Runner) {
        return apart(&data);
    }
    Case { ran: has_run(&data), others: running(&data), default: paths::default_data_dir(), data }.told()
}

/// Whether there is a store; the lock is there from the first moment of a start on, the store after it.
fn has_run(data: &Path) -> bool {
    data.join("lock").exists()
}

/// A runner that runs alone: the apps run, and `tandem up` would be refused.
fn apart(data: &Path) -> Failure {
    let data = data.display();
    Failure::new(format!("no server runs on the data folder {data}; its runner does, and the apps go on"))
        .hint(format!("`tandem server --data {data}` starts one"))
        .code(NOT_RUNNING)
}

struct Case {
    data: PathBuf,
    default: PathBuf,
    ran: bool,
    others: Vec<Elsewhere>,
}

impl Case {
    fn told(&self) -> Failure {
        let data = self.data.display();
        let start = if self.data == self.default {
            "`tandem up`".to_owned()
        } else {
            format!("`tandem up --data {data}`")
        };
        let (title, start) = if self.ran {
            (
                format!("Tandem is stopped on the data folder {data}"),
                format!("{start} starts it, with its apps"),
            )
        } else {
            (format!("Tandem has never run on the data folder {data}"), format!("{start} starts it"))
        };
        let failure = Failure::new(title).code(NOT_RUNNING);
        match self.others.as_slice() {
            [] if !self.ran && is_of_root() => {
                failure.hint(format!("{start}; root has one on {OF_ROOT}, which `sudo tandem` reaches"))
            }
            [] => failure.hint(format!("{start}; --data and --server name another one")),
            [other, ..] => {
                let lines: Vec<String> = self.others.iter().map(ToString::to_string).collect();
                let other = other.data.display();
                failure.detail(format!("running on this machine: {}", lines.join(", "))).hint(format!(
                    "add `--data {other}` if that one is meant, or set TANDEM_DATA; else {start}"
                ))
            }
        }
    }
}

/// Whether the caller is somebody else than the owner of root's data folder, which is all that can be seen of it.
fn is_of_root() -> bool {
    let theirs = std::fs::metadata(OF_ROOT).is_ok_and(|folder| folder.is_dir() && folder.uid() == 0);
    theirs && paths::default_data_dir() != Path::new(OF_ROOT)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use tandem_kit::files;

    use super::*;

    fn rendered(ran: bool, data: &str, others: &[&str]) -> String {
        let other = |data: &&str| Elsewhere { data: PathBuf::from(data), pid: 7 };
        let others = others.iter().map(other).collect();
        let case = Case { data: data.into(), default: "/default".into(), ran, others };
        case.told().render(crate::output::Style::new(false)).expect("it is told")
    }

    #[test]
    fn never_started_stopped_and_elsewhere_have_a_hint_each() {
        let never = rendered(false, "/x", &[]);
        assert!(never.contains("has never run on the data folder /x"), "{never}");
        assert!(never.contains("`tandem up --data /x` starts it"), "{never}");
        let stopped = rendered(true, "/default", &[]);
        assert!(stopped.contains("is stopped on the data folder /default"), "{stopped}");
        assert!(stopped.contains("`tandem up` starts it, with its apps"), "{stopped}");
        let elsewhere = rendered(false, "/x", &["/y"]);
        assert!(elsewhere.contains("the Tandem on /y (process 7)"), "{elsewhere}");
        assert!(elsewhere.contains("hint: add `--data /y`"), "{elsewhere}");
    }

    #[test]
    fn only_what_answers_is_said_to_run() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = folder.path().join("0badcafe");
        files::ensure_dir(&runtime, 0o700).expect("a folder");
        let holder = Holder::new(std::process::id(), Some("/y".into()));
        files::write_json(&Holder::file(&runtime, Role::Server), &holder, 0o600).expect("it is written");
        assert_eq!(running_in(folder.path(), Path::new("/x")), [], "it was killed");
        let _listener = UnixListener::bind(paths::socket_in(&runtime)).expect("a socket");
        assert_eq!(running_in(folder.path(), Path::new("/x")).len(), 1);
        assert_eq!(running_in(folder.path(), Path::new("/y")), [], "that is the one looked for");
    }
}
