//! The steps of Node and of declared commands.

use std::collections::BTreeSet;
use std::sync::Arc;

use tandem_types::Digest;

use super::super::part::{Part, count};
use super::{Parts, Steps};
use crate::commands::{self, Surroundings};
use crate::installed::Installed;
use crate::node::Node;
use crate::node::modules;
use crate::recipe::{Install, Recipe, VENV};
use crate::source::Source;
use crate::static_files::{self, Collected};
use crate::{Error, dependencies};

impl Steps<'_> {
    /// Node, where the recipe has a use for it.
    pub(super) async fn node(&mut self, recipe: &Recipe) -> Result<Option<Node>, Error> {
        let Some(plan) = &recipe.node else { return Ok(None) };
        let node = self.builder.node(&plan.wanted).await?;
        if matches!(plan.install, Install::Part(_)) && !node.has_npm() {
            return Err(Error::NpmMissing { node: node.recorded() });
        }
        Ok(Some(node))
    }

    /// The packages of Node.
    pub(super) async fn modules(
        &mut self,
        tree: Digest,
        source: &Source,
        (recipe, node): (&Recipe, Option<&Node>),
    ) -> Result<Option<Installed>, Error> {
        let Some((plan, node)) = recipe.node.as_ref().zip(node) else { return Ok(None) };
        let (Install::Part(installer), Some(point)) = (plan.install, plan.mount_point()) else {
            return Ok(None);
        };
        let shop = Arc::clone(&self.shop);
        let part = Part::begin("node modules", &shop, self.events);
        let inputs = modules::Inputs {
            source,
            folder: &plan.folder,
            installer,
            runs_scripts: plan.runs_scripts,
            node,
        };
        let key = inputs.key();
        let found = self.blocking(move |shop, store| modules::KEPT.find(&shop.folder, store, &key)).await?;
        if let Some(modules) = found {
            part.end(format!("{}, cached", count(modules.packages, "package", "packages")));
            return Ok(Some(modules));
        }
        self.warn_of_open_loopback().await;
        self.blocking(move |shop, store| shop.lay_out(store, &tree)).await?;
        modules::install(&shop, &inputs, self.events).await?;
        let modules = self.blocking(move |shop, store| modules::keep(shop, store, &point, key)).await?;
        part.end(count(modules.packages, "package", "packages"));
        Ok(Some(modules))
    }

    /// Runs declared commands on the source, and on what was collected where that is known; returns what they left.
    pub(super) async fn commands(
        &mut self,
        mut source: Source,
        (recipe, declared): (&Recipe, &[String]),
        (parts, collected): (&Parts, Option<Collected>),
    ) -> Result<(Source, Option<Collected>), Error> {
        if declared.is_empty() {
            return Ok((source, collected));
        }
        let shop = Arc::clone(&self.shop);
        self.warn_of_open_loopback().await;
        recipe.mount_points().iter().for_each(|point| source.insert_folder(point));
        let (before, sent) = (collected.clone(), source.clone());
        self.blocking(move |shop, store| {
            shop.lay_out(store, &sent.put(store)?)?;
            before.map_or(Ok(()), |collected| static_files::lay_out(shop, store, &collected))
        })
        .await?;
        let around = self.around(recipe, parts).await?;
        around.link(&shop)?;
        if collected.is_none() {
            self.make_static_folders(&source, (recipe, parts), &around).await?;
        }
        for command in declared {
            let part = Part::begin("command", &shop, self.events);
            commands::run(&shop, &around, command, self.events).await?;
            part.end(shown(command));
        }
        let mounted: BTreeSet<String> = recipe.mount_points();
        let interpreter = parts.python.as_ref().map(|python| python.path_text().to_owned());
        self.blocking(move |shop, store| {
            let collected =
                collected.map(|collected| static_files::keep_again(shop, store, collected)).transpose()?;
            let mut mounted: Vec<String> = mounted.into_iter().collect();
            if let Some(Collected::Files { folder, .. }) = &collected {
                mounted.push(folder.clone());
            }
            Ok((commands::keep(shop, store, &mounted, interpreter.as_deref())?, collected))
        })
        .await
    }

    /// Makes folders that the settings name, git does not keep, and commands expect.
    async fn make_static_folders(
        &mut self,
        source: &Source,
        (recipe, parts): (&Recipe, &Parts),
        around: &Surroundings,
    ) -> Result<(), Error> {
        let Some((django, _)) = recipe.django.as_ref().zip(parts.installed) else { return Ok(()) };
        let settings = django.settings.as_deref().unwrap_or_default();
        if !static_files::folders::are_named(source, settings) {
            return Ok(());
        }
        let shop = Arc::clone(&self.shop);
        let manage = django.manage_path(&recipe.work);
        for folder in static_files::folders::make(&shop, around, &manage, self.events).await? {
            self.note(super::finish::folder_note(&folder));
        }
        Ok(())
    }

    /// What commands find around the source.
    pub(super) async fn around(&self, recipe: &Recipe, parts: &Parts) -> Result<Surroundings, Error> {
        let (installed, python) = (parts.installed, parts.python.clone());
        let point = recipe.node.as_ref().and_then(|plan| plan.mount_point());
        let wanted = point.clone().zip(parts.modules);
        let (venv, modules) = self
            .blocking(move |shop, store| {
                let venv = match installed.zip(python) {
                    Some((installed, python)) => {
                        Some(dependencies::folder(shop, store, &python, &installed.tree)?)
                    }
                    None => None,
                };
                let modules = match wanted {
                    Some((point, modules)) => Some((point, modules::folder(shop, store, &modules.tree)?)),
                    None => None,
                };
                Ok((venv, modules))
            })
            .await?;
        let mut path: Vec<String> = venv.iter().map(|_| format!("{VENV}/bin")).collect();
        path.extend(point.map(|point| format!("{}/{point}/.bin", crate::recipe::APP)));
        path.extend(parts.node.as_ref().map(Node::folder));
        let mut environment = recipe.spec.environment.clone();
        // What npm leaves out for it are the programs that build.
        environment.remove("NODE_ENV");
        environment.insert("NO_COLOR".to_owned(), "1".to_owned());
        environment.extend(parts.node.iter().flat_map(Node::environment));
        Ok(Surroundings { work: recipe.work.clone(), environment, path, venv, modules })
    }

    async fn warn_of_open_loopback(&mut self) {
        let warning = self.shop.close_loopback().await;
        let is_told = warning.as_ref().is_some_and(|warning| self.warnings.contains(warning));
        self.warn(warning.filter(|_| !is_told));
    }
}

/// The first line of a command, for the line that tells how long it took.
fn shown(command: &str) -> String {
    const MOST: usize = 60;
    let line = command.lines().next().unwrap_or_default();
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line.to_owned(),
    }
}
