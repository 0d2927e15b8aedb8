//! A disk that remembers every write and can refuse some: the machine's own file system below SQLite, watched.
//!
//! It is the default file system of SQLite in this process; files in folders that nobody watches pass through. Files are
//! the unix ones with some of their methods exchanged, so locks and shared memory work as ever.

#![expect(
    unsafe_code,
    reason = "SQLite calls its file system through pointers to C functions; tests alone stand below it"
)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};

use rusqlite::ffi;

/// Something that reached the disk's cache, or was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    /// Bytes at an offset.
    Write { file: String, offset: u64, data: Vec<u8> },
    /// A new length.
    Truncate { file: String, length: u64 },
    /// Everything written to the file before is on the disk.
    Sync { file: String },
    /// A sync failed: what was written is in the cache, marked as clean, and never reaches the disk by itself.
    SyncFailed { file: String },
    /// The name is gone; for certain when `synced`.
    Delete { file: String, synced: bool },
    /// Not the disk's: the test had an answer by now.
    Mark(usize),
}

/// What the disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A write does nothing: the disk is full.
    Full,
    /// A write does half of its work: the disk is full.
    Short,
    /// A write does nothing and says no more: so SQLite tells of a quota.
    Quota,
    /// A sync fails.
    Sync,
}

/// A watched folder.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    operations: Vec<Operation>,
    /// What to refuse, from which operation of its sort on (0: the next), and for how many.
    fault: Option<(Fault, usize, usize)>,
    refused: usize,
    /// Whether syncs are told to have been done and are not.
    lies: bool,
}

impl Disk {
    /// Watches a folder until it is dropped.
    pub(super) fn watch(folder: &Path) -> Arc<Self> {
        register();
        let disk = Arc::new(Self { folder: folder.to_owned(), state: Mutex::default() });
        lock(&TABLES).disks.push(Arc::clone(&disk));
        disk
    }

    /// Nobody watches the folder any more.
    pub(super) fn forget(&self) {
        lock(&TABLES).disks.retain(|other| other.folder != self.folder);
    }

    /// From now on no sync does anything.
    pub(super) fn lie(&self) {
        lock(&self.state).lies = true;
    }

    /// Refuses `count` operations after letting `after` of their sort through.
    pub(super) fn refuse(&self, fault: Fault, (after, count): (usize, usize)) {
        let mut state = lock(&self.state);
        (state.fault, state.refused) = (Some((fault, after, count)), 0);
    }

    /// Refuses nothing any more; returns how many were refused.
    pub(super) fn recover(&self) -> usize {
        let mut state = lock(&self.state);
        state.fault = None;
        state.refused
    }

    pub(super) fn mark(&self, number: usize) {
        lock(&self.state).operations.push(Operation::Mark(number));
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        lock(&self.state).operations.clone()
    }

    fn note(&self, operation: Operation) {
        lock(&self.state).operations.push(operation);
    }

    /// Whether an operation of the sort is refused, and how.
    fn strike(&self, is_sync: bool) -> Option<Fault> {
        let mut state = lock(&self.state);
        let (fault, after, count) = state.fault.as_mut()?;
        if (*fault == Fault::Sync) != is_sync {
            return None;
        }
        if *after > 0 {
            *after -= 1;
            return None;
        }
        *count = count.checked_sub(1)?;
        let fault = *fault;
        state.refused += 1;
        Some(fault)
    }
}

/// Files that are open, by their address.
#[derive(Default)]
struct Tables {
    disks: Vec<Arc<Disk>>,
    open: HashMap<usize, Open>,
    /// Exchanged methods by the address of the original ones.
    methods: HashMap<usize, usize>,
    /// Address of the file system below.
    below: usize,
}

#[derive(Clone)]
struct Open {
    original: usize,
    disk: Arc<Disk>,
    name: String,
}

static TABLES: LazyLock<Mutex<Tables>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Becomes the default file system of SQLite in this process.
fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the default file system lives as long as the process, and so does the copy, which is leaked. The
        // copy differs in two functions of the same signatures.
        unsafe {
            let below = ffi::sqlite3_vfs_find(std::ptr::null());
            lock(&TABLES).below = below as usize;
            let own = Box::leak(Box::new(*below));
            own.zName = c"watched".as_ptr();
            own.pNext = std::ptr::null_mut();
            own.xOpen = Some(open);
            own.xDelete = Some(delete);
            assert_eq!(ffi::sqlite3_vfs_register(own, 1), ffi::SQLITE_OK);
        }
    });
}

fn below() -> *mut ffi::sqlite3_vfs {
    lock(&TABLES).below as *mut ffi::sqlite3_vfs
}

