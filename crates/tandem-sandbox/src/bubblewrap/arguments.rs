//! From a specification to a command line.
//!
//! bubblewrap runs as root and without a user namespace, so the kernel's own rules for users hold inside; setpriv then
//! takes every right away before the app's first instruction. The app's environment must not be seen by either of the
//! two: a `LD_PRELOAD` that names a file of a volume would run the app's code as root. So they run with an empty
//! environment, and a shell without rights reads the variables from its standard input and becomes the app's.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{Programs, etc, seccomp};
use crate::spec::{HOME, Network};
use crate::{Spec, command};

/// Reads the environment, gives the standard input back, becomes the app's shell.
const ENTER: &str = ". /dev/stdin; exec </dev/null; exec /bin/sh -c \"$1\"";

/// As [`ENTER`], where the standard input is the app's from the start: the environment comes by a descriptor of its own,
/// which is closed if its number is one that every shell can close.
const ENTER_SESSION: &str =
    ". \"$2\"; case $2 in /dev/fd/?) eval \"exec ${2#/dev/fd/}<&-\";; esac; exec /bin/sh -c \"$1\"";

/// As [`ENTER_SESSION`], with a terminal. bubblewrap puts it at `/dev/console`: under the name that it has outside, the app's own
/// `/dev/pts` does not know it.
const ENTER_TERMINAL: &str = ". \"$2\"; case $2 in /dev/fd/?) eval \"exec ${2#/dev/fd/}<&-\";; esac; \
    exec <>/dev/console >&0 2>&0; exec /bin/sh -c \"$1\"";

/// Folders that every program may write to; private, in memory, and counted as the app's.
const SCRATCH: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev/shm"];

/// Why a command line could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("filter system calls")]
    Seccomp(#[from] seccomp::Error),
    #[error("pass {what} to the sandbox")]
    Pass {
        what: &'static str,
        #[source]
        source: io::Error,
    },
}

/// What to execute, and what must be open in it.
#[derive(Debug)]
pub(crate) struct Sandboxed {
    pub arguments: Vec<OsString>,
    /// Descriptors named in the arguments; to be inherited under their present numbers.
    pub inherited: Vec<File>,
    /// The standard input, where the caller gave none: the environment, as shell text.
    pub input: Option<File>,
}

/// What the app's standard streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// No input; the outputs are pipes.
    Captured,
    /// Three pipes.
    Pipes,
    /// A terminal of its own.
    Terminal,
}

/// The arguments of bubblewrap for a specification.
pub(crate) fn arguments(spec: &Spec, streams: Streams, programs: &Programs) -> Result<Sandboxed, Error> {
    let mut line = Line::default();
    line.namespaces(spec);
    line.system_folders();
    line.etc(spec)?;
    line.scratch();
    line.all(["--dir", "/home", "--bind"]).path(&spec.home).all([HOME]);
    for mount in &spec.mounts {
        line.parents(&mount.target);
        line.all([if mount.read_only { "--ro-bind" } else { "--bind" }]);
        line.path(&mount.source).path(&mount.target);
    }
    // Only what is mounted on it can be written from here on.
    line.all(["--remount-ro", "/", "--chdir"]).path(&spec.cwd);
    line.all(["--seccomp"]).data("the filter of system calls", &seccomp::program()?)?;
    line.all(["--"]).path(&programs.setpriv).privileges(spec);
    let environment = memory("the environment", crate::environment::shell_text(spec).as_bytes())?;
    let text = command::shell_text(&spec.command);
    let mut input = Some(environment);
    match streams {
        Streams::Captured => line.all(["--", "/bin/sh", "-c", ENTER, "sh", &text]),
        Streams::Pipes => {
            let path = line.inherit(input.take());
            line.all(["--", "/bin/sh", "-c", ENTER_SESSION, "sh", &text, &path])
        }
        Streams::Terminal => {
            let path = line.inherit(input.take());
            // bubblewrap keeps the session that it makes for its own first process.
            line.all(["--"]).path(&programs.setsid);
            line.all(["--ctty", "/bin/sh", "-c", ENTER_TERMINAL, "sh", &text, &path])
        }
    };
    Ok(Sandboxed { arguments: line.arguments, inherited: line.inherited, input })
}

