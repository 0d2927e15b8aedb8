//! Putting a build together: the app's part without what is mounted on it, the other parts, and the digest of it all.

use std::collections::BTreeMap;

use tandem_kit::points::{self, Effect};
use tandem_types::app::AppSpec;
use tandem_types::build::Subtree;

use super::{Finished, Parts, Steps};
use crate::data::Places;
use crate::installed::Installed;
use crate::recipe::{APP, NodePlan, Recipe, VENV};
use crate::source::Source;
use crate::static_files::Collected;
use crate::{Error, data, dependencies, digest};

impl Steps<'_> {
    pub(super) async fn put_together(
        mut self,
        mut app: Source,
        recipe: Recipe,
        (made, collected): (Parts, Option<Collected>),
    ) -> Result<Finished, Error> {
        let mut spec = recipe.spec;
        let Parts { python, node, installed, modules } = made;
        let plan = recipe.node.as_ref().filter(|plan| plan.at_run_time);
        let node = node.filter(|_| plan.is_some());
        if let Some(node) = &node {
            spec.path.push(node.folder());
        } else {
            app.drop_new_folders("node_modules", &self.folders_sent);
        }
        let mut parts: Vec<Subtree> = installed.iter().map(dependencies_part).collect();
        let point = plan.and_then(NodePlan::mount_point);
        parts.extend(point.zip(modules).map(|(point, modules)| modules_part(&point, &modules)));
        if let Some(collected) = collected {
            let prefix_is_said = recipe.static_declared;
            parts.extend(self.static_part(collected, &mut app, (&mut spec, prefix_is_said)));
        }
        self.warn_of_static_folders(&spec, &app, &parts);
        let (app, parts) = self.compress(app, parts, &spec).await?;
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
        let node = node.map(|node| node.recorded());
        let packages = match installed {
            Some(Installed { tree, .. }) => {
                self.blocking(move |_, store| Ok(dependencies::packages(store, &tree)?)).await?
            }
            None => BTreeMap::new(),
        };
        let digest = digest::of(&subtrees, &spec);
        let Self { warnings, notes, .. } = self;
        Ok(Finished { digest, subtrees, spec, interpreter, node, packages, warnings, notes })
    }

    /// The part of what was collected, and what people should know of it.
    fn static_part(
        &mut self,
        collected: Collected,
        app: &mut Source,
        (spec, is_declared): (&mut AppSpec, bool),
    ) -> Option<Subtree> {
        let (tree, files, bytes, folder, prefix, debug, missing) = match collected {
            Collected::Files { tree, files, bytes, folder, prefix, debug, missing, places } => {
                self.warn_of_places(&places, spec);
                (tree, files, bytes, folder, prefix, debug, missing)
            }
            Collected::None { warning, debug, places } => {
                self.warn_of_places(&places, spec);
                self.warn(warning);
                self.warn_of_debug(debug);
                return None;
            }
        };
        app.empty_folder(&folder);
        let mount = format!("{APP}/{folder}");
        if let Some(prefix) = prefix.filter(|_| !is_declared) {
            spec.static_folders.insert(prefix, folder);
        }
        for folder in missing {
            app.insert_folder(&folder);
            self.note(folder_note(&folder));
        }
        self.warn_of_debug(debug);
        Some(Subtree { name: "static".to_owned(), mount, tree, bytes, files })
    }

    fn warn_of_debug(&mut self, debug: bool) {
        self.warn(
            debug.then(|| "DEBUG is on in the settings where no config value says otherwise".to_owned()),
        );
    }

    fn warn_of_places(&mut self, places: &Places, spec: &AppSpec) {
        for warning in data::settings_warnings(places, &spec.volumes) {
            self.warn(Some(warning));
        }
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
}

pub(super) fn folder_note(folder: &str) -> String {
    format!("the empty folder {folder} was made, which STATICFILES_DIRS names and the source lacks")
}

fn dependencies_part(installed: &Installed) -> Subtree {
    let Installed { tree, files, bytes, .. } = *installed;
    Subtree { name: "dependencies".to_owned(), mount: VENV.to_owned(), tree, bytes, files }
}

fn modules_part(point: &str, modules: &Installed) -> Subtree {
    let Installed { tree, files, bytes, .. } = *modules;
    Subtree { name: "node_modules".to_owned(), mount: format!("{APP}/{point}"), tree, bytes, files }
}
