//! A real PostgreSQL of a scenario's own.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use tempfile::TempDir;

use crate::program::{Program, Running};
use crate::wait::{PATIENCE, eventually};

/// Debian's `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;
/// What every user of it has to say.
pub const PASSWORD: &str = "correct-horse";
/// Ports that neither the kernel nor a runner gives to anybody.
const PORTS: std::ops::Range<u16> = 15_000..19_000;

/// A database server of its own in a temporary folder.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    port: u16,
    server: Running,
    _folder: TempDir,
}

impl Postgres {
    /// Starts the newest version that is installed; its one user may do everything.
    ///
    /// # Panics
    ///
    /// Where none is installed or it does not start.
    #[must_use]
    pub fn start() -> Self {
        let programs = programs();
        let folder = tempfile::tempdir().expect("the temporary folder takes files");
        let (cluster, password) = (folder.path().join("cluster"), folder.path().join("password"));
        tandem_kit::files::write_atomic_unsynced(&password, PASSWORD.as_bytes(), 0o644).expect("a file");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), mode).expect("the folder is ours");
        if Uid::effective().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may give a folder away");
        }
        let initdb = unprivileged(&programs.join("initdb"), folder.path());
        let options = ["--no-sync", "--username=tandem", "--auth=scram-sha-256", "--encoding=UTF8"];
        let initdb = initdb.arguments(options).arguments(["--pgdata".as_ref(), cluster.as_os_str()]);
        let _ = initdb.arguments(["--pwfile".as_ref(), password.as_os_str()]).run().expect_success();

        let port = free_port();
        let postgres = unprivileged(&programs.join("postgres"), folder.path());
        let postgres = postgres.arguments(["-D".as_ref(), cluster.as_os_str()]);
        let listen =
            ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"];
        let postgres = postgres.arguments(listen).arguments(["-p", &port.to_string()]);
        let server = postgres.output(&folder.path().join("log")).start();
        let database = Self { programs, port, server, _folder: folder };
        eventually("the database takes connections", || {
            let asked = database.psql("postgres", "select 1").run();
            (asked.code == Some(0)).then_some(())
        });
        database
    }

    /// Makes an empty database.
    ///
    /// # Panics
    ///
    /// Where there is one of that name.
    pub fn create(&self, name: &str) {
        let _ = self.psql("postgres", &format!("create database \"{name}\"")).run().expect_success();
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where a database of it is found.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("postgres://tandem:{PASSWORD}@127.0.0.1:{}/{name}", self.port)
    }

    fn psql(&self, name: &str, query: &str) -> Program {
        Program::new(self.programs.join("psql")).arguments([
            "--no-psqlrc",
            "-At",
            &self.url(name),
            "-c",
            query,
        ])
    }

    /// What a query of a database answers.
    ///
    /// # Panics
    ///
    /// Where it is refused.
    #[must_use]
    pub fn ask(&self, name: &str, query: &str) -> String {
        self.psql(name, query).run().expect_success().stdout.trim_end().to_owned()
    }

    /// Ends it by its process id: SIGINT cuts connections and leaves the files whole.
    ///
    /// # Panics
    ///
    /// Where it does not end well.
    pub fn stop(mut self) {
        self.server.signal(Signal::SIGINT);
        assert!(self.server.wait(PATIENCE).success());
    }
}

/// The newest version that is installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin"));
    let newest = programs.filter(|programs| programs.join("initdb").exists()).max();
    newest.expect("PostgreSQL is installed: `make needs-test` does it")
}

/// A program that cannot be root, in a folder that it may enter; it ends with this process.
fn unprivileged(program: &Path, folder: &Path) -> Program {
    let mut words = vec!["--pdeathsig=INT".to_owned()];
    if Uid::effective().is_root() {
        words.extend([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
    }
    Program::new("setpriv").arguments(words).arguments([program]).folder(folder)
}

/// Starts at a place of this process, since other tests look for one at the same time.
fn free_port() -> u16 {
    let length = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id() % length;
    let port = |step: u32| PORTS.start + u16::try_from((first + step) % length).expect("it is in the range");
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (0..length).map(port).find(free).expect("some port is free")
}
