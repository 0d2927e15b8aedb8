//! Commands without isolation, for laptops: no root, or no bubblewrap.
//!
//! The paths of the sandbox do not exist here. So the working folder, and every variable that is a path below a mount,
//! or a list of such paths, is rewritten to where the mount comes from. Texts within the command are left as they are:
//! nobody can tell what in them is a path. Nothing is kept apart, and network, user and host name stay the caller's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::check::{host_path, innermost};
use crate::spec::HOME;
use crate::{Mount, Spec, environment};

/// Where the command runs.
pub(crate) fn folder(spec: &Spec) -> PathBuf {
    translate(&spec.mounts, &spec.cwd).unwrap_or_else(|| spec.cwd.clone())
}

/// The environment with paths of this machine.
pub(crate) fn environment(spec: &Spec) -> BTreeMap<String, String> {
    let mut mounts = spec.mounts.clone();
    mounts.push(Mount::writable(&spec.home, HOME));
    let mut environment = environment::complete(spec);
    for (name, value) in &mut environment {
        *value = match name.ends_with("PATH") {
            true => value.split(':').map(|part| rewrite(&mounts, part)).collect::<Vec<_>>().join(":"),
            false => rewrite(&mounts, value),
        };
    }
    environment
}

fn rewrite(mounts: &[Mount], value: &str) -> String {
    let path = Path::new(value);
    let translated = path.is_absolute().then(|| translate(mounts, path)).flatten();
    translated.map_or_else(|| value.to_owned(), |path| path.to_string_lossy().into_owned())
}

fn translate(mounts: &[Mount], path: &Path) -> Option<PathBuf> {
    host_path(innermost(mounts, path)?, path)
}
