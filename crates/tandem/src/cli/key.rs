//! `tandem key create|show|remove|trust`: how the server gets at private sources, and whom it fetches from.

use serde::Serialize;
use tandem_build::git::fingerprint_of;
use tandem_types::AppName;
use tandem_types::api::Reason;
use tandem_types::git::{PinnedHost, PublicKey};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::place;
use crate::session::Session;

/// Verbs of `key`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Make the deploy key of an app and print its public half
    #[command(after_help = "\
Add what it prints to the repository at its host, as a deploy key that may only read. The private
half never leaves the server. An app that is not there yet is created.

Example:
  tandem key create --app shop
  tandem deploy git@github.com:team/shop.git --app shop")]
    Create,
    /// Print the public half of an app's deploy key
    #[command(after_help = "\
Example:
  tandem key show --app shop")]
    Show,
    /// Forget the deploy key of an app
    #[command(after_help = "\
What was deployed stays. Remove the key at the repository's host as well.

Example:
  tandem key remove --app shop")]
    Remove,
    /// Trust a host that shows another key than before
    #[command(after_help = "\
The key of a host is pinned when a source is first fetched from it over SSH. This forgets it; the
next fetch pins what the host shows then, and prints its fingerprint: compare it with what the
host's own pages say.

Examples:
  tandem key trust github.com
  tandem key trust '[git.example.org]:2222'")]
    Trust {
        /// The host as the refusal names it
        host: String,
    },
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Create => create(session).await,
        Verb::Show => show(session).await,
        Verb::Remove => remove(session).await,
        Verb::Trust { host } => trust(session, &host).await,
    }
}

/// The app of a new key need not be there: what the folder says counts, and no guess at the only app there is.
async fn create(session: &Session) -> Result<Exit, Failure> {
    let app = match (&session.global.app, place::declared(&place::current_folder()?)?) {
        (Some(app), _) => app.clone(),
        (None, Some(app)) => app,
        (None, None) => session.place().await?.app,
    };
    let made: PublicKey = session.client()?.post(&path(&app), &Reason::default()).await?;
    session
        .output
        .note(format!("deploy key of {app}, {}: add it to the repository, read-only", made.fingerprint));
    session.output.show(&made, |key| format!("{}\n", key.public))?;
    Ok(Exit::Done)
}

async fn show(session: &Session) -> Result<Exit, Failure> {
    let app = session.place().await?.app;
    let key: PublicKey = session.client()?.get(&path(&app)).await?;
    session.output.show(&key, |key| format!("{}\n", key.public))?;
    Ok(Exit::Done)
}

async fn remove(session: &Session) -> Result<Exit, Failure> {
    let app = session.place().await?.app;
    let key: PublicKey = session.client()?.delete(&path(&app)).await?;
    session
        .output
        .note(format!("the deploy key of {app} is forgotten; remove it at the repository's host, too"));
    session.output.show(&key, |_| String::new())?;
    Ok(Exit::Done)
}

/// What `--json` prints of a host whose key is pinned anew.
#[derive(Debug, Serialize)]
struct Trusted<'a> {
    host: &'a str,
    forgotten: Vec<String>,
}

async fn trust(session: &Session, host: &str) -> Result<Exit, Failure> {
    let pinned: PinnedHost = session.client()?.delete(&format!("/v1/git-hosts/{}", encoded(host))).await?;
    let forgotten: Vec<String> = pinned.keys.iter().filter_map(|key| fingerprint_of(key)).collect();
    session.output.note(format!(
        "{} of {host} is forgotten; the next fetch pins what the host shows then",
        forgotten.join(", ")
    ));
    session.output.show(&Trusted { host, forgotten }, |_| String::new())?;
    Ok(Exit::Done)
}

fn path(app: &AppName) -> String {
    format!("/v1/apps/{app}/key")
}

/// As a part of a path (RFC 3986): brackets and whatever else no such part holds are written with percent signs.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b':' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_part_of_a_path_whatever_it_is_called() {
        assert_eq!(encoded("git.example.org"), "git.example.org");
        assert_eq!(encoded("[::1]:2222"), "%5B::1%5D:2222");
        assert_eq!(encoded("../x"), "..%2Fx");
    }
}
