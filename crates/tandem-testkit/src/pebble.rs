//! A real authority that speaks ACME: Debian's pebble on ports of the test's own, with a DNS that leads every name here.
//!
//! It looks at the ports that it is told, so a test names the ones of its balancer. Its own roots are made by openssl in a folder that
//! ends with it; so do the processes.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::program::{Program, Running};
use crate::wait::eventually;

/// Makes the authority of its API's certificate, and that.
const CERTIFICATES: &str = "\
set -e
ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $ec -keyout ca.key -out ca.pem -days 2 -subj /CN=authority
openssl req $ec -keyout server.key -out server.csr -subj /CN=localhost
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' >names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem
";

/// A domain for which it never signs.
pub const REFUSED: &str = "refused.example.org";

/// Where an authority looks, and what it signs.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// Port of `http-01`.
    pub http: u16,
    /// Port of `tls-alpn-01`.
    pub https: u16,
    /// Seconds for which a certificate holds.
    pub life: u32,
}

/// An authority that runs.
#[derive(Debug)]
pub struct Pebble {
    folder: TempDir,
    api: SocketAddr,
    management: SocketAddr,
    dns_management: SocketAddr,
    looks: Looks,
    dns: SocketAddr,
    _names: Running,
    authority: Option<Running>,
}

impl Pebble {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// Where it does not come to answer.
    #[must_use]
    pub fn start(looks: Looks) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let _ =
            Program::new("sh").folder(folder.path()).arguments(["-c", CERTIFICATES]).run().expect_success();
        let [api, management, dns_management] = free();
        let dns = free_of_both();
        let names = Program::new("pebble-challtestsrv").folder(folder.path()).arguments([
            "-defaultIPv4=127.0.0.1",
            "-defaultIPv6=",
            "-http01=",
            "-https01=",
            "-tlsalpn01=",
            &format!("-dns01={dns}"),
            &format!("-management={dns_management}"),
        ]);
        let names = names.output(&folder.path().join("names.log")).start();
        let mut pebble =
            Self { folder, api, management, dns_management, looks, dns, _names: names, authority: None };
        pebble.start_again();
        pebble
    }

    /// Starts it anew, as one that knows nobody.
    ///
    /// # Panics
    ///
    /// Where it does not come to answer.
    pub fn start_again(&mut self) {
        let config = json!({"pebble": {
            "listenAddress": self.api.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": "server.pem",
            "privateKey": "server.key",
            "httpPort": self.looks.http,
            "tlsPort": self.looks.https,
            "ocspResponderURL": "",
            "certificateValidityPeriod": self.looks.life,
            "domainBlocklist": [REFUSED],
        }});
        let path = self.path("config.json");
        tandem_kit::files::write_atomic(&path, config.to_string().as_bytes(), 0o644).expect("there is room");
        let dns = format!("-dnsserver={}", self.dns);
        let program =
            Program::new("pebble").folder(self.folder.path()).arguments(["-config", "config.json", &dns]);
        let program = program.set("PEBBLE_VA_NOSLEEP", "1").set("PEBBLE_AUTHZREUSE", "0");
        self.authority = Some(program.output(&self.path("pebble.log")).start());
        eventually("pebble answers", || self.ask(self.management, "/roots/0"));
    }

    /// Ends it, as one that is away.
    pub fn stop(&mut self) {
        self.authority = None;
    }

    /// Where it looks from now on; it forgets everybody.
    pub fn look_at(&mut self, looks: Looks) {
        self.stop();
        self.looks = looks;
        self.start_again();
    }

    /// URL of its directory.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.api.port())
    }

    /// File with the roots by which its API is known.
    #[must_use]
    pub fn api_roots(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Writes the root by which its certificates are known to a file.
    ///
    /// # Panics
    ///
    /// Where it does not answer.
    #[must_use]
    pub fn roots(&self) -> PathBuf {
        let root = self.ask(self.management, "/roots/0").expect("it answers");
        let path = self.path("root.pem");
        tandem_kit::files::write_atomic(&path, root.as_bytes(), 0o644).expect("there is room");
        path
    }

    /// A command that sets and removes records of its DNS, as `--acme-dns-hook` wants one. Each call adds a line to a file.
    ///
    /// # Panics
    ///
    /// Where the folder takes no files.
    #[must_use]
    pub fn dns_hook(&self) -> PathBuf {
        let path = self.path("hook");
        let script = format!(
            "#!/bin/sh\nset -e\necho \"$1 $2\" >>{calls}\n\
             case $1 in set) path=set-txt ;; *) path=clear-txt ;; esac\n\
             curl -fsS -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" http://{at}/$path\n",
            calls = self.path("calls").display(),
            at = self.dns_management
        );
        tandem_kit::files::write_atomic(&path, script.as_bytes(), 0o755).expect("there is room");
        path
    }

    /// What the hook was called with, a line each.
    #[must_use]
    pub fn calls_of_hook(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("pebble.log")).unwrap_or_default()
    }

    fn ask(&self, at: SocketAddr, path: &str) -> Option<String> {
        let url = format!("https://localhost:{}{path}", at.port());
        let curl = Program::new("curl").arguments(["-fsS", "--cacert"]).arguments([self.api_roots()]);
        let outcome = curl.arguments([url]).run();
        (outcome.code == Some(0)).then_some(outcome.stdout)
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}

/// Ports that nobody has at this moment.
fn free<const N: usize>() -> [SocketAddr; N] {
    let any = || TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let held: Vec<_> = (0..N).map(|_| any()).collect();
    std::array::from_fn(|place| held[place].local_addr().expect("it has an address"))
}

/// One that is free for both TCP and UDP: DNS is asked by either.
fn free_of_both() -> SocketAddr {
    eventually("a port is free", || {
        let [address] = free();
        UdpSocket::bind(address).is_ok().then_some(address)
    })
}
