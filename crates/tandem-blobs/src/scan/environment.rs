//! Files with environment variables: values of somebody's laptop, which an app would load in place of its config.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Endings of files that only show which values there are.
const EXAMPLES: [&str; 6] = ["default", "defaults", "dist", "example", "sample", "template"];

/// Whether a file's name is `.env` or `.env.NAME`, but for examples.
#[must_use]
pub fn is_environment_file(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(".env") else { return false };
    rest.is_empty()
        || rest.strip_prefix('.').is_some_and(|rest| !rest.split('.').any(|part| EXAMPLES.contains(&part)))
}

/// Which of them `include` patterns bring back, for sources that are there as a whole.
#[derive(Debug)]
pub struct EnvironmentFiles(Gitignore);

impl EnvironmentFiles {
    /// Those that the patterns name, or that lie in a folder which they name. What is no pattern names nothing.
    #[must_use]
    pub fn included_by(patterns: &[String]) -> Self {
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            if let Err(problem) = builder.add_line(None, pattern) {
                tracing::debug!(%problem, "passed over what is no pattern");
            }
        }
        Self(builder.build().unwrap_or_else(|_| Gitignore::empty()))
    }

    /// Whether a file below the top is one of them.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.0.matched_path_or_any_parents(Path::new(path), false).is_ignore()
    }
}

/// What people should know of files that were left out though nothing ignores them; none where there are none.
#[must_use]
pub fn warning_of_environment_files(files: &[String], most_named: usize) -> Option<String> {
    let first = files.first()?;
    let named = files.iter().take(most_named).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if files.len() > most_named { ", …" } else { "" };
    let are = if files.len() == 1 { "is" } else { "are" };
    Some(format!(
        "{named}{more} {are} not part of the build: an app would load somebody's own values. Set those it needs by \
         `tandem config set NAME=value`; where the file must be there, write [source] include = [\"{first}\"] in tandem.toml"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_no_values() {
        for name in [".env", ".env.local", ".env.production", ".env.production.local"] {
            assert!(is_environment_file(name), "{name}");
        }
        for name in [
            ".env.example",
            ".env.sample",
            ".env.template",
            ".env.dist",
            ".env.defaults",
            ".env.prod.example",
            ".envrc",
            "env",
            "a.env",
        ] {
            assert!(!is_environment_file(name), "{name}");
        }
    }

    #[test]
    fn patterns_name_files_or_folders_of_them() {
        let included = EnvironmentFiles::included_by(&["/web/.env".to_owned(), "conf/".to_owned()]);
        assert!(included.contains("web/.env") && included.contains("conf/.env"));
        assert!(!included.contains(".env") && !included.contains("web/.env.local"));
    }
}
