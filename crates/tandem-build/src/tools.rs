//! uv: where it is, and how it gets there.
//!
//! Tandem's own copy in `DATA/tools` comes first, then one on `PATH` that is a program itself and not a version manager's
//! shim. Where there is none, it is installed from the package index by Python's own means: a virtual environment
//! and pip, which know proxies, certificates and mirrors as the machine's administrator set them up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_kit::paths::DataDir;
use tandem_kit::{env, files};
use tandem_sandbox::tool::Tool;
use tandem_types::Span;
use tandem_types::event::Event;

use crate::error::io_error;
use crate::network::redacted;
use crate::{Error, Events, python};

/// What is asked of the index: old enough to be everywhere, new enough for `uv sync --locked`.
const REQUIREMENT: &str = "uv>=0.5,<1";
/// A download of 20 MB over a slow line.
const INSTALL_TIME: Span = Span::minutes(5);
/// Between two looks at a lock that another process holds.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Settings of pip that an administrator may have made for this machine.
const PIP_SETTINGS: [&str; 7] = [
    "PIP_CERT",
    "PIP_CONFIG_FILE",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_PROXY",
    "PIP_TRUSTED_HOST",
];

/// Where uv is, if it is there.
#[must_use]
pub fn find_uv(data: &DataDir) -> Option<PathBuf> {
    find_uv_beside(&data.tools())
}

/// The same for a folder of tools that may not be there.
pub(crate) fn find_uv_beside(tools: &Path) -> Option<PathBuf> {
    let path = std::env::var_os(env::PATH).unwrap_or_default();
    let own = tools.join("uv");
    if is_program(&own) {
        return Some(own);
    }
    std::env::split_paths(&path).filter_map(|folder| usable(&folder.join("uv"))).next()
}

/// Where uv is; installed into `DATA/tools` where it is not there yet. May take a minute then.
///
/// # Errors
/// [`Error::UvMissing`], with what went wrong and the line to type.
pub async fn ensure_uv(data: &DataDir, clock: &Clock, events: Events<'_>) -> Result<PathBuf, Error> {
    if let Some(uv) = find_uv(data) {
        return Ok(uv);
    }
    let started = clock.monotonic();
    files::ensure_dir(&data.tools(), 0o700)?;
    let _lock = lock(data, clock).await?;
    if let Some(uv) = find_uv(data) {
        return Ok(uv);
    }
    let part = |duration_ms, note: &str| {
        events(Event::Part { name: "uv".to_owned(), duration_ms, note: note.to_owned() });
    };
    part(None, "installing it from the package index");
    let uv = install(data).await?;
    let duration = clock.monotonic().elapsed_since(started).as_millis();
    part(Some(u64::try_from(duration).unwrap_or(u64::MAX)), "installed");
    Ok(uv)
}

/// Two apps may be built for the first time at once: the second waits and finds what the first installed.
pub(crate) async fn lock(data: &DataDir, clock: &Clock) -> Result<files::LockGuard, Error> {
    let path = data.tools().join(".lock");
    let started = clock.monotonic();
    loop {
        if let Some(lock) = files::lock_exclusive(&path)? {
            return Ok(lock);
        }
        if clock.monotonic().elapsed_since(started) > INSTALL_TIME.as_duration() {
            let busy = std::io::Error::from(std::io::ErrorKind::TimedOut);
            return Err(io_error("wait for another installation of tools, which locks", &path)(busy));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn install(data: &DataDir) -> Result<PathBuf, Error> {
    let interpreter = python::any_of_machine()?;
    let tools = data.tools();
    let environment = tools.join("uv-environment");
    let missing = |detail: String| Error::UvMissing { detail, line: line_to_type(&interpreter, &tools) };
    if environment.exists() {
        fs::remove_dir_all(&environment).map_err(io_error("remove", &environment))?;
    }
    let venv = Tool::new(&interpreter).args(["-I", "-m", "venv"]).arg(&environment);
    venv.run_ok(INSTALL_TIME).await.map_err(|error| missing(error.to_string()))?;
    let mut pip = Tool::new(environment.join("bin/python"))
        .args(["-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
        .args(["--no-cache-dir", REQUIREMENT]);
    for name in PIP_SETTINGS {
        if let Some(value) = std::env::var_os(name) {
            pip = pip.env(name, value);
        }
    }
    // pip's own isolation would ignore the settings above; `-I` of the interpreter does not.
    // Its last lines may name the index with its password.
    pip.run_ok(INSTALL_TIME).await.map_err(|error| missing(redacted(&error.to_string(), &[])))?;
    let uv = tools.join("uv");
    let aside = tools.join(".uv.new");
    fs::copy(environment.join("bin/uv"), &aside)
        .and_then(|_| fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&aside, &uv))
        .map_err(io_error("install", &uv))?;
    fs::remove_dir_all(&environment).map_err(io_error("remove", &environment))?;
    Ok(uv)
}

/// Does by hand what [`install`] does.
fn line_to_type(interpreter: &Path, tools: &Path) -> String {
    let (interpreter, tools) = (interpreter.display(), tools.display());
    format!(
        "apt-get install -y python3-venv && {interpreter} -m venv {tools}/venv && \
         {tools}/venv/bin/pip install uv && cp {tools}/venv/bin/uv {tools}/uv"
    )
}

/// The real file behind a name on `PATH`; none for a script or what a version manager put there.
fn usable(path: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(path).ok()?;
    let is_shim = [path, &real].iter().any(|path| path.components().any(|part| part.as_os_str() == "shims"));
    (is_program(&real) && !is_shim).then_some(real)
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        && python::is_elf(path)
}

/// What `uv --version` says: `uv 0.13.8`.
pub(crate) async fn uv_version(uv: &Path) -> Result<String, Error> {
    let failed = |reason: String| Error::Unexpected { what: "uv", reason, lines: Vec::new() };
    let output = Tool::new(uv).arg("--version").run_ok(Span::seconds(30)).await;
    let output = output.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version: Vec<&str> = text.split_whitespace().take(2).collect();
    Ok(version.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_or_script_is_not_taken_for_uv() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("uv");
        files::write_atomic(&script, b"#!/bin/sh\nexec real-uv\n", 0o755).unwrap();
        assert_eq!(usable(&script), None);
        let shims = folder.path().join("shims");
        fs::create_dir(&shims).unwrap();
        fs::copy("/bin/true", shims.join("uv")).unwrap();
        assert_eq!(usable(&shims.join("uv")), None);
        let real = folder.path().join("real-uv");
        fs::copy("/bin/true", &real).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(usable(&link), Some(fs::canonicalize(&real).unwrap()));
        assert_eq!(usable(&folder.path().join("nowhere")), None);
    }

    #[test]
    fn tandems_own_uv_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        files::ensure_dir(&data.tools(), 0o700).unwrap();
        fs::copy("/bin/true", data.tools().join("uv")).unwrap();
        assert_eq!(find_uv(&data), Some(data.tools().join("uv")));
        data.remove_runtime().unwrap();
    }
}
