//! From what was read to what runs.

use std::collections::{BTreeMap, BTreeSet};

use tandem_types::ProcessType;
use tandem_types::app::{AppSpec, ProcessSpec, ReleaseCommand};
use tandem_types::defaults;

use super::{
    APP, AppFile, Django, Error, Folders, Package, Packages, Requirements, Server, Source, VENV, WebApp,
    app_file, below, folders, requirements,
};
use tandem_app_file::{ProcessEntry, Procfile};

/// Servers whose command line names the module they serve.
const SERVERS: [&str; 7] =
    ["daphne", "granian", "gunicorn", "hypercorn", "uvicorn", "uwsgi", "waitress-serve"];

/// Packages of servers that need to be told more than which module they serve, or that serve another kind of app.
const OTHERS: [&str; 8] =
    ["uwsgi", "mod-wsgi", "granian", "hypercorn", "daphne", "uvicorn", "bjoern", "cheroot"];

/// Everything that a spec is made of.
pub(super) struct Parts<'a> {
    pub(super) source: &'a Source,
    pub(super) file: AppFile,
    pub(super) folders: Folders,
    pub(super) procfile: Option<Procfile>,
    pub(super) django: Option<Django>,
    pub(super) requirements: Option<Requirements>,
    web_app: Option<WebApp>,
    pub(super) package: Option<Package>,
}

impl<'a> Parts<'a> {
    /// Reads what lies around. `is_written`: there is an app file, so it is an app whatever else there is.
    pub(super) fn read(
        source: &'a Source,
        is_written: bool,
        file: AppFile,
        folders: Folders,
    ) -> Result<Self, Error> {
        let work = folders.work.as_str();
        let procfile = folders.procfile(source).map(|path| source.text(&path)).transpose()?.flatten();
        let procfile = procfile.map(|text| app_file::parse_procfile(&text)).transpose()?;
        let django = Django::detect(source, work, file.build.settings.as_deref())?;
        let said = &file.build;
        let options = requirements::Options {
            folder: work,
            file: said.requirements.as_deref(),
            extras: &said.extras,
            groups: &said.groups,
        };
        let requirements = requirements::read(source, &options)?;
        if django.is_some() && requirements.is_none() {
            return Err(Error::NoDependencies);
        }
        let packages = requirements.as_ref().map(|requirements| &requirements.packages);
        let none = Packages::default();
        let web_app = match &django {
            Some(_) => None,
            None => WebApp::detect(source, work, packages.unwrap_or(&none))?,
        };
        let package = Package::read(source, work, file.build.node.as_deref())?;
        let starts = package.as_ref().is_some_and(|package| package.has_start && package.folder == work);
        if !is_written && procfile.is_none() && django.is_none() && web_app.is_none() && !starts {
            return Err(Error::NoRecipe { apps: folders::apps(source)? });
        }
        Ok(Self { source, file, folders, procfile, django, requirements, web_app, package })
    }

    pub(super) fn spec(&self) -> Result<AppSpec, Error> {
        let processes = self.processes()?;
        let smoke = self.smoke(&processes);
        let in_file = |folder: &String| below(&self.folders.file, folder);
        let folders = self.file.static_folders.iter().flatten();
        Ok(AppSpec {
            root: Some(self.folders.work.clone()).filter(|work| !work.is_empty()),
            release: self.release(),
            smoke,
            static_folders: folders.map(|(prefix, folder)| (prefix.clone(), in_file(folder))).collect(),
            volumes: self.volumes(),
            domains: self.file.domains.clone(),
            limits: self.file.limits,
            https: self.file.https,
            path: self.requirements.as_ref().map(|_| format!("{VENV}/bin")).into_iter().collect(),
            environment: self.environment(),
            processes,
        })
    }

    /// Volume name → absolute path.
    fn volumes(&self) -> BTreeMap<String, String> {
        let absolute = |path: &String| match path.starts_with('/') {
            true => path.clone(),
            false => in_app(&below(&self.folders.file, path)),
        };
        self.file.volumes.iter().map(|(name, path)| (name.clone(), absolute(path))).collect()
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
        let detected = self.detected().map(|(command, _)| command).or_else(|| self.npm_start());
        detected.map(|command| (ProcessType::web(), command)).into_iter().collect()
    }

    /// How Python's frameworks are served, and with which server that their dependencies lack.
    fn detected(&self) -> Option<(String, Option<Server>)> {
        let packages = &self.requirements.as_ref()?.packages;
        if let Some(django) = &self.django {
            return django.web_command(packages);
        }
        Some(self.web_app.as_ref()?.web_command(packages))
    }

    fn npm_start(&self) -> Option<String> {
        let package = self.package.as_ref()?;
        (package.has_start && package.folder == self.folders.work).then(|| "npm start".to_owned())
    }

    /// The server that is to be added, where the command that needs it is the one that was taken.
    pub(super) fn added_server(&self, spec: &AppSpec) -> Option<Server> {
        let (command, server) = self.detected()?;
        let web = spec.processes.get(&ProcessType::web())?;
        server.filter(|_| web.command == command)
    }

