//! One-off commands: how many, of whom, and who may offer connections to them.

use tandem_types::instance::JobState;
use tandem_types::problem::Problem;
use tandem_types::session::{LONGEST_COMMAND, RunCommand, Session, Size, Terminal};
use tandem_types::{JobId, defaults};

use super::actors::alpha;
use super::site::Site;

fn line(command: &str) -> RunCommand {
    let command = command.to_owned();
    RunCommand { command, message: String::new(), terminal: None, detach: false, timeout: None }
}

async fn run(site: &Site, asked: RunCommand) -> Result<Session, Problem> {
    site.handle.run("unix:ana", &site.place, asked).await
}

async fn until_over(site: &Site, id: JobId) -> Session {
    let session = || site.handle.session(&site.place, id).expect("a session");
    site.until(&format!("{id} is over"), || session().is_over()).await;
    session()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_run_at_once_and_one_more_has_room_once_one_has_ended() {
    let site = Site::start().await;
    site.deploy().await;
    site.host.lock().expect("lock").commands_go_on = true;
    let mut first = None;
    for _ in 0..defaults::MOST_SESSIONS {
        let session = run(&site, line("sleep 1000")).await.expect("there is room");
        first.get_or_insert(session.id);
    }
    let refused = run(&site, line("sleep 1000")).await.expect_err("there is no more room");
    assert_eq!((refused.status, refused.code.as_str()), (429, "too_many_sessions"));
    assert_eq!(refused.title, "20 one-off commands of guestbook/production run already");
    assert_eq!(refused.hint, "end one that `tandem sessions --app guestbook` shows");
    site.host.lock().expect("lock").commands_go_on = false;
    let first = first.expect("more than none");
    site.handle.end_session("unix:ana", &site.place, first).await.expect("asked to end");
    until_over(&site, first).await;
    run(&site, line("sleep 1000")).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_host_that_has_a_command_may_offer_connections_to_it_and_only_while_it_has_it() {
    let site = Site::start().await;
    site.deploy().await;
    site.host.lock().expect("lock").commands_go_on = true;
    let id = run(&site, line("sleep 1000")).await.expect("it is written down").id;
    site.until("it runs", || {
        let session = site.handle.session(&site.place, id).expect("a session");
        session.state == JobState::Running
    })
    .await;
    site.handle.check_offer(&alpha(), id).expect("it runs there");
    let refused = |host: &str, id: JobId| {
        let refused = site.handle.check_offer(&host.parse().expect("a name"), id).expect_err("refused");
        assert_eq!((refused.status, refused.code.as_str()), (404, "session_not_assigned"));
        refused.title
    };
    assert_eq!(refused("beta", id), format!("{id} is not assigned to beta, or has ended"));
    refused("alpha", JobId(id.0 + 1));
    site.host.lock().expect("lock").commands_go_on = false;
    site.handle.end_session("unix:ana", &site.place, id).await.expect("asked to end");
    until_over(&site, id).await;
    site.until("nobody has it", || site.handle.check_offer(&alpha(), id).is_err()).await;
    refused("alpha", id);
}

/// The runner heard of it before it hung, say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_was_given_up_does_not_begin_whatever_its_host_was_told() {
    let site = Site::start().await;
    site.deploy().await;
    site.host.lock().expect("lock").commands_go_on = true;
    let id = run(&site, line("sleep 1000")).await.expect("it is written down").id;
    site.until("it runs", || site.handle.check_offer(&alpha(), id).is_ok()).await;
    let check = async |host: &str, id| {
        let checked = site.handle.check_job(&host.parse().expect("a name"), &site.place, id).await;
        checked.map_err(|problem| (problem.status, problem.code, problem.title))
    };
    assert_eq!(check("alpha", id).await, Ok(()));
    let not_assigned = |host, id| {
        let title = format!("{id} of guestbook/production is not assigned to {host}");
        Err((403, "not_assigned".to_owned(), title))
    };
    assert_eq!(check("beta", id).await, not_assigned("beta", id));
    assert_eq!(check("alpha", JobId(id.0 + 1)).await, not_assigned("alpha", JobId(id.0 + 1)));
    site.handle.end_session("unix:ana", &site.place, id).await.expect("asked to end");
    let canceled = (410, "job_canceled".to_owned(), format!("{id} was ended before it began"));
    assert_eq!(check("alpha", id).await, Err(canceled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_run_is_refused_with_what_to_do() {
    let site = Site::start().await;
    let early = run(&site, line("true")).await.expect_err("there is no app");
    assert_eq!(early.code, "app_not_found");
    site.deploy().await;
    let size = Size { rows: 24, columns: 80 };
    let at = |term: &str| Some(Terminal { size, term: term.to_owned() });
    for asked in [
        line(" \n"),
        line("printf 'a\0b'"),
        line(&"a".repeat(LONGEST_COMMAND + 1)),
        RunCommand { terminal: at("xterm\n256"), ..line("true") },
    ] {
        let refused = run(&site, asked.clone()).await.expect_err("it cannot be run");
        assert_eq!((refused.status, refused.code.as_str()), (422, "command_invalid"), "{asked:?}");
        assert!(!refused.hint.is_empty());
    }
    assert!(site.handle.sessions(&site.place).expect("a list").is_empty(), "none was written down");
    run(&site, line(&"a".repeat(LONGEST_COMMAND))).await.expect("it just fits");
}
