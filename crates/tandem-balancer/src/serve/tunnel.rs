//! Websockets and other protocols after an upgrade: bytes both ways until one side ends.
//!
//! A tunnel counts as a request in flight. When its instance leaves the table it may go on for a while; tunnels are
//! ended one by one over the drain's time, so that clients do not come back all at once.

use std::rc::Rc;

use super::behind::Behind;
use super::{Input, Socket};
use crate::table::Lease;
use crate::thread::Thread;
use crate::upstream::Connection;
use tandem_record::Unfinished;

/// Buffer of each direction: websocket messages are small, and there may be thousands of tunnels.
const BUFFER: usize = 8 * 1024;
/// Part of the drain's time over which tunnels are ended: in the first part a rollback may still save them all, the last one
/// is for those who close late by themselves.
const SPREAD_PER_MILLE: std::ops::Range<u64> = 100..900;

/// A connection that has left HTTP.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) thread: Rc<Thread>,
    /// The client's end, with what came from it already.
    pub(super) client: (Socket, Input),
    pub(super) instance: Connection,
    pub(super) lease: Lease,
    pub(super) record: Unfinished,
}

impl Tunnel {
    /// Carries bytes both ways until either side ends, or its time is up.
    pub(super) async fn carry(self) {
        let Self { thread, client: (socket, input), instance, lease, mut record } = self;
        let mut client = Behind { input, stream: socket, count: 0 };
        let mut instance = Behind { input: instance.input, stream: instance.stream, count: 0 };
        let both = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut instance, BUFFER, BUFFER);
        tokio::select! {
            // Either side may break off as it likes; the other one is closed by the drop.
            _ = both => {}
            () = until_cut(&thread, &lease) => {}
        }
        record.trace.moved(client.count, instance.count);
        // However it ended: that is how tunnels end.
        record.trace.whole();
    }
}

/// Waits until the tunnel is to be cut: some time after its instance was un-routed, or the process began to end or handed
/// its sockets over.
pub(crate) async fn until_cut(thread: &Thread, lease: &Lease) {
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
