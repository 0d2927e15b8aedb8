//! Why a source did not become a build, in the words people get.

use std::borrow::Cow;
use std::path::PathBuf;

use tandem_blobs::{export, ingest, store};
use tandem_kit::{error, files};
use tandem_sandbox::{cgroup, run};
use tandem_types::Span;
use tandem_types::disk::Space;
use tandem_types::problem::Problem;

use tandem_app_file as app_file;

mod layout;
mod limits;
mod problem;
mod python;

pub use python::PythonMissing;

/// Lines of a command's output that a failure shows.
pub(crate) const LINES_SHOWN: usize = 20;

/// Characters of a line that it shows.
const LINE_CHARACTERS: usize = 1000;

/// Why a build failed. Each has a stable code; see [`Error::to_problem`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A mistake in `tandem.toml` or the Procfile.
    #[error("read {}", .0.file)]
    AppFile(#[from] app_file::Mistake),
    /// Nothing says what this is.
    #[error("find out how to build this source")]
    NoRecipe {
        /// Folders in it that look like apps.
        apps: Vec<String>,
    },
    /// A folder was named that is not there.
    #[error("find the folder {folder}")]
    NoRoot {
        /// As it was named.
        folder: String,
        /// By what.
        said_by: &'static str,
        /// Folders in the source that look like apps.
        apps: Vec<String>,
    },
    /// Several Django projects, and nothing that says which.
    #[error("find out which app of this source is meant")]
    SeveralApps {
        /// Where they are.
        folders: Vec<String>,
    },
    /// Nothing says which settings a Django project uses.
    #[error("find the settings of this Django project")]
    NoSettings {
        /// Modules that may be meant.
        found: Vec<String>,
    },
    /// No Node that fits and that instances could use.
    #[error("find Node {wanted}")]
    NodeMissing {
        /// What was asked for; empty: any.
        wanted: String,
        /// By which file.
        said_by: String,
        /// What is there.
        found: Vec<String>,
        /// Where more are looked for.
        tools: String,
    },
    /// Node without npm.
    #[error("find npm beside {node}")]
    NpmMissing {
        /// The Node.
        node: String,
    },
    /// Packages of Node's, locked by a program other than npm.
    #[error("read {path}")]
    ForeignNodeLock {
        /// The lock file.
        path: String,
    },
    /// `npm ci` failed.
    #[error("install the packages of Node")]
    NodeModules {
        /// Its last lines.
        lines: Vec<String>,
    },
    /// A declared command of the build failed.
    #[error("run the build command `{command}`")]
    Command {
        /// As it was written.
        command: String,
        /// How it ended.
        exit: String,
        /// Its last lines.
        lines: Vec<String>,
    },
    /// Something else is where a folder has to be.
    #[error("use {} as a folder", path.display())]
    NoFolder {
        /// What left it there.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Dependencies in a format that is not read.
    #[error("read {found}")]
    Unsupported {
        /// The file.
        found: &'static str,
        /// How to get to one that is.
        hint: &'static str,
    },
    /// A file of the source that must be understood and is not.
    #[error("read {path}: {reason}")]
    Malformed {
        /// Its path below the source.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// `manage.py`, and nothing that says which packages.
    #[error("find the dependencies")]
    NoDependencies,
    /// Nothing says what serves requests.
    #[error("find the command for `web`")]
    NoWebCommand,
    /// `[processes.NAME]` without a command, and none in the Procfile.
    #[error("find the command for `{0}`")]
    NoCommand(String),
    /// No interpreter that instances could use.
    #[error("find Python {}", .0.asked_for())]
    PythonMissing(Box<PythonMissing>),
    /// Extras or groups, and no project that could have them.
    #[error("install {key} without a project")]
    NoProject {
        /// The key of `[build]`.
        key: &'static str,
        /// What names the dependencies instead.
        file: String,
    },
    /// uv is not there and could not be installed.
    #[error("find uv")]
    UvMissing {
        /// What went wrong while it was installed.
        detail: String,
        /// The line to type.
        line: String,
    },
    /// `uv.lock` does not belong to `pyproject.toml`.
    #[error("install the dependencies: uv.lock does not fit pyproject.toml")]
    StaleLock {
        /// uv's last lines.
        lines: Vec<String>,
    },
    /// uv failed.
    #[error("install the dependencies")]
    Dependencies {
        /// Its last lines.
        lines: Vec<String>,
        /// Paths of dependencies whose names only their own build scripts tell.
        unnamed: Vec<String>,
        /// Repositories that dependencies come from: URL and who asks for it.
        repositories: Vec<(String, String)>,
    },
    /// `collectstatic` failed.
    #[error("collect the static files")]
    Static {
        /// Its last lines.
        lines: Vec<String>,
    },
    /// Other builds of the app, or the disk that one of them still writes to, took all the time there is.
    #[error("begin the build: another one of this app did not end within {limit}")]
    Busy {
        /// How long was waited.
        limit: Span,
    },
    /// A command took longer than the build has time.
    #[error("finish {what} within {limit}")]
    TimedOut {
        /// Which part.
        what: &'static str,
        /// The build's time budget.
        limit: Span,
        /// Its last lines.
        lines: Vec<String>,
    },
    /// The kernel killed a command, or a part of it, for want of memory.
    #[error("finish {what} within {} MiB of memory", limit >> 20)]
    OutOfMemory {
        /// Which part.
        what: &'static str,
        /// What it might use, in bytes.
        limit: u64,
        /// Its last lines.
        lines: Vec<String>,
    },
    /// The kernel killed a command, or a part of it, since the whole machine had no more memory.
    #[error("finish {what} with the memory that the machine has left")]
    MachineOutOfMemory {
        /// Which part.
        what: &'static str,
        /// Its last lines.
        lines: Vec<String>,
    },
    /// A command failed and had more processes than it may have.
    #[error("finish {what} with {limit} processes")]
    TooManyProcesses {
        /// Which part.
        what: &'static str,
        /// What it might have at a time, threads counted.
        limit: u32,
        /// Its last lines.
        lines: Vec<String>,
    },
    /// A command printed without end.
    #[error("finish {what} within {} MiB of output", limit >> 20)]
    TooMuchOutput {
        /// Which part.
        what: &'static str,
        /// What it might print, in bytes.
        limit: u64,
        /// Its last lines.
        lines: Vec<String>,
    },
    /// What a command left is more than a build can hold.
    #[error("keep what {what} left: {reason}")]
    TooMuch {
        /// Which part.
        what: &'static str,
        /// What there is too much of.
        reason: String,
    },
    /// The disk was nearly full before the build began.
    #[error("begin the build: the disk is nearly full")]
    NoRoom {
        /// What is left.
        left: Space,
    },
    /// A command wrote so much that the disk is nearly full, or somebody else did meanwhile.
    #[error("finish {what}: the disk is nearly full")]
    DiskFull {
        /// Which part.
        what: &'static str,
        /// What was left.
        left: Space,
    },
    /// A command could not be started.
    #[error("run {what}")]
    Run {
        /// Which part.
        what: &'static str,
        /// Why not.
        #[source]
        source: run::Error,
    },
    /// A command of Tandem's own failed, which no source should bring about.
    #[error("run {what}: {reason}")]
    Unexpected {
        /// Which part.
        what: &'static str,
        /// How it ended.
        reason: String,
        /// Its last lines.
        lines: Vec<String>,
    },
    /// The blob store failed.
    #[error("use the blob store")]
    Store(#[from] store::Error),
    /// What a command made could not be kept.
    #[error("keep what was built")]
    Ingest(#[from] ingest::Error),
    /// The source could not be laid out for a command.
    #[error("lay out the source")]
    Export(#[from] export::Error),
    /// What still ran of an earlier build could not be ended.
    #[error("end what is left of an earlier build")]
    Group(#[from] cgroup::Error),
    /// A cache or work file of the builder.
    #[error("use the build folder")]
    Files(#[from] files::Error),
    /// The disk, elsewhere.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

fn refused(code: &str, title: impl Into<String>) -> Problem {
    Problem::new(422, code, title)
}

fn tail(lines: &[String]) -> String {
    let last = lines[lines.len().saturating_sub(LINES_SHOWN)..].iter();
    last.map(|line| shortened(line)).collect::<Vec<_>>().join("\n")
}

/// A failure is kept in documents and sent about; a line without an end must not make it one of a hundred kibibytes.
fn shortened(line: &str) -> Cow<'_, str> {
    match line.char_indices().nth(LINE_CHARACTERS) {
        Some((end, _)) => format!("{} [{} more bytes]", &line[..end], line.len() - end).into(),
        None => line.into(),
    }
}

fn causes(error: &Error) -> String {
    std::error::Error::source(error).map(error::chain).unwrap_or_default()
}

/// Makes an [`Error::Io`].
pub(crate) fn io_error(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_server_s_own_say_what_to_type_next_too() {
        let lines = vec!["Killed".to_owned()];
        let own =
            Error::Unexpected { what: "compiling the byte code", reason: "exit code 9".to_owned(), lines };
        let disk = io_error("make", std::path::Path::new("/x"))(std::io::ErrorKind::StorageFull.into());
        for error in [own, disk] {
            let problem = error.to_problem();
            assert_eq!(problem.code, "build_failed");
            assert!(problem.hint.contains("`tandem deploy`"), "{error}");
        }
    }
}
