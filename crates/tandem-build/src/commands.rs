//! The commands that `tandem.toml` declares for a build: they see the source, change it, and what they leave is built.
//!
//! They are the app's own code, as `setup.py` of a dependency is: the same user, limits and network. They get no config
//! values, and none of the settings that hold passwords for the index of Python packages. Nobody can say what they read,
//! so they run at every build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tandem_blobs::{BlobStore, ingest, ingest_folder};
use tandem_sandbox::{Mount, Network};

use crate::recipe::{APP, VENV};
use crate::source::Source;
use crate::workshop::{Call, Workshop};
use crate::{Error, Events, survey};

const WHAT: &str = "a command of the build";
/// Where programs are looked for behind those of the app.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What commands find around them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Folder below the top in which they start.
    pub(crate) work: String,
    /// Environment of the app's processes.
    pub(crate) environment: BTreeMap<String, String>,
    /// Folders in front of `PATH`.
    pub(crate) path: Vec<String>,
    /// The Python dependencies.
    pub(crate) venv: Option<PathBuf>,
    /// Where packages of Node's are mounted below the top, and where they lie.
    pub(crate) modules: Option<(String, PathBuf)>,
}

impl Surroundings {
    /// What is mounted: the app and the tools to be changed, the rest only to be read.
    pub(crate) fn mounts(&self, shop: &Workshop) -> Vec<Mount> {
        let mut mounts = shop.mounts();
        mounts.extend(self.venv.iter().map(|venv| Mount::read_only(venv, VENV)));
        let modules = self.modules.iter();
        mounts.extend(modules.map(|(point, folder)| Mount::read_only(folder, Path::new(APP).join(point))));
        mounts
    }

    /// The environment, with `PATH`.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.environment.clone();
        let path = self.path.iter().map(String::as_str).chain([PATH]).collect::<Vec<_>>().join(":");
        environment.insert("PATH".to_owned(), path);
        environment
    }

    /// A command that runs in the working folder.
    pub(crate) fn in_work(&self, command: &str) -> String {
        in_folder(&self.work, command)
    }

    /// Puts links where nothing can be mounted, so that Node finds packages in the folders above its files.
    pub(crate) fn link(&self, shop: &Workshop) -> Result<(), Error> {
        let Some((point, folder)) = self.modules.as_ref().filter(|_| shop.is_plain()) else { return Ok(()) };
        shop.link_in_app(point, folder)
    }
}

/// A command that runs in a folder below the app's.
pub(crate) fn in_folder(folder: &str, command: &str) -> String {
    if folder.is_empty() {
        return command.to_owned();
    }
    format!("cd '{}' && {{\n{command}\n}}", folder.replace('\'', "'\\''"))
}

/// What commands other than uv's are told of the network: without what only uv understands, passwords among it.
pub(crate) fn way_out(shop: &Workshop) -> Result<(BTreeMap<String, String>, Vec<Mount>), Error> {
    let (mut variables, certificates) = shop.way_out()?;
    variables.retain(|name, _| !name.starts_with("UV_"));
    Ok((variables, certificates))
}

/// Runs one in what was laid out.
///
/// # Errors
/// It ends with another code than 0, or meets a limit.
pub(crate) async fn run(
    shop: &Workshop,
    around: &Surroundings,
    command: &str,
    events: Events<'_>,
) -> Result<(), Error> {
    let mut environment = around.environment();
    let (variables, certificates) = way_out(shop)?;
    environment.extend(variables);
    let call = Call {
        what: WHAT,
        command: around.in_work(command),
        cwd: APP,
        environment,
        mounts: [around.mounts(shop), certificates].concat(),
        network: Network::Host,
        is_shown: true,
    };
    let outcome = shop.run(call, events).await?;
    if outcome.succeeded() {
        return Ok(());
    }
    let exit = outcome.exit.to_string();
    Err(Error::Command { command: command.to_owned(), exit, lines: outcome.last_lines })
}

/// Keeps what the commands left as the source of what follows. What is mounted is no part of it, nor is bytecode, which is
/// made later and would be believed whatever it was made from.
pub(crate) fn keep(
    shop: &Workshop,
    store: &BlobStore,
    mounted: &[String],
    interpreters: Option<&str>,
) -> Result<Source, Error> {
    let folder = shop.work("app");
    survey::check("the build commands", &folder)?;
    let leave_out = |path: &Path| {
        path.file_name().is_some_and(|name| name == "__pycache__")
            || path.to_str().is_some_and(|path| mounted.iter().any(|point| point == path))
    };
    let rules = ingest::Rules { interpreter: interpreters, leave_out: Some(&leave_out) };
    let tree = ingest_folder(&folder, store, &rules)?.digest;
    Ok(Source::load(store, &tree)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_starts_in_its_folder_as_a_whole() {
        assert_eq!(in_folder("", "a; b"), "a; b");
        assert_eq!(in_folder("it's", "a; b"), "cd 'it'\\''s' && {\na; b\n}");
    }
}
