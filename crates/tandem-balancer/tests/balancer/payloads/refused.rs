//! Requests that two readers may understand differently: each is refused, and nothing of it passed on.

use super::{HIDDEN, Proof, get, post};

type Table = &'static [(&'static str, &'static str, u16)];

/// Where the body ends, by `Content-Length`.
const LENGTHS: Table = &[
    ("two lengths", post!("Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 400),
    ("two lengths alike", post!("Content-Length: 2\r\nContent-Length: 2\r\n\r\nab"), 400),
    ("two lengths, one of them none", post!("Content-Length: 0\r\nContent-Length: 44\r\n\r\n"), 400),
    ("a list of lengths", post!("Content-Length: 5, 6\r\n\r\nhello"), 400),
    ("a list of lengths alike", post!("Content-Length: 5, 5\r\n\r\nhello"), 400),
    ("an empty length", post!("Content-Length: \r\n\r\n"), 400),
    ("a length below zero", post!("Content-Length: -1\r\n\r\n"), 400),
    ("a length with a plus", post!("Content-Length: +5\r\n\r\nhello"), 400),
    ("a hexadecimal length", post!("Content-Length: 0x5\r\n\r\nhello"), 400),
    ("a fraction", post!("Content-Length: 5.0\r\n\r\nhello"), 400),
    ("an exponent", post!("Content-Length: 5e0\r\n\r\nhello"), 400),
    ("digits apart", post!("Content-Length: 1 0\r\n\r\nhello"), 400),
    ("a length with an underscore", post!("Content-Length: 1_0\r\n\r\nhello"), 400),
    ("a length beyond 64 bits", post!("Content-Length: 18446744073709551616\r\n\r\n"), 400),
    ("digits of another script", post!("Content-Length: \u{ff15}\r\n\r\nhello"), 400),
    ("a vertical tab ahead of a length", post!("Content-Length: \u{b}5\r\n\r\nhello"), 400),
    ("a form feed behind a length", post!("Content-Length: 5\u{c}\r\n\r\nhello"), 400),
    ("a space behind the name of a length", post!("Content-Length : 5\r\n\r\nhello"), 400),
    ("a tab behind the name of a length", post!("Content-Length\t: 5\r\n\r\nhello"), 400),
    ("a folded length", post!("Content-Length:\r\n 5\r\n\r\nhello"), 400),
];

/// Where the body ends, by `Transfer-Encoding`.
const CODINGS: Table = &[
    ("chunks and a length", post!("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n"), 400),
    ("a length and chunks", post!("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
    (
        "a length of zero and chunks",
        post!("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        400,
    ),
    ("no coding and a length", post!("Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"), 400),
    ("no coding", post!("Transfer-Encoding: identity\r\n\r\n"), 400),
    ("an empty coding", post!("Transfer-Encoding: \r\n\r\n"), 400),
    ("chunks in chunks", post!("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), 501),
    ("chunks twice", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 501),
    (
        "chunks and none",
        post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
        501,
    ),
    ("chunks that are not last", post!("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), 400),
    ("chunks of another coding", post!("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501),
    ("another coding", post!("Transfer-Encoding: gzip\r\n\r\n"), 400),
    ("a comma ahead", post!("Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"), 501),
    ("a comma behind", post!("Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"), 400),
    ("a letter ahead", post!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400),
    ("a parameter", post!("Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"), 400),
    ("quotes", post!("Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"), 400),
    ("a letter that only looks like k", post!("Transfer-Encoding: chun\u{212a}ed\r\n\r\n0\r\n\r\n"), 400),
    ("a space that does not break", post!("Transfer-Encoding: chunked\u{a0}\r\n\r\n0\r\n\r\n"), 400),
    ("a tab within", post!("Transfer-Encoding: chun\tked\r\n\r\n0\r\n\r\n"), 400),
    ("a vertical tab ahead", post!("Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n"), 400),
    ("a NUL behind", post!("Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n"), 400),
    ("a space behind the name", post!("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), 400),
    ("a tab behind the name", post!("Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"), 400),
    ("a folded coding", post!("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"), 400),
    ("a folded name", post!("X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
    ("behind a bare CR", post!("X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
    ("behind a bare LF", post!("X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
    (
        "chunks in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
];

/// Lines, and what is in them.
const LINES: Table = &[
    ("the first line without CR", "GET / HTTP/1.1\nHost: shop.example\r\n\r\n", 400),
    ("a field without CR", "GET / HTTP/1.1\r\nHost: shop.example\n\r\n", 400),
    ("the empty line without CR", get!("\n"), 400),
    ("two lines in one", get!("X: a\nY: b\r\n\r\n"), 400),
    ("a CR in a value", get!("X: a\rb\r\n\r\n"), 400),
    ("two CR at an end", get!("X: a\r\r\n\r\n"), 400),
    ("a CR in a name", get!("X\rY: a\r\n\r\n"), 400),
    ("a CR ahead of everything", "\rGET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a LF ahead of everything", "\nGET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a space ahead of everything", " GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a NUL in a value", get!("X: a\0b\r\n\r\n"), 400),
    ("a NUL in a name", get!("X\0: a\r\n\r\n"), 400),
    ("a NUL in the path", "GET /a\0b HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a DEL in a value", get!("X: a\u{7f}b\r\n\r\n"), 400),
    ("a folded line", get!("X: a\r\n b\r\n\r\n"), 400),
    ("a line folded by a tab", get!("X: a\r\n\tb\r\n\r\n"), 400),
    (
        "a first field that is folded",
        "GET / HTTP/1.1\r\n Host: shop.example\r\nHost: shop.example\r\n\r\n",
        400,
    ),
    ("a space behind a name", get!("X : y\r\n\r\n"), 400),
    ("a space in a name", get!("a b: x\r\n\r\n"), 400),
    ("no name", get!(": x\r\n\r\n"), 400),
    ("a name with brackets", get!("X(y): x\r\n\r\n"), 400),
    ("a name of another script", get!("\u{e9}: x\r\n\r\n"), 400),
    ("a line without a colon", get!("nonsense\r\n\r\n"), 400),
    ("no words", "nonsense\r\n\r\n", 400),
    ("no version", "GET /\r\n\r\n", 400),
    ("no path", "GET HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a tab for a space", "GET\t/ HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a space in the path", "GET /a b HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a space behind the version", "GET / HTTP/1.1 \r\nHost: shop.example\r\n\r\n", 400),
    ("a longer version", "GET / HTTP/1.10\r\nHost: shop.example\r\n\r\n", 400),
    ("small letters", "GET / http/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a later version", "GET / HTTP/1.2\r\nHost: shop.example\r\n\r\n", 505),
    ("the second version", "GET / HTTP/2.0\r\nHost: shop.example\r\n\r\n", 505),
    ("brackets in the method", "GE(T / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("TLS", "\u{16}\u{3}\u{1}\u{2}", 400),
    ("a PROXY header of who is not trusted", "PROXY TCP4 6.6.6.6 127.0.0.1 1 80\r\n", 400),
    ("a PROXY header in bytes", "\r\n\r\n\0\r\nQUIT\n\u{20}\0\0\0", 400),
];

/// Whom it is for.
const HOSTS: Table = &[
    ("no host", "GET / HTTP/1.1\r\n\r\n", 400),
    ("two hosts", get!("Host: other.example\r\n\r\n"), 400),
    ("two hosts alike", get!("Host: shop.example\r\n\r\n"), 400),
    ("a path in the host", "GET / HTTP/1.1\r\nHost: shop.example/x\r\n\r\n", 400),
    ("a query in the host", "GET / HTTP/1.1\r\nHost: shop.example?x\r\n\r\n", 400),
    ("a fragment in the host", "GET / HTTP/1.1\r\nHost: shop.example#x\r\n\r\n", 400),
    ("a user", "GET / HTTP/1.1\r\nHost: a@shop.example\r\n\r\n", 400),
    ("a user with a password", "GET / HTTP/1.1\r\nHost: a:b@shop.example\r\n\r\n", 400),
    ("a space in the host", "GET / HTTP/1.1\r\nHost: shop.example other.example\r\n\r\n", 400),
    ("a list of hosts", "GET / HTTP/1.1\r\nHost: shop.example,other.example\r\n\r\n", 400),
    ("a backslash in the host", "GET / HTTP/1.1\r\nHost: shop.example\\x\r\n\r\n", 400),
    ("HTML in the host", "GET / HTTP/1.1\r\nHost: <b>shop.example\r\n\r\n", 400),
    ("another script in the host", "GET / HTTP/1.1\r\nHost: sh\u{f6}p.example\r\n\r\n", 400),
    ("letters in the port", "GET / HTTP/1.1\r\nHost: shop.example:80a\r\n\r\n", 400),
    ("a port below zero", "GET / HTTP/1.1\r\nHost: shop.example:-1\r\n\r\n", 400),
    ("a port beyond 65535", "GET / HTTP/1.1\r\nHost: shop.example:65536\r\n\r\n", 400),
    ("two ports", "GET / HTTP/1.1\r\nHost: shop.example:80:81\r\n\r\n", 400),
    ("an address without brackets", "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400),
    ("an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    ("letters behind a bracket", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
    ("no address in brackets", "GET / HTTP/1.1\r\nHost: [shop.example]\r\n\r\n", 400),
    ("an absolute target without a host", "GET http://shop.example/ HTTP/1.1\r\n\r\n", 400),
    (
        "an absolute target with two hosts",
        "GET http://shop.example/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "an absolute target with a user",
        "GET http://a@shop.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        400,
    ),
    (
        "an absolute target with a bad port",
        "GET http://shop.example:x/ HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        400,
    ),
    ("an absolute target without an authority", "GET http:///x HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("half an absolute target", "GET http:/x HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("another scheme", "GET ftp://shop.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("an authority alone", "GET shop.example HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a relative path", "GET a/b HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a query alone", "GET ?a HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("backslashes for slashes", "GET \\\\other.example\\a HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("an asterisk that is not for OPTIONS", "GET * HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("an asterisk and more", "OPTIONS *a HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    ("a tunnel", "CONNECT other.example:443 HTTP/1.1\r\nHost: shop.example\r\n\r\n", 405),
    ("a tunnel to the app", "CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example\r\n\r\n", 405),
];

/// Each is refused with this status, whatever is behind it is nobody's, and the instance hears nothing.
async fn all_are_refused(table: Table) {
    let proof = Proof::new().await;
    for (name, sent, status) in table {
        let (told, said) = proof.send(&format!("{sent}{HIDDEN}")).await;
        assert_eq!(told, [*status], "{name}: {said}");
        assert!(said.contains("\r\nconnection: close\r\n"), "{name}: {said}");
        let heard = proof.heard(0).await;
        assert!(heard.is_empty(), "{name}: {:?}", heard.iter().map(super::Heard::text).collect::<Vec<_>>());
    }
    let (told, said) = proof.send(HIDDEN).await;
    assert_eq!(told, [200], "it serves as before: {said}");
}

#[tokio::test]
async fn doubtful_lengths_are_refused() {
    all_are_refused(LENGTHS).await;
}

#[tokio::test]
async fn doubtful_codings_are_refused() {
    all_are_refused(CODINGS).await;
}

#[tokio::test]
async fn doubtful_lines_are_refused() {
    all_are_refused(LINES).await;
}

#[tokio::test]
async fn doubtful_hosts_and_targets_are_refused() {
    all_are_refused(HOSTS).await;
}

#[tokio::test]
async fn heads_that_are_too_long_are_refused() {
    let proof = Proof::new().await;
    let many: String = (0..101).map(|number| format!("X-{number}: a\r\n")).collect();
    for (name, sent) in [
        (
            "a long value",
            format!("GET / HTTP/1.1\r\nHost: shop.example\r\nX: {}\r\n\r\n", "a".repeat(70_000)),
        ),
        ("a long name", format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{}: a\r\n\r\n", "a".repeat(70_000))),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: shop.example\r\n\r\n", "a".repeat(66_000))),
        ("many fields", format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{many}\r\n")),
        ("a line without end", "G".repeat(70_000)),
    ] {
        let (told, said) = proof.send(&format!("{sent}{HIDDEN}")).await;
        assert_eq!(told, [431], "{name}: {said}");
        assert_eq!(said.contains("the head has more than 100 fields"), name == "many fields", "{said}");
        assert!(proof.heard(0).await.is_empty(), "{name}");
    }
}
