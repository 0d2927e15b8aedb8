//! A shim's part in a one-off command: it opens its streams, and lets people talk with it.

use std::fs::File;
use std::os::fd::OwnedFd;

use tandem_kit::clock::Clock;
use tandem_types::event::Stream;
use tandem_types::instance::Isolation;
use tandem_types::session::SessionSpec;
use tandem_types::shim::Answer;

use super::{AnyError, Shim, refused};
use crate::Spec;
use crate::shim::session::{self, Talk};
use crate::supervisor::Streams;

/// What a command is executed with.
pub(super) struct Opened {
    pub(super) streams: Streams,
    pub(super) talk: Option<Talk>,
    /// Our end of its terminal, to be read.
    pub(super) terminal: Option<OwnedFd>,
}

/// The standard streams of a command, and who talks with it by them.
pub(super) fn open(spec: &Spec, session: Option<&SessionSpec>, clock: &Clock) -> Result<Opened, AnyError> {
    let Some(session) = session else {
        return Ok(Opened { streams: Streams::Captured, talk: None, terminal: None });
    };
    let expected = (!session.detached).then(|| clock.monotonic());
    let Some(terminal) = &session.terminal else {
        let (theirs, ours) = session::pipe()?;
        let talk = Talk::new(ours, None, expected);
        // Nobody types for it: it sees the end of its input at once, as with `</dev/null`.
        let talk = Some(if session.detached { talk.without_input() } else { talk });
        return Ok(Opened { streams: Streams::Pipes(theirs), talk, terminal: None });
    };
    let uid = (spec.isolation == Isolation::Sandbox).then_some(spec.user.uid);
    let opened = session::open(terminal.size, uid);
    let (ours, theirs) = opened.map_err(|error| format!("open a terminal: {error}"))?;
    let (input, reading) = (File::from(ours.try_clone()?), ours.try_clone()?);
    let talk = Some(Talk::new(input, Some(ours), expected));
    Ok(Opened { streams: Streams::Terminal(theirs), talk, terminal: Some(reading) })
}

impl Shim {
    /// Whether somebody has yet to be told of the end.
    pub(super) fn is_talking(&self) -> bool {
        let now = self.clock.monotonic();
        self.talk.as_ref().is_some_and(|talk| self.dir.exists() && !talk.is_over(now))
    }

    pub(super) fn pass_output_on(&mut self) {
        let Some(talk) = &mut self.talk else { return };
        for (stream, bytes) in self.supervisor.take_raw() {
            talk.output(stream, &bytes);
        }
    }

    /// Lets everybody who is attached say and hear something.
    pub(super) fn let_talk(&mut self) {
        let Some(talk) = &mut self.talk else { return };
        let now = self.clock.monotonic();
        let (supervisor, log) = (&mut self.supervisor, &self.log);
        talk.turn(now, &mut |signal| {
            log.line(Stream::Tandem, &format!("sending signal {signal}"));
            supervisor.signal(signal);
        });
        if self.end.is_none() {
            supervisor.hold_output(talk.holds(now));
        }
    }

    pub(super) fn attach(&mut self, client: u64) {
        let answer = match &self.talk {
            None => refused("nobody can talk with it: it is no one-off command"),
            Some(talk) if !talk.has_room() => refused("too many are attached to it"),
            Some(_) => Answer::Ok,
        };
        self.control.answer(client, &answer);
        if let (Answer::Ok, Some(talk)) = (answer, &mut self.talk)
            && let Some((stream, rest)) = self.control.hand_over(client)
        {
            talk.attach(stream, &rest);
        }
    }
}
