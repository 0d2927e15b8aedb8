//! Every environment variable that Tandem reads or sets, in one registry. What apps are given is told in `docs/app.md`.
//!
//! Code names a variable by its constant here and nowhere by a literal.

/// A row of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Who reads it: Tandem itself or the apps it runs.
    pub side: Side,
    /// What it does, for people.
    pub summary: &'static str,
}

/// Which way a variable goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Tandem reads it.
    Read,
    /// Tandem sets it for the processes of an app.
    Set,
}

/// Declares one constant per variable and lists them all.
macro_rules! registry {
    ($($side:ident $name:ident $summary:literal)*) => {
        $(#[doc = $summary] pub const $name: &str = stringify!($name);)*

        /// All variables, in the order of the documentation.
        pub const REGISTRY: &[Variable] =
            &[$(Variable { name: $name, side: Side::$side, summary: $summary }),*];
    };
}

registry! {
    Read TANDEM_SERVER "Server to talk to: `unix:PATH` or `http://HOST:PORT`."
    Read TANDEM_TOKEN "Bearer token for a server that is reached over TCP."
    Read TANDEM_DATA "Data folder of every role, instead of the default one."
    Read TANDEM_DISK_BUDGET "Room in the data folder for what only helps (downloads, parts of earlier builds, logs, snapshots of the store), such as `20GiB`; a tenth of the disk without it."
    Read TANDEM_BUILD_MEMORY "Memory that a command of a build may use, such as `2GiB`; without it 4 GiB, or three quarters of a smaller machine's."
    Read TANDEM_BUILD_LOOPBACK "Services on this machine's loopback that builds and fetches of sources may reach, such as `127.0.0.1:3000 git.example.org:443`; name servers, and what is named as package index or proxy, need not be said."
    Read TANDEM_LOG "Filter of log lines: a level (`debug`) or levels by part (`info,tandem_runner=debug`)."
    Read TANDEM_CLAIM_VERSION "Version that a debug build takes itself for, such as `0.2.0`, or `0.2.0/2` with a generation of data folders; for tests."
    Read NO_COLOR "Set to anything but nothing: no colors."
    Read XDG_DATA_HOME "Parent of the default data folder of an ordinary user."
    Read XDG_CACHE_HOME "Parent of the folder in which a client keeps digests of files it has sent."
    Read XDG_RUNTIME_DIR "Parent of the runtime folder of an ordinary user."
    Read HOME "Home of the user; parent of the default data folder."
    Read PATH "Where the programs that Tandem drives are looked for."
    Set TMPDIR "Folder for temporary files, a private one in a sandbox."
    Set PORT "Port on which a web instance is to listen on loopback."
    Set TANDEM_APP "Name of the app."
    Set TANDEM_ENVIRONMENT "Name of the environment."
    Set TANDEM_RELEASE "Release that the process belongs to, such as `r12`."
    Set TANDEM_BUILD "Build that the process belongs to, such as `b7`."
    Set TANDEM_INSTANCE "Instance id, such as `i42`; a job has none."
    Set TANDEM_JOB "Job id, such as `j9`: the process is a release phase or a smoke check."
    Set SENTRY_RELEASE "Release as error reporters expect it, such as `guestbook@r12`, where config says no other."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_stands_once_in_the_registry() {
        let mut names: Vec<_> = REGISTRY.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(REGISTRY.iter().all(|variable| variable.summary.ends_with('.')));
    }
}
