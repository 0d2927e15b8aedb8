//! A terminal of a command's own.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::{OpenptyResult, openpty};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown};
use rustix::termios::{Winsize, tcsetwinsize};
use tandem_types::session::Size;

/// Opens a terminal: our end of it, and the command's. That belongs to its user and to nobody else: a sandboxed command opens
/// it once more, by its name.
pub(crate) fn open(size: Size, uid: Option<u32>) -> io::Result<(OwnedFd, File)> {
    let OpenptyResult { master, slave } = openpty(None, None)?;
    for end in [&master, &slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    if let Some(uid) = uid {
        fchown(&slave, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)))?;
    }
    fchmod(&slave, Mode::S_IRUSR | Mode::S_IWUSR)?;
    resize(&master, size)?;
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((master, slave.into()))
}

/// Gives it another size; the command gets SIGWINCH where that is a change.
pub(super) fn resize(terminal: impl AsFd, size: Size) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}
