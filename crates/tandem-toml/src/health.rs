//! `health`: what is asked whether an instance is well, of an app as of a route.

use tandem_types::domain::is_exact;
use tandem_types::{Health, Statuses};

use crate::{Mistake, Text, Value};

const HEALTH: &[&str] = &["host", "https", "path", "status"];

/// A path, or a table with what differs from the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthEntry {
    /// Path and query.
    pub path: Option<String>,
    /// Host name to ask with.
    pub host: Option<String>,
    /// Whether the app is asked as if it was by https.
    pub https: Option<bool>,
    /// Good answers.
    pub statuses: Option<Statuses>,
}

impl HealthEntry {
    /// What is asked where `usual` is, but for what is said here.
    #[must_use]
    pub fn instead_of(self, usual: Health) -> Health {
        Health {
            path: self.path.unwrap_or(usual.path),
            host: self.host.or(usual.host),
            https: self.https.unwrap_or(usual.https),
            statuses: self.statuses.unwrap_or(usual.statuses),
        }
    }
}

/// Reads the path or the table. `place` is where the keys of a table stand (``in `health` ``).
///
/// # Errors
/// The first mistake in it.
pub fn health(text: Text<'_>, value: &Value<'_>, place: &str) -> Result<HealthEntry, Mistake> {
    let Some(table) = value.get_ref().as_table() else {
        return Ok(HealthEntry { path: Some(path(text, value, "health")?), ..HealthEntry::default() });
    };
    let mut entry = HealthEntry::default();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "path" => entry.path = Some(path(text, value, "path")?),
            "host" => entry.host = Some(host(text, value)?),
            "https" => entry.https = Some(text.flag(value, "https")?),
            "status" => entry.statuses = Some(statuses(text, value)?),
            _ => return Err(text.unknown(key, place, HEALTH)),
        }
    }
    Ok(entry)
}

fn path(text: Text<'_>, value: &Value<'_>, what: &str) -> Result<String, Mistake> {
    let path = text.words(value, what)?;
    let plain = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()) && !path.contains('#');
    if plain {
        return Ok(path.to_owned());
    }
    let hint = format!("such as {what} = \"/healthz\"");
    Err(text.at_value(value, format!("{path:?} is not a path of a URL")).hint(hint))
}

fn host(text: Text<'_>, value: &Value<'_>) -> Result<String, Mistake> {
    let host = text.string(value, "host")?;
    if is_exact(host) {
        return Ok(host.to_owned());
    }
    let hint = "an exact name in lower case, without scheme, port or `*`: \"www.example.org\"";
    Err(text.at_value(value, format!("{host:?} is not a host name")).hint(hint))
}

/// `"200-399,401"`, or one status as a number.
fn statuses(text: Text<'_>, value: &Value<'_>) -> Result<Statuses, Mistake> {
    match value.get_ref().as_integer() {
        Some(number) => text.read(value, number.as_str()),
        None => text.parsed(value, "status"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(written: &str) -> Result<HealthEntry, Mistake> {
        let written = format!("health = {written}");
        let text = Text { file: Path::new("a.toml"), text: &written };
        health(text, &text.parse().expect("it is TOML")["health"], "in `health`")
    }

    #[test]
    fn a_path_alone_or_a_table_stands_in_for_the_usual() {
        let usual = || Health { host: Some("usual.example".to_owned()), ..Health::default() };
        let expected = Health { path: "/up".to_owned(), ..usual() };
        assert_eq!(read("'/up'").unwrap().instead_of(usual()), expected);
        let table = "{ path = '/up', host = 'a.example', https = true, status = '200-299,401' }";
        let health = read(table).unwrap().instead_of(usual());
        assert_eq!(
            (health.path.as_str(), health.host.as_deref(), health.https),
            ("/up", Some("a.example"), true)
        );
        assert_eq!(health.statuses.to_string(), "200-299,401");
        assert_eq!(read("{ status = 200 }").unwrap().statuses.unwrap().to_string(), "200");
        assert_eq!(read("{}").unwrap().instead_of(usual()), usual());
    }

    #[test]
    fn what_cannot_be_asked_is_told_where_it_is() {
        for (text, column, message, hint) in [
            ("'up'", 10, "\"up\" is not a path of a URL", "health = \"/healthz\""),
            ("''", 10, "`health` is empty", ""),
            ("{ path = 'up' }", 19, "\"up\" is not a path of a URL", "path = \"/healthz\""),
            ("{ path = '/a#b' }", 19, "is not a path of a URL", ""),
            ("{ paht = '/' }", 12, "unknown key `paht` in `health`", "`path`?"),
            ("{ host = '*.a.org' }", 19, "is not a host name", "port or `*`"),
            ("{ https = 'yes' }", 20, "expected true or false", ""),
            ("{ status = 20 }", 21, "is not a set of HTTP statuses", ""),
            ("{ status = '20' }", 21, "is not a set of HTTP statuses", ""),
        ] {
            let mistake = read(text).unwrap_err();
            assert_eq!((mistake.line, mistake.column), (1, column), "{text}: {mistake}");
            assert!(mistake.message.contains(message) && mistake.hint.contains(hint), "{text}: {mistake:?}");
        }
    }
}
