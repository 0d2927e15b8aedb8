//! Gives a client what an instance answered.

use std::task::{Context, Poll, ready};

use http::StatusCode;
use tandem_record::{Seen, Unfinished};
use tandem_types::traffic::AnsweredBy;
use tandem_wire::forward;
use tandem_wire::{Framing, ResponseHead};

use super::attempt::Arrived;
use super::ending::Long;
use super::exchange::{Exchange, Next, Switched};
use super::pump::{Ends, PumpError, is_long};
use super::upload::Progress;
use crate::pages::Page;
use crate::table::{Endpoint, Lease};
use crate::upstream::{Connection, is_read};

/// An answer whose body is passed on.
struct Relayed {
    connection: Connection,
    lease: Lease,
    /// Whether it may take long, and how.
    long: Option<Long>,
}

impl Exchange<'_> {
    /// Gives the client what an instance answered.
    pub(super) async fn deliver(&mut self, arrived: Arrived) -> Result<Next, Page> {
        let Arrived { connection, mut head, lease } = arrived;
        self.mark(&mut head);
        self.trace.answered(AnsweredBy::Instance, head.status);
        if head.status == StatusCode::SWITCHING_PROTOCOLS && forward::upgrade_wanted(&self.head).is_some() {
            return Ok(Box::pin(self.switch(&head, (connection, lease))).await);
        }
        let bodies = forward::bodies(&head, &self.head.method, self.head.version).map_err(|error| {
            self.tell_useless(&connection.endpoint, &error);
            Page::BadGateway
        })?;
        let keeps = self.keeps_alive() && bodies.to != Framing::UntilEnd;
        self.down.mark();
        self.write_head(keeps, |out, delivery| forward::write_response(out, &head, bodies.to, delivery));
        self.down.begin(bodies.from, bodies.to);
        let mut relayed = Relayed { connection, lease, long: Long::of(&head, bodies.from) };
        let moved = std::future::poll_fn(|context| self.poll_relay(context, &mut relayed)).await;
        match moved {
            Err(error @ PumpError::Unheard) => {
                self.tell_useless(&relayed.connection.endpoint, &error);
                return Err(Page::BadGateway);
            }
            Err(error @ PumpError::Stalled) => {
                let (Endpoint { id, address }, request) = (&*relayed.connection.endpoint, self.id.as_str());
                tracing::warn!(instance.id = %id, "request {request}: the answer of instance {id} at {address} is broken off: {error}");
                return Ok(Next::Abort);
            }
            Err(error) => {
                tracing::debug!("an answer broke off: {error}");
                return Ok(Next::Abort);
            }
            Ok(()) => {}
        }
        self.give_back(relayed, (&head, bodies.from));
        Ok(self.after(keeps).await)
    }

    /// Tells those who run the app which of its answers clients do not get.
    pub(super) fn tell_useless(&self, Endpoint { id, address }: &Endpoint, why: &dyn std::fmt::Display) {
        let request = self.id.as_str();
        tracing::warn!(instance.id = %id, "request {request}: the answer of instance {id} at {address} cannot be passed on: {why}");
    }

    /// Keeps a connection whose answer was read to its end, if the instance is done with it, too.
    fn give_back(&self, relayed: Relayed, (head, from): (&ResponseHead, Framing)) {
        let Relayed { mut connection, lease, .. } = relayed;
        connection.was_long = is_long(from);
        let is_request_read =
            !self.upload.exists() || is_read(self.upload.moved(), head.status) && self.upload.was_taken();
        let is_answer_read =
            from != Framing::UntilEnd && connection.input.is_empty() && !self.ending.is_over();
        if is_request_read && is_answer_read && head.keeps_alive() {
            self.client.thread.pool.keep(self.client.thread.now(), connection, lease.instance());
        }
    }

    /// The instance speaks another protocol from here on, as the client asked for.
    async fn switch(&mut self, head: &ResponseHead, (connection, lease): (Connection, Lease)) -> Next {
        let id = (!self.is_bare).then_some(self.id.as_str());
        forward::write_switch(self.down.head(), head, id);
        let socket = &mut self.client.socket;
        let told = std::future::poll_fn(|context| self.down.poll_flush(context, socket)).await;
        let seen = Seen::of(&self.head, self.id.as_str(), &self.client.address);
        let record = Unfinished::new(&self.client.thread.recorder, &mut self.trace, &seen);
        let lease = lease.with(self.permit.take());
        let switched = Switched { connection, lease, record };
        told.map_or(Next::Abort, |()| Next::Switch(Box::new(switched)))
    }

    /// Moves the answer to the client, and what is left of the request to the instance.
    fn poll_relay(
        &mut self,
        context: &mut Context<'_>,
        relayed: &mut Relayed,
    ) -> Poll<Result<(), PumpError>> {
        let connection = &mut relayed.connection;
        if self.upload.is_under_way()
            && self.upload.poll(context, self.client, &mut connection.stream) == Progress::Broken
        {
            return Poll::Ready(Err(PumpError::Source));
        }
        let before = self.down.moved();
        let moved = self.poll_down(context, connection);
        if moved.is_ready() {
            return moved;
        }
        let activity = &self.client.activity;
        let waits_for_client = self.down.is_blocked() || self.upload.is_awaited();
        if self.down.moved() > before || waits_for_client {
            activity.answer_moved();
        }
        if !waits_for_client && relayed.long != Some(Long::Endless) {
            if activity.is_late() {
                return Poll::Ready(Err(PumpError::Stalled));
            }
            activity.answer_wanted();
        }
        let Some(long) = relayed.long else { return Poll::Pending };
        let around = (&*self.client.thread, &**activity);
        if self.ending.is_over()
            || self.ending.poll(context, around, (relayed.lease.instance(), long)).is_pending()
        {
            return Poll::Pending;
        }
        if long == Long::Perhaps || !self.down.end_here() {
            return Poll::Ready(Err(PumpError::Ended));
        }
        self.poll_down(context, connection)
    }

    fn poll_down(
        &mut self,
        context: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(), PumpError>> {
        let (from, input, to) = (&mut connection.stream, &mut connection.input, &mut self.client.socket);
        if self.down.may_pass_through() && to.is_plain() {
            let through =
                self.down.poll_through(context, (&*from, &mut *input, &mut *to), &self.client.thread.pipes);
            ready!(through)?;
        }
        self.down.poll(context, Ends { from, input, to }, &mut self.client.thread.scratch())
    }
}
