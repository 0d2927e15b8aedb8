//! HTTP/2 as HTTP/1.1, and back. What an instance gets of a request is one request with the body that came; what is
//! written as an answer is read as that answer, whatever an instance said.
//!
//! The first byte says what the others are: `>` a request (method, authority, path and fields with the byte 0x1e between
//! them, and behind the byte 0x1f the body, if any), `<` an answer, `=` chunks, `+` trailers.

#![no_main]

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::uri::{self, Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use tandem_balancer::fuzzing;
use tandem_wire::http2::{data_of, response_of, trailers_of};
use tandem_wire::{Chunks, Framing};

mod written;

use written::{body, request_is_ours, requests_are_the_same_behind};

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((b'>', rest)) => request(rest),
        Some((b'<', rest)) => answer(rest),
        Some((b'=', rest)) => chunks(rest),
        Some((b'+', rest)) => drop(trailers_of(rest)),
        _ => {}
    }
});

/// A request as the reader of frames gives it: fields that belong to a connection are refused there, and are here all the
/// same.
fn request(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |byte| *byte == 0x1f);
    let (head, sent) = (halves.next().unwrap_or_default(), halves.next());
    let Some(parts) = parts(head).filter(|parts| is_of_length(parts, sent)) else { return };
    let Some((framing, written)) = fuzzing::pass_on_stream(&parts, sent) else { return };
    request_is_ours(&written);
    let sent = sent.unwrap_or_default();
    match framing {
        Framing::None => assert!(sent.is_empty() && body(&written).is_empty()),
        Framing::Length(length) => assert!(length == sent.len() as u64 && body(&written) == sent),
        Framing::Chunked => assert_eq!(whole(body(&written)), Some((Bytes::copy_from_slice(sent), 0))),
        Framing::UntilEnd => panic!("a request does not end with its connection"),
    }
    requests_are_the_same_behind(&[written]);
}

/// What h2 makes of pseudo-fields and fields.
fn parts(head: &[u8]) -> Option<Parts> {
    let mut items = head.split(|byte| *byte == 0x1e);
    let method = Method::from_bytes(items.next()?).ok()?;
    let (authority, path) = (items.next()?, items.next()?);
    let mut uri = uri::Parts::default();
    if !authority.is_empty() {
        uri.authority = Some(Authority::from_maybe_shared(Bytes::copy_from_slice(authority)).ok()?);
        uri.scheme = Some(Scheme::HTTPS).filter(|_| method != Method::CONNECT);
    }
    if !path.is_empty() {
        uri.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(path)).ok()?);
    }
    let mut request = Request::builder().method(method).uri(Uri::from_parts(uri).ok()?).body(()).ok()?;
    for item in items {
        let colon = item.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_lowercase(&item[..colon]).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(&item[colon + 1..]).ok()?);
    }
    Some(request.into_parts().0)
}

/// Whether the length that was told is that of the body: h2 sees to that.
fn is_of_length(parts: &Parts, sent: Option<&[u8]>) -> bool {
    let length = sent.map_or(0, <[u8]>::len).to_string();
    parts.headers.get_all(CONTENT_LENGTH).iter().all(|told| {
        let told = told.to_str().unwrap_or_default().trim_start_matches('0');
        told == length.trim_start_matches('0')
    })
}

/// An answer. As an instance says it, it may be nonsense; as the balancer writes it, it is none.
fn answer(bytes: &[u8]) {
    let own = Bytes::copy_from_slice(bytes);
    let _ = (response_of(&own, &Method::GET), response_of(&own, &Method::HEAD));
    let Some(written) = fuzzing::pass_back(bytes) else { return };
    let sent = body(&written);
    let head = Bytes::copy_from_slice(&written[..written.len() - sent.len()]);
    let (response, framing) = response_of(&head, &Method::GET).expect("what is written is an answer");
    let at_once =
        fuzzing::head_in_frames(bytes).expect("what can be written as text can be written as frames");
    assert_eq!((at_once.0.status(), at_once.1), (response.status(), framing));
    assert_eq!(at_once.0.headers(), response.headers());
    for name in ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"] {
        assert!(!response.headers().contains_key(name), "{name} is for one connection");
    }
    assert!(response.headers().get_all(CONTENT_LENGTH).iter().count() <= 1, "one length");
    match framing {
        Framing::None => assert!(sent.is_empty()),
        Framing::Length(length) => assert_eq!(length, sent.len() as u64),
        Framing::Chunked => assert_eq!(whole(sent).map(|(_, left)| left), Some(0)),
        Framing::UntilEnd => panic!("an answer does not end with its connection"),
    }
}

/// The data of a whole body in chunks whose trailers can be read, and how many bytes are left behind it.
fn whole(bytes: &[u8]) -> Option<(Bytes, usize)> {
    let mut chunks = Chunks::default();
    let (used, data) = data_of(&mut chunks, bytes).ok()?;
    (chunks.is_over() && trailers_of(chunks.trailers()).is_ok()).then_some((data, bytes.len() - used))
}

/// However chunks come in, their data are the same.
fn chunks(bytes: &[u8]) {
    let (mut at_once, mut in_pieces) = (Chunks::default(), Chunks::default());
    let all = data_of(&mut at_once, bytes);
    let (mut data, mut used) = (Vec::new(), 0);
    for piece in bytes.chunks(3) {
        match data_of(&mut in_pieces, piece) {
            Ok((length, more)) => {
                data.extend_from_slice(&more);
                used += length;
            }
            Err(error) => return assert_eq!(all, Err(error)),
        }
        if in_pieces.is_over() {
            break;
        }
    }
    assert_eq!(all, Ok((used, Bytes::from(data))));
    assert_eq!((at_once.is_over(), at_once.trailers()), (in_pieces.is_over(), in_pieces.trailers()));
    let _ = trailers_of(at_once.trailers());
}
