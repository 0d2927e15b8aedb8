//! What a compiler or a build script misses → the Debian package that has it.

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
    ("sql.h: No such file", "unixodbc-dev"),
    ("sqlfront.h: No such file", "freetds-dev"),
    ("Unable to load dependency HDF5", "libhdf5-dev"),
    ("No such file or directory: 'dot'", "graphviz libgraphviz-dev pkg-config"),
    ("graphviz/cgraph.h: No such file", "graphviz libgraphviz-dev pkg-config"),
    ("command 'swig' failed", "swig"),
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

/// The Debian package that has what a compiler missed.
pub(super) fn debian_package(lines: &[String]) -> Option<&'static str> {
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

/// `hdf5.h` of `src/x.c:2:10: fatal error: hdf5.h: No such file or directory`.
pub(super) fn missing_header(lines: &[String]) -> Option<&str> {
    let named = |line| Some(str::split_once(line, "fatal error: ")?.1.split_once(": No such file")?.0);
    let plain = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./+".contains(c));
    lines.iter().find_map(|line| named(line)).filter(plain)
}

#[cfg(test)]
mod tests {
    use super::super::for_dependencies;

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
            // As these say today, each built without what it needs.
            ("         src/pyodbc.h:52:10: fatal error: sql.h: No such file or directory", "unixodbc-dev"),
            (
                "src/pymssql/_mssql.c:1410:10: fatal error: sqlfront.h: No such file or directory",
                "freetds-dev",
            ),
            ("../cairo/meson.build:31:12: ERROR: Dependency \"cairo\" not found", "libcairo2-dev pkg-config"),
            ("Modules/common.h:15:10: fatal error: lber.h: No such file", "libldap-dev libsasl2-dev"),
            ("/bin/sh: 1: krb5-config: not found", "libkrb5-dev"),
            (
                "FileNotFoundError: [Errno 2] No such file or directory: 'dot'",
                "graphviz libgraphviz-dev pkg-config",
            ),
            ("error: Unable to load dependency HDF5, make sure HDF5 is installed properly", "libhdf5-dev"),
            ("ConfigurationError: Could not run curl-config: [Errno 2]", "libcurl4-openssl-dev"),
        ] {
            let text = format!("  x Failed to build `thing==1.0`\n{text}");
            let advice = for_dependencies(&lines(&text), &[], &[]);
            assert_eq!(advice.title, "the dependency thing==1.0 does not build");
            assert!(advice.hint.ends_with(&format!("apt-get install {package}")), "{text}: {}", advice.hint);
        }
        let unknown = "x.c:1:10: fatal error: foo/bar.h: No such file or directory";
        let advice = for_dependencies(&lines(unknown), &[], &[]);
        assert!(advice.hint.ends_with("apt-file search -l foo/bar.h"), "{}", advice.hint);
        let old = "AttributeError: 'build_ext' object has no attribute 'cython_sources'";
        assert!(for_dependencies(&lines(old), &[], &[]).hint.contains("PyYAML"));
        let advice = for_dependencies(&lines("compiling libxml/x.c\nerror: something else"), &[], &[]);
        assert!(!advice.hint.contains("apt-get"), "{}", advice.hint);
    }
}