/// The disk that a path is on, and the file's name there. Shared memory is no file of a disk.
fn watched(path: *const c_char) -> Option<(Arc<Disk>, String)> {
    if path.is_null() {
        return None;
    }
    // SAFETY: SQLite's paths are strings that end with a zero.
    let path = PathBuf::from(unsafe { CStr::from_ptr(path) }.to_str().ok()?);
    let (folder, name) = (path.parent()?, path.file_name()?.to_str()?.to_owned());
    let disk = lock(&TABLES).disks.iter().find(|disk| disk.folder == folder).cloned();
    disk.map(|disk| (disk, name))
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let below = below();
    // SAFETY: the arguments are handed through as they came, to the function that they were meant for.
    let done =
        unsafe { (*below).xOpen.map_or(ffi::SQLITE_ERROR, |open| open(below, path, file, flags, out)) };
    if done == ffi::SQLITE_OK
        && let Some((disk, name)) = watched(path)
    {
        // SAFETY: the file was opened just now and is nobody else's yet.
        let original = unsafe { (*file).pMethods } as usize;
        let exchanged = exchanged(original);
        lock(&TABLES).open.insert(file as usize, Open { original, disk, name });
        // SAFETY: as above; the exchanged methods are leaked and call the original ones.
        unsafe { (*file).pMethods = exchanged as *const ffi::sqlite3_io_methods };
    }
    done
}

/// The methods with ours in them, made once for each table of originals.
fn exchanged(original: usize) -> usize {
    let mut tables = lock(&TABLES);
    *tables.methods.entry(original).or_insert_with(|| {
        // SAFETY: tables of methods are constants of the file system below.
        let mut own = unsafe { *(original as *const ffi::sqlite3_io_methods) };
        // Without memory-mapped files, which would write past us.
        own.iVersion = own.iVersion.min(2);
        own.xClose = Some(close);
        own.xWrite = Some(write);
        own.xTruncate = Some(truncate);
        own.xSync = Some(sync);
        Box::leak(Box::new(own)) as *const ffi::sqlite3_io_methods as usize
    })
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, path: *const c_char, sync: c_int) -> c_int {
    if let Some((disk, file)) = watched(path) {
        let lies = lock(&disk.state).lies;
        disk.note(Operation::Delete { file, synced: sync != 0 && !lies });
    }
    let below = below();
    // SAFETY: handed through as it came.
    unsafe { (*below).xDelete.map_or(ffi::SQLITE_ERROR, |delete| delete(below, path, sync)) }
}

fn opened(file: *mut ffi::sqlite3_file) -> (Open, &'static ffi::sqlite3_io_methods) {
    let open =
        lock(&TABLES).open.get(&(file as usize)).cloned().expect("only watched files have these methods");
    // SAFETY: tables of methods are constants of the file system below.
    let original = unsafe { &*(open.original as *const ffi::sqlite3_io_methods) };
    (open, original)
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let (_, original) = opened(file);
    lock(&TABLES).open.remove(&(file as usize));
    // SAFETY: handed through as it came; the same below.
    unsafe { original.xClose.map_or(ffi::SQLITE_ERROR, |close| close(file)) }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Open { disk, name, .. }, original) = opened(file);
    let fault = disk.strike(false);
    let written = match fault {
        Some(Fault::Short) => length / 2,
        Some(_) => 0,
        None => length,
    };
    let (size, at) = (usize::try_from(written).unwrap_or(0), offset.unsigned_abs());
    if size > 0 {
        // SAFETY: SQLite gives `length` bytes, and no more than these are read.
        let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) };
        disk.note(Operation::Write { file: name, offset: at, data: bytes.to_vec() });
        // SAFETY: as above.
        let done =
            unsafe { original.xWrite.map_or(ffi::SQLITE_ERROR, |write| write(file, data, written, offset)) };
        if done != ffi::SQLITE_OK {
            return done;
        }
    }
    match fault {
        None => ffi::SQLITE_OK,
        Some(Fault::Quota) => ffi::SQLITE_IOERR_WRITE,
        Some(_) => ffi::SQLITE_FULL,
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    let (Open { disk, name, .. }, original) = opened(file);
    disk.note(Operation::Truncate { file: name, length: length.unsigned_abs() });
    // SAFETY: handed through as it came.
    unsafe { original.xTruncate.map_or(ffi::SQLITE_ERROR, |truncate| truncate(file, length)) }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    let (Open { disk, name, .. }, _) = opened(file);
    if disk.strike(true).is_some() {
        disk.note(Operation::SyncFailed { file: name });
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // The real disk is not asked: what would be lost is what the record says.
    if !lock(&disk.state).lies {
        disk.note(Operation::Sync { file: name });
    }
    ffi::SQLITE_OK
}
