//! `pyproject.toml`: what a project needs (PEP 621), its extras and its dependency groups (PEP 735).

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{
    Declared, Options, PROJECT_FILE, Repository, Requirements, add_input, is_pinned, join, line_of,
    malformed, name_of, normal, parse_toml, without_secret,
};
use crate::Error;
use crate::network::redacted;
use crate::source::{Source, below};
use tandem_app_file::APP_FILE;

/// Groups that include each other are followed no deeper.
const MOST_INCLUDES: usize = 20;

/// A project as its file says.
pub(super) struct Project {
    /// Folder of the file.
    pub(super) folder: String,
    /// Path of the file.
    pub(super) path: String,
    text: String,
    table: Table,
}

impl Project {
    /// Reads the file of a folder.
    pub(super) fn read(source: &Source, folder: &str) -> Result<Option<Self>, Error> {
        let path = below(folder, PROJECT_FILE);
        let Some(text) = source.text(&path)? else { return Ok(None) };
        let table = parse_toml(&path, &text)?;
        Ok(Some(Self { folder: folder.to_owned(), path, text, table }))
    }

    /// Whether it is a project at all, and not only settings of tools.
    pub(super) fn is_package(&self) -> bool {
        self.table.contains_key("project")
    }

    /// Whether only Poetry knows what it needs: `[tool.poetry.dependencies]`, and no dependencies that others read.
    pub(super) fn is_poetrys(&self) -> bool {
        let others = ["dependencies", "dynamic"].iter().any(|key| self.of_project(key).is_some());
        let own = self.table_at(&["tool", "poetry", "dependencies"]);
        !others && own.is_some_and(|own| own.keys().any(|name| name != "python"))
    }

    /// Whether it names dependencies.
    pub(super) fn has_dependencies(&self) -> bool {
        self.dependencies().next().is_some()
    }

    /// Whether it is the top of several projects with one lock.
    pub(super) fn is_workspace(&self) -> bool {
        self.uv().is_some_and(|uv| uv.contains_key("workspace"))
    }

    /// Its name in the normal form.
    pub(super) fn name(&self) -> Option<String> {
        self.of_project("name").and_then(Value::as_str).map(normal)
    }

    pub(super) fn requires_python(&self) -> Option<(String, String)> {
        let text = self.of_project("requires-python")?.as_str()?;
        Some((text.to_owned(), self.path.clone()))
    }

    /// What is installed of it where there is no lock.
    pub(super) fn requirements(&self, source: &Source, options: &Options<'_>) -> Result<Requirements, Error> {
        let mut found = Requirements::none(Declared::Project);
        self.fill(&mut found, options)?;
        let extras = self.strings_of(&["project", "optional-dependencies"], &found.extras);
        let groups = found.groups.iter().flat_map(|group| self.group(group, MOST_INCLUDES));
        let all: Vec<String> = self.dependencies().map(str::to_owned).chain(extras).chain(groups).collect();
        for requirement in all {
            found.packages.add(&requirement);
            let origin = self.origin(&requirement);
            if let Some(url) = origin.and_then(|origin| origin.get("git")?.as_str()).map(str::to_owned) {
                let is_fixed = origin.is_some_and(|origin| origin.get("rev").or(origin.get("tag")).is_some());
                found.unpinned.extend((!is_fixed).then(|| without_secret(&url)));
                found.repositories.push(self.repository(url));
            } else if let Some(url) = super::files::repository(&requirement) {
                found.repositories.push(self.repository(url));
                found.unpinned.extend(super::files::moving(&requirement));
            } else if origin.is_none() && !is_pinned(&requirement) {
                found.unpinned.push(redacted(&requirement, &[]));
            }
        }
        for path in self.sources().filter_map(|origin| origin.get("path")?.as_str()) {
            add_input(source, &join(&self.folder, path), &mut found.inputs);
        }
        Ok(found)
    }

    /// What lock and project have in common.
    pub(super) fn fill(&self, found: &mut Requirements, options: &Options<'_>) -> Result<(), Error> {
        found.folder.clone_from(&self.folder);
        found.project = self.relevant();
        found.requires_python = self.requires_python();
        found.extras = self.known("extras", options.extras, &["project", "optional-dependencies"])?;
        found.groups = self.known("groups", options.groups, &["dependency-groups"])?;
        Ok(())
    }

