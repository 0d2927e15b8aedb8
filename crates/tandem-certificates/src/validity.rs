//! From when until when a certificate holds: the one thing that must be read out of what an authority sent.
//!
//! A few steps through DER (RFC 5280, 4.1), and not a whole reader of X.509: rustls refuses what is malformed in any other way
//! as soon as it is shown.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tandem_types::Timestamp;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The chain's first certificate cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read from when until when the certificate holds")]
pub struct ValidityError;

/// From when until when the first certificate of a chain holds.
///
/// # Errors
/// There is none, or it is malformed.
pub fn validity(chain: &str) -> Result<(Timestamp, Timestamp), ValidityError> {
    let first = CertificateDer::pem_slice_iter(chain.as_bytes()).next().and_then(Result::ok);
    let first = first.ok_or(ValidityError)?;
    read(&first).ok_or(ValidityError)
}

pub(crate) fn read(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (certificate, _) = inside(certificate, SEQUENCE)?;
    let (mut rest, _) = inside(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Its number, how it is signed, who signed it.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, _) = inside(rest, SEQUENCE)?;
    let (kind, from, rest) = element(validity)?;
    let (kind_of_end, to, _) = element(rest)?;
    Some((time(kind, from)?, time(kind_of_end, to)?))
}

/// What is inside of the first element, and what is behind it.
fn inside(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (kind, content, rest) = element(bytes)?;
    (kind == expected).then_some((content, rest))
}

/// Kind and content of the first element, and what is behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

/// `YYMMDDHHMMSSZ` up to 2049, `YYYYMMDDHHMMSSZ` from then on.
fn time(kind: u8, digits: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(digits).ok()?.strip_suffix('Z')?;
    let whole = match kind {
        UTC_TIME if text.len() == 12 => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        GENERALIZED_TIME if text.len() == 14 => text.to_owned(),
        _ => return None,
    };
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| &whole[from..to];
    let date = format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8));
    format!("{date}T{}:{}:{}Z", part(8, 10), part(10, 12), part(12, 14)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    #[test]
    fn what_was_signed_is_read_back() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let authority = Authority::create("test", now).unwrap();
        let issued = authority.issue("shop.localhost", now).unwrap();
        assert_eq!(validity(&issued.chain), Ok((issued.not_before, issued.not_after)));
        assert_eq!(issued.not_before, "2026-11-21T12:00:00Z".parse().unwrap());
    }

    #[test]
    fn times_of_this_century_the_last_and_far_ones_are_read() {
        let read = |kind, text: &str| time(kind, text.as_bytes()).map(|time| time.to_string());
        assert_eq!(read(UTC_TIME, "261122120000Z").as_deref(), Some("2026-11-22T12:00:00Z"));
        assert_eq!(read(UTC_TIME, "990101000000Z").as_deref(), Some("1999-01-01T00:00:00Z"));
        assert_eq!(read(GENERALIZED_TIME, "20560101000000Z").as_deref(), Some("2056-01-01T00:00:00Z"));
        for wrong in ["", "Z", "2611221200Z", "26112212000éZ", "261122120000", "269922120000Z"] {
            assert_eq!(read(UTC_TIME, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_cut_or_lies_about_its_length_is_refused() {
        let authority = Authority::create("test", Timestamp::UNIX_EPOCH).unwrap();
        let whole = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap();
        assert!(read(&whole).is_some());
        for length in 0..whole.len().min(120) {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
        for lie in [&[0x30, 0x84, 1, 1, 1, 1][..], &[0x30, 0x83, 255, 255, 255], &[0x30, 0x80, 0, 0]] {
            assert_eq!(read(lie), None);
        }
        assert_eq!(validity("no PEM"), Err(ValidityError));
    }
}
