//! What a build does with Node: whether at all, and how packages get there.

use tandem_types::app::AppSpec;

use super::{APP, Parts};
use crate::Error;
use crate::node::{self, Installer, Package, Wanted};
use crate::source::below;

/// How `node_modules` come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// Nothing is to be installed, or a declared command does it.
    Nothing,
    /// As a part of its own, kept between builds.
    Part(Installer),
}

/// What is done with Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodePlan {
    /// Version.
    pub(crate) wanted: Wanted,
    /// Folder of `package.json` below the top.
    pub(crate) folder: String,
    /// How packages get there.
    pub(crate) install: Install,
    /// Whether instances need it: else it is there for the commands of the build only.
    pub(crate) at_run_time: bool,
}

impl Parts<'_> {
    /// The plan, none where nothing uses Node, and the commands of the build.
    pub(super) fn node_plan(
        &self,
        spec: &AppSpec,
        notes: &mut Vec<String>,
    ) -> Result<(Option<NodePlan>, Vec<String>), Error> {
        let mut commands = self.file.build.commands.clone();
        let run = spec.processes.values().map(|process| &process.command);
        let at_run_time = run
            .chain(spec.release.iter().map(|release| &release.command))
            .any(|command| node::uses_node(command));
        let later = &self.file.build.after_collectstatic;
        let in_build = commands.iter().chain(later).any(|command| node::uses_node(command));
        let is_said = self.file.build.node.is_some();
        if !at_run_time && !in_build && !is_said {
            return Ok((None, commands));
        }
        let Some(package) = &self.package else {
            let wanted = Wanted::said(self.file.build.node.as_deref());
            let plan = NodePlan {
                wanted,
                folder: self.folders.work.clone(),
                install: Install::Nothing,
                at_run_time,
            };
            return Ok((Some(plan), commands));
        };
        if at_run_time && commands.is_empty() && self.requirements.is_none() && package.has_build {
            notes.push(
                "`npm run build` runs in the build, since package.json has such a script; `[build] commands` says otherwise"
                    .to_owned(),
            );
            commands.push(format!("{}npm run build", self.enter(package)));
        }
        let install = self.install(package, &mut commands)?;
        let (wanted, folder) = (package.wanted.clone(), package.folder.clone());
        Ok((Some(NodePlan { wanted, folder, install, at_run_time }), commands))
    }

    fn install(&self, package: &Package, commands: &mut Vec<String>) -> Result<Install, Error> {
        let Some(installer) = package.installer else { return Ok(Install::Nothing) };
        let is_ours = |command: &String| node::is_plain_install(command);
        if commands.iter().any(|command| node::installs(command) && !is_ours(command)) {
            return Ok(Install::Nothing);
        }
        package.refuse_foreign_lock()?;
        commands.retain(|command| !is_ours(command));
        if package.has_workspaces {
            commands.insert(0, format!("{}{}", self.enter(package), installer.command()));
            return Ok(Install::Nothing);
        }
        Ok(Install::Part(installer))
    }

    /// `cd` to the folder of `package.json`, from the working folder.
    fn enter(&self, package: &Package) -> String {
        let above = self.folders.work.split('/').filter(|part| !part.is_empty()).count()
            - package.folder.split('/').filter(|part| !part.is_empty()).count();
        if above == 0 { String::new() } else { format!("cd {} && ", vec![".."; above].join("/")) }
    }
}

impl NodePlan {
    /// Where `node_modules` are mounted, below the top.
    pub(crate) fn mount_point(&self) -> Option<String> {
        matches!(self.install, Install::Part(_)).then(|| below(&self.folder, "node_modules"))
    }

    /// What instances need of it.
    pub(super) fn complete(&self, mut spec: AppSpec) -> AppSpec {
        if self.at_run_time {
            spec.path.push(format!("{APP}/{}/.bin", below(&self.folder, "node_modules")));
            let variables = [("NODE_ENV", "production"), ("NPM_CONFIG_UPDATE_NOTIFIER", "false")];
            spec.environment.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        spec
    }

    /// Nothing says which versions are installed.
    pub(super) fn warning(&self) -> Option<String> {
        (self.install == Install::Part(Installer::Unlocked)).then(|| {
            "package.json has no package-lock.json: a build on another day may differ (`npm install` writes one)"
                .to_owned()
        })
    }
}
