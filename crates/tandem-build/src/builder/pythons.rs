//! Which interpreters a build may have: those that are here and fit, else one that is fetched.

use std::path::{Path, PathBuf};

use tandem_types::event::Event;

use super::{Builder, known, remember};
use crate::error::{PythonMissing, io_error};
use crate::python::places::{Interpreter, Places, in_order};
use crate::python::{self, Asked, Python, Stamp, fetch};
use crate::{Error, Events, tools};

impl Builder {
    /// Interpreters that fit, best first, at least one; fetched where none is here.
    ///
    /// # Errors
    /// [`Error::PythonMissing`]: with what is asked for, what is here, and why none was fetched.
    pub(super) async fn pythons(
        &self,
        asked: Option<&Asked>,
        events: Events<'_>,
    ) -> Result<Vec<Python>, Error> {
        let here = self.pythons_here(asked).await?;
        if !here.is_empty() {
            return Ok(here);
        }
        let not_fetched = match self.fetch_python(asked, events).await {
            Ok(()) => match self.pythons_here(asked).await? {
                fetched if !fetched.is_empty() => return Ok(fetched),
                _ => "what uv fetched does not fit".to_owned(),
            },
            Err(reason) => reason,
        };
        Err(Error::PythonMissing(Box::new(self.missing(asked, Some(not_fetched)))))
    }

    /// Interpreters that are here and fit, best first.
    ///
    /// # Errors
    /// One that would fit cannot be asked what it is, and no other fits.
    pub(super) async fn pythons_here(&self, asked: Option<&Asked>) -> Result<Vec<Python>, Error> {
        let all = self.places().interpreters().into_iter();
        let fitting = all.filter(|one| asked.is_none_or(|asked| asked.fits_minor(one.minor))).collect();
        let (mut found, mut trouble) = (Vec::new(), None);
        for interpreter in in_order(fitting, asked.is_some()) {
            match self.python(&interpreter).await {
                Ok(python) if asked.is_none_or(|asked| asked.admits(python.number())) => found.push(python),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "an interpreter is left out");
                    trouble = Some(error);
                }
            }
        }
        if let Some(asked) = asked {
            found.sort_by_key(|python| !asked.is_exactly(python.number()));
        }
        match trouble {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// What people are told where none fits.
    pub(super) fn missing(&self, asked: Option<&Asked>, not_fetched: Option<String>) -> PythonMissing {
        let places = self.places();
        PythonMissing {
            asked: asked.map(|asked| (asked.text.clone(), asked.by.clone())),
            package: asked.and_then(Asked::only_minor).map(|minor| format!("python{minor}")),
            found: places.interpreters().iter().map(|found| found.file.display().to_string()).collect(),
            looked: places.describe(),
            line: line_to_type(tools::find_uv(&self.inner.config.data), places.own(), asked),
            not_fetched,
        }
    }

    fn places(&self) -> Places {
        let config = &self.inner.config;
        Places::new(&config.python_folders, &config.data, config.isolation)
    }

    /// What an interpreter is, as builds know it.
    async fn python(&self, interpreter: &Interpreter) -> Result<Python, Error> {
        let file = &interpreter.file;
        let stamp = Stamp::of(file).map_err(io_error("look at", file))?;
        if let Some(python) = known(&self.inner.pythons, &stamp) {
            return Ok(python);
        }
        let python = Python { path: interpreter.seen.clone(), ..python::identify(file).await? };
        remember(&self.inner.pythons, stamp, python.clone());
        Ok(python)
    }

    async fn fetch_python(&self, asked: Option<&Asked>, events: Events<'_>) -> Result<(), String> {
        if asked.is_some_and(|asked| !asked.is_possible()) {
            return Err("there never was such a Python 3".to_owned());
        }
        let config = &self.inner.config;
        let told = |error: Error| tandem_kit::error::chain(&error);
        let (uv, _) = self.uv(events).await.map_err(told)?;
        let part = |duration_ms, note: &str| {
            events(Event::Part { name: "python".to_owned(), duration_ms, note: note.to_owned() });
        };
        let started = self.clock().monotonic();
        part(None, "no interpreter that is here fits: uv is asked for one");
        let lock = tools::lock(&config.data, self.clock()).await.map_err(told)?;
        let fetched = fetch::fetch(&uv, self.places().own(), asked, &config.network).await;
        drop(lock);
        let duration = self.clock().monotonic().elapsed_since(started).as_millis();
        let note = if fetched.is_ok() { "fetched" } else { "not fetched" };
        part(Some(u64::try_from(duration).unwrap_or(u64::MAX)), note);
        fetched
    }
}

/// Fetches by hand what [`fetch::fetch`] fetches.
fn line_to_type(uv: Option<PathBuf>, own: &Path, asked: Option<&Asked>) -> String {
    let uv = uv.map_or_else(|| "uv".to_owned(), |uv| uv.display().to_string());
    let request = asked.map_or_else(|| "3".to_owned(), Asked::request);
    format!("{uv} python install --no-bin --install-dir {} '{request}'", own.display())
}
