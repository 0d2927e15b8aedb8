//! The parts of a build in one folder, for plain processes: they have no mounts, yet an app looks for its static
//! files, its libraries and its volumes below the folder of its own code.
//!
//! The tree that is mounted at the top is linked file by file, and whatever is mounted below it becomes a symbolic link.
//! Each process has a folder of its own, made anew at each start, so one that writes where it should not harms no other.
//! The files are still shared: their modes (0444) are all that protects them here.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tandem_kit::files;
use tandem_sandbox::Mount;

/// Puts what is mounted at `top` and below it together as `destination`, and returns the mounts that are to be used
/// instead: one for all of these, and the others as they were. What was there is removed; the folder above it is made
/// where it is missing, and closed to others.
///
/// # Errors
/// The disk refuses, a mount point lies where the tree has a file, or one lies within another below the top: making
/// it would change a tree that others use.
pub(crate) fn put_together(mounts: Vec<Mount>, top: &Path, destination: &Path) -> io::Result<Vec<Mount>> {
    let Some(root) = mounts.iter().find(|mount| mount.target == top) else {
        return Ok(mounts);
    };
    match files::remove_tree(destination) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // At the first start nothing has made the process's own folder yet.
    if let Some(parent) = destination.parent() {
        files::ensure_dir(parent, 0o700)?;
    }
    link_folder(&root.source, destination)?;
    let together = Mount::read_only(destination, top);
    let (mut below, mut others): (Vec<Mount>, Vec<Mount>) = mounts
        .into_iter()
        .filter(|mount| mount.target != top)
        .partition(|mount| mount.target.starts_with(top));
    below.sort_by(|a, b| a.target.cmp(&b.target));
    if let Some([outer, inner]) = below.windows(2).find(|pair| pair[1].target.starts_with(&pair[0].target)) {
        let (outer, inner) = (outer.target.display(), inner.target.display());
        return Err(io::Error::other(format!("{inner} lies within {outer}, which only a sandbox can mount")));
    }
    for mount in below {
        let within = mount.target.strip_prefix(top).map_err(io::Error::other)?;
        put_link(&mount.source, &destination.join(within))?;
    }
    others.push(together);
    Ok(others)
}

fn put_link(source: &Path, place: &Path) -> io::Result<()> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    // The tree has an empty folder there, which is the mount point.
    match fs::remove_dir(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(source, place)
}

/// Makes `to` a folder with the same files as `from`; folders that wait to be looked at are kept in a list, since
/// nothing bounds how deep they are.
fn link_folder(from: &Path, to: &Path) -> io::Result<()> {
    let mut waiting: Vec<(PathBuf, PathBuf)> = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = waiting.pop() {
        fs::create_dir(&to)?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
            if kind.is_dir() {
                waiting.push((entry.path(), target));
            } else if kind.is_symlink() {
                symlink(fs::read_link(entry.path())?, target)?;
            } else if fs::hard_link(entry.path(), &target).is_err() {
                // Too many links to one file, or a file system that has none.
                fs::copy(entry.path(), target)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn tree(folder: &Path, files: &[&str]) -> PathBuf {
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().expect("files have parents")).expect("the disk has room");
            tandem_kit::files::write_atomic(&path, file.as_bytes(), 0o644).expect("the disk has room");
        }
        folder.to_owned()
    }

    #[test]
    fn parts_and_volumes_lie_where_the_app_looks_for_them() {
        let folder = tempfile::tempdir().expect("the disk has room");
        let at = |name: &str| folder.path().join(name);
        let app = tree(&at("app"), &["manage.py", "site/settings.py"]);
        fs::create_dir(app.join("static")).expect("the disk has room");
        symlink("manage.py", app.join("run.py")).expect("the disk has room");
        let mounts = vec![
            Mount::read_only(&app, "/app"),
            Mount::read_only(tree(&at("static"), &["style.css"]), "/app/static"),
            Mount::writable(tree(&at("volume"), &["picture"]), "/app/var/media"),
            Mount::writable(at("volume"), "/data"),
        ];
        let here = at("here");
        for _ in 0..2 {
            let used =
                put_together(mounts.clone(), Path::new("/app"), &here).expect("it can be put together");
            assert_eq!(used, [Mount::writable(at("volume"), "/data"), Mount::read_only(&here, "/app")]);
            let text = |name: &str| fs::read_to_string(here.join(name)).expect("the file is there");
            assert_eq!(text("site/settings.py"), "site/settings.py");
            assert_eq!(text("run.py"), "manage.py");
            assert_eq!(text("static/style.css"), "style.css");
            assert_eq!(text("var/media/picture"), "picture");
        }
    }

    #[test]
    fn the_first_start_finds_no_folder_of_its_own_yet() {
        let folder = tempfile::tempdir().expect("the disk has room");
        let app = tree(&folder.path().join("app"), &["manage.py"]);
        let here = folder.path().join("i1/app");
        let mounts = vec![Mount::read_only(&app, "/app")];
        put_together(mounts, Path::new("/app"), &here).expect("it can be put together");
        assert!(here.join("manage.py").is_file());
        let mode = fs::metadata(folder.path().join("i1")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_volume_within_another_part_leaves_that_part_alone() {
        let folder = tempfile::tempdir().expect("the disk has room");
        let part = tree(&folder.path().join("static"), &["style.css"]);
        let app = tree(&folder.path().join("app"), &["manage.py"]);
        let mounts = vec![
            Mount::read_only(&app, "/app"),
            Mount::writable("/usr", "/app/static/media"),
            Mount::read_only(&part, "/app/static"),
        ];
        let refused = put_together(mounts, Path::new("/app"), &folder.path().join("here"));
        assert!(refused.is_err_and(|error| error.to_string().starts_with("/app/static/media lies within")));
        assert_eq!(fs::read_dir(&part).expect("it is there").count(), 1);
    }

    #[test]
    fn a_file_in_the_place_of_a_mount_is_kept() {
        let folder = tempfile::tempdir().expect("the disk has room");
        let app = tree(&folder.path().join("app"), &["static"]);
        let mounts = vec![Mount::read_only(&app, "/app"), Mount::read_only("/usr", "/app/static")];
        let refused = put_together(mounts, Path::new("/app"), &folder.path().join("here"));
        assert_eq!(refused.map_err(|error| error.kind()), Err(io::ErrorKind::NotADirectory));
    }
}
