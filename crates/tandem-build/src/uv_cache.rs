//! uv's cache of an app, kept below a limit: it grows with every version that was ever installed, and nobody else
//! looks after it.
//!
//! Only under the app's lock, after an installation whether it failed or not, and only when it is over its limit: what was
//! downloaded comes from the index again, what was built from source is kept. Where that is not enough the cache begins
//! anew. After an installation that filled the disk it does so at once. A cache that cannot be made smaller is no reason to
//! fail a build.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tandem_kit::disk::{self, Measured};
use tandem_kit::tasks;
use tandem_sandbox::{Mount, Network};

use crate::Error;
use crate::dependencies::Inputs;
use crate::error::io_error;
use crate::installation::{UV_CACHE, environment};
use crate::recipe::APP;
use crate::workshop::{Call, Occupied, Workshop};

/// Room for environments with libraries for machine learning, the largest there are.
pub(crate) const USUAL_BYTES: u64 = 4 << 30;
/// What an entry counts for at least: empty files take inodes, of which a disk has about one for so many bytes.
const ENTRY_BYTES: u64 = 4096;

/// Brings the cache below the limit.
pub(crate) async fn ensure_small(shop: &Arc<Occupied>, inputs: &Inputs<'_>, limit: u64) {
    if let Err(error) = try_ensure_small(shop, inputs, limit).await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "could not make the cache of downloads smaller");
    }
}

async fn try_ensure_small(shop: &Arc<Occupied>, inputs: &Inputs<'_>, limit: u64) -> Result<(), Error> {
    // A build script can make folders deeper than a path may be long: what cannot be measured is too large.
    let before = measure(shop).await.ok();
    if before.is_some_and(|before| before <= limit) {
        return Ok(());
    }
    if let Err(error) = prune(shop, inputs).await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "could not clean the cache of downloads, it begins anew");
    }
    if measure(shop).await.ok().is_none_or(|pruned| pruned > limit) {
        empty(shop).await?;
    }
    let before =
        before.map_or("more than can be measured".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
    let after = measure(shop).await? >> 20;
    tracing::info!(
        "the cache of downloads below {} went from {before} to {after} MiB",
        shop.folder.display()
    );
    Ok(())
}

/// Removes what no present version of uv reads, and what the index has.
async fn prune(shop: &Workshop, inputs: &Inputs<'_>) -> Result<(), Error> {
    let mut mounts = shop.mounts();
    mounts.push(Mount::read_only(inputs.uv, "/uv"));
    mounts.push(Mount::writable(shop.folder.join("uv"), UV_CACHE));
    let call = Call {
        what: "the cleaning of the cache of downloads",
        command: "\"$UV\" cache prune --ci".to_owned(),
        cwd: APP,
        environment: environment(inputs.python.path_text()),
        mounts,
        network: Network::None,
        is_shown: false,
    };
    let outcome = shop.run(call, &|_| {}).await?;
    if !outcome.succeeded() {
        tracing::warn!("uv does not clean its cache: {}", outcome.last_lines.join(" / "));
    }
    Ok(())
}

/// Removes all of it, after an installation that filled the disk.
pub(crate) async fn give_back(shop: &Arc<Occupied>) {
    if let Err(error) = empty(shop).await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "could not give back the cache of downloads");
    }
}

async fn empty(shop: &Arc<Occupied>) -> Result<(), Error> {
    // Held by the work: it goes on when the build is given up, and the next one fills the cache.
    let shop = Arc::clone(shop);
    tasks::blocking("empty uv's cache", move || empty_folder(&shop.folder.join("uv"))).await
}

/// Removes everything in it; the folder itself is the build's user's.
pub(crate) fn empty_folder(folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let entry = entry.map_err(io_error("list", folder))?;
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_folder { tandem_kit::files::remove_tree(&path) } else { fs::remove_file(&path) };
        removed.map_err(io_error("remove", &path))?;
    }
    Ok(())
}

async fn measure(shop: &Arc<Occupied>) -> Result<u64, Error> {
    let folder = shop.folder.join("uv");
    tasks::blocking("measure uv's cache", move || bytes_below(&folder)).await
}

/// What is on the disk.
///
/// # Errors
/// The folder is not there, or not all of it can be measured.
pub(crate) fn bytes_below(folder: &Path) -> Result<u64, Error> {
    let Measured { bytes, missed } = measured(folder);
    missed.map_or(Ok(bytes), |error| Err(io_error("measure", folder)(error)))
}

/// What is on the disk, as far as it can be measured.
pub(crate) fn measured(folder: &Path) -> Measured {
    disk::measure(folder, ENTRY_BYTES)
}
