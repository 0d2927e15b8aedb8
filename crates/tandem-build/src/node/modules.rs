//! `node_modules` as a part of a build: made by npm in the sandbox, kept by what it was made of.
//!
//! Its key is the lock file, `package.json`, npm's settings, Node and platform, and the whole source where the app's own
//! scripts take part (a patch, a schema that code is made of). Same key, same part: nothing runs. The folder is kept, too, so
//! that later commands of a build have it without writing ten thousand files again.

use std::fs;
use std::path::{Path, PathBuf};

use tandem_blobs::{BlobStore, TreeSummary, export, ingest, ingest_folder};
use tandem_sandbox::Network;
use tandem_types::Digest;
use tandem_types::tree::Entry;

use super::{Installer, Node};
use crate::commands::{in_folder, way_out};
use crate::error::io_error;
use crate::installed::{Installed, Keys};
use crate::recipe::APP;
use crate::source::{Source, below};
use crate::workshop::{Call, Workshop};
use crate::{Error, Events, dependencies, platform, survey};

/// How what is installed is remembered.
pub(crate) const KEPT: Keys = Keys { file: "node.json", version: 1, most: 4 };
/// Installed folders, in an app's build folder.
pub(crate) const FOLDERS: &str = "node";
const WHAT: &str = "the installation of the packages of Node";
/// Longest list of npm's that is read; the largest apps have a mebibyte.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// What an installation is made with.
pub(crate) struct Inputs<'a> {
    pub(crate) source: &'a Source,
    /// Folder of `package.json`.
    pub(crate) folder: &'a str,
    pub(crate) installer: Installer,
    /// Whether scripts of the app's own run, of which nobody knows what they read.
    pub(crate) runs_scripts: bool,
    pub(crate) node: &'a Node,
}

impl Inputs<'_> {
    /// Digest of everything that decides what gets installed.
    pub(crate) fn key(&self) -> Digest {
        let names = ["package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc"];
        let digest = |name: &str| self.source.files.get(&below(self.folder, name)).map(|file| file.digest);
        let files = names.map(digest);
        let listing = || self.source.files.iter().map(|(path, file)| (path, file.digest)).collect::<Vec<_>>();
        let key = serde_json::json!([
            KEPT.version,
            self.runs_scripts.then(listing),
            self.installer.command(),
            files,
            self.node.recorded(),
            platform::describe(),
        ]);
        tandem_blobs::tree::digest_of(key.to_string().as_bytes())
    }
}

/// Installs into what was laid out.
///
/// # Errors
/// npm fails, or meets a limit.
pub(crate) async fn install(shop: &Workshop, inputs: &Inputs<'_>, events: Events<'_>) -> Result<(), Error> {
    let mut environment = inputs.node.environment();
    environment.insert("PATH".to_owned(), format!("{}:/usr/local/bin:/usr/bin:/bin", inputs.node.folder()));
    environment.insert("NO_COLOR".to_owned(), "1".to_owned());
    let (variables, certificates) = way_out(shop)?;
    environment.extend(variables);
    let call = Call {
        what: WHAT,
        command: in_folder(inputs.folder, inputs.installer.command()),
        cwd: APP,
        environment,
        mounts: [shop.mounts(), certificates].concat(),
        network: Network::Host,
        is_shown: true,
    };
    let outcome = shop.run(call, events).await?;
    if outcome.succeeded() { Ok(()) } else { Err(Error::NodeModules { lines: outcome.last_lines }) }
}

