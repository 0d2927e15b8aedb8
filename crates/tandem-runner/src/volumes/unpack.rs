//! An archive as a volume: what `tandem volume import` is sent.
//!
//! Archives are hostile until each entry is looked at. This runs in a process of its own that has nothing but the new folder
//! and the rights of its app (see [`super::worker`]); so an entry that slipped through could harm nobody else. What is refused is
//! refused as a whole, with the entry's name: half an archive is no volume.

use std::cell::Cell;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use tandem_kit::disk;
use tar::{Archive, Entry, EntryType};

/// Folders in folders.
const DEEPEST: usize = 256;
/// Longest path, in bytes: what Linux takes.
const LONGEST_PATH: usize = 4095;
/// Most that is read of an entry that only describes the next one, in bytes.
const MOST_DESCRIPTION: u64 = 1024 * 1024;
/// Most entries of one archive.
const MOST_ENTRIES: u64 = 10_000_000;
/// Bytes after which it is asked again how much room there is. An entry counts as a page at least.
const LOOK_EVERY: u64 = 16 * 1024 * 1024;
/// What an entry costs at least, in bytes.
const PAGE: u64 = 4096;

/// How [`Error::Cut`] begins.
pub(crate) const CUT: &str = "find the end of the archive: ";
/// Bytes of one block of a tar.
const BLOCK: usize = 512;
/// Most that is read behind the end of an archive, in bytes: programs fill their last record up.
const MOST_PADDING: u64 = 1024 * 1024;

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Unpacked {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry that no volume may have.
    #[error("unpack {path:?}: {why}")]
    Refused {
        /// As the archive has it.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is no tar.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// It breaks off, or has nothing in it. The beginning is [`CUT`], by which the runner tells it from the others.
    #[error("find the end of the archive: {0}")]
    Cut(&'static str),
    /// The disk.
    #[error("write {}", path.display())]
    Write {
        /// Below the volume.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk is nearly full.
    #[error("unpack the archive: the disk of the volumes would be full; {free} bytes are left")]
    NoRoom {
        /// Bytes.
        free: u64,
    },
}

/// Names that entries of their own give to the next one.
#[derive(Debug, Default)]
struct Described {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Unpacks a plain tar into an empty folder. Owners in it are not heeded, nor are bits of modes beyond read, write and execute.
///
/// The archive has to be whole: it ends in two blocks of zeros, as POSIX asks for (`pax`, "ustar Interchange Format"), and has
/// an entry at least, be it the folder itself. A pipe whose left side fails ends where it likes, often between two entries.
///
/// # Errors
/// See [`Error`]; what was unpacked until then is to be removed.
pub fn unpack(root: &Path, input: impl Read) -> Result<Unpacked, Error> {
    let ended = Cell::new(false);
    let mut archive = Archive::new(Watched { input, ended: &ended });
    let cut = |error: Error| match error {
        Error::Read(_) if ended.get() => Error::Cut("it breaks off in the middle of an entry"),
        error => error,
    };
    let (unpacked, entries) = entries(root, &mut archive).map_err(cut)?;
    ensure_end(archive.into_inner(), entries)?;
    Ok(unpacked)
}

fn entries(root: &Path, archive: &mut Archive<impl Read>) -> Result<(Unpacked, u64), Error> {
    let (mut unpacked, mut described) = (Unpacked::default(), Described::default());
    let (mut entries, mut unlooked) = (0, LOOK_EVERY);
    // Raw: a description of the next entry is read here, so that it has a limit.
    for entry in archive.entries().map_err(Error::Read)?.raw(true) {
        let mut entry = entry.map_err(Error::Read)?;
        let size = entry.size();
        entries += 1;
        // A header may say any number: what is added up must not be more than there is.
        unlooked = size.max(PAGE).saturating_add(unlooked);
        if unlooked >= LOOK_EVERY {
            unlooked = 0;
            ensure_room(root, size)?;
        }
        if describe(&mut entry, &mut described)? {
            continue;
        }
        let Described { path, link } = std::mem::take(&mut described);
        let name = path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let shown = || String::from_utf8_lossy(&name).into_owned();
        let refuse = |why| Error::Refused { path: shown(), why };
        if entries > MOST_ENTRIES {
            return Err(refuse("the archive has too many entries"));
        }
        let Some(path) = plain(&name).map_err(refuse)? else { continue };
        ensure_parents(root, &path).map_err(|found| found.of(&path, shown()))?;
        let link = link.or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
        match entry.header().entry_type() {
            EntryType::Directory => make_folder(root, &path, &entry),
            EntryType::Regular | EntryType::Continuous => {
                unpacked.bytes = unpacked.bytes.saturating_add(size);
                unpacked.files += 1;
                make_file(root, &path, &mut entry)
            }
            EntryType::Symlink => make_link(root, &path, &link.unwrap_or_default()),
            EntryType::Link => {
                unpacked.files += 1;
                make_name(root, &path, &link.unwrap_or_default())
            }
            EntryType::GNUSparse => Err(Found::Refused("it is sparse; make the archive without --sparse")),
            _ => Err(Found::Refused("it is no file, folder or link")),
        }
        .map_err(|found| found.of(&path, shown()))?;
    }
    Ok((unpacked, entries))
}

/// The first block of zeros is behind us, or the input is at its end: the second one tells which.
fn ensure_end(mut input: impl Read, entries: u64) -> Result<(), Error> {
    let mut block = [1; BLOCK];
    let read = input.read_exact(&mut block);
    if entries == 0 {
        return Err(Error::Cut("there is nothing in it, not even the volume's own folder"));
    }
    if read.is_err() || block != [0; BLOCK] {
        return Err(Error::Cut("it breaks off between two entries"));
    }
    // Whoever sends is not to find nobody there; what comes is not of the archive.
    let _ = io::copy(&mut input.take(MOST_PADDING), &mut io::sink());
    Ok(())
}

/// Tells whether the input came to its end.
struct Watched<'a, R> {
    input: R,
    ended: &'a Cell<bool>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.ended.set(read == 0 && !buffer.is_empty());
        Ok(read)
    }
}

/// What was met with one entry.
enum Found {
    Refused(&'static str),
    Failed(io::Error),
    Broken(io::Error),
}

impl Found {
    fn of(self, path: &Path, shown: String) -> Error {
        match self {
            Self::Refused(why) => Error::Refused { path: shown, why },
            Self::Failed(source) => Error::Write { path: path.to_owned(), source },
            Self::Broken(source) => Error::Read(source),
        }
    }
}

impl From<io::Error> for Found {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Reads an entry that only describes the next one; false for any other.
fn describe(entry: &mut Entry<'_, impl Read>, described: &mut Described) -> Result<bool, Error> {
    let kind = entry.header().entry_type();
    let describes = kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions();
    if !describes {
        return Ok(false);
    }
    let refuse = |why| Error::Refused { path: "a description".to_owned(), why };
    if entry.size() > MOST_DESCRIPTION {
        return Err(refuse("it is too long"));
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(Error::Read)?;
    if kind.is_gnu_longname() || kind.is_gnu_longlink() {
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        text.truncate(end);
        let place = if kind.is_gnu_longname() { &mut described.path } else { &mut described.link };
        *place = Some(text);
        return Ok(true);
    }
    for extension in tar::PaxExtensions::new(&text) {
        let extension = extension.map_err(Error::Read)?;
        let value = || Some(extension.value_bytes().to_vec());
        match extension.key_bytes() {
            b"path" if kind.is_pax_local_extensions() => described.path = value(),
            b"linkpath" if kind.is_pax_local_extensions() => described.link = value(),
            b"size" => return Err(refuse("its size is in PAX form; make the archive with --format=gnu")),
            key if key.starts_with(b"GNU.sparse") => {
                return Err(refuse("it is sparse; make the archive without --sparse"));
            }
            _ => {}
        }
    }
    Ok(true)
}

fn ensure_room(root: &Path, coming: u64) -> Result<(), Error> {
    let Ok(space) = disk::space(root) else { return Ok(()) };
    let after = space.free_bytes.saturating_sub(coming);
    if after < space.reserve_bytes() || space.free_inodes < space.reserve_inodes() {
        return Err(Error::NoRoom { free: space.free_bytes });
    }
    Ok(())
}

/// A path below the volume without detours; none for the volume itself.
fn plain(name: &[u8]) -> Result<Option<PathBuf>, &'static str> {
    use std::os::unix::ffi::OsStrExt as _;
    if name.len() > LONGEST_PATH || name.contains(&0) {
        return Err("its path is too long, or has a NUL in it");
    }
    let mut plain = PathBuf::new();
    for part in Path::new(std::ffi::OsStr::from_bytes(name)).components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return Err("its path leads out of the volume");
            }
        }
    }
    if plain.components().count() > DEEPEST {
        return Err("it is too deep");
    }
    Ok(Some(plain).filter(|path| !path.as_os_str().is_empty()))
}

/// Whether a link at this path below the volume leads to a place in it: upwards no further than the top, and only in the
/// beginning, since a name on the way may be another link.
pub(super) fn stays(path: &Path, target: &Path) -> bool {
    let mut up = 0;
    let mut down = false;
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => down = true,
            Component::ParentDir if !down => up += 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    up < path.components().count() && (down || up > 0)
}

/// Folders that the archive does not name itself. Nothing is written through a link.
fn ensure_parents(root: &Path, path: &Path) -> Result<(), Found> {
    let mut folder = root.to_owned();
    let Some(parent) = path.parent() else { return Ok(()) };
    for part in parent.components() {
        folder.push(part);
        match std::fs::symlink_metadata(&folder) {
            Ok(about) if about.is_dir() => {}
            Ok(_) => return Err(Found::Refused("a link or a file of the archive is on its way")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir(&folder)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn make_folder<R: Read>(root: &Path, path: &Path, entry: &Entry<'_, R>) -> Result<(), Found> {
    let folder = root.join(path);
    match std::fs::symlink_metadata(&folder) {
        Ok(about) if about.is_dir() => {}
        Ok(_) => return Err(Found::Refused("a link or a file of the archive is in its place")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir(&folder)?,
        Err(error) => return Err(error.into()),
    }
    let mode = entry.header().mode().unwrap_or(0o700) & 0o777 | 0o700;
    std::fs::set_permissions(&folder, Permissions::from_mode(mode))?;
    Ok(())
}

fn make_file<R: Read>(root: &Path, path: &Path, entry: &mut Entry<'_, R>) -> Result<(), Found> {
    let target = clear(root, path)?;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(target)?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = entry.read(&mut buffer).map_err(Found::Broken)?;
        if read == 0 {
            break;
        }
        io::Write::write_all(&mut file, &buffer[..read])?;
    }
    finish(&file, entry)
}

fn finish<R: Read>(file: &File, entry: &Entry<'_, R>) -> Result<(), Found> {
    let mode = entry.header().mode().unwrap_or(0o600) & 0o777;
    file.set_permissions(Permissions::from_mode(mode))?;
    let seconds = entry.header().mtime().unwrap_or(0).min(u64::from(u32::MAX));
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))?;
    Ok(())
}

fn make_link(root: &Path, path: &Path, target: &[u8]) -> Result<(), Found> {
    use std::os::unix::ffi::OsStrExt as _;
    let target = Path::new(std::ffi::OsStr::from_bytes(target));
    if !stays(path, target) {
        return Err(Found::Refused("it is a link that leads out of the volume"));
    }
    Ok(symlink(target, clear(root, path)?)?)
}

/// Another name of a file that was unpacked before.
fn make_name(root: &Path, path: &Path, target: &[u8]) -> Result<(), Found> {
    let first = plain(target).map_err(Found::Refused)?.ok_or(Found::Refused("it is a name of the volume"))?;
    ensure_parents(root, &first)?;
    let first = root.join(first);
    if !std::fs::symlink_metadata(&first).is_ok_and(|about| about.is_file()) {
        return Err(Found::Refused("it is another name of a file that did not come before"));
    }
    Ok(std::fs::hard_link(first, clear(root, path)?)?)
}

/// A later entry of the same name wins, as with tar itself, but not over a folder.
fn clear(root: &Path, path: &Path) -> Result<PathBuf, Found> {
    let target = root.join(path);
    match std::fs::symlink_metadata(&target) {
        Ok(about) if about.is_dir() => Err(Found::Refused("a folder of the archive is in its place")),
        Ok(_) => {
            std::fs::remove_file(&target)?;
            Ok(target)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(target),
        Err(error) => Err(error.into()),
    }
}
