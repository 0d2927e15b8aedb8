//! A commit that was fetched becomes files, and the files become a tree in the blob store, by the rules that a client's
//! folder has. Ignore rules play no part: what is committed is meant.

use std::fs;
use std::path::Path;

use tandem_blobs::BlobStore;
use tandem_blobs::ingest::{self, Rules, ingest_folder};
use tandem_blobs::store::TreeSummary;
use tandem_types::Digest;
use tandem_types::tree::Entry;

use super::{Error, FetchRequest, lfs};
use crate::error::io_error;
use crate::source::below;
use crate::survey;
use crate::workshop::Workshop;
use tandem_app_file as app_file;
use tandem_app_file::APP_FILE;

/// Writes the files of a commit, and what is known about it. `NAME` is its name, `WHERE` the folder.
pub(super) const UNPACK: &str = "\
set -e
c=$(\"$GIT\" rev-parse --verify --quiet \"$NAME^{commit}\")
printf '%s\\n' \"$c\" >\"$TOOLS/commit\"
\"$GIT\" log -1 --no-show-signature --encoding=UTF-8 --format=%s \"$c\" >\"$TOOLS/subject\"
\"$GIT\" ls-tree -r -z --full-tree \"$c\" >\"$TOOLS/tree\"
: >\"$TOOLS/modules\"
if \"$GIT\" cat-file -e \"$c:.gitmodules\" 2>/dev/null; then
  \"$GIT\" config --blob \"$c:.gitmodules\" -z --list >\"$TOOLS/modules\"
fi
rm -f \"$TOOLS/index\"
mkdir -p -- \"$WHERE\"
cd \"$WHERE\"
export GIT_INDEX_FILE=\"$TOOLS/index\" GIT_WORK_TREE=\"$WHERE\"
\"$GIT\" read-tree \"$c\"
\"$GIT\" checkout-index --all --force --quiet
";

/// Keeps what was checked out.
pub(super) fn keep(shop: &Workshop, store: &BlobStore) -> Result<TreeSummary, Error> {
    let folder = shop.work("app");
    survey::check("the source", &folder)?;
    let pointers = lfs::pointers_below(&folder).map_err(io_error("look through", &folder))?;
    if !pointers.is_empty() {
        return Err(Error::Lfs(pointers));
    }
    let leave_out = |below: &Path| is_never_source(&folder, below);
    let rules = Rules { interpreter: None, leave_out: Some(&leave_out) };
    let kept = ingest_folder(&folder, store, &rules).map_err(|error| unfit(&folder, error))?;
    store.sync().map_err(crate::Error::from)?;
    Ok(kept)
}

/// What people should know where the source calls the app otherwise than who deploys it: the name was made from the URL, as
/// a rule, and the next app of that name is a new one. An app file that cannot be read is told by the build.
pub(super) fn other_name(store: &BlobStore, tree: &Digest, request: &FetchRequest) -> Option<String> {
    let root = request.source.root.as_deref().unwrap_or_default().trim_matches('/');
    let Ok(Some(Entry::File { digest, .. })) = store.lookup(tree, &below(root, APP_FILE)) else {
        return None;
    };
    let text = store.read(&digest).ok()?;
    let said = app_file::parse(&String::from_utf8_lossy(&text)).ok()?.app?;
    (said != request.app).then(|| {
        format!(
            "{APP_FILE} calls this app {said}, and it is deployed as {}: `tandem deploy URL --app {said}` deploys that one",
            request.app
        )
    })
}

/// A link or name that people have to change is theirs; all else is the server's.
fn unfit(folder: &Path, error: ingest::Error) -> Error {
    let below = |path: &Path| path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
    match error {
        ingest::Error::Link { path, source } => {
            Error::Unfit { path: below(&path), reason: format!("it is a link, and {source}") }
        }
        ingest::Error::Unfit { path, reason } => {
            Error::Unfit { path: below(&path), reason: reason.to_owned() }
        }
        error => Error::Build(error.into()),
    }
}

/// What a client leaves out of a folder, too (`tandem_blobs::scan`).
fn is_never_source(root: &Path, below: &Path) -> bool {
    let name = below.file_name().unwrap_or_default();
    let path = root.join(below);
    let is_folder = || fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
    name == ".git" || ((name == "__pycache__" || path.join("pyvenv.cfg").is_file()) && is_folder())
}
