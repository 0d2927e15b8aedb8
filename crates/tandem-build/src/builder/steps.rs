//! The steps of one build, in order: read the source, dependencies, bytecode, static files, put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_blobs::BlobStore;
use tandem_kit::points::{self, Effect};
use tandem_kit::tasks;
use tandem_types::Digest;
use tandem_types::app::AppSpec;
use tandem_types::build::{SourceInfo, Subtree};
use tandem_types::event::Event;

use super::part::{Part, count};
use super::{BuildRequest, Builder};
use crate::dependencies::Installed;
use crate::python::Python;
use crate::recipe::{APP, Recipe, VENV};
use crate::source::Source;
use crate::static_files::{self, Collected};
use crate::workshop::{Occupied, Workshop};
use crate::{Error, Events, bytecode, digest};

mod python;

/// Files that warnings name.
const NAMES_SHOWN: usize = 3;

/// What the steps come to.
pub(super) struct Finished {
    pub(super) digest: Digest,
    pub(super) subtrees: Vec<Subtree>,
    pub(super) spec: AppSpec,
    pub(super) interpreter: Option<String>,
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) packages: BTreeMap<String, String>,
}

/// A build under way.
pub(super) struct Steps<'a> {
    builder: &'a Builder,
    shop: Arc<Occupied>,
    events: Events<'a>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(builder: &'a Builder, shop: Arc<Occupied>, events: Events<'a>) -> Self {
        Self { builder, shop, events, warnings: Vec::new(), notes: Vec::new() }
    }

    pub(super) async fn run(mut self, request: &BuildRequest) -> Result<Finished, Error> {
        let (source, mut recipe) = self.read(request.tree).await?;
        self.warn(uncommitted(&request.source));
        for warning in std::mem::take(&mut recipe.warnings) {
            self.warn(Some(warning));
        }
        for note in std::mem::take(&mut recipe.notes) {
            self.note(note);
        }
        let (python, installed) = self.python_and_dependencies(request.tree, &source, &recipe).await?;
        let mut app = source.clone();
        recipe.mount_points().iter().for_each(|point| app.insert_folder(point));
        if let Some(python) = &python {
            app = self.bytecode(python, app).await?;
        }
        let collected = match (&python, &installed) {
            (Some(python), Some(installed)) if recipe.django.is_some() => {
                Some(self.static_files(&recipe, (&source, &app), (python, installed)).await?)
            }
            _ => None,
        };
        self.put_together(app, recipe, (python, installed, collected)).await
    }

    async fn read(&self, tree: Digest) -> Result<(Source, Recipe), Error> {
        let store = self.store();
        tasks::blocking("read source", move || {
            let source = Source::load(&store, &tree)?;
            let recipe = Recipe::read(&source)?;
            Ok((source, recipe))
        })
        .await
    }

    /// Adds bytecode to the source.
    async fn bytecode(&mut self, python: &Python, mut app: Source) -> Result<Source, Error> {
        let shop = Arc::clone(&self.shop);
        let part = Part::begin("bytecode", &shop, self.events);
        let interpreter = python.clone();
        let (plan, planned) = self
            .blocking(move |shop, store| {
                let plan = bytecode::plan(shop, store, &interpreter, &mut app);
                if !plan.is_empty() {
                    plan.lay_out(shop, store)?;
                }
                Ok((plan, app))
            })
            .await?;
        app = planned;
        if plan.is_empty() {
            let summary = plan.into_summary();
            part.end(format!("{}, cached", count(summary.kept as u64, "file", "files")));
            return Ok(app);
        }
        let refused = plan.run(&shop, self.events).await?;
        let (summary, app) = self
            .blocking(move |shop, store| {
                let summary = plan.keep(shop, store, &mut app)?;
                Ok((summary, app))
            })
            .await?;
        part.end(format!(
            "{} compiled, {} cached",
            count(summary.compiled as u64, "file", "files"),
            summary.kept
        ));
        for warning in refusals(refused) {
            self.warn(Some(warning));
        }
        Ok(app)
    }

    async fn static_files(
        &mut self,
        recipe: &Recipe,
        (source, app): (&Source, &Source),
        (python, installed): (&Python, &Installed),
    ) -> Result<Collected, Error> {
        let shop = Arc::clone(&self.shop);
        let part = Part::begin("static files", &shop, self.events);
        let inputs = StaticInputs {
            source: source.clone(),
            dependencies: installed.tree,
            python: python.clone(),
            environment: recipe.spec.environment.clone(),
        };
        let inputs = Arc::new(inputs);
        let asked = Arc::clone(&inputs);
        let found = self.blocking(move |shop, store| static_files::find(shop, &asked.borrow(store))).await?;
        if let Some(collected) = found {
            part.end(format!("{}, cached", describe(&collected)));
            return Ok(collected);
        }
        let (app, interpreter, tree) = (app.clone(), python.clone(), installed.tree);
        let venv = self
            .blocking(move |shop, store| {
                shop.lay_out(store, &app.put(store)?)?;
                crate::dependencies::folder(shop, store, &interpreter, &tree)
            })
            .await?;
        static_files::run(&shop, &venv, &inputs.environment, self.events).await?;
        let collected =
            self.blocking(move |shop, store| static_files::keep(shop, &inputs.borrow(store))).await?;
        part.end(describe(&collected));
        Ok(collected)
    }

    async fn put_together(
        mut self,
        mut app: Source,
        recipe: Recipe,
        (python, installed, collected): (Option<Python>, Option<Installed>, Option<Collected>),
    ) -> Result<Finished, Error> {
        let mut spec = recipe.spec;
        let mut parts: Vec<Subtree> = installed.iter().map(dependencies_part).collect();
        match collected {
            Some(Collected::Files { tree, files, bytes, folder, prefix, debug }) => {
                app.empty_folder(&folder);
                let mount = format!("{APP}/{folder}");
                parts.push(Subtree { name: "static".to_owned(), mount, tree, bytes, files });
                if let Some(prefix) = prefix.filter(|_| !recipe.static_declared) {
                    spec.static_folders.insert(prefix, folder);
                }
                self.warn(
                    debug.then(|| {
                        "DEBUG is on in the settings where no config value says otherwise".to_owned()
                    }),
                );
            }
            Some(Collected::None { warning }) => self.warn(warning),
            None => {}
        }
        self.warn_of_static_folders(&spec, &app, &parts);
        points::reached(Effect::BuildParted).await;
        let (files, bytes) = (app.files.len() as u64, app.files.values().map(|file| file.size).sum());
        let tree = self
            .blocking(move |_, store| {
                let root = app.put(store)?;
                store.sync()?;
                Ok(root)
            })
            .await?;
        let app = Subtree { name: "app".to_owned(), mount: APP.to_owned(), tree, bytes, files };
        let subtrees = [vec![app], parts].concat();
        let interpreter = python.filter(|_| installed.is_some()).map(|python| python.recorded());
        let packages = match installed {
            Some(installed) => {
                let tree = installed.tree;
                self.blocking(move |_, store| Ok(crate::dependencies::packages(store, &tree)?)).await?
            }
            None => BTreeMap::new(),
        };
        let digest = digest::of(&subtrees, &spec);
        Ok(Finished {
            digest,
            subtrees,
            spec,
            interpreter,
            packages,
            warnings: self.warnings,
            notes: self.notes,
        })
    }

    fn warn_of_static_folders(&mut self, spec: &AppSpec, app: &Source, parts: &[Subtree]) {
        for folder in spec.static_folders.values() {
            let path = format!("{APP}/{folder}");
            let in_part =
                |part: &Subtree| path == part.mount || path.starts_with(&format!("{}/", part.mount));
            if !app.folders.contains(folder) && !parts.iter().any(in_part) {
                self.warn(Some(format!(
                    "[static] names the folder {folder}, which is neither in the source nor collected"
                )));
            }
        }
    }

    fn warn(&mut self, warning: Option<String>) {
        if let Some(text) = warning {
            (self.events)(Event::Warning { text: text.clone() });
            self.warnings.push(text);
        }
    }

    fn note(&mut self, text: String) {
        (self.events)(Event::Note { text: text.clone() });
        self.notes.push(text);
    }

    fn store(&self) -> BlobStore {
        self.builder.blobs().clone()
    }

    /// Runs work on the disk where blocking is fine. It goes on when the build is given up, and holds the workshop until it
    /// has ended.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Workshop, &BlobStore) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (shop, store) = (Arc::clone(&self.shop), self.store());
        tasks::blocking("build", move || work(&shop, &store)).await
    }
}

