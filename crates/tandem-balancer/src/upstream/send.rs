//! Sends a request to an instance of a pool, and to another one where that is safe.
//!
//! What never left is always sent anew: a refused connection, a kept connection that died before the request was written.
//! What may have been acted on is sent a second time only if its method is idempotent and nothing of its body is gone
//! (RFC 9110, 9.2.2), and only once: a request that kills instances must not kill them all.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::{Request, Response, request};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tandem_types::InstanceId;

use super::connection::is_its_fault;
use super::{Connection, Progress, RequestBody, connect};
use crate::serve::Activity;
use crate::table::{Endpoint, Instance, Lease, LiveRoute};
use crate::thread::Thread;

/// A request ready for an instance.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Its head, with the header rules applied.
    pub parts: request::Parts,
    /// Its body, if it has one.
    pub progress: Option<Rc<Progress>>,
}

/// An answer whose body has not been read.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What the instance said.
    pub response: Response<Incoming>,
    /// On which connection.
    pub connection: Connection,
    /// Counts the request until it is dropped.
    pub lease: Lease,
    /// The request's body: the instance may not have read all of it.
    pub progress: Option<Rc<Progress>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No instance could be reached; the request is as it was.
    Unreached(Box<Outgoing>),
    /// The instance broke off.
    Broken,
    /// The client did: the instance could not get the whole request.
    BadBody,
    /// The instance did not begin its answer in time.
    Late,
}

/// How one attempt failed.
enum Miss {
    /// The request never left.
    Unsent {
        outgoing: Box<Outgoing>,
        reused: bool,
    },
    /// It left; it comes back where it may be sent again.
    Lost {
        outgoing: Option<Box<Outgoing>>,
    },
    BadBody,
    Late,
}

/// Sends a request to one of a route's instances and waits for the head of the answer.
///
/// # Errors
/// See [`Failure`].
pub(crate) async fn send(
    thread: &Rc<Thread>,
    route: &LiveRoute,
    activity: &Activity,
    outgoing: Box<Outgoing>,
) -> Result<Answer, Failure> {
    let mut outgoing = outgoing;
    let mut tried = Vec::new();
    let (mut fresh, mut replayed) = (false, false);
    loop {
        let Some(lease) = choose(thread, route.members(), &tried) else {
            // What was sent once may have been acted on, whatever became of its second try.
            return Err(if replayed { Failure::Broken } else { Failure::Unreached(outgoing) });
        };
        let id = lease.instance().id();
        match attempt(thread, lease, activity, (outgoing, fresh)).await {
            Ok(answer) => return Ok(answer),
            Err(Miss::Unsent { outgoing: unsent, reused }) => {
                outgoing = unsent;
                if !reused {
                    tried.push(id);
                }
            }
            Err(Miss::Lost { outgoing: Some(unanswered) }) if !replayed => {
                outgoing = unanswered;
                replayed = true;
                // An instance that is being killed may still take a connection: its second try goes elsewhere.
                if route.members().len() > tried.len() + 1 {
                    tried.push(id);
                }
            }
            Err(Miss::Lost { .. }) => return Err(Failure::Broken),
            Err(Miss::BadBody) => return Err(Failure::BadBody),
            Err(Miss::Late) => return Err(Failure::Late),
        }
        // One dead connection from the pool is a coincidence; the next attempt does not count on a second one.
        fresh = true;
    }
}

/// An instance that was not tried yet: of two healthy ones drawn by lot the one with fewer requests; where none is
/// healthy any other, since a pool is never given up for its probes alone.
fn choose(thread: &Thread, members: &[Arc<Instance>], tried: &[InstanceId]) -> Option<Lease> {
    let untried = |member: &&Arc<Instance>| !tried.contains(&member.id());
    let healthy = |member: &&Arc<Instance>| untried(member) && member.is_healthy();
    let drawn = draw(thread, || members.iter().filter(healthy))
        .or_else(|| draw(thread, || members.iter().filter(untried)))?;
    // Un-routed in this very moment: any other that still is in the table.
    drawn.lease().or_else(|| members.iter().filter(untried).find_map(Instance::lease))
}

fn draw<'a, I>(thread: &Thread, fitting: impl Fn() -> I) -> Option<&'a Arc<Instance>>
where
    I: Iterator<Item = &'a Arc<Instance>>,
{
    let count = fitting().count();
    if count < 2 {
        return fitting().next();
    }
    let dice = thread.random();
    let first = dice as usize % count;
    let second = (first + 1 + (dice >> 32) as usize % (count - 1)) % count;
    let (first, second) = (fitting().nth(first)?, fitting().nth(second)?);
    Some(if second.in_flight() < first.in_flight() { second } else { first })
}

