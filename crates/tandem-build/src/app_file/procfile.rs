//! The Procfile: `name: command`, one a line.

use std::collections::BTreeMap;

use tandem_types::ProcessType;

use super::sections::process_type;
use super::{Error, PROCFILE};

/// A Procfile as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Procfile {
    /// Process type → shell command.
    pub processes: BTreeMap<ProcessType, String>,
    /// The `release:` line.
    pub release: Option<String>,
}

/// Reads the text of a Procfile.
///
/// # Errors
/// The first mistake in it.
pub fn parse_procfile(text: &str) -> Result<Procfile, Error> {
    let mut procfile = Procfile::default();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let at = |message: String| Error::at(PROCFILE, text, offset, message);
        let content = line.trim();
        if !content.is_empty() && !content.starts_with('#') {
            let (name, command) = split(content).ok_or_else(|| {
                at("no `name: command`".to_owned()).hint("such as `web: gunicorn shop.wsgi`")
            })?;
            if command.contains('\0') {
                return Err(at(format!("the command of `{name}` holds a NUL")));
            }
            let taken = match name {
                "release" => procfile.release.replace(command.to_owned()).is_some(),
                _ => {
                    let process = process_type(name).map_err(at)?;
                    procfile.processes.insert(process, command.to_owned()).is_some()
                }
            };
            if taken {
                return Err(at(format!("`{name}` is there twice")));
            }
        }
        offset += line.len();
    }
    Ok(procfile)
}

fn split(line: &str) -> Option<(&str, &str)> {
    let (name, command) = line.split_once(':')?;
    let (name, command) = (name.trim(), command.trim());
    (!name.is_empty() && !command.is_empty()).then_some((name, command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_procfile_has_processes_and_perhaps_a_release_command() {
        let text = "# comment\n\nweb: gunicorn shop.wsgi --bind 0.0.0.0:$PORT\nrelease: ./manage.py migrate\r\n worker : celery";
        let procfile = parse_procfile(text).unwrap();
        assert_eq!(procfile.release.as_deref(), Some("./manage.py migrate"));
        let commands: Vec<_> =
            procfile.processes.iter().map(|(name, command)| (name.as_str(), command.as_str())).collect();
        assert_eq!(commands, [("web", "gunicorn shop.wsgi --bind 0.0.0.0:$PORT"), ("worker", "celery")]);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, message) in [
            ("web: a\nworker", 2, "no `name: command`"),
            ("web: a\nweb: b\n", 2, "`web` is there twice"),
            ("web:", 1, "no `name: command`"),
            ("\n\nWeb_1: a", 3, "is not a process type"),
            ("smoke: a", 1, "Tandem's own check"),
            ("web: a\nworker: b\0c", 2, "the command of `worker` holds a NUL"),
        ] {
            let error = parse_procfile(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}");
            assert!(error.message.contains(message), "{text:?}: {error}");
            assert_eq!(error.file, "Procfile");
        }
    }
}
