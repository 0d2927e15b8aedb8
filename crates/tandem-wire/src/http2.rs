//! HTTP/2 heads as those of HTTP/1.1, and back (RFC 9113, 8).
//!
//! What a request means is decided once, by the strict reader of HTTP/1.1: a request that came by HTTP/2 is written as that
//! reader wants it. An answer's head is made at once ([`Answer`]); interim ones, which are written as for any client, are taken apart
//! again. The frames are somebody else's business; that reader has refused fields of a connection already.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, request};

use crate::forward::{HeadWriter, REQUEST_ID};
use crate::response::has_no_body;
use crate::{BadChunk, Framing, HeadError, Kind, MOST_FIELDS, RequestError, RequestHead, Version, refused};

/// Reads the head of a request. `has_body`: the stream goes on behind it.
///
/// A body without a length goes on in chunks. Cookies that came in pieces are put together (RFC 9113, 8.2.3).
///
/// # Errors
/// As of one that came by HTTP/1.1; also where `:authority` and `Host` differ.
pub fn request_head(parts: &request::Parts, has_body: bool) -> Result<RequestHead, RequestError> {
    let mut text = Vec::with_capacity(512);
    let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| text.extend_from_slice(piece));
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let path = match parts.uri.path_and_query() {
        Some(path) if parts.method != Method::CONNECT => path.as_str().as_bytes(),
        _ => authority.unwrap_or(b"*"),
    };
    put(&[parts.method.as_str().as_bytes(), b" ", path, b" HTTP/1.1\r\n"]);
    if let Some(authority) = authority {
        let same = |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority);
        if !parts.headers.get_all(HOST).iter().all(same) {
            return Err(HeadError::Malformed("the request's :authority and its Host differ").into());
        }
        put(&[b"host: ", authority, b"\r\n"]);
    }
    for (name, value) in &parts.headers {
        if *name != COOKIE && (authority.is_none() || *name != HOST) {
            put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    for (place, cookie) in parts.headers.get_all(COOKIE).iter().enumerate() {
        put(&[if place == 0 { b"cookie: " } else { b"; " }, cookie.as_bytes()]);
    }
    if parts.headers.contains_key(COOKIE) {
        put(&[b"\r\n"]);
    }
    if has_body && !parts.headers.contains_key(CONTENT_LENGTH) {
        put(&[b"transfer-encoding: chunked\r\n"]);
    }
    put(&[b"\r\n"]);
    let mut head = RequestHead::parse(&text)?;
    head.version = Version::Http2;
    Ok(head)
}

/// The head of an answer on its way into frames, without what is said of a connection of HTTP/1.1.
#[derive(Debug)]
pub struct Answer {
    response: Response<()>,
    framing: Framing,
    /// Why it is none.
    refused: Option<HeadError>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { response: Response::new(()), framing: Framing::None, refused: None }
    }
}

impl Answer {
    /// The whole head, and how its body follows to a request with this method.
    ///
    /// # Errors
    /// A field cannot be said so.
    pub fn finish(self, method: &Method) -> Result<(Response<()>, Framing), HeadError> {
        let Self { response, framing, refused } = self;
        let framing = if has_no_body(response.status(), method) { Framing::None } else { framing };
        refused.map_or(Ok((response, framing)), Err)
    }

    fn append(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        let (name, mut value) = (name_of(name)?, value_of(Bytes::copy_from_slice(value))?);
        if name == CONTENT_LENGTH {
            let length = value.to_str().ok().and_then(|length| length.parse().ok());
            self.framing = Framing::Length(length.ok_or(HeadError::Malformed("the length is malformed"))?);
        }
        // Hardly ever the same twice: in the table of what was sent before it would take the place of what is (RFC 7541, 7.1.3).
        value.set_sensitive(name.as_str().as_bytes() == REQUEST_ID);
        self.response.headers_mut().append(name, value);
        Ok(())
    }
}

impl HeadWriter for Answer {
    fn status(&mut self, status: StatusCode, _: Version) {
        *self.response.status_mut() = status;
        self.response.headers_mut().reserve(USUAL_FIELDS);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        if let Err(error) = self.append(name, value) {
            self.refused.get_or_insert(error);
        }
    }

    fn connection_field(&mut self, name: &[u8], _: &[u8]) {
        if Kind::of(name) == Kind::TransferEncoding {
            self.framing = Framing::Chunked;
        }
    }

    fn end(&mut self) {}
}

/// Fields of an answer for which there is room from the beginning.
const USUAL_FIELDS: usize = 6;
/// Fields of our own that an answer may have besides those of the app.
const OWN_FIELDS: usize = 8;

