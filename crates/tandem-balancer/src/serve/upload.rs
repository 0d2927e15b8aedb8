//! A request's body on its way to an instance, or away.

use std::task::{Context, Poll};

use super::client::Client;
use super::pump::{Ends, Pump, PumpError};
use crate::tick::ticks;
use crate::upstream::Stream;
use tandem_wire::forward::expects_continue;
use tandem_wire::{Framing, RequestHead, Version};

/// How long the rest of an unwanted body is thrown away before its client is left to itself.
const DISCARD_TICKS: u32 = ticks(30);
/// What tells a client to send the body (RFC 9110, 15.2.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A request's body.
#[derive(Debug)]
pub(super) struct Upload {
    pump: Pump,
    /// There is one.
    exists: bool,
    /// The client waits to be told to send it.
    expects: bool,
    /// It has been told.
    told: bool,
    /// The instance takes no more of it.
    unwanted: bool,
    too_long: bool,
}

/// How the body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of it is gone.
    Over,
    /// It goes on.
    UnderWay,
    /// The client broke it off, or sent nonsense: what follows from that is not the instance's fault.
    Broken,
}

impl Upload {
    /// The body of a request with this head, of which nothing was read.
    pub(super) fn new(client: &Client, head: &RequestHead) -> Self {
        let exists = !matches!(head.framing, Framing::None | Framing::Length(0));
        // HTTP/1.0 knows no interim answers (RFC 9110, 10.1.1).
        let expects = exists && head.version != Version::Http10 && expects_continue(&head.fields);
        let from = match head.framing {
            Framing::Chunked if client.socket.is_stream() => Framing::UntilEnd,
            framing => framing,
        };
        Self {
            pump: Pump::new(from, head.framing),
            exists,
            expects,
            told: false,
            unwanted: false,
            too_long: false,
        }
    }

    /// Whether there is one.
    pub(super) fn exists(&self) -> bool {
        self.exists
    }

    /// It may have so many bytes; what is told of its length is looked at elsewhere.
    pub(super) fn limit(&mut self, most: u64) {
        self.pump.limit(most);
    }

    /// Whether it has more than it may.
    pub(super) fn is_too_long(&self) -> bool {
        self.too_long
    }

    /// Whether any part of it was taken from the client.
    pub(super) fn is_begun(&self) -> bool {
        self.pump.moved() > 0 || self.exists && self.pump.is_read()
    }

    /// Whether nothing of it is left to be read.
    pub(super) fn is_over(&self) -> bool {
        self.pump.is_read()
    }

    /// Whether more of it is waited for from the client, rather than for the instance to take it.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_under_way() && !self.unwanted && !self.pump.is_blocked()
    }

    /// Whether there is something to be moved to the instance, now or when it comes.
    pub(super) fn is_under_way(&self) -> bool {
        self.exists && !self.pump.is_over() && (self.told || !self.expects)
    }

    /// Bytes of it that were read.
    pub(super) fn moved(&self) -> u64 {
        self.pump.moved()
    }

    /// Whether the instance was given all of it.
    pub(super) fn was_taken(&self) -> bool {
        self.pump.is_read() && !self.unwanted
    }

    /// Whether the client is to be told now to send it; it is told once.
    pub(super) fn is_to_be_asked_for(&mut self) -> bool {
        let tell = self.expects && !self.told && !self.is_begun();
        self.told |= tell;
        tell
    }

    /// Whether what is left of it can be read and thrown away: else a client that sends everything before it reads would
    /// never see its answer. One that was never told to send it is left to itself: what it sends next may be another
    /// request.
    pub(super) fn is_coming(&self) -> bool {
        !self.is_over() && (self.told || !self.expects)
    }

    /// Moves what can be moved to the instance.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        client: &mut Client,
        to: &mut Stream,
    ) -> Progress {
        if self.unwanted {
            return self.poll_away(context, client);
        }
        let before = self.pump.moved();
        let ends = Ends { from: &mut client.socket, input: &mut client.input, to };
        let moved = self.pump.poll(context, ends, &mut client.thread.scratch());
        match moved {
            Poll::Ready(Ok(())) => {
                client.activity.body_moved();
                Progress::Over
            }
            Poll::Ready(Err(PumpError::TooLong)) => {
                self.too_long = true;
                Progress::Broken
            }
            Poll::Ready(Err(PumpError::Sink(_))) => {
                // Its answer may be there all the same: a refused upload.
                self.unwanted = true;
                self.poll_away(context, client)
            }
            Poll::Ready(Err(_)) => Progress::Broken,
            Poll::Pending => {
                if self.pump.moved() > before {
                    client.activity.body_moved();
                }
                if !self.pump.is_blocked() {
                    client.activity.body_wanted();
                }
                Progress::UnderWay
            }
        }
    }

    fn poll_away(&mut self, context: &mut Context<'_>, client: &mut Client) -> Progress {
        if !self.is_coming() {
            return Progress::Over;
        }
        let mut nowhere = tokio::io::sink();
        let ends = Ends { from: &mut client.socket, input: &mut client.input, to: &mut nowhere };
        let moved = self.pump.poll(context, ends, &mut client.thread.scratch());
        match moved {
            Poll::Ready(Ok(())) => Progress::Over,
            Poll::Ready(Err(_)) => Progress::Broken,
            Poll::Pending => {
                client.activity.body_wanted();
                Progress::UnderWay
            }
        }
    }

    /// Reads what is left and throws it away, for a limited time; says whether that came to an end.
    pub(super) async fn discard(&mut self, client: &mut Client) -> bool {
        if self.is_over() {
            return true;
        }
        if !self.is_coming() {
            return false;
        }
        self.unwanted = true;
        let until = client.thread.now() + DISCARD_TICKS;
        client.activity.linger(true);
        let over = std::future::poll_fn(|context| {
            let progress = self.poll_away(context, client);
            match progress {
                Progress::UnderWay if client.thread.now() > until => Poll::Ready(false),
                Progress::UnderWay => Poll::Pending,
                progress => Poll::Ready(progress == Progress::Over),
            }
        })
        .await;
        client.activity.linger(false);
        over
    }
}
