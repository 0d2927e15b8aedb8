//! `tandem config set|unset|list`: the environment variables of an app. Every value is treated as a secret.

use std::collections::BTreeMap;
use std::io::Read;
use std::str::FromStr;

use serde::Serialize;
use tandem_types::RolloutNumber;
use tandem_types::api::{ConfigChange, ConfigChanged, ConfigListing, RolloutResult};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{self, Followed, Until};
use crate::output::{Cell, Table};
use crate::place::Place;
use crate::session::Session;

/// Verbs of `config`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Set values; a running app gets them in a new release
    #[command(after_help = "\
Values on the command line stay in the shell's history and are seen by other users of this machine
while the command runs; `NAME=-` reads one value from standard input instead.

Examples:
  tandem config set DEBUG=0 LANGUAGE=en
  pass show db-url | tandem config set DATABASE_URL=-
  tandem config set FEATURE=on --no-deploy   takes effect at the next deploy")]
    Set {
        /// Name and value
        #[arg(required = true, value_name = "NAME=VALUE")]
        values: Vec<Typed>,
        /// Keep the running release; the values come with the next one
        #[arg(long)]
        no_deploy: bool,
    },
    /// Remove values
    #[command(after_help = "\
Example:
  tandem config unset DEBUG")]
    Unset {
        /// Names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Keep the running release; the change comes with the next one
        #[arg(long)]
        no_deploy: bool,
    },
    /// List names, and values with --reveal
    #[command(after_help = "\
Examples:
  tandem config list
  tandem config list --reveal --json")]
    List {
        /// Show the values too
        #[arg(long)]
        reveal: bool,
    },
}

/// What was typed, whatever it is: clap would show what it refuses, and with it the value.
#[derive(Clone)]
pub(crate) struct Typed(String);

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl FromStr for Typed {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// `NAME=VALUE`. Its `Debug` hides the value.
#[derive(Clone)]
struct Assignment {
    name: String,
    value: String,
}

impl std::fmt::Debug for Assignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

impl Assignment {
    /// # Errors
    ///
    /// Wrong usage. Only what stands before `=` is shown: nobody knows where in the rest a secret is.
    fn read(text: &str) -> Result<Self, Failure> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(match is_name(text) {
                true => Failure::usage(format!("{text} is given no value"))
                    .hint(format!("write {text}=VALUE, or {text}=- to read the value from standard input")),
                false => Failure::usage("a value without a name").hint("write NAME=VALUE"),
            });
        };
        if !is_name(name) {
            return Err(Failure::usage(format!("{name:?} is no name for a config value"))
                .hint("use letters, digits and `_`, no digit first, such as DATABASE_URL"));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

fn is_name(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Set { values, no_deploy } => {
            let change = ConfigChange { set: read_values(&values)?, no_deploy, ..ConfigChange::default() };
            apply(session, &session.place().await?, change).await
        }
        Verb::Unset { names, no_deploy } => {
            let change = ConfigChange { unset: names, no_deploy, ..ConfigChange::default() };
            apply(session, &session.place().await?, change).await
        }
        Verb::List { reveal } => list(session, &session.place().await?, reveal).await,
    }
}

fn read_values(values: &[Typed]) -> Result<BTreeMap<String, String>, Failure> {
    let values: Vec<_> = values.iter().map(|typed| Assignment::read(&typed.0)).collect::<Result<_, _>>()?;
    if values.iter().filter(|assignment| assignment.value == "-").count() > 1 {
        return Err(Failure::usage("only one value can come from standard input"));
    }
    let read = |assignment: Assignment| {
        let value = if assignment.value == "-" { read_stdin()? } else { assignment.value };
        Ok((assignment.name, value))
    };
    values.into_iter().map(read).collect()
}

/// The line break that `echo` and editors leave at the end is not meant.
fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Failure::chain("read the value from standard input", &e))?;
    Ok(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
}

/// What `--json` prints of a change.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    changed: &'a [String],
    rollout: Option<&'a RolloutResult>,
}

