//! Sends a request to an instance of a pool, and to another one where that is safe.
//!
//! What never left is always sent anew: a refused connection, a kept connection that died before the request was written.
//! What may have been acted on is sent a second time only if its method is idempotent and nothing of its body is gone
//! (RFC 9110, 9.2.2), and only once: a request that kills instances must not kill them all.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::StatusCode;
use tandem_kit::error::chain;
use tandem_rules::ejection::Seen;
use tandem_types::InstanceId;
use tokio::io::AsyncWrite as _;

use super::ending::{Long, is_process_leaving};
use super::exchange::Exchange;
use super::upload::{CONTINUE, Progress};
use super::waiting::Tries;
use crate::table::{Instance, Lease, LiveRoute};
use crate::upstream::{Connection, NoHead, Reach, choose, judge, reach};
use tandem_wire::forward;
use tandem_wire::{ResponseHead, Version};

/// Why a body is not taken.
const BROKEN: &str = "the request's body is malformed or broke off";
pub(super) const TOO_LONG: &str = "the request's body is longer than this app takes";
const SLOW: &str = "nothing more came of the request's body";

/// An answer whose body has not been read.
#[derive(Debug)]
pub(super) struct Arrived {
    /// On which connection.
    pub(super) connection: Connection,
    /// What the instance said.
    pub(super) head: ResponseHead,
    /// Counts the request until it is dropped.
    pub(super) lease: Lease,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No instance could be reached. Unless it was sent before, nothing of the request is gone.
    Unreached,
    /// The instance broke off.
    Broken,
    /// The client did, or it sends too much or nothing more: the instance could not get the whole request. What it is told.
    Refused(StatusCode, &'static str),
    /// The instance did not begin its answer in time.
    Late,
    /// This process leaves, and the time for answers is up.
    Ended,
}

/// How one attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Miss {
    /// The request never left.
    Unsent {
        reused: bool,
    },
    /// It left, and no answer came.
    Lost,
    Refused(StatusCode, &'static str),
    Late,
    /// The instance leaves, or this process does, and the time for answers is up.
    Ended,
}

/// Most interim answers to one request. Each is kept until the client takes it, so there must be an end.
const MOST_INTERIM: u32 = 100;

/// A request on its way to an instance.
struct Attempt<'a> {
    connection: Connection,
    instance: &'a Instance,
    outgoing: &'a [u8],
    written: usize,
    /// The instance takes no more; its answer may be there all the same.
    deaf: bool,
    /// Interim answers so far.
    interim: u32,
}

