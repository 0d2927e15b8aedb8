//! Answers a request for a static file: conditional and range requests, caching, precompressed variants (RFC 9110).

use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};

use super::coding::{self, Coding};
use super::site::{Blob, Folder, Site};
use super::{FileBody, kind, path};

/// For names that carry a hash of the content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// For all others: short, since the name may mean other content after the next deploy; then the tag is compared.
const A_MINUTE: &str = "public, max-age=60";

/// The form of a file that is sent, wherever its bytes are.
pub(super) struct Form<'a> {
    /// The file's name, without the ending of its form.
    pub(super) name: &'a str,
    /// What tells its content from any other, in quotes (RFC 9110 §8.8.3, strong).
    pub(super) tag: &'a str,
    /// Its size in bytes.
    pub(super) size: u64,
    pub(super) coding: Option<Coding>,
    /// Whether there are other forms, depending on `Accept-Encoding`.
    pub(super) varies: bool,
    /// Whether pages of other domains may read it.
    pub(super) is_public: bool,
}

/// A form of a file of a tree.
struct Chosen<'a> {
    site: &'a Site,
    blob: &'a Blob,
    coding: Option<Coding>,
    varies: bool,
}

/// What part of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// First byte and length.
    Range(u64, u64),
    /// Beyond its end.
    Nothing,
}

/// Answers a GET or HEAD with a file of the folder. None: there is no such file (or it cannot be read), the app may
/// know.
pub async fn answer(folder: &Folder, request: &Parts) -> Option<Response<FileBody>> {
    let name = path::file_name(request.uri.path().strip_prefix(&*folder.prefix)?)?;
    for site in &folder.sites {
        let Some(chosen) = choose(site, &name, &request.headers) else { continue };
        match answer_with(&chosen, &name, request).await {
            Ok(answer) => return Some(answer),
            Err(error) => tracing::error!(name, "cannot read the static file {name}: {error}"),
        }
    }
    None
}

fn choose<'a>(site: &'a Site, name: &str, headers: &HeaderMap) -> Option<Chosen<'a>> {
    let file = site.file(name)?;
    let place = coding::choose(headers, file.plain.size, &file.sizes);
    let (coding, blob) = match place {
        Some(place) => (Some(file.sizes[place].0), &file.forms[place]),
        None => (None, &file.plain),
    };
    Some(Chosen { site, blob, coding, varies: !file.forms.is_empty() })
}

async fn answer_with(
    chosen: &Chosen<'_>,
    name: &str,
    request: &Parts,
) -> Result<Response<FileBody>, std::io::Error> {
    let Chosen { site, blob, coding, varies } = *chosen;
    let tag = format!("\"{}\"", &blob.digest.to_string()[..32]);
    // Fonts and modules are refused by browsers across domains otherwise; there is nothing private in these files.
    let form = Form { name, tag: &tag, size: blob.size, coding, varies, is_public: true };
    let (mut answer, part) = begin(&form, request);
    if let Some((start, length)) = part {
        *answer.body_mut() = site.open(blob, start, length).await?;
    }
    Ok(answer)
}

/// An answer but for its body: that is the part of the form beginning at this byte with this length, where there is one.
pub(super) fn begin(form: &Form<'_>, request: &Parts) -> (Response<FileBody>, Option<(u64, u64)>) {
    let mut answer = Response::new(FileBody::empty());
    if !is_expected(&request.headers, form.tag) {
        refuse(&mut answer, StatusCode::PRECONDITION_FAILED, form.is_public);
        return (answer, None);
    }
    describe(answer.headers_mut(), form);
    if is_fresh(&request.headers, form.tag) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return (answer, None);
    }
    // Ranges mean something for GET only (RFC 9110 §14.2).
    let is_get = request.method == Method::GET;
    let part = if is_get { part(&request.headers, form.tag, form.size) } else { Part::Whole };
    let (start, length) = match part {
        Part::Whole => (0, form.size),
        Part::Range(start, length) => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {start}-{}/{}", start + length - 1, form.size);
            answer.headers_mut().insert(header::CONTENT_RANGE, value(&range));
            (start, length)
        }
        Part::Nothing => {
            // Nothing of the file is sent: neither how it is coded nor how long it keeps is true of this answer.
            answer.headers_mut().clear();
            refuse(&mut answer, StatusCode::RANGE_NOT_SATISFIABLE, form.is_public);
            answer.headers_mut().insert(header::CONTENT_RANGE, value(&format!("bytes */{}", form.size)));
            (0, 0)
        }
    };
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    (answer, (request.method != Method::HEAD && length > 0).then_some((start, length)))
}

