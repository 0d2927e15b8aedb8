//! Websockets and other protocols after an upgrade: bytes both ways until one side ends.
//!
//! A tunnel counts as a request in flight. When its instance leaves the table it may go on for a while; tunnels are
//! ended one by one over the drain's time, so that clients do not come back all at once.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::{Activity, ResponseBody};
use crate::forward;
use crate::table::Lease;
use crate::thread::Thread;
use crate::upstream::Answer;

/// Buffer of each direction: websocket messages are small, and there may be thousands of tunnels.
const BUFFER: usize = 8 * 1024;
/// Part of the drain's time over which tunnels are ended: in the first part a rollback may still save them all, the last one
/// is for those who close late by themselves.
const SPREAD_PER_MILLE: std::ops::Range<u64> = 100..900;

/// Answers `101` and carries bytes both ways from then on.
pub(super) fn switch(
    thread: &Rc<Thread>,
    answer: Answer,
    (client, activity): (OnUpgrade, &Arc<Activity>),
    id: &HeaderValue,
) -> Response<ResponseBody> {
    let Answer { mut response, connection, lease, .. } = answer;
    let instance = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    forward::prepare_switch(&mut parts, id);
    let context = Rc::clone(thread);
    thread.spawn("tunnel", async move {
        let ends = tokio::try_join!(client, instance);
        // Only now: dropping the connection before the switch would end it.
        drop(connection);
        match ends {
            Ok((client, instance)) => carry(&context, client, instance, &lease).await,
            Err(error) => tracing::debug!("an upgrade was not carried through: {error}"),
        }
    });
    Response::from_parts(parts, ResponseBody::bytes(Bytes::new(), activity))
}

async fn carry(thread: &Thread, client: Upgraded, instance: Upgraded, lease: &Lease) {
    let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
    let both = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut instance, BUFFER, BUFFER);
    tokio::select! {
        // Either side may break off as it likes; the other one is closed by the drop.
        _ = both => {}
        () = until_cut(thread, lease) => {}
    }
}

/// Waits until the tunnel is to be cut: some time after its instance was un-routed, or the process began to end or handed
/// its sockets over.
async fn until_cut(thread: &Thread, lease: &Lease) {
    let instance = lease.instance();
    let share = SPREAD_PER_MILLE.start + thread.random() % (SPREAD_PER_MILLE.end - SPREAD_PER_MILLE.start);
    let wait = thread.shared.drain_limit().mul_f64(share as f64 / 1000.0);
    let mut leaving = thread.shared.leaving();
    loop {
        tokio::select! {
            () = instance.until_unrouted() => {}
            () = thread.tasks().drain().requested() => {}
            _ = leaving.wait_for(Option::is_some) => {}
        }
        tokio::time::sleep(wait).await;
        // A rollback may have brought the instance back in the meantime.
        let ends = thread.tasks().drain().is_requested() || thread.shared.is_leaving();
        if ends || !instance.is_routed() {
            return;
        }
    }
}