impl Exchange<'_> {
    /// Sends the request to one of a route's instances and waits for the head of the answer.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(super) async fn send(
        &mut self,
        route: &LiveRoute,
        outgoing: &[u8],
        tries: &mut Tries,
    ) -> Result<Arrived, Failure> {
        let mut tried = Vec::new();
        let mut fresh = false;
        route.account().asked();
        loop {
            let lease = choose(&self.client.thread, route.members(), &tried).ok_or(Failure::Unreached)?;
            let id = lease.instance().id();
            let reach = match (fresh, self.head.method.is_idempotent()) {
                (true, _) => Reach::New,
                (false, true) => Reach::Kept,
                (false, false) => Reach::Quiet,
            };
            let attempted = self.attempt((lease, reach), outgoing, tries).await;
            if !matches!(attempted, Err(Miss::Unsent { .. })) {
                route.account().reached();
            }
            self.judge(route, (id, fresh), &attempted);
            match attempted {
                Ok(arrived) => return Ok(arrived),
                Err(Miss::Unsent { reused: true }) => {}
                Err(Miss::Unsent { reused: false }) => tried.push(id),
                Err(Miss::Lost) if self.may_be_sent_again(route, tries) => {
                    tries.replayed = true;
                    // An instance that is being killed may still take a connection: its second try goes elsewhere.
                    if route.members().len() > tried.len() + 1 {
                        tried.push(id);
                    }
                }
                Err(Miss::Lost) => return Err(Failure::Broken),
                Err(Miss::Refused(status, why)) => return Err(Failure::Refused(status, why)),
                Err(Miss::Late) => return Err(Failure::Late),
                Err(Miss::Ended) if is_process_leaving(&self.client.thread, &self.client.activity) => {
                    return Err(Failure::Ended);
                }
                // Nothing speaks against it: it is asked again of who follows, as if it had come now.
                Err(Miss::Ended) => {
                    self.ending.begin_anew();
                    tries.begin_anew();
                }
            }
            // One dead connection from the pool is a coincidence; the next attempt does not count on a second one.
            fresh = true;
        }
    }

    fn may_be_sent_again(&self, route: &LiveRoute, tries: &Tries) -> bool {
        let is_safe = self.head.method.is_idempotent() && !self.upload.is_begun();
        // Asked last: whoever asks has it taken from the budget.
        is_safe && !tries.replayed && route.account().may_repeat()
    }

    /// What an attempt says of its instance. A kept connection that dies under a request says nothing: the app may have closed
    /// it just then, as it may.
    fn judge(&self, route: &LiveRoute, (id, fresh): (InstanceId, bool), attempted: &Result<Arrived, Miss>) {
        let seen = match attempted {
            Ok(arrived) => {
                let seen = Seen::of_status(arrived.head.status.as_u16());
                return judge(route, arrived.lease.instance(), seen);
            }
            Err(Miss::Unsent { reused: false }) => Seen::Unreached,
            Err(Miss::Lost) if fresh => Seen::Failed,
            Err(Miss::Late) => Seen::Failed,
            Err(Miss::Unsent { reused: true } | Miss::Lost | Miss::Refused(..) | Miss::Ended) => return,
        };
        if let Some(instance) = route.members().iter().find(|member| member.id() == id) {
            judge(route, instance, seen);
        }
    }

    /// One attempt at one instance.
    async fn attempt(
        &mut self,
        (lease, how): (Lease, Reach),
        outgoing: &[u8],
        tries: &mut Tries,
    ) -> Result<Arrived, Miss> {
        let thread = Rc::clone(&self.client.thread);
        self.trace.attempted(lease.instance().id());
        let Some(connection) = reach(&thread, lease.instance(), how).await else {
            return Err(Miss::Unsent { reused: false });
        };
        tries.reached();
        if let Some(made) = connection.made.filter(|_| !connection.reused) {
            self.trace.connected(made);
        }
        let instance = lease.instance();
        let mut attempt = Attempt { connection, instance, outgoing, written: 0, deaf: false, interim: 0 };
        self.client.activity.answer_awaited();
        let answered = std::future::poll_fn(|context| self.poll_attempt(context, &mut attempt)).await;
        self.client.activity.answer_ended();
        let connection = attempt.connection;
        answered.map(|head| Arrived { connection, head, lease })
    }

    fn poll_attempt(
        &mut self,
        context: &mut Context<'_>,
        attempt: &mut Attempt<'_>,
    ) -> Poll<Result<ResponseHead, Miss>> {
        if let Err(miss) = self.poll_request(context, attempt) {
            return Poll::Ready(Err(miss));
        }
        loop {
            // What the client does not take now it is given with the answer.
            let _ = self.down.poll_flush(context, &mut self.client.socket);
            let read = attempt.connection.poll_head(context, &mut self.client.thread.scratch());
            match read {
                Poll::Ready(Ok(head)) if is_interim(head.status) && attempt.interim == MOST_INTERIM => {
                    let what = format!("{MOST_INTERIM} interim ones came before it");
                    self.tell_useless(&attempt.connection.endpoint, &what);
                    return Poll::Ready(Err(Miss::Lost));
                }
                Poll::Ready(Ok(head)) if is_interim(head.status) => {
                    attempt.interim += 1;
                    if self.head.version != Version::Http10 && head.status != StatusCode::CONTINUE {
                        forward::write_interim(self.down.head(), &head);
                    }
                }
                Poll::Ready(Ok(head)) => return Poll::Ready(Ok(head)),
                Poll::Ready(Err(NoHead::Broken(error))) => {
                    tracing::debug!("an instance broke off: {error}");
                    return Poll::Ready(Err(Miss::Lost));
                }
                Poll::Ready(Err(NoHead::Nonsense(error))) => {
                    self.tell_useless(&attempt.connection.endpoint, &chain(&error));
                    return Poll::Ready(Err(Miss::Lost));
                }
                // The connection's task is woken when it becomes late.
                Poll::Pending if self.client.activity.is_late() => return Poll::Ready(Err(Miss::Late)),
                Poll::Pending if self.client.activity.patience.is_slow() => {
                    return Poll::Ready(Err(Miss::Refused(StatusCode::REQUEST_TIMEOUT, SLOW)));
                }
                Poll::Pending if self.is_to_be_ended(context, attempt.instance) => {
                    return Poll::Ready(Err(Miss::Ended));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether an answer that is waited for is not waited for any longer, since its instance leaves and another may give it.
    fn is_to_be_ended(&mut self, context: &mut Context<'_>, instance: &Instance) -> bool {
        if !self.head.method.is_idempotent() || self.upload.is_begun() {
            return false;
        }
        let around = (&*self.client.thread, &*self.client.activity);
        self.ending.poll(context, around, (instance, Long::Perhaps)).is_ready()
    }

    /// Writes the request as far as it goes now.
    fn poll_request(&mut self, context: &mut Context<'_>, attempt: &mut Attempt<'_>) -> Result<(), Miss> {
        while !attempt.deaf && attempt.written < attempt.outgoing.len() {
            let rest = &attempt.outgoing[attempt.written..];
            match Pin::new(&mut attempt.connection.stream).poll_write(context, rest) {
                Poll::Ready(Ok(count)) => attempt.written += count,
                Poll::Ready(Err(_)) if attempt.written == 0 => {
                    return Err(Miss::Unsent { reused: attempt.connection.reused });
                }
                Poll::Ready(Err(_)) => attempt.deaf = true,
                Poll::Pending => return Ok(()),
            }
        }
        if attempt.deaf || self.upload.is_over() && !self.upload.exists() {
            return Ok(());
        }
        if self.upload.is_to_be_asked_for() {
            self.down.head().extend_from_slice(CONTINUE);
        }
        match self.upload.poll(context, self.client, &mut attempt.connection.stream) {
            Progress::Broken if self.upload.is_too_long() => {
                Err(Miss::Refused(StatusCode::PAYLOAD_TOO_LARGE, TOO_LONG))
            }
            Progress::Broken => Err(Miss::Refused(StatusCode::BAD_REQUEST, BROKEN)),
            Progress::Over | Progress::UnderWay => Ok(()),
        }
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}
