//! Trusted programs of the host (git, uv, cp): the one place where plain children are started.
//!
//! Each call has a time limit, a limit on captured output and an environment that begins almost empty. For anything
//! that an app brings along use [`crate::run`].

use std::ffi::OsString;
use std::path::PathBuf;

use tandem_types::Span;

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
pub enum Error {}

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
    /// Fails where it cannot be started or takes longer than `timeout`; it is killed then.
    pub async fn run(self, timeout: Span) -> Result<Output, Error> {
        let _ = timeout;
        todo!()
    }

    /// Runs it and wants exit code 0.
    ///
    /// # Errors
    /// As [`Tool::run`], and where it fails, with the last lines of its error output.
    pub async fn run_ok(self, timeout: Span) -> Result<Output, Error> {
        let _ = timeout;
        todo!()
    }
}
