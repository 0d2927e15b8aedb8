//! What people can do about a command that failed, read from its last lines.
//!
//! Only what is plain is said: advice that is wrong costs more than none.

use crate::network::Url;
use crate::recipe::APP;

mod git;
mod packages;

use packages::{debian_package, missing_header};

/// What is known of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advice {
    /// Stable code.
    pub(crate) code: &'static str,
    /// What failed.
    pub(crate) title: String,
    /// What to do.
    pub(crate) hint: String,
}

/// Ways in which uv says that something does not support the interpreter.
const OTHER_PYTHON: &[&str] = &[
    "incompatible with the project's Python requirement",
    "Requires-Python",
    ") does not satisfy Python",
    "with the following Python",
];

/// What uv says of a package that does not build, without its name.
const NAMELESS: &[&str] =
    &["The build backend returned an error", "Failed to parse metadata from built wheel", "Failed to build"];

/// About dependencies that were not installed; `unnamed` are the paths of those that uv cannot name before it built them.
/// `repositories` is what they come from by git, each with the place that asks for it.
pub(crate) fn for_dependencies(
    lines: &[String],
    unnamed: &[String],
    repositories: &[(String, String)],
) -> Advice {
    if let Some(advice) = git::advice(lines, repositories) {
        return advice;
    }
    let title = match (failing_package(lines), unnamed) {
        (Some(package), _) => format!("the dependency {package} does not build"),
        (None, [path]) if says(lines, NAMELESS) => format!("the dependency {path} does not build"),
        (None, [_, ..]) if says(lines, NAMELESS) => {
            format!("one of the dependencies {} does not build", unnamed.join(", "))
        }
        (None, _) => "the dependencies could not be installed".to_owned(),
    };
    let hint = if let Some(package) = debian_package(lines) {
        format!("install what is missing on the server: apt-get install {package}")
    } else if let Some(header) = missing_header(lines) {
        format!(
            "the header {header} is missing on the server; this says which of Debian's packages has it: \
             apt-get install -y apt-file && apt-file update && apt-file search -l {header}"
        )
    } else if says(lines, &["has no attribute 'cython_sources'"]) {
        "this version is older than the Cython it is built with: PyYAML builds from 6.0.1 on".to_owned()
    } else if says(lines, &["invalid peer certificate", "CERTIFICATE_VERIFY_FAILED"]) {
        "the package index shows a certificate that this machine does not trust; add the authority that signed it: copy \
         it to /usr/local/share/ca-certificates/NAME.crt and run update-ca-certificates"
            .to_owned()
    } else if says(lines, &["dns error", "Connection refused", "error sending request", "Could not connect"])
    {
        let index =
            index_host(lines).map_or("the package index".to_owned(), |host| format!("the index {host}"));
        format!(
            "{index} cannot be reached from the server; if there is a proxy, set HTTPS_PROXY for Tandem, and if another \
             index has the same packages, UV_DEFAULT_INDEX"
        )
    } else if says(lines, &["Failed to inspect Python interpreter"]) {
        "that Python does not run where it lies: one that is put below tools/python must bring its libraries along and find \
         them beside itself; mend or remove it"
            .to_owned()
    } else if says(lines, OTHER_PYTHON) {
        "a dependency needs another Python than the one that is asked for; the lines above say which: name that in \
         .python-version, or as [build] python in tandem.toml"
            .to_owned()
    } else if says(lines, &["No solution found", "unsatisfiable"]) {
        "the requirements contradict each other, or do not fit this Python; the lines above say which"
            .to_owned()
    } else {
        "the lines above are uv's own".to_owned()
    };
    Advice { code: "dependency_failed", title, hint }
}

/// The host of the address that uv could not fetch: ``Failed to fetch: `https://pypi.org/simple/django/` ``.
fn index_host(lines: &[String]) -> Option<&str> {
    lines.iter().find_map(|line| {
        let (_, rest) = line.split_once("Failed to fetch: ").or_else(|| line.split_once("for url ("))?;
        let url = rest.trim_start_matches('`').split(['`', ')']).next().filter(|url| url.contains("://"))?;
        Url::parse(url).map(|url| url.host)
    })
}

