//! A server that runs and does not answer: which process it is, why that may be, and what to type.
//!
//! It holds the data folder, so nobody else can take its place until it goes on or is ended. To end it costs nothing but
//! what it was just asked: apps and balancer go on, and the next one that is started with the same words takes them over
//! (decision 016).

use std::path::{Path, PathBuf};
use std::time::Duration;

use tandem_kit::api::{self, Client};
use tandem_kit::paths;
use tandem_sandbox::process::Stat;
use tokio::time::sleep;

use crate::failure::{Failure, SILENT};
use crate::roles::{Holder, Role};
use crate::session::Session;

/// Time between two looks at the server's process. Most verbs are over before the first.
const INTERVAL: Duration = Duration::from_secs(1);
/// Looks in a row at which it is stopped, until nobody waits for it: who typed Ctrl-Z by mistake has typed `fg` by then.
const LOOKS: u32 = 4;

/// The option of a server that names a file, besides `--data`.
const READY_FILE: &str = "--ready-file";

/// Longest wait for the answer to a question that costs nothing.
const QUICKLY: Duration = Duration::from_secs(5);

/// Says of a server that did not answer whether it does its work all the same, and of one of this machine that does not which
/// process it is. Any other failure stays as it is.
pub(crate) async fn explain(failure: Failure, session: &Session) -> Failure {
    explain_within(QUICKLY, failure, session).await
}

async fn explain_within(limit: Duration, failure: Failure, session: &Session) -> Failure {
    if failure.code_is() != Some(SILENT) {
        return failure;
    }
    let process =
        server(session).map(|(role, pid)| Process { verb: role.verb(), pid, state: State::of(pid) });
    match process {
        Some(process) if process.is_held() => told(failure, &process, session),
        _ if answers(limit, session).await => slow(failure),
        Some(process) => told(failure, &process, session),
        None => failure,
    }
}

/// Whether the server answers what it has at hand.
async fn answers(limit: Duration, session: &Session) -> bool {
    let Ok(server) = session.server() else { return false };
    let asked: Result<serde_json::Value, _> = Client::new(server).waiting(limit).get("/v1/apps").await;
    matches!(asked, Ok(_) | Err(api::Error::Problem(_)))
}

/// Whoever were told to kill it would lose what it is at work on.
fn slow(failure: Failure) -> Failure {
    failure
        .or_detail("the server answers, but this takes it longer, as it may on a disk that is slow or full")
        .hint("what it was asked it may still do: look at `tandem status`, then type it again")
}

