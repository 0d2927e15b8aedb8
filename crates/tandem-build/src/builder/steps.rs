//! The steps of one build, in order: read the source, dependencies, bytecode, static files, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_blobs::BlobStore;
use tandem_kit::tasks;
use tandem_types::Digest;
use tandem_types::app::AppSpec;
use tandem_types::build::{SourceInfo, Subtree};
use tandem_types::event::Event;

use super::part::{Part, count};
use super::{BuildRequest, Builder};
use crate::installed::Installed;
use crate::node::Node;
use crate::python::Python;
use crate::recipe::Recipe;
use crate::source::Source;
use crate::static_files::{self, Collected};
use crate::workshop::{Occupied, Workshop};
use crate::{Error, Events, bytecode, data};

mod around;
mod compressed;
mod finish;
mod left_out;
mod python;

/// Files that warnings name.
const NAMES_SHOWN: usize = 3;

/// What the steps come to.
pub(super) struct Finished {
    pub(super) digest: Digest,
    pub(super) subtrees: Vec<Subtree>,
    pub(super) spec: AppSpec,
    pub(super) interpreter: Option<String>,
    pub(super) node: Option<String>,
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) packages: BTreeMap<String, String>,
}

/// What was made or found before the app's own files are looked at.
struct Parts {
    python: Option<Python>,
    node: Option<Node>,
    installed: Option<Installed>,
    modules: Option<Installed>,
}

/// A build under way.
pub(super) struct Steps<'a> {
    builder: &'a Builder,
    shop: Arc<Occupied>,
    events: Events<'a>,
    warnings: Vec<String>,
    notes: Vec<String>,
    /// Folders of the source before commands changed it.
    folders_sent: BTreeSet<String>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(builder: &'a Builder, shop: Arc<Occupied>, events: Events<'a>) -> Self {
        Self { builder, shop, events, warnings: Vec::new(), notes: Vec::new(), folders_sent: BTreeSet::new() }
    }

    pub(super) async fn run(mut self, request: &BuildRequest) -> Result<Finished, Error> {
        let (tree, source, mut recipe) = self.read(request).await?;
        self.folders_sent = source.folders.clone();
        self.warn(uncommitted(&request.source));
        self.warn(self.databases_sent(&source, &recipe).await);
        for warning in std::mem::take(&mut recipe.warnings) {
            self.warn(Some(warning));
        }
        for note in std::mem::take(&mut recipe.notes) {
            self.note(note);
        }
        let node = self.node(&recipe).await?;
        let (python, installed) = self.python_and_dependencies(tree, &source, &recipe).await?;
        let modules = self.modules(tree, &source, (&recipe, node.as_ref())).await?;
        let parts = Parts { python, node, installed, modules };
        let source = self.commands(source, (&recipe, &recipe.commands), (&parts, None)).await?.0;
        let mut app = source.clone();
        recipe.mount_points().iter().for_each(|point| app.insert_folder(point));
        if let Some(python) = &parts.python {
            app = self.bytecode(python, app).await?;
        }
        let mut collected = match (&parts.python, &parts.installed) {
            (Some(python), Some(installed)) if recipe.django.is_some() => {
                Some(self.static_files((&recipe, &parts), (&source, &app), (python, installed)).await?)
            }
            _ => None,
        };
        if !recipe.after_collectstatic.is_empty() {
            let left =
                self.commands(source, (&recipe, &recipe.after_collectstatic), (&parts, collected)).await?;
            (app, collected) = left;
            recipe.mount_points().iter().for_each(|point| app.insert_folder(point));
            if let Some(python) = &parts.python {
                app = self.bytecode(python, app).await?;
            }
        }
        self.put_together(app, recipe, (parts, collected)).await
    }

    async fn databases_sent(&self, source: &Source, recipe: &Recipe) -> Option<String> {
        let (source, store) = (source.clone(), self.store());
        let found = tasks::blocking("databases", move || data::databases(&source, &store)).await;
        data::sent_warning(&found, &recipe.spec.volumes)
    }

    /// The source without what is never built, its tree, and how it is built.
    async fn read(&mut self, request: &BuildRequest) -> Result<(Digest, Source, Recipe), Error> {
        let (store, tree, root) = (self.store(), request.tree, request.source.root.clone());
        let read = move || {
            let mut source = Source::load(&store, &tree)?;
            let left_out = left_out::remove(&mut source, root.as_deref())?;
            let tree = if left_out.is_empty() { tree } else { source.put(&store)? };
            let recipe = Recipe::read(&source, root.as_deref())?;
            Ok::<_, Error>((tree, source, recipe, left_out))
        };
        let (tree, source, recipe, left_out) = tasks::blocking("read source", read).await?;
        self.warn(left_out::warning(&left_out));
        Ok((tree, source, recipe))
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
        (recipe, parts): (&Recipe, &Parts),
        (source, app): (&Source, &Source),
        (python, installed): (&Python, &Installed),
    ) -> Result<Collected, Error> {
        let shop = Arc::clone(&self.shop);
        let part = Part::begin("static files", &shop, self.events);
        let inputs = StaticInputs {
            source: source.clone(),
            dependencies: installed.tree,
            python: python.clone(),
            modules: parts.modules.map(|modules| modules.tree),
            environment: recipe.spec.environment.clone(),
        };
        let inputs = Arc::new(inputs);
        let asked = Arc::clone(&inputs);
        let found = self.blocking(move |shop, store| static_files::find(shop, &asked.borrow(store))).await?;
        if let Some(collected) = found {
            part.end(format!("{}, cached", describe(&collected)));
            return Ok(collected);
        }
        let app = app.clone();
        self.blocking(move |shop, store| shop.lay_out(store, &app.put(store)?)).await?;
        let around = self.around(recipe, parts).await?;
        around.link(&shop)?;
        let manage =
            recipe.django.as_ref().map(|django| django.manage_path(&recipe.work)).unwrap_or_default();
        let made = static_files::run(&shop, &around, &manage, self.events).await?;
        let collected =
            self.blocking(move |shop, store| static_files::keep(shop, &inputs.borrow(store), made)).await?;
        part.end(describe(&collected));
        Ok(collected)
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
    modules: Option<Digest>,
    python: Python,
    environment: std::collections::BTreeMap<String, String>,
}

impl StaticInputs {
    fn borrow<'a>(&'a self, store: &'a BlobStore) -> static_files::Inputs<'a> {
        static_files::Inputs {
            store,
            source: &self.source,
            dependencies: self.dependencies,
            modules: self.modules,
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
