//! Installing the dependencies: uv in the sandbox, the one step with the network.
//!
//! Packages that come as source run code of their own here. It reaches nothing of the loopback but name servers and what
//! the administrator named as index or proxy. Where that setting has a password, packages are first installed without
//! running any of their code, which is enough for most apps; see decision 009.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tandem_sandbox::run::Outcome;
use tandem_sandbox::{Mount, Network};
use tandem_types::event::Event;

use crate::dependencies::Inputs;
use crate::python::Asked;
use crate::recipe::{APP, VENV};
use crate::requirements::Declared;
use crate::server::Server;
use crate::source::below;
use crate::workshop::{Call, Workshop};
use crate::{Error, Events};

/// Where uv keeps what it downloaded, as commands see it.
pub(crate) const UV_CACHE: &str = "/uv-cache";
const WHAT: &str = "the installation of the dependencies";
/// Packages that a warning names.
const NAMES_SHOWN: usize = 5;

/// Whether packages may run code of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Builds {
    Refused,
    Allowed,
}

/// Installs into the exported source. Returns what people should know.
pub(crate) async fn install(
    shop: &Workshop,
    inputs: &Inputs<'_>,
    events: Events<'_>,
) -> Result<Vec<String>, Error> {
    let mut warnings: Vec<String> = shop.close_loopback().await.into_iter().collect();
    if !shop.network().has_credentials() {
        let outcome = run(shop, (inputs, Builds::Allowed), events).await?;
        return judge(inputs, outcome).map(|()| warnings);
    }
    let held = Held::default();
    let tried = run(shop, (inputs, Builds::Refused), &|event| held.hold(event)).await;
    let is_final = match &tried {
        Ok(outcome) => outcome.succeeded() || is_stale(&outcome.last_lines),
        // A limit ended it: its lines say at what.
        Err(_) => true,
    };
    if is_final {
        held.release(events);
        return judge(inputs, tried?).map(|()| warnings);
    }
    // Not told: with another reason for the failure than a package that must be built, the second try says the same.
    let built = Built::default();
    let outcome = run(shop, (inputs, Builds::Allowed), &|event| {
        built.note(&event);
        events(event);
    })
    .await?;
    let warning = built.warning();
    if outcome.succeeded() {
        warnings.extend(warning);
    } else if let Some(text) = warning {
        events(Event::Warning { text });
    }
    judge(inputs, outcome).map(|()| warnings)
}

