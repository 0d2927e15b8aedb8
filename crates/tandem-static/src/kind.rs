//! What a file's name says about it: its media type, and whether its content can ever change.

/// Media types by extension, those that web apps serve. Text is UTF-8.
const TYPES: [(&str, &str); 40] = [
    ("aac", "audio/aac"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("eot", "application/vnd.ms-fontobject"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("m4a", "audio/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];
/// Least hexadecimal digits that are taken for a content hash.
const HASH_DIGITS: usize = 8;
/// Characters of the hashes that Vite, Rollup and esbuild put into names.
const BUILDERS_HASH: usize = 8;
/// Consonants in a row that hardly any word has. Of hashes at random some look like words; those are asked for each minute.
const UNSPOKEN: usize = 3;
/// Words without a vowel.
const ACRONYMS: [&str; 12] =
    ["css", "html", "http", "jpg", "js", "pdf", "php", "png", "sql", "svg", "txt", "xml"];
/// What may stand between a hash and the last extension: of `index-DiwrgTda.js.map`.
const INNER: [&str; 4] = ["js", "mjs", "css", "min"];

/// The media type of a file.
pub(super) fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    let found = TYPES.binary_search_by_key(&extension.as_str(), |(extension, _)| extension);
    found.map_or("application/octet-stream", |place| TYPES[place].1)
}

/// Whether the name carries a hash of the content: then that name never means other content. Names are told as the common
/// builders write them: hexadecimal digits as Django's manifest and webpack do (`site.55e7cbb9ba48.css`, `app-1f3a5b7c.js`),
/// eight characters of base64url as Vite and Rollup (`index-DiwrgTda.js`), eight of base32 as esbuild (`chunk-K3QWZ7TA.js`).
///
/// A name that is wrongly taken for one is seen for a year whatever is deployed; one that is not recognized is asked for again
/// after a minute. So what may be a word, a date or a version is none.
pub(super) fn is_hashed(name: &str) -> bool {
    let name = name.rsplit_once('/').map_or(name, |(_, last)| last);
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    let mut parts = stem.split(['.', '-']);
    // The first part is the name itself, whatever it looks like.
    parts.next();
    parts.any(is_hexadecimal) || ends_in_hash(stem)
}

fn is_hexadecimal(part: &str) -> bool {
    // Decimal digits alone are a date: `report-20261122.pdf` may be mended.
    part.len() >= HASH_DIGITS
        && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        && !part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether eight characters that are no word stand at the end behind a hyphen or a dot. The hash may have hyphens itself; what
/// compiles style sheets and maps adds (`.css.map`, `.min.js`) is not looked behind, since builders hash the whole name.
fn ends_in_hash(stem: &str) -> bool {
    let stem = stem.rsplit_once('.').filter(|(_, kind)| INNER.contains(kind)).map_or(stem, |(stem, _)| stem);
    let Some((before, hash)) = stem.len().checked_sub(BUILDERS_HASH).and_then(|at| stem.split_at_checked(at))
    else {
        return false;
    };
    before.len() > 1 && before.ends_with(['-', '.']) && (is_base32(hash) || is_base64(hash))
}

/// Upper-case letters and the digits 2 to 7 (RFC 4648 §6), some of both: capitals alone are a word.
fn is_base32(hash: &str) -> bool {
    hash.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
        && hash.bytes().any(|byte| byte.is_ascii_digit())
        && hash.bytes().filter(u8::is_ascii_uppercase).count() > 1
}

/// Letters, digits, `-` and `_` (RFC 4648 §5), capitals and small letters among them, that are no words.
fn is_base64(hash: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    hash.bytes().all(allowed)
        && hash.bytes().any(|byte| byte.is_ascii_lowercase())
        && hash.bytes().any(|byte| byte.is_ascii_uppercase())
        && !words(hash).iter().enumerate().all(|(place, word)| is_word(place, word))
}

/// `SemiBold`, `jQueryUi`, `Base64Js`: words end at digits and signs, and begin with a capital behind a small letter, or with the
/// last of several capitals.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in text.split(|c: char| !c.is_ascii_alphabetic()).filter(|part| !part.is_empty()) {
        let letters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (place, letter) in letters.iter().enumerate() {
            let before_is_small = place > 0 && letters[place - 1].is_ascii_lowercase();
            let next_is_small = letters.get(place + 1).is_some_and(char::is_ascii_lowercase);
            if letter.is_ascii_uppercase() && (before_is_small || next_is_small) && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            word.push(*letter);
        }
        words.push(word);
    }
    words
}

/// Whether people may have written it: several capitals, or what can be spoken. A letter alone stands in the beginning.
fn is_word(place: usize, word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    if word.len() == 1 {
        return place == 0;
    }
    if word.bytes().all(|byte| byte.is_ascii_uppercase()) || ACRONYMS.contains(&lower.as_str()) {
        return true;
    }
    let mut consonants = lower.split(['a', 'e', 'i', 'o', 'u', 'y']);
    lower.contains(['a', 'e', 'i', 'o', 'u', 'y']) && consonants.all(|run| run.len() < UNSPOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_types_is_sorted_for_the_search() {
        assert!(TYPES.is_sorted_by(|one, next| one.0 < next.0));
    }

    #[test]
    fn types_follow_the_last_extension_in_any_case() {
        assert_eq!(media_type("a/site.min.CSS"), "text/css; charset=utf-8");
        assert_eq!(media_type("logo.svg"), "image/svg+xml");
        assert_eq!(media_type("LICENSE"), "application/octet-stream");
        assert_eq!(media_type("a.b/c"), "application/octet-stream");
    }

    #[test]
    fn only_names_with_a_hash_are_for_ever() {
        for name in [
            "css/site.55e7cbb9ba48.css",
            "app-1f3a5b7c.js",
            "a.1234567f.min.js",
            "assets/index-DiwrgTda.js",
            "assets/index-BXbJ9-4k.css",
            "assets/vendor-C_p7Qk2d.js",
            "assets/index-DiwrgTda.js.map",
            "logo.Dx3fR9aB.svg",
            "chunk-K3QWZ7TA.js",
            "main-5AAXQJ2R.css",
        ] {
            assert!(is_hashed(name), "{name}");
        }
        for name in [
            "site.css",
            "deadbeef.css",
            "site.1234567.css",
            "55e7cbb9ba48/site.css",
            "site.55e7cbb9ba48",
            "report-20261122.pdf",
            "site-20240101.css",
            "bootstrap-datepicker.js",
            "jquery-3.7.1.min.js",
            "jquery.inputmask.js",
            "fa-brands-400.woff2",
            "Roboto-BoldItalic.ttf",
            "Inter-SemiBold.woff2",
            "OpenSans-ExtraBold.woff2",
            "select2-bootstrap-5-theme.css",
            "app-settings.js",
            "page-DateTime.js",
            "logo-WebSite2.png",
            "lib-Base64Js.js",
            "page-HtmlView.js",
            "lib-jQueryUi.js",
            "my-HTMLpage.js",
            "icon-128x128.png",
            "photo-IMG_2024.jpg",
            "chart-v4.4.1-rc2.js",
            "scan-CERTIFIC.pdf",
            "x-20260101.min.js",
            "DiwrgTda.js",
            "-DiwrgTda.js",
        ] {
            assert!(!is_hashed(name), "{name}");
        }
    }
}
