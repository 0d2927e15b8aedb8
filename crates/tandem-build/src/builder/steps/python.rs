//! The steps of Python: which interpreter, and the dependencies for it.

use std::collections::VecDeque;
use std::sync::Arc;

use tandem_types::Digest;

use super::super::part::{Part, count};
use super::Steps;
use crate::dependencies;
use crate::installation::{self, Outdated};
use crate::installed::Installed;
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
        let found = self.builder.pythons(asked, self.events).await?;
        if let Some(note) = asked.and_then(|asked| patch_note(asked, &found[0])) {
            self.note(note);
        }
        let mut tries = Tries::of(found);
        while let Some(python) = tries.pick() {
            let outdated = match self.dependencies(tree, recipe, &python).await {
                Ok(installed) => {
                    if let Some(note) = tries.note(&python) {
                        self.note(note);
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
            if tries.refused(&outdated) {
                tries.add(self.builder.pythons(Some(&outdated.wants), self.events).await?);
            }
        }
        let missing = self.builder.missing(tries.wants.as_ref(), None);
        Err(Error::PythonMissing(Box::new(missing)))
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
        let found =
            self.blocking(move |shop, store| dependencies::KEPT.find(&shop.folder, store, &key)).await?;
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

/// Interpreters that are tried one after the other where nothing says which: each time a dependency does not support one,
/// those that it does support.
struct Tries {
    waiting: VecDeque<Python>,
    tried: Vec<Python>,
    /// What the last refusal asked for, and in words why.
    wants: Option<Asked>,
    reason: Option<String>,
}

impl Tries {
    fn of(found: Vec<Python>) -> Self {
        Self { waiting: found.into(), tried: Vec::new(), wants: None, reason: None }
    }

    /// The next one; none once there is no other, or enough were tried.
    fn pick(&mut self) -> Option<Python> {
        let python = self.waiting.pop_front().filter(|_| self.tried.len() < MOST_TRIES)?;
        self.tried.push(python.clone());
        Some(python)
    }

    /// Takes note of a refusal. Says whether others are to be looked for, or fetched: nothing that waits would do.
    fn refused(&mut self, outdated: &Outdated) -> bool {
        self.waiting.retain(|python| outdated.wants.admits(python.number()));
        self.reason = Some(outdated.reason.clone());
        self.wants = Some(outdated.wants.clone());
        self.waiting.is_empty() && self.tried.len() < MOST_TRIES
    }

    fn add(&mut self, found: Vec<Python>) {
        self.waiting.extend(found.into_iter().filter(|python| !self.tried.contains(python)));
    }

    /// Said where it is not the first one.
    fn note(&self, python: &Python) -> Option<String> {
        let reason = self.reason.as_ref()?;
        Some(format!(
            "{} is used, since {reason}; `[build] python` in tandem.toml decides otherwise",
            python.version
        ))
    }
}

/// Said where a version was named with all its digits and another of the same minor one is taken.
fn patch_note(asked: &Asked, python: &Python) -> Option<String> {
    let differs = asked.names_patch() && !asked.is_exactly(python.number());
    differs.then(|| {
        format!("{} is used: {} asks for {}, which is not here", python.version, asked.by, asked.text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(version: &str) -> Python {
        let minor = version.rsplit_once('.').expect("it has three numbers").0;
        let path = format!("/usr/bin/python{minor}").into();
        Python {
            path,
            version: format!("CPython {version}"),
            tag: format!("cpython-{}", minor.replace('.', "")),
        }
    }

    fn refusal(by: &str, python: &str, wants: &str) -> Outdated {
        let line = format!(
            "Because the current Python version ({python}) does not satisfy Python{wants} and {by} depends on Python{wants}, …"
        );
        Outdated::in_lines(&[line]).expect("uv says it so")
    }

    #[test]
    fn another_python_is_taken_where_a_dependency_refuses_the_first_and_is_named() {
        let mut tries =
            Tries::of(vec![python("3.11.2"), python("3.9.18"), python("3.12.4"), python("3.13.0")]);
        let first = tries.pick().expect("there is one");
        assert_eq!((first.number(), tries.note(&first)), ("3.11.2", None));
        assert!(!tries.refused(&refusal("django==6.0", "3.11.2", ">=3.12")), "one that fits waits");
        let second = tries.pick().expect("there is another");
        assert_eq!(
            tries.note(&second).as_deref(),
            Some(
                "CPython 3.12.4 is used, since django==6.0 does not support Python 3.11.2; `[build] python` in tandem.toml \
                 decides otherwise"
            )
        );
        assert!(tries.refused(&refusal("shop==1", "3.12.4", ">=3.14")), "none that waits would do");
        tries.add(vec![python("3.12.4"), python("3.14.0")]);
        assert_eq!(tries.pick().map(|python| python.version), Some("CPython 3.14.0".to_owned()));
        assert!(tries.refused(&refusal("shop==1", "3.14.0", ">=3.15")));
        tries.add(vec![python("3.14.0")]);
        assert_eq!((tries.pick(), tries.wants.expect("a refusal").text), (None, ">=3.15".to_owned()));
    }

    #[test]
    fn not_more_than_a_few_are_tried() {
        let mut tries = Tries::of((5..15).map(|minor| python(&format!("3.{minor}.0"))).collect());
        let mut count = 0;
        while let Some(python) = tries.pick() {
            count += 1;
            assert!(!tries.refused(&refusal("x==1", python.number(), ">=3")));
        }
        assert_eq!(count, MOST_TRIES);
    }
}
