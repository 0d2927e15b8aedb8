//! A database of a volume on its way out: copied by SQLite into a file beside it, which is sent and gone.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use tandem_kit::disk;
use tar::{Builder, EntryType, Header};

use super::pack::{BESIDE, Databases, Error, failed};

/// Where a database is copied to before it is sent, at the top of the volume.
const COPY: &str = ".tandem-export";
/// A record of an extended header: its own length in bytes, a keyword and its value.
const COMMENT: &[u8] = b"19 comment=copying\n";

/// A copy, which may take long: meanwhile comments are sent, which nobody unpacks (POSIX `pax`, global extended header).
pub(super) fn copy_meanwhile<W: Write>(
    builder: &mut Builder<W>,
    (root, path): (&Path, &Path),
    databases: Databases,
) -> Result<File, Error> {
    ensure_room(root, path)?;
    std::thread::scope(|scope| {
        let (done, copied) = mpsc::channel();
        scope.spawn(move || done.send(copy(root, path, databases)));
        loop {
            match copied.recv_timeout(databases.pace) {
                Ok(copied) => return copied,
                Err(mpsc::RecvTimeoutError::Timeout) => comment(builder).map_err(Error::Send)?,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let reason = "the copy broke off".to_owned();
                    return Err(Error::Database { path: path.to_owned(), reason });
                }
            }
        }
    })
}

fn comment(builder: &mut Builder<impl Write>) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XGlobalHeader);
    header.set_path("comment")?;
    header.set_mode(0o600);
    header.set_size(COMMENT.len() as u64);
    header.set_cksum();
    builder.append(&header, COMMENT)?;
    builder.get_mut().flush()
}

/// The app writes to the same disk: a copy must not be what fills it.
fn ensure_room(root: &Path, path: &Path) -> Result<(), Error> {
    let Ok(space) = disk::space(root) else { return Ok(()) };
    let own = std::fs::symlink_metadata(root.join(path)).map_or(0, |about| about.len());
    // What is in a WAL alone is in the copy as well.
    let all: u64 = beside(root, path).iter().map(|(_, about)| about.len()).fold(own, u64::saturating_add);
    if space.free_bytes.saturating_sub(all) < space.reserve_bytes() {
        return Err(Error::NoRoom { path: path.to_owned(), free: space.free_bytes });
    }
    Ok(())
}

/// What lies beside a database for its transactions.
pub(super) fn beside(root: &Path, path: &Path) -> Vec<(PathBuf, Metadata)> {
    let at = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        let about = std::fs::symlink_metadata(root.join(&name)).ok()?;
        about.is_file().then(|| (PathBuf::from(name), about))
    };
    BESIDE.iter().filter_map(|end| at(end)).collect()
}

/// `-wal` of `db.sqlite3-wal`.
pub(super) fn ending(path: &Path) -> &'static str {
    let bytes = path.as_os_str().as_bytes();
    BESIDE.iter().find(|end| bytes.ends_with(end.as_bytes())).copied().unwrap_or_default()
}

/// A copy that has no name any more.
fn copy(root: &Path, path: &Path, databases: Databases) -> Result<File, Error> {
    let target = root.join(COPY);
    let copied = (databases.copy)(&root.join(path), &target);
    let opened = copied
        .map_err(|reason| Error::Database { path: path.to_owned(), reason })
        .and_then(|()| File::open(&target).map_err(failed(path)));
    remove_copy(root)?;
    opened
}

/// Removes what a worker that was killed left.
pub(super) fn remove_copy(root: &Path) -> Result<(), Error> {
    for end in [""].into_iter().chain(BESIDE) {
        let path = root.join(format!("{COPY}{end}"));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}