/// The package that uv names: ``Failed to build `psycopg2==2.9.9` ``, or ``Failed to build `shop @ file:///app/libs/shop` ``.
fn failing_package(lines: &[String]) -> Option<String> {
    let named = lines.iter().find_map(|line| {
        let rest =
            line.split_once("Failed to build `").or_else(|| line.split_once("Failed to download `"))?.1;
        rest.split('`').next()
    })?;
    let path = |url: &str| url.strip_prefix(&format!("file://{APP}/")).map(|path| format!("./{path}"));
    Some(match named.split_once(" @ ") {
        Some((name, url)) => path(url).map_or(named.to_owned(), |path| format!("{name} ({path})")),
        None => path(named).unwrap_or_else(|| named.to_owned()),
    })
}

/// About packages of Node's that were not installed.
pub(crate) fn for_node(lines: &[String]) -> Advice {
    let hint = if says(lines, &["EUSAGE", "are in sync", "Missing:", "Invalid: lock file"]) {
        "package-lock.json does not fit package.json: type `npm install`, commit package-lock.json, deploy again"
    } else if says(lines, &["EBADDEVENGINES", "EBADENGINE"]) {
        "package.json asks for another Node or npm than the server has; the lines above say which"
    } else if let Some(host) = unreachable_host(lines) {
        return Advice {
            code: "dependency_failed",
            title: "the packages of Node could not be installed".to_owned(),
            hint: format!(
                "one of them is fetched from {host}, which cannot be reached from the server; if there is a proxy, set \
                 HTTPS_PROXY for Tandem"
            ),
        };
    } else if says(lines, &["gyp ERR!"]) {
        "a package is compiled: install what that needs on the server: apt-get install build-essential python3"
    } else if says(lines, &["ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "ERR_SOCKET_TIMEOUT"]) {
        "the package registry cannot be reached from the server; if there is a proxy, set HTTPS_PROXY for Tandem"
    } else {
        "the lines above are npm's own"
    };
    let title = "the packages of Node could not be installed".to_owned();
    Advice { code: "dependency_failed", title, hint: hint.to_owned() }
}

/// `github.com` of `getaddrinfo ENOTFOUND github.com`.
fn unreachable_host(lines: &[String]) -> Option<&str> {
    let named = lines
        .iter()
        .find_map(|line| line.split_once("getaddrinfo ENOTFOUND ").or(line.split_once("EAI_AGAIN ")))?;
    let host = named.1.split_whitespace().next()?.trim_end_matches([',', ':', ')']);
    (!host.is_empty()).then_some(host)
}

/// About a declared command that failed.
pub(crate) fn for_command(command: &str, exit: &str, lines: &[String]) -> Advice {
    let title = format!("the build command `{command}` failed: {exit}");
    let hint = if let Some(name) = missing_variable(lines) {
        format!(
            "it wants the variable {name}, and builds have no config values: give it one in the command, such as \
             `{name}=x {command}`, or let the settings do without it"
        )
    } else if let Some(program) = missing_program(lines) {
        format!(
            "there is no {program} on the server: `apt-get install` what has it, or add the package that has it to the \
             app's dependencies"
        )
    } else {
        "the lines above are its own; it ran in the source's working folder, with the dependencies and without config values"
            .to_owned()
    };
    Advice { code: "command_failed", title, hint }
}

/// `sass` of `/bin/sh: 1: sass: not found`.
fn missing_program(lines: &[String]) -> Option<&str> {
    let named = lines.iter().rev().find_map(|line| line.trim_end().strip_suffix(": not found"))?;
    named.rsplit(": ").next().map(str::trim).filter(|name| !name.is_empty() && !name.contains(' '))
}

/// About static files that were not collected.
pub(crate) fn for_static(lines: &[String]) -> Advice {
    if let Some(name) = missing_variable(lines) {
        return Advice {
            code: "static_needs_config",
            title: format!(
                "collecting static files needs the config value {name}, which a build does not get"
            ),
            hint: format!(
                "let the settings do without it for `collectstatic`, such as os.environ.get(\"{name}\", \"\"); \
                 what `tandem config set {name}=…` sets is there when the app runs"
            ),
        };
    }
    let title = "collecting the static files failed".to_owned();
    if let Some(folder) = missing_folder(lines) {
        let name = folder.rsplit('/').next().unwrap_or_default().to_lowercase().replace(['_', '.'], "-");
        let hint = format!(
            "git keeps no empty folders, so {folder} is not there, and nothing below {APP} can be written when the app runs: \
             make it a volume, in tandem.toml below [volumes]: {name} = \"{folder}\". Logs are better written to standard output"
        );
        return Advice { code: "static_failed", title, hint };
    }
    let hint = if says(lines, &["MissingFileError", "could not be found with"]) {
        "a file that a style sheet or script names is not there; the lines above say which"
    } else if says(lines, &["ModuleNotFoundError", "ImportError"]) {
        "the app cannot be imported; is the package in the dependencies?"
    } else {
        "the lines above are from `manage.py collectstatic`"
    };
    Advice { code: "static_failed", title, hint: hint.to_owned() }
}

/// The folder of a file that was opened in vain, to be written: `/app/logs` of `/app/logs/debug.log`.
fn missing_folder(lines: &[String]) -> Option<&str> {
    const SAID: &str = "FileNotFoundError: [Errno 2] No such file or directory: '";
    let path = lines.iter().rev().find_map(|line| line.trim().strip_prefix(SAID)?.strip_suffix('\''))?;
    let (folder, file) = path.rsplit_once('/')?;
    let is_below = folder.strip_prefix(APP).is_some_and(|rest| rest.starts_with('/'));
    (is_below && file.ends_with(".log")).then_some(folder)
}

/// The environment variable that settings asked for in vain, in the ways that are common.
fn missing_variable(lines: &[String]) -> Option<String> {
    let last = lines.iter().rev().find(|line| !line.trim().is_empty())?;
    let message = last.trim();
    if let Some(rest) = message.strip_prefix("KeyError: ") {
        let asked = lines.iter().any(|line| line.contains("environ["));
        return asked.then(|| rest.trim_matches(['\'', '"']).to_owned()).filter(|name| is_variable(name));
    }
    let is_settings = ["ImproperlyConfigured", "UndefinedValueError", "EnvError", "ValidationError"];
    if !is_settings.iter().any(|name| message.contains(name)) {
        return None;
    }
    if message.contains("SECRET_KEY setting must not be empty") {
        return Some("SECRET_KEY".to_owned());
    }
    let words = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| is_variable(word) && word.len() >= 3).map(str::to_owned).next()
}

