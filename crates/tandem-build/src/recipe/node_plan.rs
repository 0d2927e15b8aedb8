//! What a build does with Node: whether at all, and how packages get there.

use std::collections::BTreeSet;

use tandem_types::app::AppSpec;

use super::{APP, Parts};
use crate::Error;
use crate::node::{self, Installer, Package, Wanted};
use crate::requirements::normal;
use crate::source::below;

#[cfg(test)]
mod tests;

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
    /// Folder below the top in which packages are installed.
    pub(crate) folder: String,
    /// How packages get there.
    pub(crate) install: Install,
    /// Folders whose `node_modules` have programs.
    pub(crate) program_folders: BTreeSet<String>,
    /// Whether installing runs scripts of the app's own, which may read anything of the source.
    pub(crate) runs_scripts: bool,
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
        let release = spec.release.iter().map(|release| &release.command);
        let run: Vec<&String> =
            spec.processes.values().map(|process| &process.command).chain(release).collect();
        let in_build: Vec<&String> = commands.iter().chain(&self.file.build.after_collectstatic).collect();
        let package = match &self.package {
            Some(package) => Some(package.clone()),
            None => self.package_of(run.iter().chain(&in_build))?,
        };
        let programs = self.programs(package.as_ref());
        let at_run_time = run.iter().any(|command| node::uses_node(command, &programs));
        let in_build = in_build.iter().any(|command| node::uses_node(command, &programs));
        let said = self.file.build.node.as_deref();
        if !at_run_time && !in_build && said.is_none() {
            return Ok((None, commands));
        }
        let Some(package) = package else {
            let plan = NodePlan {
                wanted: Wanted::said(said),
                folder: self.folders.work.clone(),
                install: Install::Nothing,
                program_folders: BTreeSet::from([self.folders.work.clone()]),
                runs_scripts: false,
                at_run_time,
            };
            return Ok((Some(plan), commands));
        };
        if at_run_time && commands.is_empty() && self.requirements.is_none() && package.has_build {
            notes.push(
                "`npm run build` runs in the build, since package.json has such a script; `[build] commands` says otherwise"
                    .to_owned(),
            );
            commands.push(format!("{}npm run build", self.enter(&package.folder)));
        }
        let install = self.install(&package, &mut commands)?;
        if let (Install::Part(_), Some(name)) = (install, package.scripts.last()) {
            notes.push(script_note(name));
        }
        let plan = NodePlan {
            wanted: package.wanted,
            folder: package.top.clone(),
            install,
            program_folders: BTreeSet::from([package.folder, package.top]),
            runs_scripts: !package.scripts.is_empty(),
            at_run_time,
        };
        Ok((Some(plan), commands))
    }

    /// The first that commands of Node's enter the folder of, where neither the working folder nor one above it has one.
    fn package_of<'a>(
        &self,
        mut commands: impl Iterator<Item = &'a &'a String>,
    ) -> Result<Option<Package>, Error> {
        let (work, said) = (&self.folders.work, self.file.build.node.as_deref());
        let folder = commands.find_map(|command| {
            let calls = node::calls(command, work);
            let folders = calls.iter().filter(|call| call.is_nodes()).filter_map(node::Call::package_folder);
            folders.into_iter().find(|folder| self.source.nearest(folder, "package.json").is_some())
        });
        folder.map_or(Ok(None), |folder| Package::read(self.source, &folder, said))
    }

    /// Programs that only packages of Node's bring along.
    fn programs(&self, package: Option<&Package>) -> BTreeSet<String> {
        let mut programs = package.map(|package| package.programs.clone()).unwrap_or_default();
        if let Some(requirements) = &self.requirements {
            programs.retain(|name| !requirements.packages.has(&normal(name)));
        }
        programs
    }

    fn install(&self, package: &Package, commands: &mut Vec<String>) -> Result<Install, Error> {
        let Some(installer) = package.installer else { return Ok(Install::Nothing) };
        // Where a command's text does not name the folder it may be this one.
        let is_here = |folder: &Option<String>| {
            folder.as_deref().is_none_or(|folder| {
                Package::top_of(self.source, folder).is_none_or(|top| top == package.top)
            })
        };
        let installs = |command: &String| node::installs(command, &self.folders.work).iter().any(is_here);
        let is_ours = |command: &String| node::is_plain_install(command) && installs(command);
        if commands.iter().any(|command| installs(command) && !is_ours(command)) {
            return Ok(Install::Nothing);
        }
        package.refuse_foreign_lock()?;
        commands.retain(|command| !is_ours(command));
        if package.is_linked {
            commands.insert(0, format!("{}{}", self.enter(&package.top), installer.command()));
            return Ok(Install::Nothing);
        }
        Ok(Install::Part(installer))
    }

    /// `cd` to a folder, from the working folder.
    fn enter(&self, folder: &str) -> String {
        let parts = |path: &'_ str| -> Vec<String> {
            path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let (from, to) = (parts(&self.folders.work), parts(folder));
        let same = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
        let up = std::iter::repeat_n("..", from.len() - same);
        let path = up.chain(to[same..].iter().map(String::as_str)).collect::<Vec<_>>().join("/");
        match path.as_str() {
            "" => String::new(),
            path if path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c)) => {
                format!("cd {path} && ")
            }
            path => format!("cd '{}' && ", path.replace('\'', "'\\''")),
        }
    }
}

fn script_note(name: &str) -> String {
    format!(
        "`{name}` of package.json runs when packages are installed, and of what it writes only node_modules is kept; what else \
         it makes is built by `[build] commands` (`npm run {name}`)"
    )
}

impl NodePlan {
    /// Where `node_modules` are mounted, below the top.
    pub(crate) fn mount_point(&self) -> Option<String> {
        matches!(self.install, Install::Part(_)).then(|| below(&self.folder, "node_modules"))
    }

    /// What instances need of it.
    pub(super) fn complete(&self, mut spec: AppSpec) -> AppSpec {
        if self.at_run_time {
            let folders = self.program_folders.iter().rev();
            spec.path.extend(folders.map(|folder| format!("{APP}/{}/.bin", below(folder, "node_modules"))));
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
