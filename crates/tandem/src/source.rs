//! Sending a source folder: scanned with the help of a cache of digests, and only what the server misses goes out.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_blobs::scan::{self, Scan, scan_source};
use tandem_blobs::transfer::{self, PushError, Pushed};
use tandem_kit::api::Client;
use tandem_kit::{env, tasks};
use tandem_types::Digest;
use tandem_types::build::SourceInfo;

use crate::failure::{Failure, chain_of};
use crate::git;
use crate::output::{Bar, bytes, count, visible};
use crate::session::Session;

pub(crate) mod commit;

/// Longest name of a cache file; file systems end at 255 bytes.
const LONGEST_NAME: usize = 200;

/// Files that a warning names.
const FILES_NAMED: usize = 3;

/// A source that is on the server now.
pub(crate) struct Sent {
    /// Root tree.
    pub(crate) tree: Digest,
    /// Where it came from.
    pub(crate) info: SourceInfo,
    files: u64,
    pushed: Pushed,
}

impl Sent {
    /// `128 files, 4.2 kB sent, 2 uncommitted files`.
    pub(crate) fn summary(&self) -> String {
        let files = count(self.files, "file", "files");
        let mut text = match self.pushed.blobs {
            0 => format!("{files}, nothing new"),
            _ => format!("{files}, {} sent", bytes(self.pushed.bytes)),
        };
        let changed = self.info.uncommitted.len() as u64;
        if changed > 0 {
            text.push_str(&format!(", {}", count(changed, "uncommitted file", "uncommitted files")));
        }
        text
    }
}

/// Scans a folder and sends what the server misses of it; `root` is the app's folder in it, where that is not all.
///
/// # Errors
///
/// A folder that cannot be deployed, an app file that is not understood, a server that is gone.
pub(crate) async fn send(session: &Session, folder: &Path, root: Option<&str>) -> Result<Sent, Failure> {
    let client = session.client()?;
    let below = root.unwrap_or_default();
    let file = tandem_app_file::read(&folder.join(below))
        .map_err(|e| Failure::from(tandem_app_file::problem(&e)))?;
    let include = file.map(|file| file.source.include_from(below)).unwrap_or_default();
    let (scan, (info, remark)) = tokio::join!(scan_folder(session, folder, include), git::describe(folder));
    let scan = scan?;
    let left_out = scan::warning_of_environment_files(&scan.left_out, FILES_NAMED);
    for text in remark.into_iter().chain(left_out) {
        session.output.note(format!("{} {}", session.output.style().yellow("warning:"), visible(&text)));
    }
    let info = SourceInfo { root: root.map(str::to_owned), ..info };
    push(client, session, &scan, info).await
}

/// Sends what the server misses of what was found.
async fn push(client: &Client, session: &Session, scan: &Scan, info: SourceInfo) -> Result<Sent, Failure> {
    let bar = Arc::new(Bar::new(&session.output, "sending files"));
    let progress = Arc::clone(&bar);
    let pushed =
        transfer::push_missing(client, scan, Some(Arc::new(move |sent, all| progress.set(sent, all)))).await;
    bar.clear();
    let pushed = pushed.map_err(explain)?;
    Ok(Sent { tree: scan.root, info, files: scan.files, pushed })
}

fn explain(error: PushError) -> Failure {
    match error {
        PushError::Server(error) => error.into(),
        PushError::Changed(_) => Failure::new(format!("failed to {error}"))
            .hint("wait until nothing writes to the folder, then type `tandem deploy` again"),
        PushError::Read { .. } => Failure::new(format!("failed to {}", chain_of(&error))),
    }
}

async fn scan_folder(session: &Session, folder: &Path, include: Vec<String>) -> Result<Scan, Failure> {
    let cache = cache_file(folder);
    scan_with(session, folder, include, cache).await
}

/// For a folder that will be gone.
async fn scan_uncached(session: &Session, folder: &Path, include: Vec<String>) -> Result<Scan, Failure> {
    scan_with(session, folder, include, None).await
}

async fn scan_with(
    session: &Session,
    folder: &Path,
    include: Vec<String>,
    cache: Option<PathBuf>,
) -> Result<Scan, Failure> {
    let (folder, clock) = (folder.to_owned(), session.clock.clone());
    let scanned = tasks::blocking("scan source", move || {
        let options = scan::Options { include: &include, cache: cache.as_deref(), clock: &clock };
        scan_source(&folder, &options)
    });
    scanned.await.map_err(|error| {
        let failure = Failure::new(format!("failed to {}", chain_of(&error)));
        failure.hint(error.hint().unwrap_or_else(|| hint_of(&error).to_owned()))
    })
}

/// What to do about a file that this user may not read.
fn hint_of(error: &(dyn Error + 'static)) -> &'static str {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let denied = error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        if denied {
            return "deploy as a user who may read it, or name it in .gitignore where the app does without";
        }
        cause = error.source();
    }
    ""
}

/// A file per folder in the user's cache folder; none where there is no home.
fn cache_file(folder: &Path) -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute(env::XDG_CACHE_HOME).or_else(|| Some(absolute(env::HOME)?.join(".cache")))?;
    let name: String = folder.to_string_lossy().replace('/', "%");
    let start = name.len().saturating_sub(LONGEST_NAME);
    let start = (start..name.len()).find(|at| name.is_char_boundary(*at)).unwrap_or_default();
    Some(caches.join("tandem/sources").join(&name[start..]))
}
