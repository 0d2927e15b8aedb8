//! Real git servers on the loopback: HTTPS by an authority of the test's own, with git's own program behind it, and
//! OpenSSH's. Both end with the values that stand for them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program::{Program, Running};
use crate::wait::eventually;

mod ssh;

pub use ssh::SshServer;

/// Makes an authority and the server's certificate.
const CERTIFICATES: &str = "\
set -e
ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $ec -keyout ca.key -out ca.pem -days 2 -subj /CN=authority
openssl req $ec -keyout server.key -out server.csr -subj /CN=localhost
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' >names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names
";
/// Answers as git's documentation of `git http-backend` has it. What lies in `closed` wants to know who asks.
const SERVER: &str = include_str!("git_server/https.py");
/// Whose commits they are; nothing of the machine's configuration plays a part.
const IDENTITY: [(&str, &str); 7] = [
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_AUTHOR_NAME", "Ana"),
    ("GIT_AUTHOR_EMAIL", "ana@example.org"),
    ("GIT_COMMITTER_NAME", "Ana"),
    ("GIT_COMMITTER_EMAIL", "ana@example.org"),
    ("GIT_DEFAULT_HASH", "sha1"),
];

/// Repositories, and a server for them.
#[derive(Debug)]
pub struct GitServer {
    folder: TempDir,
    port: u16,
    _server: Running,
}

impl GitServer {
    /// Serves repositories that are made later.
    ///
    /// # Panics
    ///
    /// Where openssl, Python or git is not there.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder takes files");
        fs::create_dir(folder.path().join("repositories")).expect("a new folder takes folders");
        write(&folder.path().join("server.py"), SERVER);
        let shell = Program::new("sh").arguments(["-c", CERTIFICATES]).folder(folder.path());
        let _ = shell.run().expect_success();
        let server = Program::new("/usr/bin/python3").arguments(["server.py"]);
        let server = server.folder(folder.path()).output(&folder.path().join("server.log")).start();
        let port = || fs::read_to_string(folder.path().join("port")).ok()?.parse().ok();
        let port = eventually("the server listens", port);
        Self { folder, port, _server: server }
    }

    /// Certificate of the authority that signed the server's.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// URL of a repository.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("https://{}/{name}.git", self.address())
    }

    /// Folder of a bare repository.
    #[must_use]
    pub fn repository(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("repositories/{name}.git"))
    }

    /// Runs a script of git's commands in a work tree of the repository, which both are made where they are not there,
    /// and pushes all branches and tags. Returns the commit.
    ///
    /// # Panics
    ///
    /// Where one of them fails.
    pub fn commit(&self, name: &str, script: &str) -> String {
        let (bare, work) = (self.repository(name), self.work_tree(name));
        let bare = bare.to_str().expect("a plain path");
        if !work.exists() {
            fs::create_dir_all(&work).expect("a new folder takes folders");
            self.run(&work, &format!("git init -q --bare -b main '{bare}' && git init -q -b main . && git remote add origin '{bare}'"));
        }
        let push =
            "git push -q --force origin --all && git push -q --force origin --tags && git rev-parse HEAD";
        self.run(&work, &format!("set -e\n{script}\n{push}")).trim().to_owned()
    }

    /// Folder in which [`GitServer::commit`] works.
    #[must_use]
    pub fn work_tree(&self, name: &str) -> PathBuf {
        self.folder.path().join("work").join(name)
    }

    /// Runs a script somewhere and returns its last line.
    ///
    /// # Panics
    ///
    /// Where it fails.
    pub fn run(&self, folder: &Path, script: &str) -> String {
        let shell = Program::new("sh").arguments(["-c", script]).folder(folder);
        let shell = IDENTITY.iter().fold(shell, |shell, (name, value)| shell.set(name, value));
        let outcome = shell.run().expect_success();
        outcome.stdout.lines().last().unwrap_or_default().to_owned()
    }
}

fn write(path: &Path, text: &str) {
    tandem_kit::files::write_atomic_unsynced(path, text.as_bytes(), 0o600).expect("a new folder takes files");
}
