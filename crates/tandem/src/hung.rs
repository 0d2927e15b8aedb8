//! A server that runs and does not answer: which process it is, why that may be, and what to type.
//!
//! It holds the data folder, so nobody else can take its place until it goes on or is ended. To end it costs nothing but
//! what it was just asked: apps and balancer go on, and the next one takes them over (decision 016).

use std::path::Path;
use std::time::Duration;

use tandem_kit::paths;
use tokio::time::sleep;

use crate::failure::{Failure, SILENT};
use crate::roles::{Holder, Role};
use crate::session::Session;

/// Time between two looks at the server's process. Most verbs are over before the first.
const INTERVAL: Duration = Duration::from_secs(1);
/// Looks in a row at which it is stopped, until nobody waits for it: who typed Ctrl-Z by mistake has typed `fg` by then.
const LOOKS: u32 = 4;

/// Says of a server of this machine that did not answer which process it is. Any other failure stays as it is.
pub(crate) fn explain(failure: Failure, session: &Session) -> Failure {
    if failure.code_is() != Some(SILENT) {
        return failure;
    }
    match server(session) {
        Some((role, pid)) => told(failure, (role.verb(), pid), (State::of(pid), &session.data())),
        None => failure,
    }
}

/// Ends only where the server of this machine is stopped and stays so: whatever was asked of it gets no answer then.
pub(crate) async fn stays_stopped(session: &Session) -> Failure {
    let mut looks = 0;
    loop {
        sleep(INTERVAL).await;
        let stopped = server(session).is_some_and(|(_, pid)| State::of(pid) == Some(State::Stopped));
        looks = if stopped { looks + 1 } else { 0 };
        if looks >= LOOKS {
            return Failure::new("the server does not answer").code(SILENT);
        }
    }
}

/// The process of the server on the data folder, where no other one was named.
fn server(session: &Session) -> Option<(Role, u32)> {
    if session.global.server.is_some() {
        return None;
    }
    let socket = std::fs::read_link(paths::socket_link(&session.data())).ok()?;
    let runtime = socket.parent()?;
    [Role::Up, Role::Server].into_iter().find_map(|role| Some((role, Holder::living(runtime, role)?.pid)))
}

fn told(failure: Failure, (verb, pid): (&str, u32), (state, data): (Option<State>, &Path)) -> Failure {
    let data = data.display();
    let (why, hint) = match state {
        Some(State::Stopped) => (
            "is stopped (by SIGSTOP, Ctrl-Z or a debugger)".to_owned(),
            format!("`kill -CONT {pid}` lets it go on"),
        ),
        state => {
            let waits = if state == Some(State::Disk) { " and waits for a disk" } else { "" };
            let hint = format!(
                "its log may say why; `kill -9 {pid}` ends it: apps and balancer go on, and \
                 `tandem {verb} --data {data}` takes them over"
            );
            (format!("does not answer{waits}"), hint)
        }
    };
    let title = format!("`tandem {verb}` (process {pid}) {why}");
    failure.titled(title).or_detail("what it was asked it may still do once it goes on").hint(hint)
}

/// What the kernel says of a process that does not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Stopped by a signal or a debugger.
    Stopped,
    /// In a call that cannot be interrupted.
    Disk,
    /// It runs, or waits as it may.
    Other,
}

impl State {
    /// Of a process; none where there is none.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The letter behind the name, which may have any characters (`proc(5)`).
    fn read(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(") ")?;
        Some(match rest.chars().next()? {
            'T' | 't' => Self::Stopped,
            'D' => Self::Disk,
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Style;

    #[test]
    fn the_state_is_found_behind_any_name() {
        for (stat, state) in [
            ("7 (tandem) T 1 7 7", Some(State::Stopped)),
            ("7 (a) T (b) t 1 7 7", Some(State::Stopped)),
            ("7 (a) D) S 1", Some(State::Other)),
            ("7 (tandem) D 1", Some(State::Disk)),
            ("", None),
        ] {
            assert_eq!(State::read(stat), state, "{stat}");
        }
        assert_eq!(State::of(std::process::id()), Some(State::Other));
    }

    #[test]
    fn each_state_has_a_command_that_ends_it() {
        for (state, title, hint) in [
            (State::Stopped, "process 7) is stopped", "`kill -CONT 7` lets it go on"),
            (State::Disk, "does not answer and waits for a disk", "`kill -9 7` ends it"),
            (State::Other, "process 7) does not answer", "`tandem server --data /x` takes them over"),
        ] {
            let failure = Failure::new("no").detail("more").code(SILENT);
            let told = told(failure, ("server", 7), (Some(state), Path::new("/x")));
            let text = told.render(Style::new(false)).expect("it is told");
            assert!(text.contains(title) && text.contains(hint) && text.contains("more"), "{text}");
        }
    }
}