    /// Groups that are installed without being asked for; `dev` never is.
    pub(super) fn default_groups(&self) -> Vec<String> {
        match self.uv().and_then(|uv| uv.get("default-groups")) {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(normal).collect(),
            Some(Value::String(all)) if all == "all" => {
                let groups = self.table.get("dependency-groups").and_then(Value::as_table);
                groups.into_iter().flat_map(Table::keys).map(|name| normal(name)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Where it asks for a repository.
    pub(super) fn repository(&self, url: String) -> Repository {
        let line = line_of(&self.text, &url).map_or(String::new(), |line| format!(":{line}"));
        Repository::new(&url, format!("{}{line}", self.path))
    }

    /// Names that `tandem.toml` lists, in their normal form.
    fn known(&self, key: &str, names: &[String], table: &[&str]) -> Result<Vec<String>, Error> {
        let there = self.table_at(table);
        let there: BTreeSet<String> =
            there.into_iter().flat_map(Table::keys).map(|name| normal(name)).collect();
        let names: Vec<String> = names.iter().map(|name| normal(name)).collect();
        match names.iter().find(|name| !there.contains(*name)) {
            None => Ok(names),
            Some(missing) => {
                let has = match there.is_empty() {
                    true => "has none".to_owned(),
                    false => format!("has {}", there.into_iter().collect::<Vec<_>>().join(", ")),
                };
                let reason = format!(
                    "[build] {key} names {missing:?}, and [{}] in {} {has}",
                    table.join("."),
                    self.path
                );
                Err(malformed(APP_FILE, reason))
            }
        }
    }

    fn dependencies(&self) -> impl Iterator<Item = &str> {
        let declared = self.of_project("dependencies").and_then(Value::as_array);
        declared.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Strings of the lists that bear these names.
    fn strings_of(&self, path: &[&str], names: &[String]) -> Vec<String> {
        let table = self.table_at(path);
        let lists = table.into_iter().flatten().filter(|(name, _)| names.contains(&normal(name)));
        lists
            .filter_map(|(_, list)| list.as_array())
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    /// Requirements of a group and of those that it includes.
    fn group(&self, name: &str, depth: usize) -> Vec<String> {
        let Some(groups) = self.table_at(&["dependency-groups"]).filter(|_| depth > 0) else {
            return Vec::new();
        };
        let lists =
            groups.iter().filter(|(key, _)| normal(key) == name).filter_map(|(_, list)| list.as_array());
        lists
            .flatten()
            .flat_map(|entry| match entry {
                Value::String(requirement) => vec![requirement.clone()],
                Value::Table(table) => {
                    let included = table.get("include-group").and_then(Value::as_str);
                    included.map(|name| self.group(&normal(name), depth - 1)).unwrap_or_default()
                }
                _ => Vec::new(),
            })
            .collect()
    }

    /// What `[tool.uv.sources]` says of a requirement.
    fn origin(&self, requirement: &str) -> Option<&Value> {
        let name = name_of(requirement);
        self.uv()?
            .get("sources")?
            .as_table()?
            .iter()
            .find(|(key, _)| normal(key) == name)
            .map(|(_, origin)| origin)
    }

    fn sources(&self) -> impl Iterator<Item = &Value> {
        let sources = self.uv().and_then(|uv| uv.get("sources")?.as_table());
        sources.into_iter().flat_map(Table::values)
    }

    fn uv(&self) -> Option<&Table> {
        self.table_at(&["tool", "uv"])
    }

    fn of_project(&self, key: &str) -> Option<&Value> {
        self.table_at(&["project"])?.get(key)
    }

    fn table_at(&self, path: &[&str]) -> Option<&Table> {
        path.iter().try_fold(&self.table, |table, key| table.get(*key)?.as_table())
    }

    /// What of it decides what gets installed: not the version of the project, not the settings of linters.
    fn relevant(&self) -> String {
        const OF_PROJECT: [&str; 4] = ["name", "dependencies", "optional-dependencies", "requires-python"];
        let mut kept = serde_json::Map::new();
        let json = |value: &Value| serde_json::to_value(value).unwrap_or(serde_json::Value::Null);
        for key in OF_PROJECT {
            if let Some(value) = self.of_project(key) {
                kept.insert(format!("project.{key}"), json(value));
            }
        }
        for key in ["build-system", "dependency-groups"] {
            kept.extend(self.table.get(key).map(|value| (key.to_owned(), json(value))));
        }
        let uv = self.table.get("tool").and_then(|tool| tool.get("uv"));
        kept.extend(uv.map(|uv| ("tool.uv".to_owned(), json(uv))));
        serde_json::Value::Object(kept).to_string()
    }
}
