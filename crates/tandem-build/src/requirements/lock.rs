//! `uv.lock`: exactly what is installed, of one project or of a workspace of several.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::project::Project;
use super::{
    Declared, LOCK_FILE, Options, Packages, Requirements, add_input, files, join, normal, parse_toml,
};
use crate::Error;
use crate::source::{Source, below, folders_up};

/// What uv writes for a group of dependencies, and for a table of extras.
const GROUPS: [&str; 2] = ["dev-dependencies", "dependency-groups"];
const EXTRAS: &str = "optional-dependencies";

/// Path of the lock that a project goes by: beside it or, where it is part of a workspace, at the top of that.
pub(super) fn path_for(source: &Source, project: &Project) -> Result<Option<String>, Error> {
    let own = below(&project.folder, LOCK_FILE);
    if source.has(&own) {
        return Ok(Some(own));
    }
    if !project.is_package() {
        return Ok(None);
    }
    for folder in folders_up(&project.folder).skip(1) {
        let path = below(folder, LOCK_FILE);
        if source.has(&path) && Project::read(source, folder)?.is_some_and(|top| top.is_workspace()) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Reads it.
pub(super) fn read(
    source: &Source,
    project: &Project,
    path: &str,
    options: &Options<'_>,
) -> Result<Requirements, Error> {
    let text = source.text(path)?.unwrap_or_default();
    let lock = parse_toml(path, &text)?;
    let mut found = Requirements::none(Declared::Lock);
    project.fill(&mut found, options)?;
    let packages: Vec<&Table> = lock
        .get("package")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
        .collect();
    let groups = [project.default_groups(), found.groups.clone()].concat();
    found.packages = installed(&packages, project.name().as_deref(), (&found.extras, &groups));
    add_input(source, path, &mut found.inputs);
    let top = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    // Members of a workspace say what they need in files of their own.
    for member in
        packages.iter().filter_map(|package| origin(package, &["editable", "directory", "path", "virtual"]))
    {
        if member != "." {
            add_input(source, &join(top, member), &mut found.inputs);
        }
    }
    for url in packages.iter().filter_map(|package| origin(package, &["git"])) {
        let url = files::repository(&format!("git+{url}")).unwrap_or_else(|| url.to_owned());
        found.repositories.push(project.repository(url));
    }
    if found.requires_python.is_none() {
        let range = lock.get("requires-python").and_then(Value::as_str);
        found.requires_python = range.map(|range| (range.to_owned(), path.to_owned()));
    }
    Ok(found)
}

/// Where a package comes from, where it is one of these.
fn origin<'p>(package: &'p Table, kinds: &[&str]) -> Option<&'p str> {
    let origin = package.get("source")?.as_table()?;
    kinds.iter().find_map(|kind| origin.get(*kind)?.as_str())
}

/// What is installed of everything that a lock has: not what only extras and groups need that nobody asked for. All of it where
/// the lock does not have the project.
fn installed(
    packages: &[&Table],
    project: Option<&str>,
    (extras, groups): (&[String], &[String]),
) -> Packages {
    let name = |package: &Table| package.get("name").and_then(Value::as_str).map(normal);
    let is_own = |package: &&&Table| name(package).as_deref() == project;
    let mut found = Packages::default();
    let Some(own) = packages.iter().find(is_own).filter(|_| project.is_some()) else {
        packages.iter().filter_map(|package| name(package)).for_each(|name| found.add(&name));
        return found;
    };
    let mut waiting = needed_by(own, extras);
    for (table, group) in GROUPS.iter().flat_map(|table| groups.iter().map(move |group| (table, group))) {
        waiting.extend(listed(own, table, group));
    }
    let mut seen = BTreeSet::new();
    while let Some((needed, extras)) = waiting.pop() {
        if seen.insert((needed.clone(), extras.clone())) {
            found.add(&needed);
            // There may be several versions of one, each for other machines.
            let same = packages.iter().filter(|package| name(package).as_ref() == Some(&needed));
            waiting.extend(same.flat_map(|package| needed_by(package, &extras)));
        }
    }
    found
}

type Needed = (String, Vec<String>);

/// What a package needs, with these extras of its own.
fn needed_by(package: &Table, extras: &[String]) -> Vec<Needed> {
    let own = package.get("dependencies").and_then(Value::as_array).into_iter().flatten().filter_map(needed);
    own.chain(extras.iter().flat_map(|extra| listed(package, EXTRAS, extra))).collect()
}

fn listed(package: &Table, table: &str, name: &str) -> Vec<Needed> {
    let lists = package.get(table).and_then(Value::as_table).into_iter().flatten();
    let lists = lists.filter(|(key, _)| normal(key) == name).filter_map(|(_, list)| list.as_array());
    lists.flatten().filter_map(needed).collect()
}

fn needed(entry: &Value) -> Option<Needed> {
    let extras = entry.get("extra").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    Some((normal(entry.get("name")?.as_str()?), extras.map(normal).collect()))
}
