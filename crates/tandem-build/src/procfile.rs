//! `Procfile`: one `type: command` a line, as on Heroku and in Foreman.

use std::collections::BTreeMap;

use tandem_types::ProcessType;
use tandem_types::problem::Problem;

/// The file's name.
pub const NAME: &str = "Procfile";

/// The content of a Procfile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Procfile {
    /// Process type → shell command.
    pub processes: BTreeMap<ProcessType, String>,
    /// The command of the line `release:`.
    pub release: Option<String>,
}

/// Why a Procfile is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{NAME}, line {line}: {message}")]
pub struct Error {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl Error {
    /// The error as people get it.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        Problem::new(422, "procfile_malformed", self.to_string())
            .hint("write one process a line, such as `web: gunicorn shop.wsgi --bind 127.0.0.1:$PORT`")
    }
}

/// Reads the text of a Procfile. Empty lines and lines that begin with `#` are passed over; `_` in a process type is
/// read as `-`, because older tools allow it.
///
/// # Errors
/// Fails at the first line that is not `type: command`, and where a type stands twice.
pub fn parse(text: &str) -> Result<Procfile, Error> {
    let mut file = Procfile::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        add(&mut file, line).map_err(|message| Error { line: index + 1, message })?;
    }
    Ok(file)
}

fn add(file: &mut Procfile, line: &str) -> Result<(), String> {
    let (name, command) = line.split_once(':').ok_or_else(|| format!("{line:?} has no colon"))?;
    let (name, command) = (name.trim(), command.trim());
    if command.is_empty() {
        return Err(format!("{name} has no command"));
    }
    if name == "release" {
        return match file.release.replace(command.to_owned()) {
            None => Ok(()),
            Some(_) => Err("release stands twice".to_owned()),
        };
    }
    let process: ProcessType =
        name.replace('_', "-").parse().map_err(|e: tandem_types::ids::ParseError| e.to_string())?;
    match file.processes.insert(process, command.to_owned()) {
        None => Ok(()),
        Some(_) => Err(format!("{name} stands twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_and_the_release_command_are_told_apart() {
        let file = parse(
            "# ours\nweb: gunicorn a:b --bind :$PORT\n\nrelease: ./manage.py migrate\nmy_worker: celery\n",
        )
        .expect("a Procfile");
        assert_eq!(file.release.as_deref(), Some("./manage.py migrate"));
        let names: Vec<_> = file.processes.keys().map(ProcessType::as_str).collect();
        assert_eq!(names, ["my-worker", "web"]);
        assert_eq!(file.processes[&ProcessType::web()], "gunicorn a:b --bind :$PORT");
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, part) in [
            ("web gunicorn", 1, "no colon"),
            ("\nweb:", 2, "no command"),
            ("web: a\nweb: b", 2, "twice"),
            ("release: a\nrelease: b", 2, "twice"),
            ("We b: a", 1, "process type"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.line, line, "{text:?}");
            assert!(error.message.contains(part), "{text:?}: {}", error.message);
        }
    }
}
