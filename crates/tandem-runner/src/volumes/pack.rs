//! A volume as an archive: what `tandem volume export` sends.
//!
//! Runs in a process of its own that has nothing but the volume and the rights of its app (see [`super::worker`]). The archive
//! is a plain tar (GNU's, with long names), whose owners are all 0 and whose modes have no more than read, write and execute.
//! Databases of SQLite, which apps write to meanwhile, are told by their content and copied by SQLite itself; what lies beside
//! them for their transactions is left out.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use serde::{Deserialize, Serialize};
use tar::{Builder, EntryType, Header};

use super::copying::{beside, copy_meanwhile, ending, remove_copy};

/// First bytes of every database of SQLite, but of one that is empty but for its WAL.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// What SQLite lays beside a database.
pub(super) const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// Folders in folders that are sent.
const DEEPEST: usize = 256;
/// Most remarks that are told one by one.
const MOST_REMARKS: usize = 20;

/// How databases that are in use are copied.
#[derive(Debug, Clone, Copy)]
pub struct Databases {
    /// Whether it can be read at all.
    pub check: fn(&Path) -> Result<(), String>,
    /// Copies it into a file that is not there yet.
    pub copy: fn(&Path, &Path) -> Result<(), String>,
    /// After which time in which nothing could be sent while one is copied it is said that there will be more: whoever takes the
    /// archive gives up after a minute of silence.
    pub pace: Duration,
}

/// What an archive will have, told before it begins. The app may write meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contents {
    /// Files, databases among them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Databases of SQLite that are copied whole.
    pub databases: u64,
    /// What is left out, or is not as it should be; at most twenty.
    pub remarks: Vec<String>,
}

