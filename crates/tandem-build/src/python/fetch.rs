//! An interpreter that is not here: uv is asked to fetch one into Tandem's own folder.
//!
//! uv takes builds that run from any folder from where its makers publish them, or from a mirror that the administrator
//! names (`UV_PYTHON_INSTALL_MIRROR`, `UV_PYTHON_DOWNLOADS_JSON_URL`), checks their sums and puts them in place by a rename.
//! Many servers cannot reach either: so nobody waits long, and what went wrong is part of what people are told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tandem_kit::files;
use tandem_sandbox::tool::Tool;
use tandem_types::Span;

use super::asked::Asked;
use crate::network::{NetworkSettings, redacted};

/// A download of 30 MB over a slow line.
const TIME: Span = Span::minutes(5);
/// Seconds until a machine that does not answer is given up, and how often it is asked again.
const WAITS: [(&str, &str); 2] = [("UV_HTTP_CONNECT_TIMEOUT", "5"), ("UV_HTTP_RETRIES", "1")];
/// What is asked for where nothing is.
const ANY: &str = "3";

/// Fetches one.
///
/// # Errors
/// Says in one line why there is none.
pub(crate) async fn fetch(
    uv: &Path,
    own: &Path,
    asked: Option<&Asked>,
    network: &NetworkSettings,
) -> Result<(), String> {
    files::ensure_dir(own, 0o755).map_err(|error| tandem_kit::error::chain(&error))?;
    let request = asked.map_or_else(|| ANY.to_owned(), Asked::request);
    let mut call = Tool::new(uv)
        .args([
            "python",
            "install",
            "--no-config",
            "--no-cache",
            "--no-progress",
            "--no-bin",
            "--install-dir",
        ])
        .arg(own)
        .arg(request)
        .env("NO_COLOR", "1");
    for (name, value) in WAITS {
        call = call.env(name, value);
    }
    for (name, value) in network.variables().iter().chain(network.for_interpreters()) {
        call = call.env(name, value);
    }
    let output = call.run(TIME).await.map_err(|error| error.to_string())?;
    if output.code == Some(0) {
        return let_all_read(own).map_err(|error| format!("{}: {error}", own.display()));
    }
    Err(redacted(&in_short(&String::from_utf8_lossy(&output.stderr)), &network.secrets()))
}

/// The first line of what uv says, and the last, which is the cause of it all.
fn in_short(text: &str) -> String {
    let mut lines =
        text.lines().map(|line| line.trim().trim_start_matches("error: ").trim_start_matches("cause: "));
    let Some(first) = lines.next() else { return "uv says nothing about it".to_owned() };
    lines.rfind(|line| !line.is_empty()).map_or(first.to_owned(), |last| format!("{first}: {last}"))
}

/// Instances have other users than Tandem, whose umask may keep others from what it makes.
fn let_all_read(folder: &Path) -> std::io::Result<()> {
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_symlink() {
            continue;
        }
        let mode = metadata.permissions().mode();
        let runs = metadata.is_dir() || mode & 0o100 != 0;
        let wanted = mode | 0o444 | if runs { 0o111 } else { 0 };
        if wanted != mode {
            fs::set_permissions(&path, fs::Permissions::from_mode(wanted))?;
        }
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_its_first_and_last_line() {
        let text = "error: Failed to install cpython-3.12.16-linux-x86_64-gnu\n  cause: Failed to download `x`\n  cause: dns error\n\n";
        assert_eq!(in_short(text), "Failed to install cpython-3.12.16-linux-x86_64-gnu: dns error");
        assert_eq!(
            in_short("error: No download found for request: cpython-3.99\n"),
            "No download found for request: cpython-3.99"
        );
        assert_eq!(in_short(""), "uv says nothing about it");
    }

    #[test]
    fn everybody_may_read_what_was_fetched_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        for (name, mode) in [("own/bin/python3.12", 0o700), ("own/lib/os.py", 0o600)] {
            let path = folder.path().join(name);
            files::ensure_dir(path.parent().unwrap(), 0o700).unwrap();
            files::write_atomic_unsynced(&path, b"x", mode).unwrap();
        }
        std::os::unix::fs::symlink("/nowhere", own.join("link")).unwrap();
        let_all_read(&own).unwrap();
        let mode = |name: &str| fs::metadata(own.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bin"), mode("bin/python3.12"), mode("lib/os.py")), (0o755, 0o755, 0o644));
    }
}
