//! The one place where processes are made, and where the crate's only `unsafe` code is (decision 002).
//!
//! Between fork and exec the new process enters its control groups, leaves the caller's session and lets through the
//! descriptors that it shall inherit. No other moment would do: later, the program may have children already that
//! stay outside.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

/// A program to execute.
#[derive(Debug)]
pub(crate) struct Program {
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    pub folder: PathBuf,
    /// Standard input; none: empty.
    pub input: Option<File>,
    /// The terminal that is all three of its standard streams; none: its outputs are pipes.
    pub terminal: Option<File>,
    /// Whether that becomes the terminal of the session that it leads, so that signals of the keyboard reach it.
    pub takes_terminal: bool,
    /// Descriptors that stay open in it, under their numbers.
    pub inherited: Vec<File>,
    /// Control groups that it enters.
    pub doors: Vec<File>,
    pub tie: Tie,
    /// Whether it is kept from the signals and abstract sockets of others (Landlock, Linux 6.12 and later).
    pub scoped: bool,
    /// Whether the kernel shall kill it before anything else of the machine when memory runs out.
    pub expendable: bool,
}

/// What ties a child to its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    /// It is killed when the *thread* that made it ends: make it on one that lives as long.
    DiesWithParent,
    /// None at all: it is nobody's child and leads a session of its own. The [`Child`] is only the go-between.
    Detached,
}

