//! What of the machine decides which packages fit: processor and system.

/// `x86_64 debian 12`.
pub(crate) fn describe() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or("unknown").trim_matches('"').to_owned()
    };
    format!("{} {} {}", std::env::consts::ARCH, value("ID"), value("VERSION_ID"))
}