fn is_variable(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn says(lines: &[String], needles: &[&str]) -> bool {
    lines.iter().any(|line| needles.iter().any(|needle| line.contains(needle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_index_behind_an_unknown_authority_is_about_certificates() {
        let text = "error: Failed to fetch: `x`\n  cause: error sending request for url\n  cause: invalid peer certificate: UnknownIssuer";
        let advice = for_dependencies(&lines(text), &[], &[]);
        assert!(advice.hint.ends_with("run update-ca-certificates"), "{}", advice.hint);
    }

    #[test]
    fn an_index_that_cannot_be_reached_is_named_without_its_password() {
        for (text, index) in [
            (
                "  cause: Failed to fetch: `https://pypi.example/simple/django/`",
                "the index pypi.example cannot",
            ),
            (
                "  cause: error sending request for url (https://me:secret@ours.example:8443/simple/)",
                "the index ours.example:8443 cannot",
            ),
            ("  cause: error sending request", "the package index cannot"),
        ] {
            let text = format!("error: Request failed after 3 retries in 5.6s\n{text}\n  cause: dns error");
            let hint = for_dependencies(&lines(&text), &[], &[]).hint;
            assert!(hint.starts_with(index), "{hint}");
        }
    }

    #[test]
    fn a_dependency_given_by_path_is_named_by_its_path() {
        let nameless = "error: The build backend returned an error\n  [stderr]\n  it breaks";
        for (text, unnamed, title) in [
            (
                "error: Failed to build `shop @ file:///app/libs/shop`\n  it breaks",
                &["./sp"][..],
                "the dependency shop (./libs/shop) does not build",
            ),
            ("Failed to build: `file:///app/sp`", &["./sp"], "the dependency ./sp does not build"),
            (nameless, &["./sp"], "the dependency ./sp does not build"),
            (nameless, &["./a", "./b"], "one of the dependencies ./a, ./b does not build"),
            (nameless, &[], "the dependencies could not be installed"),
            ("error: No solution found", &["./sp"], "the dependencies could not be installed"),
        ] {
            let unnamed: Vec<String> = unnamed.iter().map(|path| (*path).to_owned()).collect();
            assert_eq!(for_dependencies(&lines(text), &unnamed, &[]).title, title, "{text}");
        }
    }

    #[test]
    fn a_folder_for_logs_is_to_be_a_volume() {
        let text = "FileNotFoundError: [Errno 2] No such file or directory: '/app/var/Logs/x.log'\n\nValueError: Unable to";
        let advice = for_static(&lines(text));
        assert!(advice.hint.contains("logs = \"/app/var/Logs\""), "{}", advice.hint);
        let other = "FileNotFoundError: [Errno 2] No such file or directory: '/app/data/names.json'";
        assert!(!for_static(&lines(other)).hint.contains("volume"));
    }

    #[test]
    fn a_command_that_wants_something_says_what() {
        let advice = for_command("make css", "exit code 127", &lines("/bin/sh: 1: sassc: not found"));
        assert_eq!(advice.title, "the build command `make css` failed: exit code 127");
        assert!(advice.hint.starts_with("there is no sassc on the server"), "{}", advice.hint);
        let wants = "  key = os.environ[\"API_KEY\"]\nKeyError: 'API_KEY'";
        let advice = for_command("python x.py", "exit code 1", &lines(wants));
        assert!(advice.hint.contains("wants the variable API_KEY"), "{}", advice.hint);
        let prebuilt =
            "npm error gyp ERR! install request failed, reason: getaddrinfo ENOTFOUND github.com\n";
        assert!(for_node(&lines(prebuilt)).hint.contains("fetched from github.com, which"), "{prebuilt}");
        let advice =
            for_node(&lines("npm error code EUSAGE\nnpm error `npm ci` can only install packages when"));
        assert!(advice.hint.contains("does not fit package.json"), "{}", advice.hint);
    }

    #[test]
    fn a_config_value_that_settings_ask_for_is_named() {
        for (text, name) in [
            ("  SECRET_KEY = os.environ[\"SECRET_KEY\"]\nKeyError: 'SECRET_KEY'", Some("SECRET_KEY")),
            ("django.core.exceptions.ImproperlyConfigured: set DATABASE_URL, please", Some("DATABASE_URL")),
            (
                "django.core.exceptions.ImproperlyConfigured: Set the API_TOKEN environment variable",
                Some("API_TOKEN"),
            ),
            ("decouple.UndefinedValueError: REDIS_URL not found. Declare it as envvar", Some("REDIS_URL")),
            (
                "django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty.",
                Some("SECRET_KEY"),
            ),
            ("  x = names['A']\nKeyError: 'A'", None),
            ("ModuleNotFoundError: No module named 'ABC'", None),
        ] {
            let advice = for_static(&lines(text));
            match name {
                Some(name) => {
                    assert_eq!(advice.code, "static_needs_config", "{text}");
                    assert!(advice.hint.contains(&format!("tandem config set {name}=")), "{}", advice.hint);
                }
                None => assert_eq!(advice.code, "static_failed", "{text}"),
            }
        }
    }
}