/// Keeps what was installed: blobs in the store, the folder for later commands, the key for the next build.
pub(crate) fn keep(shop: &Workshop, store: &BlobStore, point: &str, key: Digest) -> Result<Installed, Error> {
    // A project without packages gets no folder from npm.
    let made = shop.folder_in_app(WHAT, point)?;
    survey::check(WHAT, &made)?;
    // A cache that tools write to while they run, and that is no part of what was installed.
    let leave_out = |path: &Path| path == Path::new(".cache");
    let rules = ingest::Rules { interpreter: None, leave_out: Some(&leave_out) };
    let TreeSummary { digest: tree, files, bytes, .. } = ingest_folder(&made, store, &rules)?;
    let modules = Installed { tree, files, bytes, packages: count_packages(store, &tree)? };
    let folders = shop.folder.join(FOLDERS);
    tandem_kit::files::ensure_dir(&folders, 0o700)?;
    let folder = folders.join(tree.to_string());
    if !folder.exists() {
        fs::rename(&made, &folder).map_err(io_error("keep", &folder))?;
    }
    dependencies::remove_old_folders(&folders, &folder)?;
    KEPT.remember(&shop.folder, key, modules);
    Ok(modules)
}

/// The folder of installed packages, to be mounted read-only; laid out again where it is gone.
pub(crate) fn folder(shop: &Workshop, store: &BlobStore, tree: &Digest) -> Result<PathBuf, Error> {
    let folders = shop.folder.join(FOLDERS);
    let folder = folders.join(tree.to_string());
    if !folder.exists() {
        tandem_kit::files::ensure_dir(&folders, 0o700)?;
        let aside = shop.work("node_modules");
        export::export(store, tree, &aside, export::Options { owner: None, interpreter: None })?;
        fs::rename(&aside, &folder).map_err(io_error("keep", &folder))?;
        dependencies::remove_old_folders(&folders, &folder)?;
    }
    Ok(folder)
}

/// npm lists what it installed. Read from what was kept: in the folder it could be a link through `.cache`, which nobody looked
/// at, to a device without end.
fn count_packages(store: &BlobStore, tree: &Digest) -> Result<u64, Error> {
    let list = match store.lookup(tree, ".package-lock.json")? {
        Some(Entry::File { digest, size, .. }) if size <= MAX_LIST_BYTES => store.read(&digest)?.to_vec(),
        _ => Vec::new(),
    };
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap_or_default();
    Ok(list["packages"].as_object().map_or(0, |packages| packages.len() as u64))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tandem_kit::files;
    use tandem_kit::paths::DataDir;

    use super::*;
    use crate::workshop::Workshop;

    #[test]
    fn a_link_that_an_install_script_left_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        let store = BlobStore::open(folder.path().join("blobs")).unwrap();
        let secret = folder.path().join("secret");
        fs::create_dir_all(secret.join("node_modules")).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
        files::write_atomic(&secret.join("key"), b"hunter-zwei", 0o600).unwrap();
        let key = tandem_blobs::tree::digest_of(b"");
        for (point, link) in [
            ("node_modules", "node_modules"),
            ("frontend/node_modules", "frontend"),
            ("frontend/node_modules", "frontend/node_modules"),
        ] {
            let shop = Workshop::plain(&data);
            let path = shop.work("app").join(link);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(&secret, &path).unwrap();
            let problem = keep(&shop, &store, point, key).unwrap_err().to_problem();
            assert_eq!(problem.code, "build_unfit", "{problem:?}");
            assert!(problem.title.contains("left a link or a file named"), "{problem:?}");
            assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o700, "{link}");
            assert!(KEPT.roots(&shop.folder).is_empty(), "{link}");
        }
        let shop = Workshop::plain(&data);
        fs::create_dir_all(shop.work("app")).unwrap();
        let kept = keep(&shop, &store, "web/node_modules", key).unwrap();
        assert_eq!((kept.files, kept.packages), (0, 0), "npm makes no folder for no packages");
    }

    #[test]
    fn a_list_of_packages_that_is_a_link_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        let store = BlobStore::open(folder.path().join("blobs")).unwrap();
        let shop = Workshop::plain(&data);
        let modules = shop.work("app").join("node_modules");
        fs::create_dir_all(modules.join(".cache")).unwrap();
        symlink("/dev/zero", modules.join(".cache/list")).unwrap();
        symlink(".cache/list", modules.join(".package-lock.json")).unwrap();
        let kept = keep(&shop, &store, "node_modules", tandem_blobs::tree::digest_of(b"")).unwrap();
        assert_eq!(kept.packages, 0);
    }
}
