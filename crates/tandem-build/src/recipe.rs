//! What a source is and how it runs: what people wrote, completed by what is detected.
//!
//! `tandem.toml` wins over the Procfile, the Procfile over detection. A Procfile lists all processes there are, so
//! nothing is detected beside one.

use std::collections::{BTreeMap, BTreeSet};

use tandem_types::app::{AppSpec, ProcessSpec, ReleaseCommand};
use tandem_types::defaults;
use tandem_types::{Health, ProcessType};

use crate::Error;
use crate::app_file::{self, APP_FILE, AppFile, BuildEntry, HealthEntry, PROCFILE, ProcessEntry, Procfile};
use crate::django::{self, Django};
use crate::python::{Asked, asked};
use crate::requirements::{self, Packages, Requirements};
use crate::source::Source;

#[cfg(test)]
mod tests;

/// Where the source is in instances and while it is built.
pub(crate) const APP: &str = "/app";
/// Where the dependencies are.
pub(crate) const VENV: &str = "/app/.venv";
/// Servers whose command line names the module they serve.
const SERVERS: [&str; 7] =
    ["daphne", "granian", "gunicorn", "hypercorn", "uvicorn", "uwsgi", "waitress-serve"];

/// How to build a source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recipe {
    /// What runs. Static folders are completed once they were collected.
    pub(crate) spec: AppSpec,
    /// Whether `[static]` says which folders are static.
    pub(crate) static_declared: bool,
    /// Python dependencies.
    pub(crate) requirements: Option<Requirements>,
    /// The Django project.
    pub(crate) django: Option<Django>,
    /// Version of Python that the source asks for.
    pub(crate) python: Option<Asked>,
    /// What people should know.
    pub(crate) warnings: Vec<String>,
    /// What was taken for granted.
    pub(crate) notes: Vec<String>,
}

impl Recipe {
    /// Reads a source.
    ///
    /// # Errors
    /// Mistakes in its files, or nothing that says how to run it.
    pub(crate) fn read(source: &Source) -> Result<Self, Error> {
        let file = source.text(APP_FILE)?.map(|text| app_file::parse(&text)).transpose()?;
        let procfile = source.text(PROCFILE)?.map(|text| app_file::parse_procfile(&text)).transpose()?;
        let django = Django::detect(source)?;
        if file.is_none() && procfile.is_none() && django.is_none() {
            return Err(Error::NoRecipe);
        }
        let said = file.as_ref().map(|file| &file.build);
        let folder = file.as_ref().and_then(|file| file.root.as_deref()).unwrap_or_default();
        let requirements = requirements::read(source, &requirements_options(folder, said))?;
        if django.is_some() && requirements.is_none() {
            return Err(Error::NoDependencies);
        }
        let file = file.unwrap_or_default();
        let parts = Parts {
            source,
            file: &file,
            procfile,
            django: django.as_ref(),
            requirements: requirements.as_ref(),
        };
        let spec = parts.spec()?;
        let warnings = requirements.as_ref().and_then(Requirements::warning).into_iter().collect();
        let mut notes = requirements.as_ref().map(|found| found.notes.clone()).unwrap_or_default();
        let folder = file.root.as_deref().unwrap_or_default();
        let python = asked::read(source, folder, file.build.python.as_deref(), requirements.as_ref())?;
        notes.extend(python.notes);
        let static_declared = file.static_folders.is_some();
        Ok(Self { spec, static_declared, requirements, django, python: python.asked, warnings, notes })
    }

    /// Folders below `/app` on which something is mounted, volumes included.
    pub(crate) fn mount_points(&self) -> BTreeSet<String> {
        let volumes = self.spec.volumes.values().filter_map(|path| path.strip_prefix("/app/"));
        let mut points: BTreeSet<String> = volumes.map(str::to_owned).collect();
        if self.requirements.is_some() {
            points.insert(".venv".to_owned());
        }
        points
    }
}

/// Everything that a spec is made of.
struct Parts<'a> {
    source: &'a Source,
    file: &'a AppFile,
    procfile: Option<Procfile>,
    django: Option<&'a Django>,
    requirements: Option<&'a Requirements>,
}

