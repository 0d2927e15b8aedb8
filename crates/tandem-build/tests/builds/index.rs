//! A package index that wants a password, on the loopback: packages with and without code of their own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use tandem_sandbox::tool::Tool;
use tandem_types::Span;

/// `joe:s3cret-word`, as HTTP has it.
const AUTHORIZATION: &str = "Basic am9lOnMzY3JldC13b3Jk";
/// The password in it.
pub(crate) const PASSWORD: &str = "s3cret-word";
/// Makes `wheel-1.0-py3-none-any.whl` with 300 kB that do not pack, and `source-1.0.tar.gz`, whose build tells what it sees.
const PACKAGES: &str = r#"
import io, os, sys, tarfile, zipfile
METADATA = "Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n"
with zipfile.ZipFile("wheel-1.0-py3-none-any.whl", "w") as z:
    z.writestr("wheel.py", "x = 1\n")
    z.writestr("wheel.bin", os.urandom(300_000))
    z.writestr("wheel-1.0.dist-info/METADATA", METADATA % "wheel")
    z.writestr("wheel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr("wheel-1.0.dist-info/RECORD", "")
with tarfile.open("source-1.0.tar.gz", "w:gz") as t:
    for name, text in [
        ("PKG-INFO", METADATA % "source"),
        ("pyproject.toml", '[project]\nname = "source"\nversion = "1.0"\n[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'),
        ("backend.py", open("backend.py").read()),
    ]:
        entry = tarfile.TarInfo("source-1.0/" + name)
        entry.size = len(text)
        t.addfile(entry, io.BytesIO(text.encode()))
"#;

/// An index that serves as long as the test runs.
pub(crate) struct Index {
    /// With name and password.
    pub(crate) url: String,
}

impl Index {
    /// Serves both packages; `backend` is what builds the one that must be built.
    pub(crate) async fn start(backend: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let write = |name: &str, text: &str| {
            tandem_kit::files::write_atomic_unsynced(&folder.path().join(name), text.as_bytes(), 0o644)
                .expect("there is room");
        };
        write("backend.py", backend);
        let python = Tool::new("/usr/bin/python3").args(["-c", PACKAGES]).folder(folder.path());
        python.run_ok(Span::minutes(1)).await.expect("packages can be made");
        let read = |name: &str| std::fs::read(folder.path().join(name)).expect("it was just made");
        let mut pages = BTreeMap::new();
        for (package, file) in [("wheel", "wheel-1.0-py3-none-any.whl"), ("source", "source-1.0.tar.gz")] {
            let page = format!("<a href=\"/files/{file}\">{file}</a>");
            pages.insert(format!("/simple/{package}/"), page.into_bytes());
            pages.insert(format!("/files/{file}"), read(file));
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
        let address = listener.local_addr().expect("it listens");
        let pages = Arc::new(pages);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let pages = Arc::clone(&pages);
                std::thread::spawn(move || answer(stream, &pages));
            }
        });
        Self { url: format!("http://joe:{PASSWORD}@{address}/simple/") }
    }
}

fn answer(mut stream: TcpStream, pages: &BTreeMap<String, Vec<u8>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let headers: Vec<String> =
        reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let allowed = headers.iter().any(|line| {
        line.split_once(": ")
            .is_some_and(|(name, value)| name.eq_ignore_ascii_case("authorization") && value == AUTHORIZATION)
    });
    let page = first.split(' ').nth(1).and_then(|path| pages.get(path));
    let (status, body): (&str, &[u8]) = match page {
        _ if !allowed => ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"", b""),
        None => ("404 Not Found", b""),
        Some(body) => ("200 OK\r\nContent-Type: text/html", body),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").ok()?;
    let body = if first.starts_with("HEAD") { &[] } else { body };
    stream.write_all(body).ok()
}

/// Whether this machine keeps builds off the loopback.
pub(crate) fn has_packet_rules() -> bool {
    nix::unistd::Uid::effective().is_root() && Path::new("/usr/sbin/nft").exists()
}