impl Program {
    /// Starts it with pipes for both outputs, or with its terminal.
    ///
    /// # Errors
    /// Fails where it cannot be executed, cannot enter a control group or cannot have the terminal.
    pub(crate) fn start(self) -> io::Result<Child> {
        let mut command = command(&self.path);
        command.args(&self.arguments).env_clear().envs(self.environment).current_dir(&self.folder);
        let controlled =
            self.terminal.as_ref().filter(|_| self.takes_terminal).map(File::try_clone).transpose()?;
        match self.terminal {
            Some(terminal) => {
                command.stdout(terminal.try_clone()?).stderr(terminal.try_clone()?).stdin(terminal);
            }
            None => {
                command.stdin(self.input.map_or_else(Stdio::null, Stdio::from));
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
            }
        }
        let (inherited, doors, tie) = (self.inherited, self.doors, self.tie);
        let expendable = self.expendable;
        let scopes = if self.scoped { scopes() } else { None };
        let parent = nix::unistd::getpid();
        if !knows_close_range() {
            mark_each_at_exec();
        }
        prepare(&mut command, move || {
            for door in &doors {
                (&*door).write_all(b"0")?;
            }
            close_all_at_exec();
            for file in &inherited {
                fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            set_defaults()?;
            if expendable {
                offer_first();
            }
            if let Some(scopes) = &scopes {
                enter(scopes)?;
            }
            // Tandem's own allocator turns huge pages off for its process, and exec would hand that on.
            let _ = nix::sys::prctl::set_thp_disable(false);
            nix::unistd::setsid()?;
            if let Some(terminal) = &controlled {
                rustix::process::ioctl_tiocsctty(terminal)?;
            }
            match tie {
                Tie::DiesWithParent => die_with(parent),
                Tie::Detached => leave_go_between(),
            }
        });
        command.spawn()
    }
}

/// A command with nothing said yet.
#[expect(clippy::disallowed_methods, reason = "this is the one home of making processes")]
fn command(program: &Path) -> Command {
    Command::new(program)
}

/// As [`command`], for [`crate::tool`], which waits within a runtime.
#[expect(clippy::disallowed_methods, reason = "this is the one home of making processes")]
pub(crate) fn asynchronous(program: &OsStr) -> tokio::process::Command {
    tokio::process::Command::new(program)
}

/// Has the new process run `steps` before it becomes the program.
#[expect(unsafe_code, reason = "docs/decisions/002-unsafe-in-the-sandbox.md")]
fn prepare(command: &mut Command, steps: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: after a fork of a process with threads, only what is safe in a signal handler may be called. The steps
    // of `Program::start`, the only caller, are bare system calls on values made before the fork: they take no
    // lock, allocate nothing and drop nothing. Their errors carry only a number.
    unsafe {
        command.pre_exec(steps);
    }
}

/// Forks once more and ends the process in between, so that nobody waits for the program but init.
#[expect(unsafe_code, reason = "docs/decisions/002-unsafe-in-the-sandbox.md")]
fn leave_go_between() -> io::Result<()> {
    // SAFETY: called between fork and exec, where this process has one thread, and libc's fork has left its locks free.
    // The parent side calls nothing but `_exit`, the child side goes on to exec.
    unsafe {
        match nix::unistd::fork()? {
            nix::unistd::ForkResult::Parent { .. } => libc::_exit(0),
            nix::unistd::ForkResult::Child => Ok(()),
        }
    }
}

/// Marks every descriptor but the standard streams to be closed by exec. Ours are so from the start, but for the lock of a shim,
/// which its maker handed on; whoever started Tandem may have left others open, and an app must get none of them.
#[expect(unsafe_code, reason = "docs/decisions/002-unsafe-in-the-sandbox.md")]
fn close_all_at_exec() {
    // SAFETY: a system call on numbers that touches no memory and closes nothing now. Kernels before 5.11 refuse it; there,
    // the maker has marked its own before the fork.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Whether [`close_all_at_exec`] does anything: asked for the last number there is, which is never in use.
#[expect(unsafe_code, reason = "docs/decisions/002-unsafe-in-the-sandbox.md")]
fn knows_close_range() -> bool {
    let last = libc::c_uint::MAX;
    // SAFETY: as in `close_all_at_exec`.
    unsafe { libc::syscall(libc::SYS_close_range, last, last, libc::CLOSE_RANGE_CLOEXEC) == 0 }
}

/// As [`close_all_at_exec`], one by one in the maker, since a list of them cannot be read between fork and exec. What another
/// thread opens meanwhile is marked from the start.
#[expect(unsafe_code, reason = "docs/decisions/002-unsafe-in-the-sandbox.md")]
fn mark_each_at_exec() {
    // Where `/proc` is not what it should be, this precaution is lost and no more.
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // SAFETY: a system call on numbers. The flag is the only one there is of a descriptor, so none is taken away, and
        // nothing of ours relies on its absence but between fork and exec. A number that was closed meanwhile is refused.
        unsafe {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// A set of rules that keeps who enters it from sending signals to processes outside, and from abstract unix sockets that
/// were made outside. Apps share the network of their host, and nothing else tells whose such a socket is. None: this
/// kernel knows no such rules (before 6.12, or built without).
#[expect(unsafe_code, reason = "docs/decisions/002-unsafe-in-the-sandbox.md")]
fn scopes() -> Option<OwnedFd> {
    /// `struct landlock_ruleset_attr`: what is refused of files and of TCP ports (nothing), and the scopes.
    #[repr(C)]
    struct Rules {
        files: u64,
        ports: u64,
        scopes: u64,
    }
    const ABSTRACT_SOCKETS_AND_SIGNALS: u64 = 0b11;
    let rules = Rules { files: 0, ports: 0, scopes: ABSTRACT_SOCKETS_AND_SIGNALS };
    // SAFETY: the kernel reads `rules` within the length given, which is its own, and returns a new descriptor that
    // nobody else owns, or -1.
    unsafe {
        let length = size_of::<Rules>();
        let descriptor = libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rules, length, 0);
        i32::try_from(descriptor)
            .ok()
            .filter(|number| *number >= 0)
            .map(|number| OwnedFd::from_raw_fd(number))
    }
}

/// Enters the rules, with all that this process will ever start.
#[expect(unsafe_code, reason = "docs/decisions/002-unsafe-in-the-sandbox.md")]
fn enter(scopes: &OwnedFd) -> io::Result<()> {
    // SAFETY: a system call on numbers.
    let entered = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, scopes.as_raw_fd(), 0) };
    if entered == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whoever makes a child that shall not outlive it may have ended before the kernel was told.
fn die_with(parent: Pid) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if nix::unistd::getppid() == parent { Ok(()) } else { Err(io::Error::from(Errno::ESRCH)) }
}

/// Has the kernel choose this process, and all that it will start, when the machine runs out of memory. One that means harm
/// may lower the number again, down to that of everybody else.
fn offer_first() {
    // Where `/proc` is not what it should be, it is chosen like any other.
    if let Ok(file) = nix::fcntl::open(c"/proc/self/oom_score_adj", OFlag::O_WRONLY, Mode::empty()) {
        let _ = nix::unistd::write(&file, b"1000");
    }
}

/// What programs expect to find, whatever the maker has set for itself. Core files would go to the app's folders, with
/// secrets in them. A limit of 0 would still let the kernel start the host's collector of them, as root and with the
/// app's memory as its input; 1 is the number by which it does neither (core(5)).
fn set_defaults() -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    umask(Mode::from_bits_truncate(0o022));
    setrlimit(Resource::RLIMIT_CORE, 1, 1)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_on_is_marked_where_the_kernel_cannot_mark_all_at_once() {
        let handed_on = nix::unistd::dup(std::io::stdin()).expect("descriptors are not short");
        let flags = || FdFlag::from_bits_retain(fcntl(&handed_on, FcntlArg::F_GETFD).expect("it is open"));
        assert!(!flags().contains(FdFlag::FD_CLOEXEC), "as a shim finds its lock");
        mark_each_at_exec();
        assert!(flags().contains(FdFlag::FD_CLOEXEC));
    }
}
