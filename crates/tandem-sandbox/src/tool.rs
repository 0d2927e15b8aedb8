//! Trusted programs of the host (git, uv, cp): the one place where plain children are started.
//!
//! Each call has a time limit, a limit on captured output and an environment that begins almost empty. For anything
//! that an app brings along use [`crate::run`].

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tandem_types::Span;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};

use crate::spawn;

mod streaming;

pub use streaming::Streaming;

/// What a program of the host may see of Tandem's own environment: where things are, and how to reach the network.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];
/// Lines of error output that people are shown.
const LINES_SHOWN: usize = 5;

/// A call of a program, built up step by step.
#[derive(Debug, Clone)]
pub struct Tool {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    input: Vec<u8>,
    output_limit: usize,
}

/// What a program left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output, cut at the limit.
    pub stdout: Vec<u8>,
    /// Standard error, cut at the limit.
    pub stderr: Vec<u8>,
}

/// Why a program gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not there.
    #[error("run {program}: there is no such program")]
    Missing {
        /// As it was called.
        program: String,
    },
    /// The system did not start it, or its output broke off.
    #[error("run {program}")]
    Run {
        /// As it was called.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("run {program}: it did not end within {timeout}")]
    TimedOut {
        /// As it was called.
        program: String,
        /// Its time.
        timeout: Span,
    },
    /// It ended with a code other than 0, or by a signal.
    #[error("run {program}: {status}{}{said}", if said.is_empty() { "" } else { ": " })]
    Failed {
        /// As it was called.
        program: String,
        /// `exit status: 1`, `signal: 9 (SIGKILL)`.
        status: String,
        /// The last lines of its error output.
        said: String,
    },
}

impl Tool {
    /// A call of the program: a path, or a name looked up in `PATH`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: None,
            input: Vec::new(),
            output_limit: 1024 * 1024,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable on top of `PATH`, `HOME`, `LANG` and proxy settings.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Bytes for its standard input; otherwise it is empty.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Bytes kept of each output stream (1 MiB unless said otherwise); the rest is read and thrown away.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Runs it, whatever its exit code.
    ///
    /// # Errors
    /// Fails where it cannot be started or takes longer than `timeout`; it is killed then with what it started. The same
    /// happens when the future is dropped.
    pub async fn run(self, timeout: Span) -> Result<Output, Error> {
        self.finish(timeout).await.map(|(_, output)| output)
    }

    /// Runs it and wants exit code 0.
    ///
    /// # Errors
    /// As [`Tool::run`], and where it fails, with the last lines of its error output.
    pub async fn run_ok(self, timeout: Span) -> Result<Output, Error> {
        let program = self.name();
        let (status, output) = self.finish(timeout).await?;
        if status.success() {
            return Ok(output);
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let said = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
        Err(Error::Failed { program, status: status.to_string(), said })
    }

    async fn finish(self, timeout: Span) -> Result<(ExitStatus, Output), Error> {
        let program = self.name();
        let failed = |source: io::Error| match source.kind() {
            // A folder of `PATH` that must not be read hides that the program is in none of them.
            io::ErrorKind::PermissionDenied if !program.contains('/') => {
                Error::Missing { program: program.clone() }
            }
            io::ErrorKind::NotFound => Error::Missing { program: program.clone() },
            _ => Error::Run { program: program.clone(), source },
        };
        let mut child = self.start().map_err(failed)?;
        let group = Group(child.id().map(|id| Pid::from_raw(id as i32)));
        let ended = tokio::time::timeout(timeout.as_duration(), self.watch(&mut child)).await;
        match ended {
            Ok(result) => {
                group.forget();
                result.map_err(|source| Error::Run { program, source })
            }
            Err(_) => Err(Error::TimedOut { program, timeout }),
        }
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = spawn::asynchronous(&self.program);
        command.args(&self.arguments).env_clear().env("LANG", "C.UTF-8");
        command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true).spawn()
    }

    async fn watch(&self, child: &mut Child) -> io::Result<(ExitStatus, Output)> {
        let (input, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (status, (), stdout, stderr) = tokio::try_join!(
            child.wait(),
            feed(input, &self.input),
            capture(stdout, self.output_limit),
            capture(stderr, self.output_limit),
        )?;
        Ok((status, Output { code: status.code(), stdout, stderr }))
    }

    fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

/// Kills a program with all that it started, unless it ended well.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // The number stays taken as long as the group has a member; without one there is nothing to kill.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

async fn feed(input: Option<ChildStdin>, bytes: &[u8]) -> io::Result<()> {
    let Some(mut input) = input else { return Ok(()) };
    match input.write_all(bytes).await {
        // It is free to end without reading all of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

async fn capture(output: Option<impl AsyncRead + Unpin>, limit: usize) -> io::Result<Vec<u8>> {
    let Some(mut output) = output else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    (&mut output).take(limit as u64).read_to_end(&mut kept).await?;
    // A full pipe would stop the program.
    tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: Span = Span::seconds(30);

    fn shell(script: &str) -> Tool {
        Tool::new("/bin/sh").args(["-c", script])
    }

    #[tokio::test]
    async fn output_code_and_input_go_through() {
        let output =
            shell("cat; echo \"$X\" >&2; exit 3").input("abc").env("X", "y").run(ENOUGH).await.unwrap();
        assert_eq!(output, Output { code: Some(3), stdout: b"abc".to_vec(), stderr: b"y\n".to_vec() });
    }

    #[tokio::test]
    async fn a_failure_tells_the_last_lines_and_a_missing_program_its_name() {
        let error = shell("seq 1 9 >&2; exit 2").run_ok(ENOUGH).await.unwrap_err();
        assert_eq!(error.to_string(), "run /bin/sh: exit status: 2: 5\n6\n7\n8\n9");
        let error = Tool::new("no-such-program-here").run(ENOUGH).await.unwrap_err();
        assert_eq!(error.to_string(), "run no-such-program-here: there is no such program");
    }

    #[tokio::test]
    async fn output_beyond_the_limit_is_thrown_away_and_does_not_stop_the_program() {
        let output = shell("seq 1 100000").output_limit(4).run_ok(ENOUGH).await.unwrap();
        assert_eq!(output.stdout, b"1\n2\n");
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 1000 & echo $! > pid; mv pid child; wait";
        let running = shell(script).folder(folder.path()).run(Span::millis(500));
        assert!(matches!(running.await, Err(Error::TimedOut { .. })));
        let child: i32 =
            std::fs::read_to_string(folder.path().join("child")).unwrap().trim().parse().unwrap();
        let dead = || crate::process::Stat::of(child).is_none_or(|stat| !stat.lives());
        crate::tests::eventually("the child is dead", dead).await;
    }

    #[tokio::test]
    async fn nothing_of_tandems_own_environment_is_seen_but_what_is_needed() {
        let output = shell("env").run_ok(ENOUGH).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("PATH=") && !text.contains("CARGO"), "{text}");
    }
}
