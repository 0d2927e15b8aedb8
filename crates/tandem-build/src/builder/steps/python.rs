//! The steps of Python: which interpreter, and the dependencies for it.

use std::sync::Arc;

use tandem_types::Digest;

use super::super::part::{Part, count};
use super::Steps;
use crate::dependencies::{self, Installed};
use crate::installation::{self, Outdated};
use crate::python::{Asked, Python};
use crate::recipe::Recipe;
use crate::source::Source;
use crate::{Error, uv_cache};

/// Interpreters that are tried one after the other where nothing says which.
const MOST_TRIES: usize = 4;

impl Steps<'_> {
    /// The interpreter and, where there are some, the dependencies installed for it.
    pub(super) async fn python_and_dependencies(
        &mut self,
        tree: Digest,
        source: &Source,
        recipe: &Recipe,
    ) -> Result<(Option<Python>, Option<Installed>), Error> {
        let asked = recipe.python.as_ref();
        if recipe.requirements.is_none() {
            // Only to compile what is there.
            let has_python = source.files.keys().any(|path| path.ends_with(".py"));
            let found = if has_python {
                self.builder.pythons_here(asked).await.unwrap_or_default()
            } else {
                Vec::new()
            };
            return Ok((found.into_iter().next(), None));
        }
        let mut waiting = self.builder.pythons(asked, self.events).await?;
        if let Some(note) = asked.and_then(|asked| patch_note(asked, &waiting[0])) {
            self.note(note);
        }
        let mut tried = 0;
        let mut reason: Option<String> = None;
        loop {
            let python = waiting.remove(0);
            tried += 1;
            let outdated = match self.dependencies(tree, recipe, &python).await {
                Ok(installed) => {
                    if let Some(reason) = reason {
                        self.note(format!(
                            "{} is used, since {reason}; `[build] python` in tandem.toml decides otherwise",
                            python.version
                        ));
                    }
                    return Ok((Some(python), Some(installed)));
                }
                Err(Error::Dependencies { lines, .. })
                    if asked.is_none() && Outdated::in_lines(&lines).is_some() =>
                {
                    Outdated::in_lines(&lines).expect("it was just found")
                }
                Err(error) => return Err(error),
            };
            waiting.retain(|python| outdated.wants.admits(python.number()));
            if waiting.is_empty() && tried < MOST_TRIES {
                let fetched = self.builder.pythons(Some(&outdated.wants), self.events).await?;
                waiting = fetched.into_iter().filter(|other| *other != python).collect();
            }
            if waiting.is_empty() || tried >= MOST_TRIES {
                return Err(Error::PythonMissing(Box::new(
                    self.builder.missing(Some(&outdated.wants), None),
                )));
            }
            reason = Some(outdated.reason);
        }
    }

    async fn dependencies(
        &mut self,
        tree: Digest,
        recipe: &Recipe,
        python: &Python,
    ) -> Result<Installed, Error> {
        let (uv, uv_version) = self.builder.uv(self.events).await?;
        let shop = Arc::clone(&self.shop);
        let part = Part::begin("dependencies", &shop, self.events);
        let requirements = recipe.requirements.as_ref().expect("only called where there are some");
        let server = recipe.server;
        let inputs = dependencies::Inputs { requirements, python, uv: &uv, uv_version: &uv_version, server };
        let key = inputs.key();
        let found = self.blocking(move |shop, store| dependencies::find(shop, store, &key)).await?;
        if let Some(installed) = found {
            part.end(format!("{}, cached", count(installed.packages, "package", "packages")));
            return Ok(installed);
        }
        self.blocking(move |shop, store| shop.lay_out(store, &tree)).await?;
        let cache_bytes = self.builder.inner.config.uv_cache_bytes;
        let warnings = match installation::install(&shop, &inputs, self.events).await {
            Ok(warnings) => warnings,
            Err(error) => {
                match error {
                    Error::DiskFull { .. } => uv_cache::give_back(&shop).await,
                    _ => uv_cache::ensure_small(&shop, &inputs, cache_bytes).await,
                }
                return Err(error);
            }
        };
        for warning in warnings {
            self.warn(Some(warning));
        }
        dependencies::compile(&shop, python, self.events).await?;
        let interpreter = python.clone();
        let installed =
            self.blocking(move |shop, store| dependencies::keep(shop, store, &interpreter, key)).await?;
        uv_cache::ensure_small(&shop, &inputs, cache_bytes).await;
        part.end(count(installed.packages, "package", "packages"));
        Ok(installed)
    }
}

/// Said where a version was named with all its digits and another of the same minor one is taken.
fn patch_note(asked: &Asked, python: &Python) -> Option<String> {
    let differs = asked.names_patch() && !asked.is_exactly(python.number());
    differs.then(|| {
        format!("{} is used: {} asks for {}, which is not here", python.version, asked.by, asked.text)
    })
}
