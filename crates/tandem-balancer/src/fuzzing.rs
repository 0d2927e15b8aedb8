//! Private readers of bytes as the fuzz targets need them (`fuzz/` at the root of the repository). No part of the crate's
//! interface: nothing else may use this.

use std::path::Path;
use std::task::{Context, Poll, Waker};

use http::request::Parts;
use http::{Method, Response};
use tandem_types::routing::Table;

use crate::alone::{self, Mistake};
use crate::serve::{Ends, Input, Pump};
use crate::table::StateFile;
use tandem_wire::forward::{self, Bodies, Delivery, Origin};
use tandem_wire::{Arrival, Framing, RequestHead, ResponseHead, Version, arrival, http2};

/// The table in a state file, and the file as it would be written again.
#[must_use]
pub fn state(path: &Path) -> Option<(Table, Vec<u8>)> {
    let saved = StateFile::new(path.to_owned()).load()?;
    let written = serde_json::to_vec(&saved).expect("what was read can be written");
    Some((saved.table, written))
}

/// The name of a static file that the path in a URL stands for.
#[must_use]
pub fn file_name(path: &str) -> Option<String> {
    tandem_static::file_name(path)
}

/// What an instance gets of what a client sends: each request that is passed on, whole.
#[must_use]
pub fn pass_on(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut input, mut all) = (Input::default(), Vec::new());
    input.push(bytes);
    while let Ok(Arrival::Whole(length)) = arrival(input.get(), 0) {
        let Ok(head) = RequestHead::parse(&input.get()[..length]) else { break };
        let (Ok(_), Ok(host)) = (forward::path_of(&head), forward::host_of(&head)) else { break };
        input.used(length);
        let origin = Origin { address: "127.0.0.1", scheme: "http", host, id: "id", is_told: true };
        let mut written = Vec::new();
        forward::write_request(&mut written, &head, &origin, forward::upgrade_wanted(&head));
        if !pump((head.framing, head.framing), &mut input, &mut written) {
            break;
        }
        all.push(written);
    }
    all
}

/// What an instance gets of a request that came by HTTP/2, whole, and how its body is framed there; none: it is refused.
/// `body`: what came behind its head, where that was not all.
#[must_use]
pub fn pass_on_stream(parts: &Parts, body: Option<&[u8]>) -> Option<(Framing, Vec<u8>)> {
    let head = http2::request_head(parts, body.is_some()).ok()?;
    let (Ok(_), Ok(host)) = (forward::path_of(&head), forward::host_of(&head)) else { return None };
    let origin = Origin { address: "127.0.0.1", scheme: "https", host, id: "id", is_told: true };
    let (mut input, mut written) = (Input::default(), Vec::new());
    forward::write_request(&mut written, &head, &origin, forward::upgrade_wanted(&head));
    input.push(body.unwrap_or_default());
    // A stream gives the bare body, and then its end.
    let from = if head.framing == Framing::Chunked { Framing::UntilEnd } else { head.framing };
    pump((from, head.framing), &mut input, &mut written).then_some((head.framing, written))
}

/// Reads a file of routes, without looking up what it names. How many routes, TCP addresses and certificates it has.
///
/// # Errors
/// The first mistake in it.
pub fn routes(text: &str) -> Result<[usize; 3], Mistake> {
    alone::counts(Path::new("/etc/routes.toml"), text)
}

/// What a client gets of what an instance answers to its GET; none: nothing that looks like a whole answer.
#[must_use]
pub fn pass_back(bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, body, bodies) = answer(bytes)?;
    let mut input = Input::default();
    input.push(body);
    let mut written = Vec::new();
    forward::write_response(&mut written, &head, bodies.to, &DELIVERY);
    pump((bodies.from, bodies.to), &mut input, &mut written).then_some(written)
}

/// The head of the same answer as a client of HTTP/2 gets it, without the way over text, and how its body follows.
#[must_use]
pub fn head_in_frames(bytes: &[u8]) -> Option<(Response<()>, Framing)> {
    let (head, _, bodies) = answer(bytes)?;
    let mut written = http2::Answer::default();
    forward::write_response(&mut written, &head, bodies.to, &DELIVERY);
    written.finish(&Method::GET).ok()
}

/// How fuzzed answers are written.
const DELIVERY: Delivery<'static> =
    Delivery { id: Some("id"), version: Version::Http11, keeps: true, date: "now", hsts: Some(60) };

/// An answer's head, what is behind it, and how its body comes and goes.
fn answer(bytes: &[u8]) -> Option<(ResponseHead, &[u8], Bodies)> {
    let Ok(Arrival::Whole(length)) = arrival(bytes, 0) else { return None };
    let head = ResponseHead::parse(&bytes[..length]).ok()?;
    let bodies = forward::bodies(&head, &Method::GET, Version::Http11).ok()?;
    Some((head, &bytes[length..], bodies))
}

/// Moves a body that has come in whole; false: it has not, or is none.
fn pump((from, to): (Framing, Framing), input: &mut Input, written: &mut Vec<u8>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let (mut nothing, mut scratch) = (tokio::io::empty(), vec![0; 1024]);
    let ends = Ends { from: &mut nothing, input, to: written };
    matches!(Pump::new(from, to).poll(&mut context, ends, &mut scratch), Poll::Ready(Ok(())))
}
