//! Websockets and other protocols after an upgrade: bytes both ways until one side ends.
//!
//! A tunnel counts as a request in flight. When its instance leaves the table it may go on for a while.

use std::rc::Rc;

use super::behind::Behind;
use super::ending::until_ended;
use super::place::Place;
use super::{Input, Socket};
use crate::table::Lease;
use crate::thread::Thread;
use crate::upstream::Connection;
use tandem_record::Unfinished;

/// Buffer of each direction: websocket messages are small, and there may be thousands of tunnels.
const BUFFER: usize = 8 * 1024;

/// A connection that has left HTTP.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) thread: Rc<Thread>,
    /// The client's end, with what came from it already, and the app for which it counts.
    pub(super) client: (Socket, Input, Place),
    pub(super) instance: Connection,
    pub(super) lease: Lease,
    pub(super) record: Unfinished,
}

impl Tunnel {
    /// Carries bytes both ways until either side ends, or its time is up.
    pub(super) async fn carry(self) {
        let Self { thread, client: (socket, input, _place), instance, lease, mut record } = self;
        let mut client = Behind { input, stream: socket, count: 0 };
        let mut instance = Behind { input: instance.input, stream: instance.stream, count: 0 };
        let both = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut instance, BUFFER, BUFFER);
        tokio::select! {
            // Either side may break off as it likes; the other one is closed by the drop.
            _ = both => {}
            () = until_ended(&thread, &lease) => {}
        }
        record.trace.moved(client.count, instance.count);
        // However it ended: that is how tunnels end.
        record.trace.whole();
    }
}
