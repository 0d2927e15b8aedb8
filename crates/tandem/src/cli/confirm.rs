//! What cannot be taken back is done only when its name was typed: behind `--confirm`, or when asked.

use std::io::{IsTerminal, Write};

use crate::failure::Failure;
use crate::session::Session;

/// Something that is to be confirmed.
pub(super) struct Deed<'a> {
    /// What it is done to.
    pub(super) name: &'a str,
    /// What it does, a sentence.
    pub(super) warning: String,
    /// How it says that nothing was done, such as `shop was not destroyed`.
    pub(super) refusal: String,
    /// The verb that does it, such as `app destroy`.
    pub(super) verb: &'static str,
}

/// Goes on only where the name was typed; `said` is what `--confirm` brought.
///
/// # Errors
///
/// Another name, or none where nobody can be asked.
pub(super) fn confirm(session: &Session, deed: &Deed<'_>, said: Option<String>) -> Result<(), Failure> {
    let said = match said {
        Some(said) => said,
        None => ask(session, deed)?,
    };
    let Deed { name, refusal, verb, .. } = deed;
    if said == *name {
        return Ok(());
    }
    Err(Failure::new(format!("{refusal}: the name was not confirmed"))
        .hint(format!("type `tandem {verb} {name} --confirm {name}`"))
        .code("not_confirmed"))
}

/// Nobody is asked where nobody sits at a terminal.
fn ask(session: &Session, deed: &Deed<'_>) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(String::new());
    }
    session.output.always(&deed.warning);
    drop(write!(std::io::stderr(), "Type {} to go on: ", deed.name));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|e| Failure::chain("read the answer", &e))?;
    Ok(line.trim().to_owned())
}
