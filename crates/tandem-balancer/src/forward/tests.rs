//! Header rules in the small; whole requests are in the crate's tests.

use http::header::HOST;
use http::{HeaderValue, Request, Version, request::Parts};

use super::host::HostError;
use super::*;

fn parts(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
    build(Request::builder()).body(()).unwrap().into_parts().0
}

#[test]
fn an_address_is_written_as_ipv4_where_it_is_one() {
    for (address, text) in
        [("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::1")]
    {
        assert_eq!(Origin::address_value(address.parse().unwrap()), text);
    }
}

#[test]
fn a_host_is_taken_from_one_place_only() {
    assert_eq!(host_of(&parts(|p| p.header(HOST, "a:1"))).unwrap(), "a:1");
    assert_eq!(host_of(&parts(|p| p.header(HOST, "a").uri("http://b:2/x"))).unwrap(), "b:2");
    assert_eq!(host_of(&parts(|p| p.header(HOST, "[::1]:80"))).unwrap(), "[::1]:80");
    assert_eq!(host_of(&parts(|p| p.version(Version::HTTP_10))).unwrap(), "");
    assert_eq!(host_of(&parts(|p| p)), Err(HostError::Missing));
    assert_eq!(host_of(&parts(|p| p.header(HOST, "a").header(HOST, "a"))), Err(HostError::Several));
    for wrong in ["a b", "a/b", "a,b", "a@b", "a?b", "ä"] {
        let value = HeaderValue::from_bytes(wrong.as_bytes()).unwrap();
        assert_eq!(host_of(&parts(|p| p.header(HOST, value))), Err(HostError::Malformed), "{wrong}");
    }
}

#[test]
fn only_whole_and_plain_wishes_for_an_upgrade_are_carried_through() {
    let asks = |p: http::request::Builder| {
        p.header("connection", "keep-alive, Upgrade").header("upgrade", "websocket")
    };
    assert_eq!(upgrade_wanted(&parts(asks)).unwrap(), "websocket");
    assert!(upgrade_wanted(&parts(|p| asks(p).header("content-length", "0"))).is_some());
    for wrong in [
        parts(|p| p.header("upgrade", "websocket")),
        parts(|p| p.header("connection", "upgrade")),
        parts(|p| p.header("connection", "upgrade").header("upgrade", "H2C")),
        parts(|p| p.header("connection", "upgrade").header("upgrade", "websocket, h2c")),
        parts(|p| asks(p).header("upgrade", "other")),
        parts(|p| asks(p).header("content-length", "5")),
        parts(|p| asks(p).header("transfer-encoding", "chunked")),
        parts(|p| asks(p).method("POST")),
        parts(|p| asks(p).version(Version::HTTP_10)),
    ] {
        assert!(upgrade_wanted(&wrong).is_none(), "{:?}", wrong.headers);
    }
}

#[test]
fn an_absolute_target_without_a_path_asks_for_the_root() {
    for (target, passed_on) in [
        ("http://shop.example/a?b", "/a?b"),
        ("http://shop.example", "/"),
        ("http://shop.example?b", "/?b"),
        ("http://shop.example:80#80/a", "/"),
        ("http://shop.example?b#/a", "/?b"),
        ("/a?b", "/a?b"),
    ] {
        let mut request = parts(|p| p.uri(target).header(HOST, "other.example"));
        let origin = Origin {
            address: Origin::address_value([10, 0, 0, 1].into()),
            scheme: "http",
            host: HeaderValue::from_static("shop.example"),
            id: HeaderValue::from_static("id"),
        };
        prepare_request(&mut request, Framing::Plain, &origin);
        assert_eq!(request.uri.to_string(), passed_on, "{target}");
    }
}

#[test]
fn ids_differ() {
    let mut state = 0;
    let mut random = move || {
        state += 1;
        state
    };
    let headers = http::HeaderMap::new();
    assert_ne!(request_id(&headers, &mut random), request_id(&headers, &mut random));
}