/// What the static part is made of, to be taken to another thread.
struct StaticInputs {
    source: Source,
    dependencies: Digest,
    python: Python,
    environment: std::collections::BTreeMap<String, String>,
}

impl StaticInputs {
    fn borrow<'a>(&'a self, store: &'a BlobStore) -> static_files::Inputs<'a> {
        static_files::Inputs {
            store,
            source: &self.source,
            dependencies: self.dependencies,
            python: self.python.recorded(),
            environment: &self.environment,
        }
    }
}

/// Templates of Python files do not compile, and some sources have hundreds of them.
fn refusals(mut files: Vec<String>) -> Vec<String> {
    let others = files.split_off(files.len().min(NAMES_SHOWN)).len();
    let mut warnings: Vec<String> =
        files.iter().map(|file| format!("{file}: this file does not compile")).collect();
    if others > 0 {
        warnings.push(format!("{} not compile", count(others as u64, "other file does", "other files do")));
    }
    warnings
}

fn dependencies_part(installed: &Installed) -> Subtree {
    let Installed { tree, files, bytes, .. } = *installed;
    Subtree { name: "dependencies".to_owned(), mount: VENV.to_owned(), tree, bytes, files }
}

fn describe(collected: &Collected) -> String {
    match collected {
        Collected::Files { files, .. } => count(*files, "file", "files"),
        Collected::None { .. } => "none".to_owned(),
    }
}

fn uncommitted(source: &SourceInfo) -> Option<String> {
    let names = &source.uncommitted;
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        1 => Some(format!("{shown} is not committed")),
        all if all > NAMES_SHOWN => Some(format!(
            "{shown} and {} are not committed",
            count((all - NAMES_SHOWN) as u64, "other", "others")
        )),
        _ => Some(format!("{shown} are not committed")),
    }
}