async fn run(
    shop: &Workshop,
    (inputs, builds): (&Inputs<'_>, Builds),
    events: Events<'_>,
) -> Result<Outcome, Error> {
    let requirements = inputs.requirements;
    let names = |option: &str, names: &[String]| -> String {
        names.iter().map(|name| format!(" --{option} {name}")).collect()
    };
    let asked = format!("{}{}", names("extra", &requirements.extras), names("group", &requirements.groups));
    let install = match requirements.declared {
        Declared::Lock => {
            // `--no-dev` would win over `--group dev`.
            let dev = if requirements.groups.iter().any(|group| group == "dev") { "" } else { " --no-dev" };
            format!("sync --locked{dev} --no-install-project{asked}")
        }
        Declared::Requirements | Declared::Project => {
            format!("pip install --python \"$VENV/bin/python\" -r \"$FILE\"{asked}")
        }
    };
    let refusal = if builds == Builds::Refused { " --no-build" } else { "" };
    let venv = "\"$UV\" venv --quiet --relocatable --no-project --python \"$PYTHON\" .venv";
    let mut mounts = shop.mounts();
    mounts.push(Mount::read_only(inputs.uv, "/uv"));
    mounts.push(Mount::writable(shop.folder.join("uv"), UV_CACHE));
    let mut environment = environment(inputs.python.path_text());
    environment.insert("VENV".to_owned(), VENV.to_owned());
    environment.insert("FILE".to_owned(), requirements.file.clone());
    environment
        .insert("FOLDER".to_owned(), below(APP, &requirements.folder).trim_end_matches('/').to_owned());
    let (variables, certificates) = shop.way_out()?;
    environment.extend(variables);
    mounts.extend(certificates);
    let call = Call {
        what: WHAT,
        command: format!(
            "{{ test -e .venv/bin/python || {venv}; }} && (cd \"$FOLDER\" && \"$UV\" {install}{refusal}){}",
            inputs.server.map(|server| add(server, refusal)).unwrap_or_default()
        ),
        cwd: APP,
        environment,
        mounts,
        network: Network::Host,
        is_shown: true,
    };
    shop.run(call, events).await
}

/// Adds a web server where none of the dependencies brought it along. What they came to is a constraint, so nothing of them
/// changes for it; what was not installed by a version (a folder, a URL) cannot be one, and has no reason to change. What the
/// server could use besides is left out where it is there in a version of its own.
fn add(server: Server, refusal: &str) -> String {
    let extras = server.extras().iter().map(|extra| {
        let name = extra.split("==").next().unwrap_or(extra);
        format!("grep -qiE '^{name}( @|==)' \"$TOOLS/there\" || EXTRAS=\"$EXTRAS {extra}\"; ")
    });
    format!(
        " && {{ test -x .venv/bin/{name} || {{ \"$UV\" pip freeze --python .venv/bin/python > \"$TOOLS/there\"; \
         grep -E '^[A-Za-z0-9._-]+==' \"$TOOLS/there\" > \"$TOOLS/installed\"; EXTRAS=; {}\
         \"$UV\" pip install --python .venv/bin/python --constraint \"$TOOLS/installed\" {}$EXTRAS{refusal}; }}; }}",
        extras.collect::<String>(),
        server.requirement(),
        name = server.name(),
    )
}

/// What uv is told, but for the network.
pub(crate) fn environment(python: &str) -> BTreeMap<String, String> {
    [
        ("UV", "/uv"),
        ("UV_CACHE_DIR", UV_CACHE),
        // A hard link would let an app's build change the cache, and the cache what was installed.
        ("UV_LINK_MODE", "copy"),
        ("UV_NO_PROGRESS", "1"),
        ("UV_PROJECT_ENVIRONMENT", VENV),
        ("UV_PYTHON", python),
        ("UV_PYTHON_DOWNLOADS", "never"),
        ("NO_COLOR", "1"),
        ("PYTHON", python),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn judge(inputs: &Inputs<'_>, outcome: Outcome) -> Result<(), Error> {
    if outcome.succeeded() {
        return Ok(());
    }
    let lines = outcome.last_lines;
    if is_stale(&lines) {
        return Err(Error::StaleLock { lines });
    }
    let repositories = inputs.requirements.repositories.iter();
    let repositories =
        repositories.map(|repository| (repository.url.clone(), repository.by.clone())).collect();
    Err(Error::Dependencies { lines, unnamed: inputs.requirements.unnamed.clone(), repositories })
}

/// What uv says of a dependency that does not support the interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outdated {
    /// Interpreters that it does support.
    pub(crate) wants: Asked,
    /// For people: `django==6.0 does not support Python 3.11.2`.
    pub(crate) reason: String,
}

impl Outdated {
    /// Reads uv's lines.
    pub(crate) fn in_lines(lines: &[String]) -> Option<Self> {
        lines.iter().find_map(|line| Self::by_metadata(line).or_else(|| Self::by_wheels(line)))
    }

    /// `Because the current Python version (3.11.2) does not satisfy Python>=3.12 and django==6.0 depends on Python>=3.12, …`
    fn by_metadata(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("the current Python version (")?;
        let (version, rest) = rest.split_once(") does not satisfy Python")?;
        let (range, rest) = rest.split_once(' ')?;
        let named = rest.strip_prefix("and ").and_then(|rest| rest.split_once(" depends on Python"));
        let package = named.map(|(package, _)| package).filter(|package| !package.contains([' ', ':']));
        let package = package.unwrap_or("a dependency");
        let wants = Asked::of_range(range.trim_end_matches(','), package)?;
        Some(Self { wants, reason: format!("{package} does not support Python {version}") })
    }

    /// ``You require CPython 3.11 (`cp311`), but we only found wheels for `x` (v2.8.0) with the following Python ABI tags: `cp38```
    fn by_wheels(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("You require CPython ")?;
        let (version, rest) = rest.split_once(" (`")?;
        let (_, rest) = rest.split_once("only found wheels for `")?;
        let (package, rest) = rest.split_once('`')?;
        let (_, tags) = rest.split_once("with the following Python ")?;
        let tag = |tag: &str| {
            let digits = tag.strip_prefix("cp3")?;
            digits.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
        };
        let mut minors: Vec<u32> = tags.split('`').filter_map(tag).collect();
        minors.sort_unstable();
        minors.dedup();
        let wants = Asked::of_minors(&minors, package)?;
        Some(Self { wants, reason: format!("{package} has no wheel for Python {version}") })
    }
}

fn is_stale(lines: &[String]) -> bool {
    lines.iter().any(|line| line.contains("needs to be updated") && line.contains("lock"))
}

/// Events kept back until it is certain that they are worth reading.
#[derive(Default)]
struct Held(Mutex<Vec<Event>>);

impl Held {
    fn hold(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn release(self, events: Events<'_>) {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().for_each(events);
    }
}

/// Packages whose code ran, as uv's output tells.
#[derive(Default)]
struct Built(Mutex<BTreeSet<String>>);

impl Built {
    fn note(&self, event: &Event) {
        let Event::Line { text, .. } = event else { return };
        if let Some(package) = text.trim_start().strip_prefix("Building ") {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(package.trim().to_owned());
        }
    }

    fn warning(self) -> Option<String> {
        let packages = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let names = packages.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let (more, distributions) = match packages.len() {
            0 => return None,
            1 => ("", "1 source distribution".to_owned()),
            all if all > NAMES_SHOWN => (", …", format!("{all} source distributions")),
            all => ("", format!("{all} source distributions")),
        };
        Some(format!(
            "index credentials are visible to build scripts of {distributions}: {names}{more}; pin versions that \
             have wheels, or give Tandem credentials that only read"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tandem_kit::clock::Clock;
    use tandem_kit::files;
    use tandem_kit::paths::DataDir;
    use tandem_sandbox::Limits;
    use tandem_types::instance::Isolation;
    use tandem_types::{Span, defaults};

    use super::*;
    use crate::python::Python;
    use crate::requirements::Requirements;
    use crate::workshop::Options;

    /// Resolves, and then prints without end.
    const UV: &str = "#!/bin/sh\n\
        if [ \"$1\" = venv ]; then exit; fi\n\
        echo 'Resolved 2 packages'\n\
        exec head -c 70000000 /dev/zero\n";

    #[test]
    fn a_dependency_that_does_not_support_the_interpreter_is_known_by_uvs_words() {
        let outdated =
            |line: &str| Outdated::in_lines(&["error: No solution found".to_owned(), line.to_owned()]);
        let line = "  cause: Because the current Python version (3.11.2) does not satisfy Python>=3.12,<4 and django==6.0 \
                    depends on Python>=3.12,<4, we can conclude that django==6.0 cannot be used.";
        let found = outdated(line).unwrap();
        assert_eq!(found.reason, "django==6.0 does not support Python 3.11.2");
        assert!(found.wants.admits("3.12.1") && !found.wants.admits("3.11.9"));
        let line = "hint: You require CPython 3.11 (`cp311`), but we only found wheels for `tensorflow` (v2.8.0) with the \
                    following Python ABI tags: `cp37m`, `cp38`, `cp39`, `cp310`";
        let found = outdated(line).unwrap();
        assert_eq!(found.reason, "tensorflow has no wheel for Python 3.11");
        assert_eq!(
            (found.wants.text.as_str(), found.wants.request().as_str()),
            ("3.7 or 3.8 or 3.9 or 3.10", "3.10")
        );
        assert!(found.wants.admits("3.8.18") && !found.wants.admits("3.11.2"));
        assert_eq!(outdated("Because there are no versions of x and you require x, …"), None);
    }

    #[tokio::test]
    async fn what_was_held_back_is_told_when_a_limit_ends_the_try_with_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let uv = folder.path().join("uv");
        files::write_atomic_unsynced(&uv, UV.as_bytes(), 0o755).unwrap();
        std::fs::set_permissions(&uv, std::fs::Permissions::from_mode(0o755)).unwrap();
        let index = "http://joe:s3cret-word@127.0.0.1:1/simple/";
        let options = Options {
            data: &DataDir::open(&folder.path().join("data")).unwrap(),
            app: &"shop".parse().unwrap(),
            isolation: Isolation::Plain,
            uid: defaults::FIRST_UID,
            network: &[("UV_INDEX_URL".to_owned(), index.to_owned())].into_iter().collect(),
            clock: &Clock::system(),
            limit: Span::minutes(2),
            limits: &Limits::default(),
        };
        let shop = Workshop::open(&options).unwrap();
        for name in ["app", "tools"] {
            shop.owned_folder(&shop.work(name)).unwrap();
        }
        let requirements = Requirements::none(Declared::Requirements);
        let path = "/usr/bin/python3".into();
        let python = Python { path, version: "CPython 3".to_owned(), tag: "cpython-3".to_owned() };
        let inputs = Inputs {
            requirements: &requirements,
            python: &python,
            uv: &uv,
            uv_version: "uv 0",
            server: None,
        };
        let told = Held::default();
        let error = install(&shop, &inputs, &|event| told.hold(event)).await.unwrap_err();
        assert!(matches!(error, Error::TooMuchOutput { .. }), "{error}");
        let told = told.0.into_inner().unwrap();
        let line = |event: &Event| matches!(event, Event::Line { text, .. } if text == "Resolved 2 packages");
        assert!(told.iter().any(line), "{} events", told.len());
    }
}
