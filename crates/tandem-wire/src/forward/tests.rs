//! Header rules in the small; whole requests are in the crate's tests.

use super::*;
use crate::{Arrival, RequestHead, arrival};

/// A request with this first line and these fields.
fn request(line: &str, fields: &[&str]) -> RequestHead {
    let text =
        format!("{line}\r\n{}\r\n", fields.iter().map(|field| format!("{field}\r\n")).collect::<String>());
    assert_eq!(arrival(text.as_bytes(), 0), Ok(Arrival::Whole(text.len())));
    RequestHead::parse(text.as_bytes()).unwrap()
}

#[test]
fn an_address_is_written_as_ipv4_where_it_is_one() {
    for (address, text) in
        [("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::1")]
    {
        assert_eq!(&*address_text(address.parse().unwrap()), text);
    }
}

#[test]
fn a_host_is_taken_from_one_place_only() {
    let get = |fields: &[&str]| request("GET / HTTP/1.1", fields);
    assert_eq!(host_of(&get(&["Host: a:1"])), Ok("a:1"));
    assert_eq!(host_of(&request("GET http://b:2/x HTTP/1.1", &["host: a"])), Ok("b:2"));
    assert_eq!(host_of(&get(&["HOST: [::1]:80"])), Ok("[::1]:80"));
    assert_eq!(host_of(&request("GET / HTTP/1.0", &[])), Ok(""));
    assert_eq!(host_of(&get(&[])), Err(HostError::Missing));
    assert_eq!(host_of(&get(&["host: a", "Host: a"])), Err(HostError::Several));
    for good in ["a.b-c_d~e", "a:", "a:0", "a:65535", "127.0.0.1:80", "[::1]", "[fe80::1%25eth0]:80", ""] {
        assert_eq!(host_of(&get(&[&format!("host: {good}")])), Ok(good));
    }
    for wrong in [
        "a b", "a/b", "a,b", "a@b", "a?b", "a%b", "\u{e4}", "a:b", "a:+1", "a:65536", "a:1:2", "::1", "[::1",
        "[::1]a", "[::1]:a", "[a]", "[]", "a[::1]", "]:1",
    ] {
        assert_eq!(host_of(&get(&[&format!("host: {wrong}")])), Err(HostError::Malformed), "{wrong}");
    }
}

#[test]
fn only_whole_and_plain_wishes_for_an_upgrade_are_carried_through() {
    let line = "GET / HTTP/1.1";
    let (asks, names) = ("connection: keep-alive, Upgrade", "upgrade: websocket");
    assert_eq!(upgrade_wanted(&request(line, &[asks, names])), Some(&b"websocket"[..]));
    assert!(upgrade_wanted(&request(line, &[asks, names, "content-length: 0"])).is_some());
    for (line, fields) in [
        (line, &[names][..]),
        (line, &["connection: upgrade"]),
        (line, &["connection: upgrade", "upgrade: H2C"]),
        (line, &["connection: upgrade", "upgrade: websocket, h2c"]),
        (line, &[asks, names, "upgrade: other"]),
        (line, &[asks, names, "content-length: 5"]),
        (line, &[asks, names, "transfer-encoding: chunked"]),
        ("POST / HTTP/1.1", &[asks, names]),
        ("GET / HTTP/1.0", &[asks, names]),
    ] {
        assert_eq!(upgrade_wanted(&request(line, fields)), None, "{line} {fields:?}");
    }
}

#[test]
fn an_absolute_target_without_a_path_asks_for_the_root() {
    let origin =
        Origin { address: "10.0.0.1", scheme: "http", host: "shop.example", id: "id", is_told: true };
    for (target, passed_on) in [
        ("http://shop.example/a?b", "/a?b"),
        ("http://shop.example", "/"),
        ("http://shop.example?b", "/?b"),
        ("http://shop.example:80#80/a", "/"),
        ("http://shop.example?b#/a", "/?b"),
        ("/a?b", "/a?b"),
        ("/a#b", "/a"),
    ] {
        let head = request(&format!("GET {target} HTTP/1.1"), &["host: other.example"]);
        let mut written = Vec::new();
        write_request(&mut written, &head, &origin, None);
        let written = String::from_utf8(written).unwrap();
        assert!(
            written.starts_with(&format!("GET {passed_on} HTTP/1.1\r\nhost: shop.example\r\n")),
            "{written}"
        );
    }
}

#[test]
fn ids_differ() {
    let mut state = 0;
    let mut random = move || {
        state += 1;
        state
    };
    assert_ne!(RequestId::new(&mut random), RequestId::new(&mut random));
}