/// Ends only where the server of this machine is stopped and stays so: whatever was asked of it gets no answer then.
pub(crate) async fn stays_stopped(session: &Session) -> Failure {
    let mut looks = 0;
    loop {
        sleep(INTERVAL).await;
        let held = server(session).is_some_and(|(_, pid)| held(pid).is_some());
        looks = if held { looks + 1 } else { 0 };
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

/// A server that does not answer.
struct Process {
    verb: &'static str,
    pid: u32,
    state: Option<State>,
}

impl Process {
    fn is_held(&self) -> bool {
        self.state.is_some_and(|state| state.held(self.pid).is_some())
    }
}

fn told(failure: Failure, process: &Process, session: &Session) -> Failure {
    let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    let folder = std::fs::read_link(format!("/proc/{}/cwd", process.pid)).ok();
    told_with(failure, process, again(&line, (folder.as_deref(), &session.data())))
}

fn told_with(failure: Failure, Process { verb, pid, state }: &Process, again: Option<String>) -> Failure {
    let (why, hint) = match state.and_then(|state| state.held(*pid)) {
        Some(held) => held,
        None => {
            let (waits, once) = match state {
                Some(State::Disk) => (" and waits for a disk", " once the disk answers"),
                _ => ("", ""),
            };
            let again =
                again.map_or_else(|| "the words it was started with".to_owned(), |it| format!("`{it}`"));
            let hint = format!(
                "its log may say why; `kill -9 {pid}` ends it{once}: apps and balancer go on, and {again} takes \
                 them over, which a service manager types by itself"
            );
            (format!("does not answer{waits}"), hint)
        }
    };
    let title = format!("`tandem {verb}` (process {pid}) {why}");
    failure.titled(title).or_detail("what it was asked it may still do once it goes on").hint(hint)
}

/// What starts a process again as it was, from any folder: its own words, with those that name a file as they are seen from
/// the folder that it was started in, where that is known. With others it would serve at other addresses, and the balancer
/// would leave those where the world comes to.
fn again(line: &[u8], (folder, data): (Option<&Path>, &Path)) -> Option<String> {
    let mut given = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = given.next().filter(|program| !program.is_empty())?;
    // Without a slash it is looked for on the path.
    let program = if program.contains('/') { seen_from(folder, &program) } else { program.into_owned() };
    let mut words = vec![program];
    while let Some(word) = given.next() {
        match word.as_ref() {
            "--data" => drop(given.next()),
            word if word.is_empty() || word.starts_with("--data=") => {}
            READY_FILE => {
                words.push(word.into_owned());
                words.extend(given.next().map(|file| seen_from(folder, &file)));
            }
            word => words.push(match word.split_once('=') {
                Some((READY_FILE, file)) => format!("{READY_FILE}={}", seen_from(folder, file)),
                _ => word.to_owned(),
            }),
        }
    }
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    words.extend(["--data".to_owned(), data.display().to_string()]);
    Some(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// A path as it is named from anywhere.
fn seen_from(folder: Option<&Path>, path: &str) -> String {
    let whole = folder.map(|folder| folder.join(path).components().collect::<PathBuf>());
    whole.map_or_else(|| path.to_owned(), |whole| whole.display().to_string())
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=@%+,".contains(char);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// What the kernel says of a process that does not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Stopped by a signal.
    Stopped,
    /// A debugger holds it, which a signal does not change.
    Traced,
    /// In a call that cannot be interrupted.
    Disk,
    /// It runs, or waits as it may.
    Other,
}

impl State {
    /// Of a process; none where there is none.
    fn of(pid: u32) -> Option<Self> {
        Stat::of(i32::try_from(pid).ok()?).map(|stat| Self::named(stat.state()))
    }

    /// By its letter, as in `proc(5)`.
    fn named(letter: char) -> Self {
        match letter {
            'T' => Self::Stopped,
            't' => Self::Traced,
            'D' => Self::Disk,
            _ => Self::Other,
        }
    }

    /// What is to be said of a process that goes on only once somebody lets it: how it is, and what to do.
    fn held(self, pid: u32) -> Option<(String, String)> {
        match self {
            Self::Stopped => {
                let how = "is stopped (by SIGSTOP or Ctrl-Z)".to_owned();
                Some((how, format!("`kill -CONT {pid}` lets it go on")))
            }
            Self::Traced => {
                let tracer = tracer(pid).map(|tracer| format!(" (process {tracer})")).unwrap_or_default();
                let hint = "let it go on there, or detach the debugger from it".to_owned();
                Some((format!("is held by a debugger{tracer}"), hint))
            }
            Self::Disk | Self::Other => None,
        }
    }
}

/// Of a process that is stopped or held by a debugger, how it is and what to do.
pub(crate) fn held(pid: u32) -> Option<(String, String)> {
    State::of(pid)?.held(pid)
}

/// The debugger of a process.
fn tracer(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    tracer.trim().parse().ok().filter(|tracer| *tracer != 0)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;
    use crate::cli::Global;
    use crate::output::{Output, Style};

    fn rendered(failure: &Failure) -> String {
        failure.render(Style::new(false)).expect("it is told")
    }

    fn silent() -> Failure {
        Failure::new("no").hint("it may hang").code(SILENT)
    }

    #[test]
    fn each_state_has_a_command_that_ends_it() {
        assert_eq!(State::of(std::process::id()), Some(State::Other));
        for (state, title, hint) in [
            (State::named('T'), "process 7) is stopped", "`kill -CONT 7` lets it go on"),
            (State::named('t'), "process 7) is held by a debugger", "let it go on there, or detach"),
            (
                State::Disk,
                "does not answer and waits for a disk",
                "`kill -9 7` ends it once the disk answers",
            ),
            (State::Other, "process 7) does not answer", "`tandem server --data /x` takes them over"),
        ] {
            let process = Process { verb: "server", pid: 7, state: Some(state) };
            let text = rendered(&told_with(
                silent().detail("more"),
                &process,
                Some("tandem server --data /x".to_owned()),
            ));
            assert!(text.contains(title) && text.contains(hint) && text.contains("more"), "{text}");
        }
    }

    #[test]
    fn what_takes_over_serves_where_the_one_before_did() {
        let data = Path::new("/no where");
        let words = |line: &str| again(line.replace(' ', "\0").as_bytes(), (None, data));
        for line in [
            "/usr/bin/tandem up --http 0.0.0.0:80 --http [::]:80 --data ./here ",
            "/usr/bin/tandem --data=here up --http 0.0.0.0:80 --http [::]:80 ",
            "/usr/bin/tandem up --http 0.0.0.0:80 --http [::]:80 ",
        ] {
            let whole = "/usr/bin/tandem up --http 0.0.0.0:80 --http '[::]:80' --data '/no where'";
            assert_eq!(words(line).as_deref(), Some(whole), "{line}");
        }
        assert_eq!(words(""), None, "it is gone");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn what_takes_over_is_found_from_any_folder() {
        let words = |line: &str, folder| again(line.replace(' ', "\0").as_bytes(), (folder, Path::new("/x")));
        let folder = Some(Path::new("/home/me"));
        for (line, whole) in [
            ("./tandem up --ready-file r.json ", "/home/me/tandem up --ready-file /home/me/r.json --data /x"),
            ("../bin/tandem up --ready-file=/r ", "/home/me/../bin/tandem up --ready-file=/r --data /x"),
            ("tandem server --ready-file=a/r ", "tandem server --ready-file=/home/me/a/r --data /x"),
        ] {
            assert_eq!(words(line, folder).as_deref(), Some(whole));
        }
        let typed = "./tandem up --ready-file r.json ";
        assert_eq!(
            words(typed, None).as_deref(),
            Some("./tandem up --ready-file r.json --data /x"),
            "as it was typed, where its folder is not known"
        );
    }

    /// What is said of a server that answers so, be it nothing.
    async fn explained(answer: &'static str, limit: Duration) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("api.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let global = Global { server: Some(format!("unix:{}", path.display())), ..Global::default() };
        let session = Session::new(global, Output::detect(false, true));
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            std::future::pending::<()>().await
        };
        tokio::select! {
            failure = explain_within(limit, silent(), &session) => rendered(&failure),
            () = serve => unreachable!("it never ends"),
        }
    }

    #[tokio::test]
    async fn a_server_that_answers_something_else_at_once_is_not_said_to_hang() {
        let text = explained("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", Duration::from_secs(60)).await;
        assert!(text.contains("takes it longer") && !text.contains("hang"), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_answers_nothing_at_all_is() {
        let text = explained("", Duration::from_millis(50)).await;
        assert!(text.contains("it may hang"), "{text}");
    }
}
