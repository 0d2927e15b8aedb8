//! Clients that keep their connection, as browsers do.
//!
//! When the other side has closed a kept connection before the next request was written to it, the request goes out once
//! more on a fresh one and is counted as stale. When it dies later, the request has failed, also where no answer had
//! begun: somebody may have acted on it.

use std::time::Duration;

use super::Kind;
use super::single::{GIVES_UP, Shared};
use crate::connection::{Answer, Connection, Question};

/// One client: a request each `1 / rate` seconds, one after the other, the latency counted from when it was due.
pub(super) async fn client(shared: Shared, number: u32) {
    let rate = shared.mix.kept_pages;
    if rate <= 0.0 {
        return;
    }
    let period = Duration::from_secs_f64(1.0 / rate);
    // Spread over one period, so that the clients do not ask in step.
    let mut due = shared.now() + period.mul_f64(f64::from(number) / f64::from(shared.mix.kept_clients));
    let mut connection = None;
    let (kind, question) = match shared.mix.kept_posts && number % 2 == 1 {
        true => (Kind::KeptPost, Question::post("/", "a line under load")),
        false => (Kind::Kept, Question::get(&shared.mix.page)),
    };
    while shared.wait_until(due).await {
        let asked = tokio::time::timeout(GIVES_UP, ask(&shared, &mut connection, &question)).await;
        let answer = asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {GIVES_UP:?}")));
        // Who is told to come back on another one does so.
        if answer.as_ref().is_ok_and(|answer| answer.header("connection") == "close") || answer.is_err() {
            connection = None;
        }
        shared.record(kind, due, answer);
        due += period;
    }
}

async fn ask(
    shared: &Shared,
    connection: &mut Option<Connection>,
    question: &Question,
) -> anyhow::Result<Answer> {
    if let Some(open) = connection {
        match open.ask(question.clone()).await {
            Err(error) if is_unsent(&error) => shared.report.borrow_mut().stale += 1,
            answer => return answer,
        }
    }
    let mut fresh = Connection::open(shared.target.address, &shared.target.host).await?;
    let answer = fresh.ask(question.clone()).await;
    *connection = Some(fresh);
    answer
}

/// Whether the connection had ended before a byte of the request was written, so that nobody can have acted on it: hyper
/// cancels what it has not begun to send, and says of all else that the answer is incomplete.
fn is_unsent(error: &anyhow::Error) -> bool {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<hyper::Error>());
    cause.is_some_and(|error| error.is_canceled() || error.is_closed())
}
