//! Every failure as people get it.

use tandem_blobs::{export, ingest};
use tandem_types::problem::Problem;

use super::{Error, causes, refused, tail};
use crate::advice;

impl Error {
    /// The failure as people get it.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        match self {
            Self::AppFile(mistake) => tandem_app_file::problem(mistake),
            Self::NoRecipe { .. }
            | Self::NoRoot { .. }
            | Self::SeveralApps { .. }
            | Self::NoSettings { .. }
            | Self::NodeMissing { .. }
            | Self::NpmMissing { .. }
            | Self::ForeignNodeLock { .. } => self.to_problem_of_layout(),
            Self::Unsupported { found, hint } => {
                refused("recipe_unsupported", format!("{found} is not read by Tandem")).hint(*hint)
            }
            Self::Malformed { path, reason } => {
                refused("source_malformed", format!("{path} cannot be read: {reason}"))
                    .hint(format!("mend that in {path}, then deploy again"))
            }
            Self::NoDependencies => {
                refused("no_dependencies", "nothing says which packages this Django project needs").hint(
                    "add a uv.lock (`uv init --bare` and `uv add django gunicorn`) or a requirements.txt",
                )
            }
            Self::NoWebCommand => refused("no_web_command", "nothing says how to serve this app").hint(
                "add a server to the dependencies (`uv add gunicorn`), or write \
                 [processes.web] command = \"…\" in tandem.toml",
            ),
            Self::NoCommand(name) => refused("no_command", format!("process type `{name}` has no command"))
                .hint(format!(
                    "write command = \"…\" below [processes.{name}], or a line `{name}: …` in the Procfile"
                )),
            Self::PythonMissing(missing) => missing.to_problem(),
            Self::NoProject { key, file } => {
                let title = format!(
                    "[build] {key} in tandem.toml has no meaning here: {file} names the dependencies"
                );
                refused("no_project", title).hint(format!(
                    "{key} are a project's, named in its pyproject.toml; take the key out, and name what you need in {file}"
                ))
            }
            Self::UvMissing { detail, line } => {
                refused("uv_missing", "uv, which installs the dependencies, is missing")
                    .detail(detail.clone())
                    .hint(format!("type this on the server: {line}"))
            }
            _ => self.to_problem_of_command(),
        }
    }

    fn to_problem_of_command(&self) -> Problem {
        match self {
            Self::StaleLock { lines } => refused("lock_stale", "uv.lock does not fit pyproject.toml")
                .detail(tail(lines))
                .hint("type `uv lock`, commit uv.lock, deploy again"),
            Self::Dependencies { lines, unnamed, repositories } => {
                let advice = advice::for_dependencies(lines, unnamed, repositories);
                refused("dependency_failed", advice.title).detail(tail(lines)).hint(advice.hint)
            }
            Self::NodeModules { .. } | Self::Command { .. } | Self::NoFolder { .. } | Self::Ingest(_) => {
                self.to_problem_of_declared()
            }
            Self::Static { lines } => {
                let advice = advice::for_static(lines);
                refused(advice.code, advice.title).detail(tail(lines)).hint(advice.hint)
            }
            Self::Store(error) | Self::Export(export::Error::Store { source: error, .. })
                if error.is_missing() =>
            {
                Problem::new(
                    409,
                    "source_missing",
                    "parts of the source or of the build's caches are not on the server",
                )
                .detail(error.to_string())
                .hint("type `tandem deploy` again: what is missing is sent and made anew")
            }
            Self::TimedOut { what, limit, lines } => {
                refused("build_timeout", format!("{what} did not end within the build's {limit}"))
                    .detail(tail(lines))
                    .hint(
                        "the lines above say where it hangs; a build script that leaves a process behind hangs, too. What was \
                         downloaded is kept for the next try",
                    )
            }
            Self::Busy { .. }
            | Self::OutOfMemory { .. }
            | Self::MachineOutOfMemory { .. }
            | Self::TooManyProcesses { .. }
            | Self::TooMuchOutput { .. }
            | Self::TooMuch { .. }
            | Self::DiskFull { .. }
            | Self::NoRoom { .. } => self.to_problem_of_limit(),
            Self::Unexpected { what, reason, lines } => {
                Problem::new(500, "build_failed", format!("{what} failed: {reason}")).detail(tail(lines)).hint(
                    "this step is Tandem's own, not the source's: the lines above and the server's log say more; type \
                     `tandem deploy` to try again",
                )
            }
            _ => self.to_problem_of_server(),
        }
    }

    /// Of what `tandem.toml` and `package.json` ask to be run.
    fn to_problem_of_declared(&self) -> Problem {
        match self {
            Self::NodeModules { lines } => {
                let advice = advice::for_node(lines);
                refused(advice.code, advice.title).detail(tail(lines)).hint(advice.hint)
            }
            Self::Command { command, exit, lines } => {
                let advice = advice::for_command(command, exit, lines);
                refused(advice.code, advice.title).detail(tail(lines)).hint(advice.hint)
            }
            Self::NoFolder { what, path } => {
                let name = path.file_name().unwrap_or_default().display();
                let title = format!("{what} left a link or a file named {name} where a folder has to be");
                refused("build_unfit", title).detail(format!("at {}", path.display())).hint(
                    "a link there could lead out of the build: let the script or command that made it leave a folder, or \
                     nothing, then deploy again",
                )
            }
            Self::Ingest(error @ (ingest::Error::Link { .. } | ingest::Error::Unfit { .. })) => {
                let title = format!("what the build left cannot be kept: failed to {error}");
                refused("build_unfit", title).detail(causes(self)).hint(
                    "builds are files, folders and links that stay inside: let the command copy what it links to, then deploy \
                     again",
                )
            }
            _ => self.to_problem_of_server(),
        }
    }

    fn to_problem_of_server(&self) -> Problem {
        Problem::new(500, "build_failed", format!("failed to {self}")).detail(causes(self)).hint(
            "the server is in the way, not the source: look at its disk and at `tandem status`, then type \
                 `tandem deploy` again",
        )
    }
}
