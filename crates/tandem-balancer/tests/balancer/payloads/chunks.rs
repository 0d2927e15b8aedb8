//! Bodies in chunks that two readers may understand differently. Their head has gone to the instance by then; what it gets
//! of the body never looks whole, and what is hidden behind is nobody's.

use super::{HIDDEN, Proof, is_whole};

const TABLE: &[(&str, &str)] = &[
    ("a size below zero", "-5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a plus", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
    ("a size that is none", "g\r\nhello\r\n0\r\n\r\n"),
    ("no size", "\r\nhello\r\n0\r\n\r\n"),
    ("a size beyond 64 bits", "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
    ("a size of many zeros", "00000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a size of all that there is", "FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
    ("a space ahead", " 5\r\nhello\r\n0\r\n\r\n"),
    ("two sizes", "5 5\r\nhello\r\n0\r\n\r\n"),
    ("a size and letters", "5 x\r\nhello\r\n0\r\n\r\n"),
    ("a size without CR", "5\nhello\r\n0\r\n\r\n"),
    ("a size without LF", "5\rhello\r\n0\r\n\r\n"),
    ("a size with two CR", "5\r\r\nhello\r\n0\r\n\r\n"),
    ("an extension with LF", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("an extension with CR", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("an extension with NUL", "5;a\0\r\nhello\r\n0\r\n\r\n"),
    ("a line's end in quotes", "5;a=\"\r\nhello\r\n0\r\n\r\n\"\r\n"),
    ("an escaped quote", "5;a=\"b\\\"\r\nhello\r\n0\r\n\r\n"),
    ("more data than said", "5\r\nhelloX\r\n0\r\n\r\n"),
    ("data without an end", "5\r\nhello0\r\n\r\n"),
    ("data that ends without CR", "5\r\nhello\n0\r\n\r\n"),
    ("data that ends without LF", "5\r\nhello\r0\r\n\r\n"),
    ("a last line without CR", "5\r\nhello\r\n0\n\r\n"),
    ("an end without CR", "5\r\nhello\r\n0\r\n\n"),
    ("an end without LF", "5\r\nhello\r\n0\r\n\rX"),
    ("a trailer without CR", "5\r\nhello\r\n0\r\nA: b\n\r\n"),
    ("a trailer without a colon", "5\r\nhello\r\n0\r\nnonsense\r\n\r\n"),
    ("a trailer with a space behind its name", "5\r\nhello\r\n0\r\nA : b\r\n\r\n"),
    ("a folded trailer", "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n"),
    ("a trailer with CR", "5\r\nhello\r\n0\r\nA: b\rc\r\n\r\n"),
    ("a trailer with NUL", "5\r\nhello\r\n0\r\nA: b\0\r\n\r\n"),
];

#[tokio::test]
async fn doubtful_chunks_are_refused_and_never_become_a_whole_request() {
    let proof = Proof::new().await;
    let head = "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, body) in TABLE {
        let (told, said) = proof.send(&format!("{head}{body}{HIDDEN}")).await;
        assert_eq!(told, [400], "{name}: {said}");
        assert!(said.contains("the request's body"), "{name}: {said}");
        let heard = proof.heard(1).await;
        let [one] = heard.as_slice() else { panic!("{name}: {heard:?}") };
        assert!(
            one.bytes.starts_with(b"POST / HTTP/1.1\r\n") && !is_whole(&one.bytes),
            "{name}: {}",
            one.text()
        );
    }
}

#[tokio::test]
async fn a_trailer_section_that_is_too_long_is_refused() {
    let proof = Proof::new().await;
    let head = "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    let many: String = (0..101).map(|number| format!("X-{number}: a\r\n")).collect();
    for trailers in [many, format!("X: {}\r\n", "a".repeat(9000))] {
        let (told, said) = proof.send(&format!("{head}{trailers}\r\n{HIDDEN}")).await;
        assert_eq!(told, [400], "{said}");
        assert!(proof.heard(1).await.iter().all(|heard| !is_whole(&heard.bytes)));
    }
}