fn describe(headers: &mut HeaderMap, form: &Form<'_>) {
    let caching = if kind::is_hashed(form.name) { FOR_EVER } else { A_MINUTE };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind::media_type(form.name)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::ETAG, value(form.tag));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if form.is_public {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    if let Some(coding) = form.coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    if form.varies {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// An answer without a file.
pub(super) fn refuse(answer: &mut Response<FileBody>, status: StatusCode, is_public: bool) {
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if is_public {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
}

/// Whether the file is the one that the client wants to go on with. Strong comparison (RFC 9110 §13.1.1). No file has a time
/// of its last change here, so that `If-Unmodified-Since` is ignored, as §13.1.4 asks for.
fn is_expected(headers: &HeaderMap, tag: &str) -> bool {
    let mut wanted = headers.get_all(header::IF_MATCH).iter().peekable();
    let tags = |value: &HeaderValue| {
        let known = value.to_str().unwrap_or_default().split(',');
        known.map(str::trim).any(|known| known == "*" || known == tag)
    };
    wanted.peek().is_none() || wanted.any(tags)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and hexadecimal digits are valid in a header")
}

/// Whether the client has this very content already. Weak comparison, as RFC 9110, 13.1.2 asks for.
fn is_fresh(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

/// The part that `Range` asks for. Several ranges at once, other units and nonsense are answered with the whole.
fn part(headers: &HeaderMap, tag: &str, size: u64) -> Part {
    let Some(range) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Part::Whole;
    };
    if headers.get(header::IF_RANGE).is_some_and(|condition| condition.as_bytes() != tag.as_bytes()) {
        return Part::Whole;
    }
    let bytes = range.split_once('=').filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"));
    let Some((first, last)) = bytes.and_then(|(_, range)| range.trim().split_once('-')) else {
        return Part::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last),
        (Ok(first), Err(_)) if last.is_empty() => (first, u64::MAX),
        (Err(_), Ok(0)) if first.is_empty() => return Part::Nothing,
        (Err(_), Ok(tail)) if first.is_empty() => (size.saturating_sub(tail), u64::MAX),
        _ => return Part::Whole,
    };
    let (first, last) = (range.0, range.1.min(size.saturating_sub(1)));
    if first > last || size == 0 { Part::Nothing } else { Part::Range(first, last - first + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, text)| (name.clone(), HeaderValue::from_str(text).unwrap())).collect()
    }

    #[test]
    fn one_range_is_answered_and_everything_else_with_the_whole() {
        for (range, expected) in [
            ("bytes=0-9", Part::Range(0, 10)),
            ("Bytes=0-9", Part::Range(0, 10)),
            ("bytes=90-", Part::Range(90, 10)),
            ("bytes=90-500", Part::Range(90, 10)),
            ("bytes=-5", Part::Range(95, 5)),
            ("bytes=-500", Part::Range(0, 100)),
            ("bytes=100-", Part::Nothing),
            ("bytes=100-200", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=x-", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes=99999999999999999999-", Part::Whole),
        ] {
            assert_eq!(part(&headers(&[(header::RANGE, range)]), "\"t\"", 100), expected, "{range}");
        }
        assert_eq!(part(&headers(&[(header::RANGE, "bytes=0-")]), "\"t\"", 0), Part::Nothing);
    }

    #[test]
    fn a_range_of_another_version_is_answered_with_the_whole() {
        let ask = |tag| headers(&[(header::RANGE, "bytes=0-9"), (header::IF_RANGE, tag)]);
        assert_eq!(part(&ask("\"t\""), "\"t\"", 100), Part::Range(0, 10));
        for other in ["\"old\"", "W/\"t\"", "Sun, 22 Nov 2026 00:00:00 GMT", ""] {
            assert_eq!(part(&ask(other), "\"t\"", 100), Part::Whole, "{other}");
        }
    }

    #[test]
    fn a_client_that_goes_on_with_another_file_is_told_so() {
        let wants = |tags: &[&str]| {
            let pairs: Vec<_> = tags.iter().map(|tag| (header::IF_MATCH, *tag)).collect();
            let mut all = HeaderMap::new();
            for (name, value) in pairs {
                all.append(name, HeaderValue::from_str(value).unwrap());
            }
            is_expected(&all, "\"t\"")
        };
        assert!(wants(&[]) && wants(&["*"]) && wants(&["\"a\", \"t\""]) && wants(&["\"a\"", "\"t\""]));
        assert!(!wants(&["\"a\""]) && !wants(&["W/\"t\""]) && !wants(&[""]));
        let since = headers(&[(header::IF_UNMODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT")]);
        assert!(is_expected(&since, "\"t\""), "no file has a time");
    }

    #[test]
    fn tags_are_compared_weakly() {
        for (known, fresh) in
            [("\"t\"", true), ("W/\"t\"", true), ("\"a\", \"t\"", true), ("*", true), ("\"a\"", false)]
        {
            assert_eq!(is_fresh(&headers(&[(header::IF_NONE_MATCH, known)]), "\"t\""), fresh, "{known}");
        }
    }
}
