//! One connection of a client, joined to one of a target.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tandem_types::InstanceId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::door::Leads;
use crate::serve::{Ends, Input, Pump, PumpError, read_header, until_ended};
use crate::table::{Instance, Lease};
use crate::thread::Thread;
use crate::upstream::{Connection, Reach, reach};
use tandem_wire::{Framing, ProxyEnds};

/// Time for a PROXY header: as for a request's head.
const HEADER_LIMIT: Duration = Duration::from_secs(10);

/// Joins a client to a target, until both have said all that they had to say.
pub(super) async fn relay(
    thread: Rc<Thread>,
    leads: Arc<Leads>,
    (mut client, peer): (TcpStream, SocketAddr),
) {
    let Some(ends) = ends_of(&thread, (&client, peer)).await else { return };
    let Some((mut target, lease)) = connect(&thread, &leads.members).await else {
        tracing::debug!("no target takes a connection; {peer} is sent away");
        return;
    };
    let mut up = Way::new(std::mem::take(&mut target.input));
    if let Some(version) = leads.proxy {
        up.pump.head().extend(version.header(ends));
    }
    let mut down = Way::new(Input::default());
    let both = std::future::poll_fn(|context| {
        let mut scratch = thread.scratch();
        let up = up.poll(context, (&mut client, &mut target.stream), &mut scratch)?;
        let down = down.poll(context, (&mut target.stream, &mut client), &mut scratch)?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    });
    let both = async move { both.await as Result<(), PumpError> };
    tokio::select! {
        // Either side may break off as it likes; the other one is closed by the drop.
        _ = both => {}
        () = until_ended(&thread, &lease) => {}
    }
}

/// The ends of a client's connection: its socket's, or what a trusted proxy says ahead of everything else. None: it says
/// something else, or nothing.
async fn ends_of(thread: &Thread, (client, peer): (&TcpStream, SocketAddr)) -> Option<ProxyEnds> {
    let own = ProxyEnds { client: peer, to: client.local_addr().ok()? };
    if !thread.shared.is_trusted(peer.ip()) {
        return Some(own);
    }
    match tokio::time::timeout(HEADER_LIMIT, read_header(client)).await {
        Ok(Ok(said)) => Some(said.unwrap_or(own)),
        Ok(Err(error)) => {
            tracing::warn!("the proxy {} is trusted and sent away: {error}", peer.ip());
            None
        }
        Err(_) => None,
    }
}

/// One way of the two.
struct Way {
    pump: Pump,
    input: Input,
    ended: bool,
}

impl Way {
    fn new(input: Input) -> Self {
        Self { pump: Pump::new(Framing::UntilEnd, Framing::UntilEnd), input, ended: false }
    }

    /// Moves bytes. When one side has said that it sends no more the other is told; it may go on sending itself.
    fn poll<F, T>(
        &mut self,
        context: &mut Context<'_>,
        (from, to): (&mut F, &mut T),
        scratch: &mut [u8],
    ) -> Poll<Result<(), PumpError>>
    where
        F: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        if !self.ended {
            let ends = Ends { from, input: &mut self.input, to: &mut *to };
            ready!(self.pump.poll(context, ends, scratch))?;
            ready!(Pin::new(to).poll_shutdown(context)).map_err(PumpError::Sink)?;
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// A connection to the target that has the fewest, of those that take one.
async fn connect(thread: &Rc<Thread>, members: &[Arc<Instance>]) -> Option<(Connection, Lease)> {
    let mut tried: Vec<InstanceId> = Vec::new();
    while let Some(lease) = choose(thread, members, &tried) {
        if let Some(connection) = reach(thread, lease.instance(), Reach::New).await {
            return Some((connection, lease));
        }
        tried.push(lease.instance().id());
    }
    None
}

/// Among equals the lot decides, so that targets fill up evenly at the beginning.
fn choose(thread: &Thread, members: &[Arc<Instance>], tried: &[InstanceId]) -> Option<Lease> {
    let untried = || members.iter().filter(|member| !tried.contains(&member.id()));
    let fewest = |healthy: bool| {
        let fitting = untried().filter(|member| member.is_healthy() == healthy);
        fitting.min_by_key(|member| (member.in_flight(), thread.random())).and_then(Instance::lease)
    };
    // Un-routed in this very moment: any other that is not.
    fewest(true).or_else(|| fewest(false)).or_else(|| untried().find_map(Instance::lease))
}
