//! `tandem token create|list|revoke`: access over TCP, for other machines and CI.

use serde::Serialize;
use tandem_types::api::{CreateToken, Token, TokenCreated};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Table, ago};
use crate::session::Session;

/// Verbs of `token`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Create a token with all rights; it is shown this once
    #[command(after_help = "\
Examples:
  tandem token create ci
  TANDEM_TOKEN=$(tandem token create ci) TANDEM_SERVER=http://127.0.0.1:7070 tandem status")]
    Create {
        /// What it is for; the journal shows it as token:NAME
        #[arg(value_parser = name)]
        name: String,
    },
    /// List tokens
    #[command(after_help = "\
Example:
  tandem token list")]
    List,
    /// Make a token worthless
    #[command(after_help = "\
Example:
  tandem token revoke ci")]
    Revoke {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
    },
}

/// Names stand in URLs, document keys and the journal.
fn name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || text.len() > 40 || text.starts_with('-') || !text.bytes().all(fits) {
        return Err("expected lower-case letters, digits and hyphens, at most 40 characters".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Create { name } => create(session, name).await,
        Verb::List => list(session).await,
        Verb::Revoke { name } => revoke(session, &name).await,
    }
}

async fn create(session: &Session, name: String) -> Result<Exit, Failure> {
    let created: TokenCreated = session.client()?.post("/v1/tokens", &CreateToken { name }).await?;
    session.output.note(format!("token {}; it is shown this once", created.name));
    session.output.show(&created, |created| format!("{}\n", created.token))?;
    Ok(Exit::Done)
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let tokens: Vec<Token> = session.client()?.get("/v1/tokens").await?;
    let now = session.clock.now();
    session.output.show(&tokens, |tokens| {
        let mut table = Table::new(&["TOKEN", "CREATED"]);
        for token in tokens {
            table.row([token.name.as_str().into(), ago(token.created, now).into()]);
        }
        table.render(session.output.data_style(), "no tokens yet; type `tandem token create NAME`")
    })?;
    Ok(Exit::Done)
}

/// What `--json` prints of a token that is worth nothing any more.
#[derive(Debug, Serialize)]
struct Revoked<'a> {
    name: &'a str,
    state: &'static str,
}

async fn revoke(session: &Session, name: &str) -> Result<Exit, Failure> {
    let () = session.client()?.delete(&format!("/v1/tokens/{name}")).await?;
    session.output.note(format!("token {name} is revoked"));
    session.output.show(&Revoked { name, state: "revoked" }, |_| String::new())?;
    Ok(Exit::Done)
}
