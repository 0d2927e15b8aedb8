//! The Procfile: `name: command`, one a line.

use std::collections::BTreeMap;
use std::path::Path;

use tandem_types::ProcessType;

use super::sections::process_type;
use super::{Mistake, PROCFILE};

/// What some editors put in front of a text; no part of it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A Procfile as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Procfile {
    /// Process type → shell command.
    pub processes: BTreeMap<ProcessType, String>,
    /// The `release:` line.
    pub release: Option<String>,
    /// Processes that are called otherwise here than there, in words.
    pub notes: Vec<String>,
}

/// Reads the text of a Procfile. Names are those that other platforms take, too: `celery_worker` and `Worker` are
/// `celery-worker` and `worker` here.
///
/// # Errors
/// The first mistake in it.
pub fn parse_procfile(text: &str) -> Result<Procfile, Mistake> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut procfile = Procfile::default();
    // Each name as it is here → line and name as written.
    let mut taken: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let at = |message: String| Mistake::at((Path::new(PROCFILE), text), offset, message);
        let content = line.trim();
        if !content.is_empty() && !content.starts_with('#') {
            let (name, command) = split(content).ok_or_else(|| {
                at("no `name: command`".to_owned()).hint("such as `web: gunicorn shop.wsgi`")
            })?;
            if command.contains('\0') {
                return Err(at(format!("the command of `{name}` holds a NUL")));
            }
            let here = name.to_lowercase().replace('_', "-");
            match taken.insert(here.clone(), (index + 1, name)) {
                Some((_, before)) if before == name => return Err(at(format!("`{name}` is there twice"))),
                Some((before_line, before)) => {
                    let message =
                        format!("`{name}` and `{before}` of line {before_line} are both `{here}` here");
                    return Err(
                        at(message).hint("names are in lower case with hyphens: rename one of the two")
                    );
                }
                None if here != name => {
                    let note = format!(
                        "the process {name} of the Procfile is called {here}: names are in lower case with hyphens"
                    );
                    procfile.notes.push(note);
                }
                None => {}
            }
            match here.as_str() {
                "release" => procfile.release = Some(command.to_owned()),
                _ => drop(procfile.processes.insert(process_type(&here).map_err(at)?, command.to_owned())),
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
    fn a_byte_order_mark_is_no_part_of_a_name() {
        let procfile = parse_procfile("\u{feff}web: serve\n").unwrap();
        assert_eq!(procfile.processes.keys().map(ToString::to_string).collect::<Vec<_>>(), ["web"]);
        assert_eq!(procfile.notes, [""; 0]);
    }

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
    fn names_of_other_platforms_are_taken_and_told_as_they_are_called_here() {
        let procfile = parse_procfile("web: a\ncelery_worker: b\nClock: c\nRelease: d\n").unwrap();
        let names: Vec<_> = procfile.processes.keys().map(ProcessType::as_str).collect();
        assert_eq!((names, procfile.release.as_deref()), (vec!["celery-worker", "clock", "web"], Some("d")));
        assert_eq!(procfile.notes.len(), 3);
        assert!(procfile.notes[0].contains("celery_worker of the Procfile is called celery-worker"));
        assert_eq!(parse_procfile("web: a\nrelease: b\n").unwrap().notes, [""; 0]);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, message) in [
            ("web: a\nworker", 2, "no `name: command`"),
            ("web: a\nweb: b\n", 2, "`web` is there twice"),
            ("web:", 1, "no `name: command`"),
            ("\n\nweb 1: a", 3, "is not a process type"),
            (
                "celery_worker: a\ncelery-worker: b",
                2,
                "`celery-worker` and `celery_worker` of line 1 are both `celery-worker`",
            ),
            ("worker: a\n\nWorker: b", 3, "`Worker` and `worker` of line 1 are both `worker`"),
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
