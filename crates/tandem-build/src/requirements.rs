//! What a source says of its Python dependencies, read without installing them.

use std::collections::{BTreeMap, BTreeSet};

use tandem_types::Digest;
use toml::{Table, Value};

use crate::Error;
use crate::source::{Found, Source};

/// Where the dependencies are declared; the most exact that is there wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    /// `uv.lock` beside `pyproject.toml`.
    Lock,
    /// `requirements.txt`.
    Requirements,
    /// `pyproject.toml` without a lock file.
    Project,
}

/// The dependencies as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirements {
    pub(crate) declared: Declared,
    /// What they are named, as far as the files say.
    pub(crate) packages: Packages,
    /// Everything of the source that decides what gets installed: path → digest.
    pub(crate) inputs: BTreeMap<String, Digest>,
    /// The parts of `pyproject.toml` that decide what gets installed, as JSON.
    pub(crate) project: String,
    /// Minor number of the least Python 3 that `requires-python` allows, where that is simply said.
    pub(crate) least_python: Option<u32>,
    /// Requirements that another day may resolve otherwise.
    pub(crate) unpinned: Vec<String>,
    /// Folders given by path of which no file says the name, as they are written: `./libs/shop`.
    pub(crate) unnamed: Vec<String>,
}

impl Requirements {
    /// Nothing is known yet but where they are declared.
    pub(crate) fn none(declared: Declared) -> Self {
        Self {
            declared,
            packages: Packages::default(),
            inputs: BTreeMap::new(),
            project: String::new(),
            least_python: None,
            unpinned: Vec::new(),
            unnamed: Vec::new(),
        }
    }
}

/// Names of packages in their normal form (PEP 503).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Packages(BTreeSet<String>);

impl Packages {
    /// Whether a package is among them; the name in its normal form.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    #[cfg(test)]
    pub(crate) fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn add(&mut self, requirement: &str) {
        let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        let name = &requirement[..end.unwrap_or(requirement.len())];
        let normal = name.to_lowercase().replace(['_', '.'], "-");
        if !normal.is_empty() {
            self.0.insert(normal);
        }
    }
}

/// Reads what is declared; none where the source declares nothing.
///
/// # Errors
/// A file that cannot be understood, or a format that is not read.
pub(crate) fn read(source: &Source) -> Result<Option<Requirements>, Error> {
    let project =
        source.text("pyproject.toml")?.map(|text| parse_toml("pyproject.toml", &text)).transpose()?;
    if let (Some(project), Some(lock)) = (&project, source.text("uv.lock")?) {
        return locked(source, project, &lock).map(Some);
    }
    if source.has("requirements.txt") {
        return from_requirements(source).map(Some);
    }
    match project {
        Some(project) if project.contains_key("project") => from_project(source, &project).map(Some),
        _ => refuse_foreign(source).map(|()| None),
    }
}

/// Formats of other tools: better told than ignored.
fn refuse_foreign(source: &Source) -> Result<(), Error> {
    const FOREIGN: [(&str, &str); 4] = [
        (
            "poetry.lock",
            "type `poetry export -f requirements.txt -o requirements.txt`, or move to uv: `uvx migrate-to-uv`",
        ),
        ("pdm.lock", "type `pdm export -o requirements.txt`, or move to uv: `uvx migrate-to-uv`"),
        ("Pipfile", "type `pipenv requirements > requirements.txt`, or move to uv: `uvx migrate-to-uv`"),
        (
            "environment.yml",
            "write the packages into requirements.txt, or move to uv: `uv init --bare` and `uv add`",
        ),
    ];
    match FOREIGN.iter().find(|(name, _)| source.has(name)) {
        Some((found, hint)) => Err(Error::Unsupported { found, hint }),
        None => Ok(()),
    }
}

fn locked(source: &Source, project: &Table, lock: &str) -> Result<Requirements, Error> {
    let lock = parse_toml("uv.lock", lock)?;
    let mut packages = Packages::default();
    let mut inputs = BTreeMap::new();
    add_input(source, "uv.lock", &mut inputs);
    for package in lock.get("package").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = package.get("name").and_then(Value::as_str) {
            packages.add(name);
        }
        let origin = package.get("source").and_then(Value::as_table);
        for kind in ["editable", "directory", "path", "virtual"] {
            if let Some(path) = origin.and_then(|origin| origin.get(kind)).and_then(Value::as_str)
                && path != "."
            {
                add_input(source, path, &mut inputs);
            }
        }
    }
    let least_python = least_python(project);
    let project = relevant(project);
    let declared = Declared::Lock;
    let (unpinned, unnamed) = (Vec::new(), Vec::new());
    Ok(Requirements { declared, packages, inputs, project, least_python, unpinned, unnamed })
}

fn from_project(source: &Source, project: &Table) -> Result<Requirements, Error> {
    let mut packages = Packages::default();
    let mut unpinned = Vec::new();
    let declared = project.get("project").and_then(|project| project.get("dependencies"));
    for requirement in declared.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        packages.add(requirement);
        if !is_pinned(requirement) {
            unpinned.push(requirement.to_owned());
        }
    }
    let mut inputs = BTreeMap::new();
    if let Some(sources) = uv_sources(project) {
        let paths = sources.values().filter_map(|origin| origin.get("path")?.as_str());
        paths.for_each(|path| add_input(source, path, &mut inputs));
    }
    let least_python = least_python(project);
    let project = relevant(project);
    let (declared, unnamed) = (Declared::Project, Vec::new());
    Ok(Requirements { declared, packages, inputs, project, least_python, unpinned, unnamed })
}

fn uv_sources(project: &Table) -> Option<&Table> {
    project.get("tool")?.get("uv")?.get("sources")?.as_table()
}

