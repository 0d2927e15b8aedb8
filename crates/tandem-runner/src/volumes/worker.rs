//! A process that has nothing but one volume: it packs or unpacks it with the rights of its app.
//!
//! The app may change anything in its volume while that is read, and an archive may hold anything. So whoever looks into
//! either has the volume as its root and is the app's user: links lead to what the app could read anyway, and what is
//! written is the app's own. `tandem volume-worker pack|unpack FOLDER UID` becomes one; the runner starts it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, chroot, setgroups, setresgid, setresuid};

use super::pack::{self, Databases};
use super::unpack;

/// What it is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Write what is in the folder to standard output: a line of JSON with its contents, then the archive.
    Pack,
    /// Read an archive from standard input into the empty folder, then say what it was.
    Unpack,
}

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its rights.
    #[error("enter {} as user {uid}", folder.display())]
    Enter {
        /// The volume.
        folder: PathBuf,
        /// The app's user.
        uid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Packing.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// Unpacking.
    #[error(transparent)]
    Unpack(#[from] unpack::Error),
    /// Nobody listens.
    #[error("answer")]
    Answer(#[source] io::Error),
}

/// Does the work in this process, which has no rights for anything else afterwards. Without root it keeps those it has.
///
/// # Errors
/// See [`Error`].
pub fn run(work: Work, (folder, uid): (&Path, u32), databases: Databases) -> Result<(), Error> {
    let entered = enter(folder, uid);
    let root = entered.map_err(|source| Error::Enter { folder: folder.to_owned(), uid, source })?;
    let mut out = io::stdout().lock();
    match work {
        Work::Pack => {
            let contents = pack::survey(&root, databases)?;
            line(&mut out, &contents)?;
            pack::pack(&root, databases, io::BufWriter::with_capacity(256 * 1024, out))?;
        }
        Work::Unpack => {
            let unpacked =
                unpack::unpack(&root, io::BufReader::with_capacity(256 * 1024, io::stdin().lock()))?;
            line(&mut out, &unpacked)?;
        }
    }
    Ok(())
}

fn line(out: &mut impl Write, value: &impl serde::Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_vec(value).expect("it is plain JSON");
    text.push(b'\n');
    out.write_all(&text).and_then(|()| out.flush()).map_err(Error::Answer)
}

fn enter(folder: &Path, uid: u32) -> io::Result<PathBuf> {
    if !Uid::effective().is_root() {
        return Ok(folder.to_owned());
    }
    std::env::set_current_dir(folder)?;
    chroot(".")?;
    std::env::set_current_dir("/")?;
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    Ok(PathBuf::from("/"))
}