    /// A server among the dependencies that no detected command starts.
    pub(super) fn other_server(&self) -> Option<&'static str> {
        let packages = &self.requirements.as_ref()?.packages;
        OTHERS.into_iter().find(|name| packages.has(name))
    }

    /// What is told of an app object that was guessed, where nobody wrote a command.
    pub(super) fn app_note(&self) -> Option<String> {
        let web = self.file.processes.get(&ProcessType::web());
        let is_written = self.procfile.is_some() || web.is_some_and(|web| web.command.is_some());
        let web_app = self.web_app.as_ref().filter(|_| !is_written && self.requirements.is_some())?;
        web_app.note()
    }

    fn release(&self) -> Option<ReleaseCommand> {
        let procfile = || self.procfile.as_ref().and_then(|procfile| procfile.release.clone());
        let detected = || self.django.as_ref().map(|django| django.migrate(&self.folders.work));
        let command = self.file.release.command.clone().or_else(procfile).or_else(detected)?;
        let timeout = self.file.release.timeout.unwrap_or(defaults::RELEASE_TIMEOUT);
        (!command.is_empty()).then_some(ReleaseCommand { command, timeout })
    }

    fn smoke(&self, processes: &BTreeMap<ProcessType, ProcessSpec>) -> Option<String> {
        if let Some(django) = &self.django {
            return django.smoke_command();
        }
        self.requirements.as_ref()?;
        let module = self.served_module(&processes.get(&ProcessType::web())?.command)?;
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
            let paths: Vec<String> = self.search_paths().iter().map(|path| in_app(path)).collect();
            if !paths.is_empty() {
                set("PYTHONPATH", &paths.join(":"));
            }
        }
        if let Some(settings) = self.django.as_ref().and_then(|django| django.settings.as_deref()) {
            set("DJANGO_SETTINGS_MODULE", settings);
        }
        environment
    }

    /// Folders that must be on `PYTHONPATH`. What lies in the working folder is found without it, but for a project that
    /// its makers install, whose scripts lie anywhere.
    fn search_paths(&self) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        if let Some(django) = &self.django {
            paths.extend(django.paths.iter().cloned());
            paths.insert(django.folder.clone());
        }
        paths.remove(&self.folders.work);
        paths.extend(layout(self.source, &self.folders.work));
        paths
    }

    /// The module that a server's command line names, where the source has it: `shop` in `gunicorn -w 2 shop:app`.
    fn served_module(&self, command: &str) -> Option<String> {
        let mut words = command.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
        words.find(|word| SERVERS.contains(&word.rsplit('/').next().unwrap_or(word)))?;
        let mut folders = self.search_paths();
        folders.extend([self.folders.work.clone(), below(&self.folders.work, "src")]);
        let in_source = |module: &str| {
            let path = module.replace('.', "/");
            let files = [format!("{path}.py"), format!("{path}/__init__.py")];
            folders.iter().any(|folder| files.iter().any(|file| self.source.has(&below(folder, file))))
        };
        words
            .map(|word| word.split(':').next().unwrap_or(word))
            .find(|module| tandem_app_file::is_module(module) && in_source(module))
            .map(str::to_owned)
    }
}

/// The path of a folder as instances see it.
fn in_app(folder: &str) -> String {
    if folder.is_empty() { APP.to_owned() } else { format!("{APP}/{folder}") }
}

fn apply(entry: &ProcessEntry, spec: &mut ProcessSpec) {
    let ProcessEntry { command: _, health, instances, memory_bytes, cpus, stop_timeout, stop_signal } = entry;
    spec.health = health.clone().instead_of(std::mem::take(&mut spec.health));
    spec.instances = instances.unwrap_or(spec.instances);
    spec.memory_bytes = memory_bytes.unwrap_or(spec.memory_bytes);
    spec.cpus = cpus.or(spec.cpus);
    spec.stop_timeout = stop_timeout.unwrap_or(spec.stop_timeout);
    spec.stop_signal = stop_signal.unwrap_or(spec.stop_signal);
}

/// The project itself is not installed, so its packages are found by the path of their folder: `src` beside the nearest
/// `pyproject.toml`, or, in a project that can be installed, the folder of that file.
fn layout(source: &Source, work: &str) -> Option<String> {
    let project = source.nearest(work, "pyproject.toml")?;
    let top = project.rsplit_once('/').map_or("", |(folder, _)| folder);
    let has_packages = |folder: &str| {
        let folders = source.list(folder).into_iter().filter(|(_, kind)| kind == "d");
        folders.into_iter().any(|(name, _)| source.has(&below(&below(folder, &name), "__init__.py")))
    };
    let src = below(top, "src");
    if has_packages(&src) {
        return Some(src);
    }
    let text = source.text(&project).ok().flatten()?;
    let is_built = text.lines().any(|line| line.trim() == "[build-system]");
    (is_built && has_packages(top)).then(|| top.to_owned())
}