/// Reads the head of an answer as this crate writes it, and how its body follows to a request with this method.
///
/// # Errors
/// It is none.
pub fn response_of(text: &[u8], method: &Method) -> Result<(Response<()>, Framing), HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS + OWN_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let _ = parsed.parse(text).map_err(refused)?;
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let mut answer = Answer::default();
    answer.status(status.ok_or(HeadError::Malformed("the status is malformed"))?, Version::Http2);
    for field in parsed.headers {
        match Kind::of(field.name.as_bytes()) {
            Kind::Connection | Kind::HopByHop | Kind::Upgrade | Kind::TransferEncoding => {
                answer.connection_field(field.name.as_bytes(), field.value);
            }
            _ => answer.field(field.name.as_bytes(), field.value),
        }
    }
    answer.finish(method)
}

/// Reads trailers: the lines behind the last chunk.
///
/// # Errors
/// They are no fields.
pub fn trailers_of(lines: &[u8]) -> Result<HeaderMap, BadChunk> {
    let text = Bytes::from([lines, b"\r\n"].concat());
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let Ok(httparse::Status::Complete((_, parsed))) = httparse::parse_headers(&text, &mut fields) else {
        return Err(BadChunk);
    };
    let mut trailers = HeaderMap::new();
    for field in parsed {
        let value = if field.value.is_empty() { Bytes::new() } else { text.slice_ref(field.value) };
        let read = name_of(field.name.as_bytes()).and_then(|name| Ok((name, value_of(value)?)));
        let (name, value) = read.map_err(|_| BadChunk)?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

fn name_of(bytes: &[u8]) -> Result<HeaderName, HeadError> {
    HeaderName::from_bytes(bytes).map_err(|_| HeadError::Malformed("the name of a field is malformed"))
}

fn value_of(bytes: Bytes) -> Result<HeaderValue, HeadError> {
    HeaderValue::from_maybe_shared(bytes)
        .map_err(|_| HeadError::Malformed("the value of a field is malformed"))
}

/// Data out of chunks, as they come in.
///
/// # Errors
/// See [`BadChunk`].
pub fn data_of(chunks: &mut crate::Chunks, bytes: &[u8]) -> Result<(usize, Bytes), BadChunk> {
    let (mut used, mut data) = (0, BytesMut::new());
    while used < bytes.len() && !chunks.is_over() {
        let step = chunks.step(&bytes[used..])?;
        data.extend_from_slice(&bytes[used..][step.data]);
        used += step.used;
    }
    Ok((used, data.freeze()))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::forward::{
        Delivery, Origin, bodies, host_of, path_of, upgrade_wanted, write_request, write_response,
    };
    use crate::{Arrival, ResponseHead, arrival};

    fn head(request: http::request::Builder, has_body: bool) -> Result<RequestHead, RequestError> {
        request_head(&request.body(()).unwrap().into_parts().0, has_body)
    }

    #[test]
    fn a_request_is_what_it_would_be_by_http_1() {
        let request = Request::post("https://shop.example:8443/a?b").header("cookie", "a=1");
        let head =
            head(request.header("cookie", "b=2").header("x-a", "1").header("te", "trailers"), true).unwrap();
        assert_eq!((host_of(&head), path_of(&head)), (Ok("shop.example:8443"), Ok("/a?b")));
        assert_eq!((head.framing, head.version), (Framing::Chunked, Version::Http2));
        let mut written = Vec::new();
        let origin =
            Origin { address: "::1", scheme: "https", host: "shop.example:8443", id: "i", is_told: true };
        write_request(&mut written, &head, &origin, None);
        let written = String::from_utf8(written).unwrap();
        assert!(written.starts_with("POST /a?b HTTP/1.1\r\nhost: shop.example:8443\r\n"), "{written}");
        assert!(written.contains("\r\ncookie: a=1; b=2\r\n") && !written.contains("trailers"), "{written}");
    }

    #[test]
    fn a_body_has_its_length_or_goes_on_in_chunks() {
        let uri = "http://h/";
        assert_eq!(head(Request::get(uri), false).unwrap().framing, Framing::None);
        let told = head(Request::post(uri).header("content-length", "5"), true).unwrap();
        assert_eq!(told.framing, Framing::Length(5));
        let twice = Request::post(uri).header("content-length", "5").header("content-length", "6");
        assert!(matches!(head(twice, true), Err(RequestError::Length(_))));
    }

    #[test]
    fn a_host_beside_the_authority_says_the_same_or_is_refused() {
        assert!(head(Request::get("http://a/").header("host", "A"), false).is_ok());
        assert!(head(Request::get("http://a/").header("host", "b"), false).is_err());
        let own = head(Request::get("/x").header("host", "b"), false).unwrap();
        assert_eq!((host_of(&own), path_of(&own)), (Ok("b"), Ok("/x")));
        assert!(path_of(&head(Request::connect("a:443"), false).unwrap()).is_err());
    }

    #[test]
    fn an_answer_loses_what_belongs_to_a_connection_and_keeps_the_rest() {
        let text = Bytes::from_static(
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie: b\r\nempty:\r\nconnection: close\r\ncontent-length: 5\r\n\r\n",
        );
        let (response, framing) = response_of(&text, &Method::GET).unwrap();
        assert_eq!(framing, Framing::Length(5));
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(response.headers()["content-length"], "5");
        assert!(response.headers()["empty"].is_empty() && !response.headers().contains_key("connection"));
        assert_eq!(response_of(&text, &Method::HEAD).unwrap().1, Framing::None);
        let chunked = Bytes::from_static(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let (response, framing) = response_of(&chunked, &Method::GET).unwrap();
        assert!(framing == Framing::Chunked && response.headers().is_empty());
    }

    #[test]
    fn the_id_of_a_request_takes_the_place_of_no_other_field() {
        let mut answer = Answer::default();
        answer.field(b"x-request-id", b"1");
        answer.field(b"x-a", b"1");
        let (response, _) = answer.finish(&Method::GET).unwrap();
        let is_kept_out = |name| response.headers()[name].is_sensitive();
        assert!(is_kept_out("x-request-id") && !is_kept_out("x-a"));
    }

    #[test]
    fn chunks_become_data_and_trailers() {
        let mut chunks = crate::Chunks::default();
        let (used, data) = data_of(&mut chunks, b"5\r\nhello\r\n1\r\n!\r\n0\r\nx-sum: 6\r\n\r\n").unwrap();
        assert_eq!((used, &data[..]), (31, &b"hello!"[..]));
        assert_eq!(trailers_of(chunks.trailers()).unwrap()["x-sum"], "6");
    }

    /// Names that mean something, in disguise as well, and one that does not.
    const NAMES: [&str; 9] = [
        "content-length",
        "content_length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "cookie",
        "x-forwarded-for",
        "x-a",
    ];

    proptest! {
        #[test]
        fn an_answer_is_the_same_at_once_and_by_way_of_text(
            status in select(&[200, 204, 304, 404, 500][..]),
            fields in vec((select(&NAMES[..]), "[0-9]|chunked|x-a|close|[\t -~\u{80}-\u{ff}]{0,8}"), 0..5),
            is_head: bool,
        ) {
            let lines = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
            let text = format!("HTTP/1.1 {status} Because\r\n{lines}\r\n");
            let Ok(head) = ResponseHead::parse(text.as_bytes()) else { return Ok(()) };
            let method = if is_head { Method::HEAD } else { Method::GET };
            let Ok(bodies) = bodies(&head, &method, Version::Http2) else { return Ok(()) };
            let delivery = Delivery { id: Some("i"), version: Version::Http2, keeps: true, date: "d", hsts: Some(1) };
            let (mut answer, mut written) = (Answer::default(), Vec::new());
            write_response(&mut answer, &head, bodies.to, &delivery);
            write_response(&mut written, &head, bodies.to, &delivery);
            let (at_once, by_text) = (answer.finish(&method), response_of(&written, &method));
            match (at_once, by_text) {
                (Ok((at_once, framing)), Ok((by_text, framing_of_text))) => {
                    prop_assert_eq!(framing, framing_of_text);
                    prop_assert_eq!(at_once.status(), by_text.status());
                    prop_assert_eq!(at_once.headers(), by_text.headers());
                }
                (at_once, by_text) => prop_assert!(at_once.is_err() && by_text.is_err(), "{at_once:?} {by_text:?}"),
            }
        }

        #[test]
        fn whatever_is_written_is_one_request_with_the_same_end(
            path in "/[!-~]{0,12}",
            fields in vec((select(&NAMES[..]), "[0-9]|chunked|x-a|[\t -~\u{80}-\u{ff}]{0,8}"), 0..5),
            has_body: bool,
        ) {
            let request = fields.iter().fold(
                Request::post(format!("https://shop.example{path}")),
                |request, (name, value)| request.header(*name, value.as_bytes()),
            );
            let Ok(request) = request.body(()) else { return Ok(()) };
            let Ok(head) = request_head(&request.into_parts().0, has_body) else { return Ok(()) };
            let origin = Origin { address: "::1", scheme: "https", host: "shop.example", id: "i", is_told: true };
            let mut written = Vec::new();
            write_request(&mut written, &head, &origin, upgrade_wanted(&head));
            prop_assert_eq!(arrival(&written, 0), Ok(Arrival::Whole(written.len())));
            let again = RequestHead::parse(&written).unwrap();
            prop_assert_eq!((again.framing, host_of(&again)), (head.framing, Ok("shop.example")));
            prop_assert_eq!(path_of(&again), path_of(&head));
            let told = again.fields.all(Kind::Forwarding).filter(|value| *value == b"::1").count();
            prop_assert_eq!(told, 1, "whom the client names is nobody");
            prop_assert!(again.fields.all(Kind::HopByHop).chain(again.fields.all(Kind::Connection)).next().is_none());
            prop_assert!(again.fields.all(Kind::Disguised).next().is_none());
        }
    }
}
