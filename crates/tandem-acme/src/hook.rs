//! The command of the administrator's that sets and removes records of domains, for `dns-01`.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::trouble::Trouble;

/// Time it has. A provider of DNS may take minutes until all of its servers say the same; waiting for that is up to it.
const LIMIT: Duration = Duration::from_secs(300);
/// Characters of what it wrote that are shown.
const SHOWN: usize = 300;

/// Runs `COMMAND ACTION NAME VALUE`, the action being `set` or `remove`. It must end with 0 once the record is seen by others.
pub(crate) async fn run(command: &str, action: &str, (name, value): (&str, &str)) -> Result<(), Trouble> {
    let script = format!("{command} \"$@\"");
    let child = shell().args(["-c", &script, "sh", action, name, value]).spawn();
    let child = child.map_err(|error| Trouble::of("start the DNS hook", &error))?;
    let ended = timeout(LIMIT, child.wait_with_output()).await;
    let ended = ended.map_err(|_| Trouble::new(format!("the DNS hook did not end within {LIMIT:?}")))?;
    let ended = ended.map_err(|error| Trouble::of("wait for the DNS hook", &error))?;
    if ended.status.success() {
        return Ok(());
    }
    let wrote = String::from_utf8_lossy(&ended.stderr);
    let wrote: String =
        wrote.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    Err(Trouble::new(format!("the DNS hook ended with {} at `{action} {name}`: {wrote}", ended.status)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the crate's one place that starts a process: the administrator's hook"
)]
fn shell() -> Command {
    let mut command = Command::new("sh");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hook_is_told_what_to_do_and_its_words_are_passed_on_when_it_fails() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("said");
        let script = format!("f() {{ echo \"$@\" > {}; }}; f", file.display());
        run(&script, "set", ("_acme-challenge.a.org", "a$b \"c")).await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "set _acme-challenge.a.org a$b \"c\n");
        let refused = run("f() { echo no zone >&2; exit 3; }; f", "remove", ("a", "b")).await.unwrap_err();
        assert_eq!(refused.message, "the DNS hook ended with exit status: 3 at `remove a`: no zone");
    }
}