async fn apply(session: &Session, place: &Place, change: ConfigChange) -> Result<Exit, Failure> {
    let begun = session.clock.monotonic();
    let change = ConfigChange { message: session.global.reason(), no_wait: session.global.no_wait, ..change };
    let changed: ConfigChanged = session.client()?.patch(&place.path("config"), &change).await?;
    let pending = if changed.changed.is_empty() { pending(session, place).await? } else { Vec::new() };
    tell_change(session, place, &changed, Remark { no_deploy: change.no_deploy, pending });
    let rollout = match changed.rollout {
        Some(rollout) => {
            let (place, until) = (place.clone(), Until::Flip);
            Some(follow::watch(session, &Followed { place, rollout, begun: Some(begun), until }).await?)
        }
        None => None,
    };
    if session.output.json {
        let result = rollout.as_ref().map(|outcome| &outcome.result);
        session.output.value(&Outcome { changed: &changed.changed, rollout: result })?;
    }
    match rollout {
        Some(outcome) => tell_rollout(session, place, &changed.changed, &outcome),
        None => Ok(Exit::Done),
    }
}

/// The end of the rollout, and that the values outlive one that failed.
fn tell_rollout(
    session: &Session,
    place: &Place,
    names: &[String],
    outcome: &follow::Outcome,
) -> Result<Exit, Failure> {
    let told = if session.output.json { follow::conclude(outcome) } else { follow::tell(session, outcome) };
    if told.is_err() && !outcome.tells_of_values() {
        let (names, one) = (names.join(" "), names.len() == 1);
        let (stays, waits) = if one { ("stays", "waits") } else { ("stay", "wait") };
        session.output.note(format!("{names} {stays} changed and {waits} for the next release of {place}"));
    }
    told
}

/// Names that wait for the next release.
async fn pending(session: &Session, place: &Place) -> Result<Vec<String>, Failure> {
    let listing: ConfigListing = session.client()?.get(&place.path("config")).await?;
    Ok(listing.pending)
}

/// What else matters about a change.
struct Remark {
    no_deploy: bool,
    /// Names that wait, where nothing changed.
    pending: Vec<String>,
}

fn tell_change(session: &Session, place: &Place, changed: &ConfigChanged, remark: Remark) {
    let names = changed.changed.join(" ");
    let rollout = |rollout: RolloutNumber| format!("changed {names}: {rollout} of {place}");
    session.output.note(match changed.rollout {
        Some(number) => rollout(number),
        None if changed.changed.is_empty() => match remark.pending.as_slice() {
            [] => "nothing changed".to_owned(),
            names => {
                let waits = if names.len() == 1 { "waits" } else { "wait" };
                let (names, target) = (names.join(" "), session.target(place));
                format!("nothing changed; {names} {waits} for the next release: `tandem deploy{target}`")
            }
        },
        None if remark.no_deploy => format!("changed {names}; the next release of {place} has it"),
        None => format!("changed {names}; {place} does not run yet, its first release has it"),
    });
}

async fn list(session: &Session, place: &Place, reveal: bool) -> Result<Exit, Failure> {
    let path = place.path(if reveal { "config?reveal=true" } else { "config" });
    let listing: ConfigListing = session.client()?.get(&path).await?;
    session.output.show(&listing, |listing| {
        let style = session.output.data_style();
        let mut table = Table::new(&["NAME", if reveal { "VALUE" } else { "DIGEST" }, "NOTE"]);
        for value in &listing.values {
            let shown = value.value.as_ref().unwrap_or(&value.digest);
            let pending = listing.pending.contains(&value.name);
            let note = if pending { "from the next release on" } else { "" };
            table.row([
                value.name.as_str().into(),
                shown.as_str().into(),
                Cell::painted(note, |t| style.yellow(t)),
            ]);
        }
        table.render(style, &format!("no config of {place} yet; type `tandem config set NAME=VALUE`"))
    })?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_anything_and_a_name_may_not() {
        let url = Assignment::read("URL=postgres://a=b?c=d").expect("a valid assignment");
        assert_eq!((url.name.as_str(), url.value.as_str()), ("URL", "postgres://a=b?c=d"));
        assert_eq!(format!("{url:?}"), "URL=…", "the value is a secret");
        for wrong in ["URL", "=secret", "1A=secret", "A-B=secret", "A B=secret", "secret!"] {
            let refused = Assignment::read(wrong).expect_err("it is no assignment");
            assert_eq!(refused.exit(), Exit::Usage);
            let text = refused.render(crate::output::Style::new(false)).expect("it is told");
            assert!(text.contains("hint: ") && !text.contains("secret"), "{text}");
        }
    }
}
