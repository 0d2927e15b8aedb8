//! Permissions of what lies in a cache and in checkouts.
//!
//! Programs copy files and folders of their own with the permissions these have: a template of a database, a folder of
//! examples. What is copied is to be written, so root's files look like those of any other installation. Apps have users
//! of their own, who can write none of them, and see them read-only besides. Where all is one ordinary user's nothing but
//! permissions keeps an app from changing what its releases share, so there nobody may write.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::unistd::Uid;

/// Of a file.
pub(crate) fn file(executable: bool) -> u32 {
    if executable { folder() } else { 0o444 | writable() }
}

/// Of a folder.
pub(crate) fn folder() -> u32 {
    0o555 | writable()
}

/// Gives a file of a cache the permissions of today, where an earlier version has put it there with others.
pub(crate) fn renew(path: &Path, metadata: &Metadata, executable: bool) {
    let wanted = file(executable);
    if metadata.permissions().mode() & 0o7777 == wanted {
        return;
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(wanted)) {
        tracing::debug!("{} keeps its permissions: {error}", path.display());
    }
}

fn writable() -> u32 {
    if Uid::effective().is_root() { 0o200 } else { 0 }
}
