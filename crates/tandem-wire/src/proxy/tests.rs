//! Headers as other proxies write them, and what is none.

use proptest::prelude::*;

use super::*;

fn both(client: &str, to: &str) -> ProxyEnds {
    ProxyEnds { client: client.parse().unwrap(), to: to.parse().unwrap() }
}

/// What a whole header says; none: it is none, or not whole.
fn said(bytes: &[u8]) -> Option<Option<ProxyEnds>> {
    match read_proxy_header(bytes).ok()? {
        ProxyArrival::Whole { length, ends } if length == bytes.len() => Some(ends),
        _ => None,
    }
}

#[test]
fn the_line_of_version_1_names_both_ends() {
    let line = |client, to| String::from_utf8(ProxyVersion::V1.header(both(client, to))).unwrap();
    assert_eq!(line("1.2.3.4:5", "6.7.8.9:10"), "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n");
    assert_eq!(line("[::1]:5", "[::2]:10"), "PROXY TCP6 ::1 ::2 5 10\r\n");
    assert_eq!(line("[::ffff:1.2.3.4]:5", "[::ffff:6.7.8.9]:10"), "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n");
}

#[test]
fn the_bytes_of_version_2_are_those_of_the_specification() {
    let v4 = ProxyVersion::V2.header(both("1.2.3.4:258", "6.7.8.9:5432"));
    let expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x06\x07\x08\x09\x01\x02\x15\x38";
    assert_eq!(v4, expected);
    let v6 = ProxyVersion::V2.header(both("[::1]:1", "[::2]:2"));
    assert_eq!((v6.len(), &v6[12..16]), (16 + 36, &b"\x21\x21\x00\x24"[..]));
}

#[test]
fn lines_are_read_strictly() {
    for (line, ends) in [
        ("PROXY TCP4 1.2.3.4 6.7.8.9 5 65535\r\n", Some(both("1.2.3.4:5", "6.7.8.9:65535"))),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 0 0\r\n", Some(both("255.255.255.255:0", "0.0.0.0:0"))),
        ("PROXY TCP6 2001:DB8::1 ::1 5 10\r\n", Some(both("[2001:db8::1]:5", "[::1]:10"))),
        ("PROXY TCP6 ::ffff:1.2.3.4 ::1 5 10\r\n", Some(both("1.2.3.4:5", "[::1]:10"))),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ff:: whatever\r\n", None),
    ] {
        assert_eq!(said(line.as_bytes()), Some(ends), "{line:?}");
    }
    for wrong in [
        "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 5\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 5 10 \r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 5 10 11\r\n",
        "PROXY  TCP4 1.2.3.4 6.7.8.9 5 10\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9\t5 10\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 05 10\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 +5 10\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 65536 10\r\n",
        "PROXY TCP4 1.2.3.04 6.7.8.9 5 10\r\n",
        "PROXY TCP4 1.2.3 6.7.8.9 5 10\r\n",
        "PROXY TCP4 ::1 ::1 5 10\r\n",
        "PROXY TCP6 1.2.3.4 6.7.8.9 5 10\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 5 10\r\n",
        "PROXY TCP5 1.2.3.4 6.7.8.9 5 10\r\n",
        "PROXY UDP4 1.2.3.4 6.7.8.9 5 10\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "proxy TCP4 1.2.3.4 6.7.8.9 5 10\r\n",
        "GET / HTTP/1.1\r\n",
        "\r\n",
    ] {
        assert_eq!(said(wrong.as_bytes()), None, "{wrong:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "a".repeat(LONGEST_LINE));
    assert_eq!(read_proxy_header(long.as_bytes()), Err(BadProxyHeader));
}

/// Version 2 with these bytes behind the signature.
fn v2(said: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE.as_slice(), &[said, family], &length, rest].concat()
}

#[test]
fn bytes_are_read_strictly_and_what_is_added_is_read_over() {
    let addresses = [1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 0, 10];
    let ends = Some(both("1.2.3.4:5", "6.7.8.9:10"));
    let with = |more: &[u8]| [addresses.as_slice(), more].concat();
    for (bytes, expected) in [
        (v2(0x21, 0x11, &addresses), ends),
        (v2(0x21, 0x11, &with(&[4, 0, 0])), ends),
        (v2(0x21, 0x11, &with(&[4, 0, 2, 0, 0, 0xee, 0, 1, 9])), ends),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x11, &addresses), None),
        (v2(0x20, 0x77, b"whatever"), None),
        (v2(0x21, 0x00, &[]), None),
        (v2(0x21, 0x12, &addresses), None),
        (v2(0x21, 0x31, &[0; 216]), None),
    ] {
        assert_eq!(said(&bytes), Some(expected), "{bytes:?}");
    }
    for wrong in [
        v2(0x11, 0x11, &addresses),
        v2(0x22, 0x11, &addresses),
        v2(0x31, 0x11, &addresses),
        v2(0x21, 0x11, &addresses[..11]),
        v2(0x21, 0x21, &addresses),
        v2(0x21, 0x13, &addresses),
        v2(0x21, 0x41, &addresses),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x11, &with(&[4])),
        v2(0x21, 0x11, &with(&[4, 0, 2, 0])),
        v2(0x21, 0x11, &with(&vec![0; LONGEST_PROXY_HEADER])),
        [b"\r\n\r\n\0\r\nQUIT\r".as_slice(), &[0x21, 0x11, 0, 12], &addresses].concat(),
    ] {
        assert_eq!(said(&wrong), None, "{wrong:?}");
    }
    // Refused as soon as its length is known, not after 64 KiB.
    let long = [SIGNATURE.as_slice(), &[0x21, 0x11, 0xff, 0xff]].concat();
    assert_eq!(read_proxy_header(&long), Err(BadProxyHeader));
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        any::<[u8; 4]>().prop_map(|octets| IpAddr::V6(Ipv4Addr::from(octets).to_ipv6_mapped())),
    ];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

proptest! {
    #[test]
    fn what_is_written_is_read_alike_whatever_comes_behind(
        client in address(),
        to in address(),
        is_line in any::<bool>(),
        behind in any::<Vec<u8>>(),
    ) {
        let version = if is_line { ProxyVersion::V1 } else { ProxyVersion::V2 };
        let written = version.header(ProxyEnds { client, to });
        let ends = Some(ProxyEnds { client: canonical(client), to: canonical(to) });
        let whole = ProxyArrival::Whole { length: written.len(), ends };
        prop_assert_eq!(read_proxy_header(&[written.as_slice(), &behind].concat()), Ok(whole));
        for length in 0..written.len() {
            prop_assert_eq!(read_proxy_header(&written[..length]), Ok(ProxyArrival::Partial));
        }
    }
}