/// Why a volume was not packed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of it.
    #[error("read {} of the volume", path.display())]
    Read {
        /// Below the volume.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A database of it.
    #[error("copy {} of the volume: {reason}", path.display())]
    Database {
        /// Below the volume.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// There is no room for a copy.
    #[error("copy {} of the volume: the disk of the volumes would be full; {free} bytes are left", path.display())]
    NoRoom {
        /// Below the volume.
        path: PathBuf,
        /// Bytes.
        free: u64,
    },
    /// Whoever reads it is gone.
    #[error("send the archive")]
    Send(#[source] io::Error),
}

/// Something in a volume.
enum Item {
    Folder(Metadata),
    File(Metadata),
    Database(Metadata),
    Link(Metadata, PathBuf),
    /// Not sent, and why.
    Other(&'static str),
}

type Visit<'a> = &'a mut dyn FnMut(&Path, Item) -> Result<(), Error>;

/// Counts what is in a volume, and asks whether its databases can be read.
///
/// # Errors
/// A file or folder cannot be read.
pub fn survey(root: &Path, databases: Databases) -> Result<Contents, Error> {
    remove_copy(root)?;
    let mut contents = Contents::default();
    walk(root, &mut |path, item| {
        match item {
            Item::Folder(_) | Item::Link(..) => {}
            Item::File(about) => {
                contents.files += 1;
                contents.bytes += about.len();
            }
            Item::Database(about) => {
                contents.files += 1;
                contents.bytes += about.len();
                match (databases.check)(&root.join(path)) {
                    Ok(()) => contents.databases += 1,
                    Err(reason) => {
                        let beside = beside(root, path);
                        contents.files += beside.len() as u64;
                        contents.bytes += beside.iter().map(|(_, about)| about.len()).sum::<u64>();
                        let with: Vec<_> = beside.iter().map(|(path, _)| ending(path)).collect();
                        let with = if with.is_empty() {
                            String::new()
                        } else {
                            format!(", with {}", with.join(" and "))
                        };
                        remark(&mut contents, path, &format!("is sent as it is{with}: {reason}"));
                    }
                }
            }
            Item::Other(why) => remark(&mut contents, path, &format!("is left out: it is {why}")),
        }
        Ok(())
    })?;
    Ok(contents)
}

fn remark(contents: &mut Contents, path: &Path, text: &str) {
    match contents.remarks.len() {
        all if all < MOST_REMARKS => contents.remarks.push(format!("{} {text}", path.display())),
        MOST_REMARKS => contents.remarks.push("and more".to_owned()),
        _ => {}
    }
}

/// Writes a volume as an archive.
///
/// # Errors
/// A file cannot be read, a database not be copied, or nobody takes what is written.
pub fn pack(root: &Path, databases: Databases, out: impl Write) -> Result<(), Error> {
    let mut builder = Builder::new(out);
    // First the volume itself: an empty one is an archive with something in it, too.
    let about = std::fs::metadata(root).map_err(failed(Path::new(".")))?;
    let mut own = header(EntryType::Directory, &about, 0);
    builder.append_data(&mut own, "./", io::empty()).map_err(Error::Send)?;
    let packed = walk(root, &mut |path, item| match item {
        Item::Folder(about) => {
            let mut header = header(EntryType::Directory, &about, 0);
            builder.append_data(&mut header, path, io::empty()).map_err(Error::Send)
        }
        Item::Link(about, target) => {
            let mut header = header(EntryType::Symlink, &about, 0);
            builder.append_link(&mut header, path, target).map_err(Error::Send)
        }
        Item::File(about) => append(&mut builder, path, &about, open(root, path)),
        Item::Database(about) if (databases.check)(&root.join(path)).is_err() => {
            append(&mut builder, path, &about, open(root, path))?;
            // Whoever repairs it needs them: without its journal a database that broke off is broken for good.
            for (path, about) in beside(root, path) {
                append(&mut builder, &path, &about, open(root, &path))?;
            }
            Ok(())
        }
        Item::Database(about) => {
            let copied = copy_meanwhile(&mut builder, (root, path), databases)?;
            append(&mut builder, path, &about, Ok(Some(copied)))
        }
        Item::Other(_) => Ok(()),
    });
    packed?;
    let mut out = builder.into_inner().map_err(Error::Send)?;
    out.flush().map_err(Error::Send)
}

fn header(kind: EntryType, about: &Metadata, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(about.mode() & 0o777);
    header.set_mtime(u64::try_from(about.mtime()).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

/// Sends a file in the size that it has when it is opened, whatever the app does to it meanwhile.
fn append<W: Write>(
    builder: &mut Builder<W>,
    path: &Path,
    about: &Metadata,
    opened: Result<Option<File>, Error>,
) -> Result<(), Error> {
    let Some(file) = opened? else { return Ok(()) };
    let size = file.metadata().map_err(failed(path))?.len();
    let mut header = header(EntryType::Regular, about, size);
    builder.append_data(&mut header, path, Exactly { file, left: size }).map_err(Error::Send)
}

/// None where it went meanwhile, or became something else.
fn open(root: &Path, path: &Path) -> Result<Option<File>, Error> {
    let mut options = OpenOptions::new();
    // A pipe in its place would wait for a writer.
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(root.join(path)) {
        Ok(file) => Ok(Some(file).filter(|file| file.metadata().is_ok_and(|about| about.is_file()))),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

/// A file's first bytes, as many as its header says; zeros where it became shorter.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let mut read = self.file.read(&mut buffer[..most])?;
        if read == 0 {
            buffer[..most].fill(0);
            read = most;
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Visits everything below a folder in the order of names, folders before what is in them.
fn walk(root: &Path, visit: Visit<'_>) -> Result<(), Error> {
    folder(root, Path::new(""), visit)
}

fn folder(root: &Path, path: &Path, visit: Visit<'_>) -> Result<(), Error> {
    let names = match names(&root.join(path)) {
        Err(error) if is_gone(&error) => return Ok(()),
        names => names.map_err(failed(path))?,
    };
    for name in &names {
        let below = path.join(name);
        let about = match std::fs::symlink_metadata(root.join(&below)) {
            Err(error) if is_gone(&error) => continue,
            about => about.map_err(failed(&below))?,
        };
        if about.is_dir() {
            if below.components().count() > DEEPEST {
                visit(&below, Item::Other("too deep"))?;
                continue;
            }
            visit(&below, Item::Folder(about))?;
            folder(root, &below, visit)?;
        } else if !is_beside(root, path, name, &names) {
            visit(&below, item(root, &below, about)?)?;
        }
    }
    Ok(())
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names: Vec<_> = entries.collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

/// Whether a file is a part of the database beside it.
fn is_beside(root: &Path, folder: &Path, name: &OsString, names: &[OsString]) -> bool {
    let owner = BESIDE.iter().find_map(|end| name.as_bytes().strip_suffix(end.as_bytes()));
    let Some(owner) = owner.filter(|owner| !owner.is_empty()) else { return false };
    let owner = names.iter().find(|other| other.as_bytes() == owner);
    owner.is_some_and(|owner| is_database(&root.join(folder).join(owner)))
}

fn item(root: &Path, path: &Path, about: Metadata) -> Result<Item, Error> {
    let kind = about.file_type();
    if kind.is_symlink() {
        let target = match std::fs::read_link(root.join(path)) {
            Err(error) if is_gone(&error) => return Ok(Item::Other("gone")),
            target => target.map_err(failed(path))?,
        };
        let stays = super::unpack::stays(path, &target);
        return Ok(if stays {
            Item::Link(about, target)
        } else {
            Item::Other("a link that leaves the volume")
        });
    }
    if !kind.is_file() {
        return Ok(Item::Other("no file, folder or link"));
    }
    Ok(if is_database(&root.join(path)) { Item::Database(about) } else { Item::File(about) })
}

/// By its first bytes, or by a WAL that has all of it so far.
fn is_database(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let Ok(mut file) = options.open(path) else { return false };
    match file.metadata() {
        Ok(about) if about.is_file() && about.len() == 0 => {
            let mut wal = path.as_os_str().to_owned();
            wal.push("-wal");
            std::fs::symlink_metadata(wal).is_ok_and(|about| about.is_file() && about.len() > 0)
        }
        Ok(about) if about.is_file() => file.read_exact(&mut start).is_ok() && start == *MAGIC,
        _ => false,
    }
}

/// What an app removed, or put something else in the place of, between two looks.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(libc::ELOOP)
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Read { path, source }
}
