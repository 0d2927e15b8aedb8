//! What must hold of a request that is passed on, whichever way it came: it carries nothing of the client's under the
//! balancer's own names, ends in one way only, and is the same for whoever reads it.

use tandem_balancer::fuzzing;
use tandem_wire::MOST_FIELDS;

/// Fields that end at the balancer, in any spelling that an app may take for them.
const OURS: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id"];
const OF_ONE_CONNECTION: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "proxy-authorization"];

/// What is behind the head of a message.
pub(crate) fn body(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").expect("it has a head");
    &message[end + 4..]
}

/// Requests that were passed on are the same ones for a balancer behind this one, if it takes them at all.
pub(crate) fn requests_are_the_same_behind(requests: &[Vec<u8>]) {
    if !requests.iter().all(|request| is_short_enough(request)) {
        return;
    }
    let again = fuzzing::pass_on(&requests.concat());
    assert_eq!(again.len(), requests.len(), "requests that are understood otherwise behind");
    for (first, second) in requests.iter().zip(&again) {
        assert_eq!(body(first), body(second));
    }
}

/// With the fields that a request got here it may have more than a balancer takes.
fn is_short_enough(message: &[u8]) -> bool {
    let head = &message[..message.len() - body(message).len()];
    // The request's line and the empty one at the end are no fields.
    head.windows(2).filter(|window| window == b"\r\n").count() - 2 <= MOST_FIELDS
}

/// Reads a request that was passed on by another parser than ours.
pub(crate) fn request_is_ours(written: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(written).expect("what is written is a head");
    assert!(parsed.is_complete() && request.version == Some(1));
    let target = request.path.expect("it has a target");
    assert!(target.starts_with('/') || target == "*", "{target:?}");
    let named = |name: &str| {
        let is = |field: &&httparse::Header<'_>| field.name.replace('_', "-").eq_ignore_ascii_case(name);
        request.headers.iter().filter(is).map(|field| field.value).collect::<Vec<_>>()
    };
    assert_eq!(named("host").len(), 1);
    assert_eq!(named("x-forwarded-for"), [b"127.0.0.1"]);
    assert_eq!(named("x-forwarded-host"), named("host"));
    for name in OURS {
        assert!(named(name).len() <= 1, "{name} is the balancer's");
    }
    let switches = named("upgrade").len() == 1 && named("connection") == [b"upgrade"];
    for name in OF_ONE_CONNECTION {
        let stays = switches && matches!(name, "connection" | "upgrade");
        assert!(stays || named(name).is_empty(), "{name} is for one connection");
    }
    let ends = named("content-length").len() + named("transfer-encoding").len();
    assert!(ends <= 1, "a message that ends in two ways");
    let lines = &written[..written.len() - body(written).len()];
    let bare = lines.iter().enumerate().any(|(at, byte)| {
        (*byte == b'\n' && lines[at - 1] != b'\r') || (*byte == b'\r' && lines.get(at + 1) != Some(&b'\n'))
    });
    assert!(!bare && !lines.contains(&0), "another reader may see other lines");
}