/// One attempt at one instance; `fresh` asks for a new connection.
async fn attempt(
    thread: &Rc<Thread>,
    lease: Lease,
    activity: &Activity,
    (outgoing, fresh): (Box<Outgoing>, bool),
) -> Result<Answer, Miss> {
    let choice = match (fresh, outgoing.parts.method.is_idempotent()) {
        (true, _) => Choice::New,
        (false, true) => Choice::Kept,
        (false, false) => Choice::Quiet,
    };
    let mut connection = match reach(thread, lease.instance(), choice).await {
        Some(connection) => connection,
        None => return Err(Miss::Unsent { outgoing, reused: false }),
    };
    let again = outgoing.again();
    let Outgoing { parts, progress } = *outgoing;
    let body = progress.as_ref().map_or(RequestBody::Empty, Progress::body);
    let sent = connection.sender.try_send_request(Request::from_parts(parts, body));
    match in_time(activity, sent).await {
        Some(Ok(response)) => Ok(Answer { response, connection, lease, progress }),
        Some(Err(mut error)) => {
            let reused = connection.reused;
            Err(match error.take_message() {
                Some(unsent) => Miss::Unsent { outgoing: Outgoing::taken_back(unsent, progress), reused },
                None if progress.is_some_and(|progress| progress.is_broken()) => Miss::BadBody,
                None => {
                    let error = error.into_error();
                    tracing::debug!("an instance broke off: {error}");
                    Miss::Lost { outgoing: again.filter(|again| again.reclaim()) }
                }
            })
        }
        None => Err(Miss::Late),
    }
}

/// Which connection will do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// A new one only.
    New,
    /// A kept one too.
    Kept,
    /// A kept one too, if it was just seen to be open.
    Quiet,
}

/// A connection to an instance. None: it cannot be reached.
async fn reach(thread: &Rc<Thread>, instance: &Arc<Instance>, choice: Choice) -> Option<Connection> {
    let endpoint: Arc<Endpoint> = instance.endpoint().as_ref().map(Arc::clone)?;
    while choice != Choice::New
        && let Some(kept) = thread.pool.take(&endpoint, thread.now())
    {
        if choice == Choice::Kept || kept.is_quiet() {
            return Some(kept);
        }
    }
    match connect(thread, &endpoint).await {
        Ok(connection) => Some(connection),
        Err(error) => {
            tracing::debug!(instance = %endpoint.id, "cannot connect to {}: {error}", endpoint.address);
            if is_its_fault(&error) {
                instance.suspect();
            }
            None
        }
    }
}

type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// Waits for the answer for as long as the connection's limits allow; none when it is late.
async fn in_time(activity: &Activity, sent: impl Future<Output = Sent>) -> Option<Sent> {
    activity.answer_awaited();
    let mut sent = std::pin::pin!(sent);
    let answer = std::future::poll_fn(|context| match sent.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        // The connection's task is woken when this becomes true.
        Poll::Pending if activity.is_late() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await;
    activity.answer_ended();
    answer
}

impl Outgoing {
    /// The same request again, where it may be sent twice.
    fn again(&self) -> Option<Box<Self>> {
        let again = || Box::new(Self { parts: self.parts.clone(), progress: self.progress.clone() });
        self.parts.method.is_idempotent().then(again)
    }

    /// Takes its body back from an attempt that failed; false when a part of it is gone.
    fn reclaim(&self) -> bool {
        self.progress.as_ref().is_none_or(|progress| {
            progress.revoke();
            !progress.is_begun()
        })
    }

    /// A request that hyper gave back unsent.
    fn taken_back(unsent: Request<RequestBody>, progress: Option<Rc<Progress>>) -> Box<Self> {
        if let Some(progress) = &progress {
            // The body in it is dropped here and must not be taken for one that nobody wants.
            progress.revoke();
        }
        let (parts, _) = unsent.into_parts();
        Box::new(Self { parts, progress })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use hyper::Method;
    use tandem_kit::drain;
    use tandem_kit::tasks::Tasks;
    use tandem_types::instance::Address;
    use tokio::task::LocalSet;

    use super::super::Pool;
    use super::*;
    use crate::serve::Limits;
    use crate::shared::Shared;
    use crate::tick::Tick;

    fn outgoing() -> Box<Outgoing> {
        let request = Request::builder().method(Method::GET).uri("/").body(()).unwrap();
        Box::new(Outgoing { parts: request.into_parts().0, progress: None })
    }

    /// The keep-alive race at its closest: the app closes while the request is handed over and not yet written.
    #[tokio::test]
    async fn a_request_that_never_left_is_taken_back_and_not_taken_for_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let instance = Arc::new(Instance::new(InstanceId(1), Arc::default()));
        instance.set_address(Some(&Address::Tcp(listener.local_addr().unwrap())));
        instance.route();
        let tasks = Tasks::new(drain::channel().1);
        let shared = Arc::new(Shared::new(1, 1, Duration::ZERO));
        let thread = Thread::new(shared, Limits::default(), tasks, (0, 1));
        let activity = Activity::new(Tick::default());
        let local = LocalSet::new();
        let keep = async {
            let endpoint: Arc<Endpoint> = instance.endpoint().as_ref().map(Arc::clone).unwrap();
            let mut connection = connect(&thread, &endpoint).await.unwrap();
            connection.sender.ready().await.unwrap();
            Pool::keep(&thread, connection, &instance, (None, http::StatusCode::OK));
        };
        local.run_until(keep).await;
        // Whatever drives the connection stands still while the request is handed over and the app closes.
        let attempt = attempt(&thread, instance.lease().unwrap(), &activity, (outgoing(), false));
        let mut attempt = std::pin::pin!(attempt);
        assert!(futures_util::poll!(attempt.as_mut()).is_pending());
        drop(listener.accept().unwrap());
        tokio::task::yield_now().await;
        let missed = local.run_until(attempt).await;
        assert!(matches!(missed, Err(Miss::Unsent { reused: true, .. })));
    }
}
