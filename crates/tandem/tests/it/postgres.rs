//! The guestbook on a real PostgreSQL: config, release phase, two releases on one database, data that outlives both.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::load::{Load, Mix, Target};
use tandem_testkit::program::{Program, Running};
use tandem_testkit::wait::{PATIENCE, eventually};
use tempfile::TempDir;

use crate::TANDEM;

const HOST: &str = "guestbook.localhost";
/// Debian's `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;
const PASSWORD: &str = "correct-horse";
/// Ports that neither the kernel nor a runner gives to anybody.
const PORTS: std::ops::Range<u16> = 15_000..19_000;

/// A database server of its own in a temporary folder.
struct Database {
    programs: PathBuf,
    port: u16,
    server: Running,
    _folder: TempDir,
}

impl Database {
    fn start() -> Self {
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
        let options = ["--no-sync", "--username=guestbook", "--auth=scram-sha-256", "--encoding=UTF8"];
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
        let _ = database.psql("postgres", "create database guestbook").run().expect_success();
        database
    }

    fn url(&self, name: &str) -> String {
        format!("postgres://guestbook:{PASSWORD}@127.0.0.1:{}/{name}", self.port)
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

    /// What a query of the guestbook's database answers.
    fn ask(&self, query: &str) -> String {
        self.psql("guestbook", query).run().expect_success().stdout.trim_end().to_owned()
    }

    /// Ends it by its process id: SIGINT cuts connections and leaves the files whole.
    fn stop(mut self) {
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

#[test]
fn the_guestbook_keeps_its_entries_in_postgresql_over_deploys_and_rollbacks() {
    let database = Database::start();
    let installation = Installation::start(TANDEM);
    let _ = installation.tandem(["app", "create", "guestbook"]).expect_success();
    let url = format!("DATABASE_URL={}", database.url("guestbook"));
    let _ = installation.tandem(["config", "set", &url, "--app", "guestbook"]).expect_success();
    let folder = AppFolder::guestbook();
    installation.deploy(folder.path());
    let site = installation.site(HOST);
    let token = site.form_token();
    assert_eq!(site.sign(&token, "Ada", "First+in+the+book").status, 302);
    assert_eq!(database.ask("select name, message from entries_entry"), "Ada|First in the book");

    let target = Target { address: installation.ready().http, host: HOST.to_owned() };
    let load = Load::start(target, Mix::default());
    eventually("requests are answered", || (load.ended() >= 20).then_some(()));
    folder.greet("On PostgreSQL");
    installation.deploy(folder.path());
    assert!(site.text("/").contains("On PostgreSQL"));
    let _ = installation.tandem(["rollback"]).expect_success();
    assert!(site.text("/").contains("Say hello, leave a line."));
    load.stop().expect_no_failures();

    assert_eq!(database.ask("select message from entries_entry where name = 'Ada'"), "First in the book");
    let written: u32 = database.ask("select count(*) from entries_entry").parse().expect("a number");
    assert!(written > 1, "the load has written to the database too");
    let log = installation.log();
    assert!(!log.contains(PASSWORD), "the log shows the password");
    eventually("the worker sends every mail", || {
        let waiting = database.ask("select count(*) from entries_notification where sent is null");
        (waiting == "0").then_some(())
    });
    installation.finish();
    database.stop();
}
