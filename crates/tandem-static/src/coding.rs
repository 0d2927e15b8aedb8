//! Which form of a file a client gets: RFC 9110 §12.5.3, and of those it likes equally the smallest.

use http::header::{self, HeaderMap};

/// A form in which a file may lie beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstandard,
}

/// A weight in thousandths.
type Weight = u16;

/// What is written for it: as the field `Content-Encoding` has it, and as the file's name ends.
const CODINGS: [(Coding, &str, &str); 3] =
    [(Coding::Brotli, "br", ".br"), (Coding::Gzip, "gzip", ".gz"), (Coding::Zstandard, "zstd", ".zst")];

impl Coding {
    /// All of them, each with what names of files end with.
    pub(super) fn endings() -> impl Iterator<Item = (Self, &'static str)> {
        CODINGS.into_iter().map(|(coding, _, ending)| (coding, ending))
    }

    /// Its name in `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        CODINGS[self as usize].1
    }

    fn named(text: &str) -> Option<Self> {
        let text = if text.eq_ignore_ascii_case("x-gzip") { "gzip" } else { text };
        CODINGS.iter().find(|(_, name, _)| text.eq_ignore_ascii_case(name)).map(|(coding, ..)| *coding)
    }
}

/// The place of the form that a client gets; none: the file as it is. That is also what one gets who takes nothing that there is.
pub(super) fn choose(headers: &HeaderMap, plain: u64, forms: &[(Coding, u64)]) -> Option<usize> {
    if forms.is_empty() || !headers.contains_key(header::ACCEPT_ENCODING) {
        return None;
    }
    let accepted = Accepted::read(headers);
    let weight = |coding: Coding| accepted.codings[coding as usize].or(accepted.any).unwrap_or(0);
    let forms = forms.iter().enumerate().map(|(place, (coding, size))| (Some(place), weight(*coding), *size));
    let wanted = forms.filter(|(_, weight, _)| *weight > 0);
    // Taken by all who do not say otherwise, but only where there is nothing better.
    let as_it_is = (None, accepted.identity.unwrap_or(0), plain);
    wanted.chain([as_it_is]).max_by_key(|(_, weight, size)| (*weight, std::cmp::Reverse(*size)))?.0
}

/// `Accept-Encoding`.
#[derive(Debug, Default)]
struct Accepted {
    codings: [Option<Weight>; CODINGS.len()],
    identity: Option<Weight>,
    any: Option<Weight>,
}

impl Accepted {
    fn read(headers: &HeaderMap) -> Self {
        let mut accepted = Self::default();
        let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
        for item in lines.flat_map(|line| line.split(',')) {
            let (name, parameter) = item.split_once(';').unwrap_or((item, ""));
            let Some(weight) = weight(parameter.trim()) else { continue };
            match name.trim() {
                "*" => accepted.any = Some(weight),
                name if name.eq_ignore_ascii_case("identity") => accepted.identity = Some(weight),
                name => {
                    if let Some(coding) = Coding::named(name) {
                        accepted.codings[coding as usize] = Some(weight);
                    }
                }
            }
        }
        accepted
    }
}

/// `q=0.5` (RFC 9110 §12.4.2); nothing is 1. None for what is no weight: the item is passed over.
fn weight(parameter: &str) -> Option<Weight> {
    if parameter.is_empty() {
        return Some(1000);
    }
    let (name, value) = parameter.split_once('=')?;
    let (whole, rest) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_weight = name.trim().eq_ignore_ascii_case("q")
        && matches!(whole, "0" | "1")
        && rest.len() <= 3
        && rest.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths: Weight = format!("{rest:0<3}").parse().ok().filter(|_| is_weight)?;
    match whole {
        "1" => (thousandths == 0).then_some(1000),
        _ => Some(thousandths),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const FORMS: [(Coding, u64); 3] = [(Coding::Brotli, 40), (Coding::Gzip, 50), (Coding::Zstandard, 45)];

    fn chosen(accepted: &str, forms: &[(Coding, u64)]) -> &'static str {
        let headers =
            HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_str(accepted).unwrap())]);
        choose(&headers, 100, forms).map_or("", |place| forms[place].0.name())
    }

    #[test]
    fn a_client_gets_what_it_likes_best_and_of_that_the_smallest() {
        for (accepted, name) in [
            ("gzip, deflate, br, zstd", "br"),
            ("gzip, deflate", "gzip"),
            ("zstd", "zstd"),
            ("zstd, gzip", "zstd"),
            ("br;q=0.5, zstd;q=0.9, gzip;q=0.8", "zstd"),
            ("br;q=0.001", "br"),
            ("GZIP;Q=0.5", "gzip"),
            ("x-gzip", "gzip"),
            ("gzip ; q = 1.000", "gzip"),
            ("*", "br"),
            ("*;q=0.5, br;q=0", "zstd"),
            ("br;q=0, gzip;q=0.0, zstd;q=0.000", ""),
            ("identity, gzip;q=0.5", ""),
            ("identity;q=0.5, gzip", "gzip"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
            ("identity;q=0", ""),
            ("deflate", ""),
            ("", ""),
            ("gzip;q=2, zstd", "zstd"),
            ("gzip;q=0.5555", ""),
            ("gzip;level=9", ""),
        ] {
            assert_eq!(chosen(accepted, &FORMS), name, "{accepted:?}");
        }
    }

    #[test]
    fn only_forms_that_are_there_are_chosen_and_none_that_is_larger() {
        assert_eq!(chosen("br, gzip", &FORMS[1..2]), "gzip");
        assert_eq!(chosen("br", &[]), "");
        assert_eq!(chosen("br, identity", &[(Coding::Brotli, 200)]), "");
    }

    #[test]
    fn lines_of_the_field_are_one_list_and_its_absence_asks_for_the_file_as_it_is() {
        let mut headers = HeaderMap::new();
        assert_eq!(choose(&headers, 100, &FORMS), None);
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("br;q=0"));
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("zstd;q=0.2, gzip;q=0.1"));
        assert_eq!(choose(&headers, 100, &FORMS), Some(2));
    }

    #[test]
    fn names_are_those_of_the_forms() {
        for (place, (coding, ..)) in CODINGS.iter().enumerate() {
            assert_eq!(*coding as usize, place);
        }
    }
}
