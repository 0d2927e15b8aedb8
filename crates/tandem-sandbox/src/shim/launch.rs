//! Starting a shim.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_kit::error::chain;
use tandem_kit::files::{self, LockGuard};
use tandem_kit::points;
use tandem_types::Span;
use tandem_types::session::SessionSpec;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep};

use super::ShimHandle;
use super::record::{self, Hello, ShimRecord};
use super::secrets::Secrets;
use crate::spawn::{Program, Tie};
use crate::{Spec, logs};

/// A shim answers within some milliseconds; a machine that boots all its apps at once takes longer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A shim that was killed or dismissed is gone within milliseconds.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks whether it is.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a shim is given, in `spec.json` of its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShimSpec {
    /// What is to run.
    pub sandbox: Spec,
    /// Where its output goes.
    pub log: logs::Settings,
    /// Its control socket: at most 107 bytes, so in the runtime folder.
    pub socket: PathBuf,
    /// Created and synced before the command is executed; where it exists already, the command is not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<PathBuf>,
    /// Everything is killed after this time, also when no runner is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The part of the environment that must not lie on the disk; where there is none, `sandbox` has all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,
    /// Of a one-off command: how people talk with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionSpec>,
}

/// Why a shim does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The command never ran.
    #[error("start the process: {reason}")]
    NotStarted {
        /// Why, as a whole chain.
        reason: String,
    },
    /// Nobody can know whether the command ran.
    #[error("learn whether the process started: {reason}")]
    Unknown {
        /// What is known.
        reason: String,
    },
}

impl LaunchError {
    fn not_started(error: &dyn std::error::Error) -> Self {
        Self::NotStarted { reason: chain(error) }
    }
}

/// Writes `spec.json` into the folder (made, 0700, where it is missing; records of an earlier run in it are deleted) and the
/// secrets into their own file, starts `<binary> shim DIR` and waits until it answers, 10 s at most.
///
/// # Errors
/// [`LaunchError::NotStarted`] where the command certainly never ran, else [`LaunchError::Unknown`].
pub async fn launch(binary: &Path, dir: &Path, spec: &ShimSpec) -> Result<ShimHandle, LaunchError> {
    let lock = take_lock(dir).await?;
    prepare(dir, spec)?;
    let mut child = start(binary, dir, lock).map_err(|error| LaunchError::not_started(&error))?;
    let output = child.stdout.take();
    // Only the go-between, which is gone once the shim was executed.
    let _ = child.wait();
    let hello = tokio::time::timeout(ANSWERS_WITHIN, hello(output)).await;
    match hello {
        Ok(Ok(Some(Hello::Ready))) => ShimHandle::open(dir, spec)
            .ok_or_else(|| LaunchError::Unknown { reason: "the shim left no record of itself".to_owned() }),
        Ok(Ok(Some(Hello::NotStarted { reason }))) => Err(LaunchError::NotStarted { reason }),
        Ok(Ok(None)) => Err(LaunchError::Unknown { reason: "the shim ended without a word".to_owned() }),
        Ok(Err(error)) => Err(LaunchError::Unknown { reason: error.to_string() }),
        Err(_) => Err(LaunchError::Unknown { reason: "the shim does not answer".to_owned() }),
    }
}

/// Takes the folder for the shim to come, from a predecessor that is just leaving too.
async fn take_lock(dir: &Path) -> Result<LockGuard, LaunchError> {
    files::ensure_dir(dir, 0o700).map_err(|error| LaunchError::not_started(&error))?;
    let deadline = Instant::now() + LEAVES_WITHIN;
    loop {
        let lives = ShimRecord::read(dir).is_some_and(|record| record.shim.lives());
        let lock = record::lock(dir).map_err(|error| LaunchError::not_started(&error))?;
        match lock {
            Some(lock) if !lives => return Ok(lock),
            None if !lives && Instant::now() < deadline => sleep(LOOK_AGAIN).await,
            _ => return Err(LaunchError::NotStarted { reason: "its predecessor still runs".to_owned() }),
        }
    }
}

fn prepare(dir: &Path, spec: &ShimSpec) -> Result<(), LaunchError> {
    let write = || {
        for file in [record::exit_file(dir), record::shim_file(dir)] {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Of a shim that was killed while it wrote one of them.
        files::remove_aside(dir, |_| true)?;
        if let Some(secrets) = &spec.secrets {
            secrets.write()?;
        }
        let content = serde_json::to_vec(spec)?;
        Ok(files::write_atomic_unsynced(&record::spec_file(dir), &content, 0o600)?)
    };
    write().map_err(|error: io::Error| LaunchError::not_started(&error))
}

/// The lock goes on to the shim, and ends with it.
fn start(binary: &Path, dir: &Path, mut lock: LockGuard) -> io::Result<Child> {
    let handed_on = File::from(lock.as_fd().try_clone_to_owned()?);
    lock.share();
    let environment = std::env::var_os("PATH").map(|path| (OsString::from("PATH"), path));
    let program = Program {
        path: binary.to_owned(),
        arguments: vec!["shim".into(), dir.into()],
        environment: environment.into_iter().chain(points::to_inherit()).collect(),
        folder: Path::new("/").to_owned(),
        input: None,
        terminal: None,
        takes_terminal: false,
        inherited: vec![handed_on],
        doors: Vec::new(),
        tie: Tie::Detached,
        scoped: false,
        expendable: false,
    };
    program.start()
}

/// Reads up to the first line that is a greeting.
async fn hello(output: Option<ChildStdout>) -> io::Result<Option<Hello>> {
    let Some(output) = output else { return Ok(None) };
    let mut lines = BufReader::new(pipe::Receiver::from_owned_fd(output.into())?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Ok(hello) = serde_json::from_str(&line) {
            return Ok(Some(hello));
        }
    }
    Ok(None)
}
