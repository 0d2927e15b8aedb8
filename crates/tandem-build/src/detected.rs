//! What a folder would be built as, without building it: for `tandem init`.
//!
//! The very reader of builds is asked, so that what is written down is what a build would find. `tandem.toml` itself plays
//! no part: it is what is about to be written.

use std::collections::BTreeMap;
use std::path::Path;

use tandem_blobs::BlobStore;
use tandem_blobs::scan::{self, Origin, Scan};
use tandem_kit::clock::Clock;
use tandem_types::app::AppSpec;

use crate::Error;
use crate::recipe::Recipe;
use crate::requirements::Declared;
use crate::source::{Source, below};
use tandem_app_file::{APP_FILE, PROCFILE};

mod suggested;

/// Files longer than this are none that say how an app is built.
const LONGEST: u64 = 8 << 20;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    /// What would run.
    pub spec: AppSpec,
    /// Whether a Procfile says it.
    pub has_procfile: bool,
    /// Whether it is a Django project.
    pub is_django: bool,
    /// Folder below the top in which commands start; empty: the top.
    pub work: String,
    /// Version of Python that a file asks for.
    pub python: Option<String>,
    /// Version of Node that a file asks for.
    pub node: Option<String>,
    /// The requirements file that is installed, where it is one.
    pub requirements: Option<String>,
    /// Databases of SQLite below the top, as far as they are known without running anything.
    pub databases: Vec<String>,
    /// The folder of uploads below the top, likewise.
    pub media: Option<String>,
    /// URL prefix → folder that the balancer could serve, where nothing is collected.
    pub static_folders: BTreeMap<String, String>,
    /// What was taken for granted, each with the key that says otherwise.
    pub notes: Vec<String>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// Reads a folder as a build would, but for its `tandem.toml`. `scratch` is an empty folder to work in.
///
/// # Errors
/// As a build would: a Procfile that cannot be read, or nothing that says how to run it.
pub fn detect(folder: &Path, scratch: &Path, clock: &Clock) -> Result<Detected, Error> {
    let store = BlobStore::open(scratch)?;
    let malformed = |error: scan::Error| Error::Malformed {
        path: folder.display().to_string(),
        reason: error.to_string(),
    };
    let found =
        scan::scan_source(folder, &scan::Options { include: &[], cache: None, clock }).map_err(malformed)?;
    keep(&store, &found)?;
    let mut source = Source::load(&store, &found.root)?;
    source.files.retain(|path, _| path.rsplit('/').next() != Some(APP_FILE));
    let recipe = Recipe::read(&source, None)?;
    let has_procfile = source.has(&below(&recipe.work, PROCFILE)) || source.has(PROCFILE);
    let requirements = recipe.requirements.as_ref();
    let django = recipe.django.as_ref().map(|django| django.folder.as_str());
    let statics = match django {
        None if requirements.is_some() => suggested::static_folders(&source, &recipe.work),
        _ => BTreeMap::new(),
    };
    let node = recipe.node.as_ref().map(|node| node.wanted.text.clone());
    Ok(Detected {
        python: recipe.python.as_ref().map(|asked| asked.text.clone()),
        node: node.filter(|text| !text.is_empty()),
        requirements: requirements
            .filter(|found| found.declared == Declared::Requirements)
            .map(|found| found.file.clone()),
        databases: suggested::databases(&source, &store, django),
        media: suggested::media(&source, django),
        static_folders: statics,
        has_procfile,
        is_django: recipe.django.is_some(),
        spec: recipe.spec,
        work: recipe.work,
        notes: recipe.notes,
        warnings: recipe.warnings,
    })
}

/// What is too long to be read is kept as an empty place of its name.
fn keep(store: &BlobStore, found: &Scan) -> Result<(), Error> {
    for origin in found.origins.values() {
        match origin {
            Origin::Tree { bytes } => drop(store.put(bytes)?),
            Origin::File { path, size } if *size <= LONGEST => drop(store.put_file(path)?),
            Origin::File { .. } => {}
        }
    }
    Ok(())
}
