//! What people can do about a command that failed, read from its last lines.
//!
//! Only what is plain is said: advice that is wrong costs more than none.

use crate::recipe::APP;

mod git;

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

/// What a line of a failing build says → the Debian package that has what is missing.
const PACKAGES: &[(&str, &str)] = &[
    ("Python.h: No such file", "python3-dev"),
    ("pg_config executable not found", "libpq-dev"),
    ("pg_config is required", "libpq-dev"),
    ("libpq-fe.h: No such file", "libpq-dev"),
    ("mysql_config: not found", "default-libmysqlclient-dev pkg-config"),
    ("mysql.h: No such file", "default-libmysqlclient-dev pkg-config"),
    ("Can not find valid pkg-config name", "default-libmysqlclient-dev pkg-config"),
    ("ffi.h: No such file", "libffi-dev"),
    ("Dependency \"cairo\" not found", "libcairo2-dev pkg-config"),
    ("girepository", "libgirepository1.0-dev libcairo2-dev pkg-config"),
    ("libxml/", "libxml2-dev libxslt1-dev"),
    ("libxml2 and libxslt development packages", "libxml2-dev libxslt1-dev"),
    ("required for jpeg", "libjpeg-dev zlib1g-dev"),
    ("RequiredDependencyException: jpeg", "libjpeg-dev zlib1g-dev"),
    ("RequiredDependencyException: zlib", "zlib1g-dev"),
    ("zlib.h: No such file", "zlib1g-dev"),
    ("openssl/", "libssl-dev"),
    ("lber.h: No such file", "libldap-dev libsasl2-dev"),
    ("ldap.h: No such file", "libldap-dev libsasl2-dev"),
    ("sasl.h: No such file", "libsasl2-dev"),
    ("xmlsec", "libxmlsec1-dev pkg-config"),
    ("gdal-config", "libgdal-dev"),
    ("geos_c.h: No such file", "libgeos-dev"),
    ("curl-config", "libcurl4-openssl-dev"),
    ("krb5-config", "libkrb5-dev"),
    ("snappy-c.h: No such file", "libsnappy-dev"),
    ("sqlite3.h: No such file", "libsqlite3-dev"),
    ("yaml.h: No such file", "libyaml-dev"),
    ("magic.h: No such file", "libmagic-dev"),
    ("cairo.h: No such file", "libcairo2-dev pkg-config"),
    ("pkg-config: not found", "pkg-config"),
    ("Did you install pkg-config", "pkg-config"),
    ("cmake: not found", "cmake"),
    ("CMake must be installed", "cmake"),
    ("can't find Rust compiler", "cargo"),
    ("Cargo, the Rust package manager, is not installed", "cargo"),
    ("rustc: not found", "cargo"),
];

/// Ways to say that there is no C compiler.
const NO_COMPILER: &[&str] = &[
    "command 'gcc' failed: No such file",
    "command 'cc' failed: No such file",
    "command 'x86_64-linux-gnu-gcc' failed: No such file",
    "command 'aarch64-linux-gnu-gcc' failed: No such file",
    "unable to execute 'gcc'",
    "gcc: not found",
    "No C compiler found",
    "Unknown compiler(s)",
];

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
    } else if says(lines, &["invalid peer certificate", "CERTIFICATE_VERIFY_FAILED"]) {
        "the package index shows a certificate that this machine does not trust; add the authority that signed it: copy \
         it to /usr/local/share/ca-certificates/NAME.crt and run update-ca-certificates"
            .to_owned()
    } else if says(lines, &["dns error", "Connection refused", "error sending request", "Could not connect"])
    {
        "the package index cannot be reached from the server; if there is a proxy, set HTTPS_PROXY for Tandem"
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

/// The Debian package that has what a compiler missed.
fn debian_package(lines: &[String]) -> Option<&'static str> {
    let failing = |line: &&String| {
        let lower = line.to_lowercase();
        [
            "no such file",
            "not found",
            "required",
            "error",
            "exception",
            "can't find",
            "did you install",
            "must be installed",
            "not installed",
        ]
        .iter()
        .any(|word| lower.contains(word))
    };
    let failing: Vec<_> = lines.iter().filter(failing).collect();
    let says = |needle: &str| failing.iter().any(|line| line.contains(needle));
    if NO_COMPILER.iter().any(|needle| says(needle)) {
        return Some("build-essential python3-dev");
    }
    PACKAGES.iter().find(|(needle, _)| says(needle)).map(|(_, package)| *package)
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
    let hint = if says(lines, &["MissingFileError", "could not be found with"]) {
        "a file that a style sheet or script names is not there; the lines above say which"
    } else if says(lines, &["ModuleNotFoundError", "ImportError"]) {
        "the app cannot be imported; is the package in the dependencies?"
    } else {
        "the lines above are from `manage.py collectstatic`"
    };
    Advice {
        code: "static_failed",
        title: "collecting the static files failed".to_owned(),
        hint: hint.to_owned(),
    }
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
    fn a_missing_header_or_tool_names_its_package() {
        for (text, package) in [
            ("  src/x.c:2:10: fatal error: Python.h: No such file or directory", "python3-dev"),
            ("Error: pg_config executable not found.", "libpq-dev"),
            ("error: command 'gcc' failed: No such file or directory", "build-essential python3-dev"),
            (
                "/bin/sh: 1: mysql_config: not found\nException: Can not find valid pkg-config name.",
                "default-libmysqlclient-dev pkg-config",
            ),
            ("fatal error: libxml/xpath.h: No such file or directory", "libxml2-dev libxslt1-dev"),
            ("error: can't find Rust compiler", "cargo"),
        ] {
            let text = format!("  x Failed to build `thing==1.0`\n{text}");
            let advice = for_dependencies(&lines(&text), &[], &[]);
            assert_eq!(advice.title, "the dependency thing==1.0 does not build");
            assert!(advice.hint.ends_with(&format!("apt-get install {package}")), "{text}: {}", advice.hint);
        }
        let advice = for_dependencies(&lines("compiling libxml/x.c\nerror: something else"), &[], &[]);
        assert!(!advice.hint.contains("apt-get"), "{}", advice.hint);
    }

    #[test]
    fn an_index_behind_an_unknown_authority_is_about_certificates() {
        let text = "error: Failed to fetch: `x`\n  cause: error sending request for url\n  cause: invalid peer certificate: UnknownIssuer";
        let advice = for_dependencies(&lines(text), &[], &[]);
        assert!(advice.hint.ends_with("run update-ca-certificates"), "{}", advice.hint);
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
