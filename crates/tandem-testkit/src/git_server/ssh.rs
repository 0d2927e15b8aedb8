//! OpenSSH's server on a port of its own, for the user who runs the test. Needs root, as sshd does.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use super::write;
use crate::program::{Program, Running};
use crate::wait::eventually;

/// Of Debian's package openssh-server; sshd wants to be called by its whole path.
const SSHD: &str = "/usr/sbin/sshd";
/// Ports that are tried.
const ATTEMPTS: usize = 10;
/// Where sshd locks itself in while it speaks with strangers.
const EMPTY: &str = "/run/sshd";

/// See the module.
#[derive(Debug)]
pub struct SshServer {
    folder: TempDir,
    port: u16,
    server: Option<Running>,
}

impl SshServer {
    /// Whether it can be started here.
    #[must_use]
    pub fn is_there() -> bool {
        nix::unistd::Uid::effective().is_root() && Path::new(SSHD).exists()
    }

    /// Starts with a key of its own, and lets nobody in.
    ///
    /// # Panics
    ///
    /// Where sshd is not there, or this is not root.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder takes files");
        // Debian makes it when the service starts, which it need not have done.
        fs::create_dir_all(EMPTY).expect("root may make it");
        let below = |name: &str| folder.path().join(name).display().to_string();
        let configuration = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             AcceptEnv GIT_PROTOCOL\nUseDNS no\n",
            below("host"),
            below("authorized")
        );
        write(&folder.path().join("config"), &configuration);
        write(&folder.path().join("authorized"), "");
        let mut server = Self { folder, port: free_port(), server: None };
        server.start_with_new_key();
        server
    }

    /// Ends the server, if it runs, and starts it anew: the same host shows another key.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub fn start_with_new_key(&mut self) {
        self.server = None;
        let path = |name: &str| self.folder.path().join(name);
        for name in ["host", "host.pub"] {
            let _ = fs::remove_file(path(name));
        }
        let keygen = Program::new("ssh-keygen").arguments(["-q", "-t", "ed25519", "-N", "", "-f"]);
        let _ = keygen.arguments([path("host")]).run().expect_success();
        let mut server = self.sshd();
        for _ in 0..ATTEMPTS {
            // Somebody else may have taken the port meanwhile; sshd tells of it and ends.
            let listens = eventually("sshd listens or ends", || {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                let listens = log.contains(&format!("port {}.", self.port)) && !log.contains("in use");
                (listens || server.ended().is_some()).then_some(listens)
            });
            if listens {
                break;
            }
            self.port = free_port();
            server = self.sshd();
        }
        self.server = Some(server);
    }

    fn sshd(&self) -> Running {
        let path = |name: &str| self.folder.path().join(name);
        let _ = fs::remove_file(path("log"));
        let address = format!("ListenAddress=127.0.0.1:{}", self.port);
        let sshd =
            Program::new(SSHD).arguments(["-D", "-e", "-o", &address, "-f"]).arguments([path("config")]);
        sshd.output(&path("log")).start()
    }

    /// Lets in who has the private half of this key.
    ///
    /// # Panics
    ///
    /// Where the folder takes no files.
    pub fn authorize(&self, public: &str) {
        write(&self.folder.path().join("authorized"), &format!("{public}\n"));
    }

    /// The public half of the key that the host shows.
    ///
    /// # Panics
    ///
    /// Where it is gone.
    #[must_use]
    pub fn host_key(&self) -> String {
        fs::read_to_string(self.folder.path().join("host.pub")).expect("it was made")
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// URL of a folder of this machine.
    #[must_use]
    pub fn url(&self, folder: &Path) -> String {
        format!("ssh://root@{}{}", self.address(), folder.display())
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    listener.local_addr().expect("it listens").port()
}