fn from_requirements(source: &Source) -> Result<Requirements, Error> {
    let found = Requirements::none(Declared::Requirements);
    let mut reader = Reader { source, found, waiting: vec!["requirements.txt".to_owned()] };
    while let Some(path) = reader.waiting.pop() {
        if !reader.found.inputs.contains_key(&path) {
            reader.file(&path)?;
        }
    }
    Ok(reader.found)
}

/// Reads requirements files (the format of pip), one after the other.
struct Reader<'a> {
    source: &'a Source,
    found: Requirements,
    /// Files that others named.
    waiting: Vec<String>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str) -> Result<(), Error> {
        let Some(text) = self.source.text(path)? else {
            let reason = format!("it names {path}, which is not part of the source");
            return Err(Error::Malformed { path: "requirements.txt".to_owned(), reason });
        };
        add_input(self.source, path, &mut self.found.inputs);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        joined_lines(&text).iter().for_each(|line| self.line(line, folder));
        Ok(())
    }

    fn line(&mut self, line: &str, folder: &str) {
        let below = |path: &str| join(folder, path.trim_matches(['"', '\'']));
        if let Some(path) = option(line, &["-r", "--requirement", "-c", "--constraint"]) {
            self.waiting.push(below(path));
            return;
        }
        let local = option(line, &["-e", "--editable"]).unwrap_or(line);
        let is_wheel = local.ends_with(".whl") && !local.contains("://");
        if local.starts_with('.') || local.starts_with("file:") || is_wheel {
            let path = local.trim_start_matches("file:").split(['[', ';', ' ']).next().unwrap_or(local);
            add_input(self.source, &below(path), &mut self.found.inputs);
            if local.starts_with('.') && !is_wheel && !has_name(self.source, &below(path)) {
                self.found.unnamed.push(format!("./{}", below(path)));
            }
        } else if !local.starts_with('-') {
            self.found.packages.add(local);
            if !is_pinned(local) {
                let requirement = local.split(" --hash").next().unwrap_or(local).trim();
                self.found.unpinned.push(requirement.to_owned());
            }
        }
    }
}

/// Whether `pyproject.toml` says what a folder's package is called; else only its build does.
fn has_name(source: &Source, folder: &str) -> bool {
    let text = source.text(&join(folder, "pyproject.toml")).ok().flatten();
    let project = text.and_then(|text| text.parse::<Table>().ok());
    project.is_some_and(|project| project.get("project").is_some_and(|project| project.get("name").is_some()))
}

/// The value of an option at the beginning of a line.
fn option<'l>(line: &'l str, names: &[&str]) -> Option<&'l str> {
    names.iter().find_map(|name| {
        let rest = line.strip_prefix(name)?;
        let bounded = rest.starts_with([' ', '\t', '=']) || !name.starts_with("--");
        bounded.then(|| rest.trim_start_matches(['=', ' ', '\t']).trim())
    })
}

/// Lines without comments, those that end in a backslash joined with the next.
fn joined_lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n").replace("\\\n", " ");
    let without_comment = |line: &str| {
        let line = if line.trim_start().starts_with('#') { "" } else { line };
        line.split(" #").next().unwrap_or(line).trim().to_owned()
    };
    text.lines().map(without_comment).filter(|line| !line.is_empty()).collect()
}

/// Whether a requirement allows one version only.
fn is_pinned(requirement: &str) -> bool {
    let requirement = requirement.split([';', '#']).next().unwrap_or(requirement);
    requirement.contains("===")
        || requirement.contains(" @ ")
        || requirement.split_once("==").is_some_and(|(_, version)| !version.contains('*'))
}

fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Records what a file is, or everything below a folder; nothing where there is nothing: uv will say so.
fn add_input(source: &Source, path: &str, inputs: &mut BTreeMap<String, Digest>) {
    let path = join("", path);
    match source.resolve(&path) {
        Found::File(file) => drop(inputs.insert(path, file.digest)),
        Found::Folder(folder) => {
            let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            let below = source.files.iter().filter(|(file, _)| file.starts_with(&prefix));
            inputs.extend(below.map(|(file, entry)| (file.clone(), entry.digest)));
        }
        Found::Missing => {}
    }
}

/// What of `pyproject.toml` decides what gets installed: not the version of the project, not the settings of linters.
fn relevant(project: &Table) -> String {
    const OF_PROJECT: [&str; 4] = ["name", "dependencies", "optional-dependencies", "requires-python"];
    let mut kept = serde_json::Map::new();
    let json = |value: &Value| serde_json::to_value(value).unwrap_or(serde_json::Value::Null);
    for key in OF_PROJECT {
        if let Some(value) = project.get("project").and_then(|project| project.get(key)) {
            kept.insert(format!("project.{key}"), json(value));
        }
    }
    for key in ["build-system", "dependency-groups"] {
        kept.extend(project.get(key).map(|value| (key.to_owned(), json(value))));
    }
    kept.extend(
        project.get("tool").and_then(|tool| tool.get("uv")).map(|uv| ("tool.uv".to_owned(), json(uv))),
    );
    serde_json::Value::Object(kept).to_string()
}

/// `12` of `>=3.12,<4`.
fn least_python(project: &Table) -> Option<u32> {
    let bounds = project.get("project")?.get("requires-python")?.as_str()?;
    let least = bounds.split(',').find_map(|bound| bound.trim().strip_prefix(">="))?;
    least.trim().strip_prefix("3.")?.split('.').next()?.parse().ok()
}

fn parse_toml(path: &str, text: &str) -> Result<Table, Error> {
    text.parse::<Table>().map_err(|error| {
        let line =
            error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count()) + 1;
        Error::Malformed { path: path.to_owned(), reason: format!("line {line}: {}", error.message()) }
    })
}

#[cfg(test)]
mod tests;
