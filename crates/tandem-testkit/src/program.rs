//! The testkit's one place that starts programs: to their end with a limit, or beside the scenario.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::wait::within;

/// Time a program run to its end has, unless told otherwise. A first deploy fetches packages.
const LIMIT: Duration = Duration::from_secs(300);

/// A program with its arguments, not started yet.
#[derive(Debug)]
pub struct Program {
    command: Command,
    name: String,
    limit: Duration,
}

/// What a program that ended did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The line as it was typed, for messages.
    pub line: String,
    /// Exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A program that runs beside the scenario; killed, with what it started in its process group, when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
}

impl Program {
    /// A program by path or by its name on `PATH`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one home of starting programs in tests")]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let name = program.as_ref().to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Self { command, name, limit: LIMIT }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Runs in this folder.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes an environment variable.
    #[must_use]
    pub fn unset(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Holds its standard input open until it is dropped, which a program can wait for.
    #[must_use]
    pub fn hold_input(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Drops what it writes.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self
    }

    /// Time until it is killed, instead of five minutes.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// Where it cannot be started, or does not end in time.
    #[must_use]
    pub fn run(self) -> Outcome {
        self.run_noted(|_| ())
    }

    /// Runs it to its end; `note` is told its process id as soon as it runs. It leads a process group of that id.
    ///
    /// # Panics
    ///
    /// Where it cannot be started, or does not end in time.
    #[must_use]
    pub fn run_noted(mut self, note: impl FnOnce(Pid)) -> Outcome {
        let line = self.line();
        // Files, not pipes: whoever runs the program waits for its end, and a full pipe would never let it come.
        let (stdout, stderr) = (scratch(), scratch());
        self.command.stdout(duplicate(&stdout)).stderr(duplicate(&stderr));
        let limit = self.limit;
        let mut running = self.start();
        note(running.id());
        let status = within(limit, || running.ended());
        let (stdout, stderr) = (read_back(stdout), read_back(stderr));
        let Some(status) = status else {
            panic!("{line}: not ended after {limit:?}\n{stdout}\n{stderr}");
        };
        Outcome { line, code: status.code(), stdout, stderr }
    }

    /// Starts it beside the scenario, in a process group of its own. Its output goes where [`Program::output`]
    /// said, else to the scenario's.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    #[must_use]
    pub fn start(mut self) -> Running {
        let child = self.command.process_group(0).spawn();
        let child = child.unwrap_or_else(|error| panic!("failed to start {}: {error}", self.name));
        Running { child, name: self.name }
    }

    /// Sends both output streams to a file, behind what it holds.
    ///
    /// # Panics
    ///
    /// Where the file cannot be opened.
    #[must_use]
    pub fn output(mut self, path: &Path) -> Self {
        let file = File::options().create(true).append(true).open(path);
        let file = file.unwrap_or_else(|error| panic!("failed to open {}: {error}", path.display()));
        self.command.stdout(duplicate(&file)).stderr(file);
        self
    }

    fn line(&self) -> String {
        let name = Path::new(&self.name).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let arguments = self.command.get_args().map(|argument| argument.to_string_lossy().into_owned());
        std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
    }
}

impl Outcome {
    /// The same, having ended with exit code 0.
    ///
    /// # Panics
    ///
    /// With both outputs, where it did not.
    #[must_use]
    #[track_caller]
    pub fn expect_success(self) -> Self {
        self.expect_code(0)
    }

    /// The same, having ended with this exit code.
    ///
    /// # Panics
    ///
    /// With both outputs, where it did not.
    #[must_use]
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code of {self}");
        self
    }

    /// The last line of standard output as JSON.
    ///
    /// # Panics
    ///
    /// Where it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let last = self.stdout.trim_end().lines().last().unwrap_or_default();
        let whole = || serde_json::from_str(&self.stdout).ok();
        serde_json::from_str(last).ok().or_else(whole).unwrap_or_else(|| panic!("no JSON from {self}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, stdout, stderr } = self;
        write!(f, "`{line}` ({code:?})\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Ends its standard input that [`Program::hold_input`] held open, with a line before.
    ///
    /// # Errors
    ///
    /// It has ended, or its input was not held.
    pub fn let_go(&mut self) -> io::Result<()> {
        let mut input = self.child.stdin.take().ok_or(io::ErrorKind::NotFound)?;
        input.write_all(b"\n")
    }

    /// How it ended, where it has.
    ///
    /// # Panics
    ///
    /// Where the kernel does not know the child.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for until it was")
    }

    /// Sends a signal to it, and to nothing that it started.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            // It may have ended since; then there is nobody to tell.
            let _ = kill(self.id(), signal);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// Where it does not come within `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let status = within(limit, || self.ended());
        status.unwrap_or_else(|| panic!("{} has not ended after {limit:?}", self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_none() {
            // The group bears the id of this child, which was not waited for yet, so nobody else can have it.
            let _ = killpg(self.id(), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

fn scratch() -> File {
    tempfile::tempfile().expect("the temporary folder takes files")
}

fn duplicate(file: &File) -> File {
    file.try_clone().expect("a descriptor is free")
}

fn read_back(mut file: File) -> String {
    use io::{Read as _, Seek as _};
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("the file is ours");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new("sh").arguments(["-c", script])
    }

    #[test]
    fn the_outcome_has_both_streams_and_the_code() {
        let outcome = shell("echo out; echo err >&2; exit 3").run().expect_code(3);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\n", "err\n"));
    }

    #[test]
    fn json_is_read_from_the_last_line_or_from_the_whole() {
        assert_eq!(shell("echo log; echo '{\"a\": 1}'").run().json()["a"], 1);
        assert_eq!(shell("printf '[\\n1\\n]\\n'").run().json()[0], 1);
    }

    #[test]
    fn a_program_that_waits_for_a_line_gets_one_and_no_second() {
        let mut running = shell("read -r first && ! read -r second").hold_input().start();
        assert!(running.ended().is_none());
        running.let_go().unwrap();
        assert!(running.wait(LIMIT).success());
        assert!(running.let_go().is_err(), "its input has ended");
    }

    #[test]
    fn a_program_that_is_dropped_is_gone() {
        let running = Program::new("sleep").arguments(["600"]).start();
        let id = running.id();
        drop(running);
        assert!(kill(id, None).is_err(), "{id} still runs");
    }
}
