//! What single values of the app file may be.

/// A path below the app's folder without detours: `a/b`. None where it is none, or is the folder itself.
pub(super) fn relative_folder(text: &str) -> Option<String> {
    let text = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    (!text.contains('\0') && text.split('/').all(plain)).then(|| text.to_owned())
}

/// An absolute path without detours, deeper than the root, that hides nothing an app needs to run.
pub(super) fn volume_path(text: &str) -> Option<String> {
    const TAKEN: [&str; 14] = [
        "/app",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/lib",
        "/lib64",
        "/opt/tandem",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/sys",
        "/usr",
    ];
    let below = relative_folder(text.strip_prefix('/')?)?;
    let path = format!("/{below}");
    let venv = path == "/app/.venv" || path.starts_with("/app/.venv/");
    let below_system = |taken: &&str| *taken != "/app" && path.starts_with(&format!("{taken}/"));
    let taken = venv || TAKEN.contains(&path.as_str()) || TAKEN.iter().any(below_system);
    (!taken).then_some(path)
}

/// Whether a text is a dotted name of Python, safe within quotes of a shell and of Python.
#[must_use]
pub fn is_module(text: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    !text.is_empty() && text.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_hide_nothing_that_an_app_needs() {
        for good in ["/data", "/var/lib/x", "/app/media", "/srv/a", "/home/x"] {
            assert_eq!(volume_path(good).as_deref(), Some(good));
        }
        assert_eq!(volume_path("/data/").as_deref(), Some("/data"));
        for wrong in [
            "data",
            "/",
            "/app",
            "/usr/local",
            "/etc",
            "/opt/tandem/python",
            "/a/../etc",
            "/app/.venv",
            "/app/.venv/x",
            "//a",
        ] {
            assert_eq!(volume_path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn folders_stay_below_the_app() {
        assert_eq!(relative_folder("./a/b/").as_deref(), Some("a/b"));
        for wrong in ["", ".", "./", "/a", "a/../b", "..", "a//b"] {
            assert_eq!(relative_folder(wrong), None, "{wrong}");
        }
    }
}
