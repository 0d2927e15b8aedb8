//! What builds of a killed process left behind.

use std::path::PathBuf;

use tandem_kit::files;
use tandem_kit::paths::DataDir;
use tandem_kit::tasks;
use tandem_sandbox::cgroup::{self, Group};

use crate::workshop::{GROUP_PREFIX, WORK};

/// Removes it. What cannot be removed is told in the log: the next build of that app tries again, and says so.
pub(super) async fn remove(data: &DataDir) {
    let (build, parent) = (data.build(), data.cgroup_name());
    let groups = cgroup::list(&parent).unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot list the control groups of builds");
        Vec::new()
    });
    // First: nothing must write to the folders any more.
    for name in groups.iter().filter(|name| name.starts_with(GROUP_PREFIX)) {
        if let Err(error) = Group::open(&parent, name).sweep().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot end what is left of {name}");
        }
    }
    tasks::blocking("remove what builds left", move || remove_folders(build)).await;
}

fn remove_folders(build: PathBuf) {
    let apps = std::fs::read_dir(build).into_iter().flatten().filter_map(Result::ok);
    for app in apps.map(|app| app.path()).filter(|app| app.is_dir()) {
        if let Err(error) = files::remove_aside(&app, |_| true) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot remove what a build was writing"
            );
        }
        let work = app.join(WORK);
        if !work.exists() {
            continue;
        }
        match tandem_kit::files::remove_tree(&work) {
            Ok(()) => tracing::info!("removed {}, which a build had left", work.display()),
            Err(error) => tracing::warn!(%error, "cannot remove {}, which a build had left", work.display()),
        }
    }
}