#[derive(Default)]
struct Line {
    arguments: Vec<OsString>,
    inherited: Vec<File>,
}

impl Line {
    fn all<'a>(&mut self, arguments: impl IntoIterator<Item = &'a str>) -> &mut Self {
        self.arguments.extend(arguments.into_iter().map(OsString::from));
        self
    }

    fn path(&mut self, path: &Path) -> &mut Self {
        self.arguments.push(path.as_os_str().to_owned());
        self
    }

    /// Adds the number of a descriptor from which the content can be read.
    fn data(&mut self, what: &'static str, content: &[u8]) -> Result<&mut Self, Error> {
        let file = memory(what, content)?;
        self.arguments.push(file.as_raw_fd().to_string().into());
        self.inherited.push(file);
        Ok(self)
    }

    /// Leaves a file open, and names the path at which it can be read.
    fn inherit(&mut self, file: Option<File>) -> String {
        let path = file.as_ref().map(|file| format!("/dev/fd/{}", file.as_raw_fd())).unwrap_or_default();
        self.inherited.extend(file);
        path
    }

    /// The folders above a mount point. bubblewrap would make missing ones too, but closed to everybody but root.
    fn parents(&mut self, target: &Path) {
        let mut parents: Vec<_> =
            target.ancestors().skip(1).filter(|folder| *folder != Path::new("/")).collect();
        parents.reverse();
        for folder in parents {
            self.all(["--perms", "0755", "--dir"]).path(folder);
        }
    }

    fn namespaces(&mut self, spec: &Spec) {
        self.all(["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]);
        if spec.network == Network::None {
            self.all(["--unshare-net"]);
        }
        self.all(["--hostname", &spec.hostname, "--die-with-parent", "--new-session"]);
    }

    /// The host's programs and libraries, with the links that merged systems have in the root folder.
    fn system_folders(&mut self) {
        self.all(["--ro-bind", "/usr", "/usr"]);
        for name in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
            if let Ok(target) = std::fs::read_link(name) {
                self.all(["--symlink"]).path(&target).all([name]);
            } else {
                self.all(["--ro-bind-try", name, name]);
            }
        }
        self.all(["--proc", "/proc", "--dev", "/dev"]);
    }

    fn etc(&mut self, spec: &Spec) -> Result<(), Error> {
        self.all(["--dir", "/etc"]);
        for name in etc::SHARED {
            let path = format!("/etc/{name}");
            self.all(["--ro-bind-try", &path, &path]);
        }
        let own = [("passwd", etc::passwd(spec)), ("group", etc::group(spec)), ("hosts", etc::hosts(spec))];
        for (name, content) in own {
            self.all(["--perms", "0644", "--ro-bind-data"]).data("users and hosts", content.as_bytes())?;
            self.all([format!("/etc/{name}").as_str()]);
        }
        Ok(())
    }

    fn scratch(&mut self) {
        for folder in SCRATCH {
            self.all(["--perms", "1777", "--tmpfs", folder]);
        }
    }

    fn privileges(&mut self, spec: &Spec) {
        let id = spec.user.uid;
        self.all([format!("--reuid={id}").as_str(), &format!("--regid={id}")]);
        self.all(["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]);
    }
}

/// A file in memory, read from its beginning.
fn memory(what: &'static str, content: &[u8]) -> Result<File, Error> {
    let failed = |source| Error::Pass { what, source };
    let descriptor = memfd_create(c"tandem", MFdFlags::MFD_CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let mut file = File::from(descriptor);
    file.write_all(content).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(file)
}
