//! What all rows share: the backend, its files, the certificates, and on which core who runs.
//!
//! The backend is an nginx that keeps its connections for ever. It returns a small text, files, and on `/asked` what it
//! has been asked with.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use tandem_kit::files::write_atomic_unsynced;
use tandem_testkit::bench::cleaning::BenchFolder;
use tandem_testkit::bench::record::Record;
use tandem_testkit::program::{Program, Running};
use tandem_testkit::wait::eventually;

use crate::proxies::end;
use crate::rows::Key;

/// The domain that is asked for.
pub(crate) const DOMAIN: &str = "shop.example";
/// The small answer.
pub(crate) const TEXT: &str = "hello, world\n";
/// The core of the proxies.
pub(crate) const PROXY_CORE: usize = 0;
/// The core of the backend, the load and this program.
pub(crate) const OTHER_CORE: usize = 1;
/// Open files that 5,000 connections need on both sides, and more.
const OPEN_FILES: u64 = 12_000;

/// Everything a proxy is set before.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) record: Record,
    pub(crate) folder: PathBuf,
    /// Where the backend listens.
    pub(crate) backend: SocketAddr,
    running: Running,
}

impl Drop for Ground {
    fn drop(&mut self) {
        end(&mut self.running);
    }
}

impl Ground {
    /// Makes files and certificates, and starts the backend.
    pub(crate) fn prepare(bench: &BenchFolder, record: Record) -> anyhow::Result<Self> {
        pin()?;
        let folder = bench.scratch();
        let files = folder.join("files");
        fs::create_dir_all(&files).context("make the folder of the files")?;
        for (name, length) in [("4k.bin", 4 << 10), ("64k.bin", 64 << 10), ("1m.bin", 1 << 20)] {
            write(&files.join(name), &pattern(length))?;
        }
        for key in [Key::P256, Key::Rsa] {
            certify(&folder, key)?;
        }
        let address = free_address()?;
        let configuration = folder.join("backend.conf");
        write(&configuration, backend_configuration(&folder, address).as_bytes())?;
        let program = Record::gate().arguments(["nginx", "-c"]).arguments([&configuration]);
        let program = program.folder(&folder).output(&folder.join("backend.log"));
        let running = record.start("the backend", program)?;
        eventually("the backend listens", || TcpStream::connect(address).ok());
        Ok(Self { record, folder, backend: address, running })
    }

    /// Folder of the files that are served.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// The certificate of a key, and its private key.
    pub(crate) fn certificate(&self, key: Key) -> (PathBuf, PathBuf) {
        let name = name_of(key);
        (self.folder.join(format!("{name}.crt")), self.folder.join(format!("{name}.key")))
    }

    /// Writes a file that a proxy reads.
    pub(crate) fn file(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        write(&path, text.as_bytes())?;
        Ok(path)
    }
}

/// A port that nobody has just now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    listener.local_addr().context("read the free port")
}

/// This process, and so whatever it starts without saying more, leaves the proxies' core alone.
fn pin() -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(OTHER_CORE).context("name a core")?;
    sched_setaffinity(Pid::from_raw(0), &cores).context("run on the second core, which must be there")?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("ask for the limit of open files")?;
    ensure!(
        hard >= OPEN_FILES,
        "{OPEN_FILES} open files are needed, and only {hard} allowed: see `ulimit -Hn`"
    );
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(OPEN_FILES), hard).context("allow more open files")
}

/// Bytes that no compression, no zero page and no shifted answer could pass for.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        // Xorshift, by Marsaglia (2003).
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn name_of(key: Key) -> &'static str {
    match key {
        Key::P256 => "p256",
        Key::Rsa => "rsa",
    }
}

/// Signed by itself: the chain has one certificate on every proxy.
fn certify(folder: &Path, key: Key) -> anyhow::Result<()> {
    let name = name_of(key);
    let kind: &[&str] = match key {
        Key::P256 => &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        Key::Rsa => &["rsa:2048"],
    };
    let (file, secret) = (format!("{name}.crt"), format!("{name}.key"));
    let names = format!("subjectAltName=DNS:{DOMAIN}");
    let subject = format!("/CN={DOMAIN}");
    let program = Program::new("openssl").arguments(["req", "-x509", "-nodes", "-days", "30", "-newkey"]);
    let program = program.arguments(kind).arguments(["-keyout", &secret, "-out", &file]);
    let outcome = program.arguments(["-subj", &subject, "-addext", &names]).folder(folder).run();
    ensure!(outcome.code == Some(0), "make a certificate: {outcome}");
    // HAProxy wants both in one file.
    let both = [fs::read(folder.join(file))?, fs::read(folder.join(secret))?].concat();
    write(&folder.join(format!("{name}.pem")), &both)
}

fn backend_configuration(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    let asked = [
        ("protocol", "server_protocol"),
        ("requests", "connection_requests"),
        ("bytes", "request_length"),
        ("host", "http_host"),
        ("for", "http_x_forwarded_for"),
        ("proto", "http_x_forwarded_proto"),
        ("forwarded-host", "http_x_forwarded_host"),
        ("id", "http_x_request_id"),
        ("via", "http_via"),
        ("forwarded", "http_forwarded"),
        ("connection", "http_connection"),
    ];
    let asked: Vec<_> = asked.iter().map(|(name, variable)| format!("{name}=${variable}")).collect();
    let asked = asked.join("\\n");
    let text = TEXT.trim_end();
    format!(
        r#"user root; worker_processes 1; daemon off; pid {folder}/backend.pid; error_log {folder}/backend.err;
worker_rlimit_nofile {OPEN_FILES};
events {{ worker_connections 10000; }}
http {{
  access_log off; sendfile on; open_file_cache max=10;
  keepalive_requests 1000000000; keepalive_timeout 1000;
  client_body_temp_path {folder}/backend-body; proxy_temp_path {folder}/backend-proxy;
  fastcgi_temp_path {folder}/backend-fastcgi; uwsgi_temp_path {folder}/backend-uwsgi; scgi_temp_path {folder}/backend-scgi;
  server {{
    listen {address} backlog=4096; root {folder}/files; default_type text/plain;
    location = / {{ return 200 "{text}\n"; }}
    location = /asked {{ return 200 "{asked}"; }}
  }}
}}
"#
    )
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write_atomic_unsynced(path, content, 0o644).with_context(|| format!("write {}", path.display()))
}
