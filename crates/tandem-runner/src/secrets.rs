//! Config that an earlier version wrote to the disk, moved to where this one keeps it.
//!
//! Once `spec.json` had the whole environment. What runs is taken over all the same, and may have to be started again
//! when no server answers: so the values are kept, in the runtime folder, before the file loses them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tandem_kit::{env, files};
use tandem_sandbox::shim::Secrets;

use crate::folders::{Folders, Unit};
use crate::spec;

/// Moves the values of all instances and jobs. Does nothing where there are none; what fails is logged, and tried again
/// at the next start.
pub(crate) fn move_out(folders: &Folders) {
    for parent in [folders.instances(), folders.jobs()] {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let unit = entry.file_name().to_str().and_then(Unit::parse);
            let moved = unit.map_or(Ok(()), |unit| move_one(folders, unit));
            if let Err(error) = moved {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "config values stay in {}",
                    entry.path().display()
                );
            }
        }
    }
}

fn move_one(folders: &Folders, unit: Unit) -> Result<(), files::Error> {
    let folder = folders.unit(unit);
    remove_unfinished(&folder);
    let path = folder.join(spec::NAME);
    let mut content: Value = match files::read_json(&path) {
        Ok(Some(content)) => content,
        Ok(None) => return Ok(()),
        // Damaged by a crash of the machine. It means nothing, and may hold half of the values.
        Err(_) => return files::write_atomic(&path, b"{}", 0o600),
    };
    let values = take_values(&mut content);
    if values.is_empty() {
        return Ok(());
    }
    let secrets = Secrets { path: folders.secret(unit), values };
    if !secrets.path.exists() {
        secrets.write()?;
    }
    content["secrets"] = json!({ "path": secrets.path });
    files::write_json(&path, &content, 0o600)
}

/// All but the port, which is looked up there.
fn take_values(content: &mut Value) -> BTreeMap<String, String> {
    let Some(environment) = content.pointer_mut("/sandbox/environment").and_then(Value::as_object_mut) else {
        return BTreeMap::new();
    };
    let (open, values): (serde_json::Map<_, _>, serde_json::Map<_, _>) =
        std::mem::take(environment).into_iter().partition(|(name, _)| name == env::PORT);
    *environment = open;
    values.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

/// What a process that was killed while it wrote left beside the file.
fn remove_unfinished(folder: &Path) {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let beside = format!(".{}.", spec::NAME);
    let is_unfinished = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&beside))
    };
    for path in names.map(|entry| entry.path()).filter(is_unfinished) {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not remove {}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_leave_a_specification_and_its_port_stays() {
        let mut content = json!({"sandbox": {"environment": {"PORT": "20001", "KEY": "s3cret"}, "id": "i1"}});
        assert_eq!(take_values(&mut content), [("KEY".to_owned(), "s3cret".to_owned())].into());
        assert_eq!(content, json!({"sandbox": {"environment": {"PORT": "20001"}, "id": "i1"}}));
        assert!(take_values(&mut content).is_empty());
        assert!(take_values(&mut json!({})).is_empty());
    }
}
