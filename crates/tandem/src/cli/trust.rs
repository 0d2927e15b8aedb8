//! `tandem trust`: writes the certificate of the installation's own authority to a file, and says how programs are told to
//! trust it. It changes nothing on the machine by itself: whom somebody trusts is theirs to say.

use std::fmt::Write as _;
use std::path::{Path, PathBuf, absolute};

use serde::Serialize;
use tandem_kit::files;
use tandem_types::Timestamp;
use tandem_types::api::Status;
use tandem_types::https::AuthorityCertificate;
use tandem_types::instance::Address;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `trust`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --acme, and for names such as shop.localhost also with it, Tandem signs certificates by an
authority of its own. This writes its certificate to a file and prints the lines to type; nothing
is changed until you type them. Trust it only on machines of people who work on these apps: who has
the data folder of the server can sign for any name.

Examples:
  tandem trust
  tandem trust --out /tmp/tandem.pem --json | jq -r .system | sh")]
pub(crate) struct Args {
    /// Where to write the certificate
    #[arg(long, value_name = "FILE", default_value = "tandem-authority.pem")]
    out: PathBuf,
}

/// What `--json` prints: the certificate's file, and the lines to type.
#[derive(Debug, Serialize)]
struct Trust {
    name: String,
    file: PathBuf,
    not_after: Timestamp,
    /// For everything that asks the system: curl, git, most of all others.
    system: String,
    /// For Chromium, Chrome and Edge of this user.
    chromium: String,
    /// For the profiles of Firefox of this user.
    firefox: String,
    /// For Python, which may bring authorities of its own.
    python: String,
    /// For Node, which does.
    node: String,
    /// For one request of curl alone.
    curl: String,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let found: AuthorityCertificate = session.client()?.get("/v1/authority").await?;
    let status: Status = session.client()?.get("/v1/status").await?;
    let file = absolute(&args.out).map_err(|e| Failure::chain("find the file's place", &e))?;
    ensure_plain(&file)?;
    files::write_atomic(&file, found.certificate.as_bytes(), 0o644).map_err(|error| {
        Failure::chain("write the certificate", &error).hint("name another place with --out FILE")
    })?;
    let trust = Trust::of(found, file, port(&status));
    session.output.show(&trust, render)?;
    Ok(Exit::Done)
}

/// Port of the first address at which HTTPS is served, where one is.
fn port(status: &Status) -> Option<u16> {
    let mut addresses = status.balancers.iter().flat_map(|balancer| &balancer.status.https);
    addresses.find_map(|address| match address {
        Address::Tcp(address) => Some(address.port()),
        Address::Unix(_) => None,
    })
}

/// What is written takes the place of what is there, and root may do that to a device: /dev/null would be a file from then on.
fn ensure_plain(file: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(file) {
        Ok(found) if !found.is_file() => {
            Err(Failure::new(format!("{} is there and is no plain file", file.display()))
                .hint("name another place with --out FILE"))
        }
        _ => Ok(()),
    }
}

impl Trust {
    fn of(
        AuthorityCertificate { name, not_after, .. }: AuthorityCertificate,
        file: PathBuf,
        port: Option<u16>,
    ) -> Self {
        let path = quoted(&file);
        let port = port.filter(|port| *port != 443).map_or_else(String::new, |port| format!(":{port}"));
        let place = "/usr/local/share/ca-certificates/tandem-authority.crt";
        let add = format!("-A -t C,, -n {} -i {path}", quoted(Path::new(&name)));
        Self {
            system: format!("sudo install -m 0644 {path} {place} && sudo update-ca-certificates"),
            chromium: format!(
                "mkdir -p ~/.pki/nssdb && {{ [ -e ~/.pki/nssdb/cert9.db ] || certutil -N --empty-password \
                 -d sql:$HOME/.pki/nssdb; }} && certutil -d sql:$HOME/.pki/nssdb {add}"
            ),
            firefox: format!(
                "for profile in ~/.mozilla/firefox/*/cert9.db; do certutil -d \"sql:${{profile%/*}}\" {add}; done"
            ),
            python: format!("export SSL_CERT_FILE={path} REQUESTS_CA_BUNDLE={path}"),
            node: format!("export NODE_EXTRA_CA_CERTS={path}"),
            curl: format!("curl --cacert {path} https://APP.localhost{port}/"),
            name,
            file,
            not_after,
        }
    }
}

/// As a word of the shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn render(trust: &Trust) -> String {
    let end = trust.not_after.strftime("%Y-%m-%d");
    let mut text = format!("{} until {end}, written to {}\n", trust.name, trust.file.display());
    for (whom, line) in [
        ("the system (Debian, Ubuntu), and with it curl and git", &trust.system),
        ("Chromium and Chrome (certutil is in the package libnss3-tools)", &trust.chromium),
        ("Firefox", &trust.firefox),
        ("Python, in this shell", &trust.python),
        ("Node, in this shell", &trust.node),
        ("one request of curl", &trust.curl),
    ] {
        let _ = write!(text, "\nFor {whom}:\n  {line}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_file_is_written_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (socket, plain) = (folder.path().join("socket"), folder.path().join("plain"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        files::write_atomic(&plain, b"", 0o644).expect("a file");
        assert!(ensure_plain(&socket).is_err() && ensure_plain(folder.path()).is_err());
        assert!(ensure_plain(&plain).is_ok() && ensure_plain(&folder.path().join("new")).is_ok());
    }

    #[test]
    fn paths_and_names_are_words_of_the_shell() {
        let (name, not_after) = ("Tandem on box (0a1b)".to_owned(), Timestamp::UNIX_EPOCH);
        let found = AuthorityCertificate { name, certificate: String::new(), not_after };
        let trust = Trust::of(found, PathBuf::from("/home/ana's/a.pem"), Some(8444));
        assert!(
            trust.chromium.ends_with(r"-n 'Tandem on box (0a1b)' -i '/home/ana'\''s/a.pem'"),
            "{trust:?}"
        );
        assert!(trust.curl.ends_with(" https://APP.localhost:8444/"), "{trust:?}");
        assert_eq!(quoted(Path::new("/tmp/a-b_c.pem")), "/tmp/a-b_c.pem");
        assert!(render(&trust).contains("until 1970-01-01"));
    }
}