impl Parts<'_> {
    fn spec(&self) -> Result<AppSpec, Error> {
        let processes = self.processes()?;
        let smoke = self.smoke(&processes);
        Ok(AppSpec {
            root: self.file.root.clone(),
            release: self.release(),
            smoke,
            static_folders: self.file.static_folders.clone().unwrap_or_default(),
            volumes: self.file.volumes.clone(),
            domains: self.file.domains.clone(),
            path: self.requirements.map(|_| format!("{VENV}/bin")).into_iter().collect(),
            environment: self.environment(),
            processes,
        })
    }

    fn processes(&self) -> Result<BTreeMap<ProcessType, ProcessSpec>, Error> {
        let mut processes = self.known_commands();
        let declared = self.file.processes.iter();
        processes.extend(declared.filter_map(|(name, entry)| Some((name.clone(), entry.command.clone()?))));
        if let Some(name) = self.file.processes.keys().find(|name| !processes.contains_key(name)) {
            let is_web = name.is_web();
            return Err(if is_web { Error::NoWebCommand } else { Error::NoCommand(name.to_string()) });
        }
        if processes.is_empty() {
            return Err(Error::NoWebCommand);
        }
        let complete = |(name, command): (ProcessType, String)| {
            let mut spec = ProcessSpec::new(&name, command);
            if let Some(entry) = self.file.processes.get(&name) {
                apply(entry, &mut spec);
            }
            (name, spec)
        };
        Ok(processes.into_iter().map(complete).collect())
    }

    /// Commands of the Procfile, else what is detected.
    fn known_commands(&self) -> BTreeMap<ProcessType, String> {
        if let Some(procfile) = &self.procfile {
            return procfile.processes.clone();
        }
        let none = Packages::default();
        let packages = self.requirements.map_or(&none, |requirements| &requirements.packages);
        let detected = self.django.and_then(|django| django.web_command(packages));
        detected.map(|command| (ProcessType::web(), command)).into_iter().collect()
    }

    fn release(&self) -> Option<ReleaseCommand> {
        let procfile = || self.procfile.as_ref().and_then(|procfile| procfile.release.clone());
        let detected = || self.django.map(|_| django::MIGRATE.to_owned());
        let command = self.file.release.command.clone().or_else(procfile).or_else(detected)?;
        let timeout = self.file.release.timeout.unwrap_or(defaults::RELEASE_TIMEOUT);
        (!command.is_empty()).then_some(ReleaseCommand { command, timeout })
    }

    fn smoke(&self, processes: &BTreeMap<ProcessType, ProcessSpec>) -> Option<String> {
        if let Some(django) = self.django {
            return django.smoke_command();
        }
        self.requirements?;
        let module = served_module(self.source, &processes.get(&ProcessType::web())?.command)?;
        Some(format!("python -c \"import importlib; importlib.import_module('{module}')\""))
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        let mut set = |name: &str, value: &str| drop(environment.insert(name.to_owned(), value.to_owned()));
        if self.requirements.is_some() {
            set("VIRTUAL_ENV", VENV);
            // Output reaches the log when it is printed, and nobody can write bytecode beside the source.
            set("PYTHONUNBUFFERED", "1");
            set("PYTHONDONTWRITEBYTECODE", "1");
            if has_src_layout(self.source) {
                set("PYTHONPATH", "/app/src");
            }
        }
        if let Some(settings) = self.django.and_then(|django| django.settings.as_deref()) {
            set("DJANGO_SETTINGS_MODULE", settings);
        }
        environment
    }
}

fn apply(entry: &ProcessEntry, spec: &mut ProcessSpec) {
    let ProcessEntry { command: _, health, instances, memory_bytes, cpus, stop_timeout, stop_signal } = entry;
    apply_health(health, &mut spec.health);
    spec.instances = instances.unwrap_or(spec.instances);
    spec.memory_bytes = memory_bytes.unwrap_or(spec.memory_bytes);
    spec.cpus = cpus.or(spec.cpus);
    spec.stop_timeout = stop_timeout.unwrap_or(spec.stop_timeout);
    spec.stop_signal = stop_signal.unwrap_or(spec.stop_signal);
}

fn apply_health(entry: &HealthEntry, health: &mut Health) {
    let HealthEntry { path, host, https, statuses } = entry.clone();
    health.path = path.unwrap_or_else(|| std::mem::take(&mut health.path));
    health.host = host.or(health.host.take());
    health.https = https.unwrap_or(health.https);
    health.statuses = statuses.unwrap_or_else(|| health.statuses.clone());
}

/// The project itself is not installed, so a package below `src` is found by its path.
fn has_src_layout(source: &Source) -> bool {
    source.has("pyproject.toml")
        && source.folders.iter().any(|folder| {
            folder.strip_prefix("src/").is_some_and(|name| !name.contains('/'))
                && source.has(&format!("{folder}/__init__.py"))
        })
}

/// The module that a server's command line names, where the source has it: `shop` in `gunicorn -w 2 shop:app`.
fn served_module(source: &Source, command: &str) -> Option<String> {
    let mut words = command.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
    words.find(|word| SERVERS.contains(&word.rsplit('/').next().unwrap_or(word)))?;
    let in_source = |module: &str| {
        let path = module.replace('.', "/");
        ["", "src/"].iter().any(|prefix| {
            source.has(&format!("{prefix}{path}.py")) || source.has(&format!("{prefix}{path}/__init__.py"))
        })
    };
    words
        .map(|word| word.split(':').next().unwrap_or(word))
        .find(|module| django::is_module(module) && in_source(module))
        .map(str::to_owned)
}

fn requirements_options<'a>(folder: &'a str, said: Option<&'a BuildEntry>) -> requirements::Options<'a> {
    said.map_or(requirements::Options { folder, ..Default::default() }, |said| requirements::Options {
        folder,
        file: said.requirements.as_deref(),
        extras: &said.extras,
        groups: &said.groups,
    })
}
