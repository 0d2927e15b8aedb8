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

/// The media type of a file.
pub(super) fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    let found = TYPES.binary_search_by_key(&extension.as_str(), |(extension, _)| extension);
    found.map_or("application/octet-stream", |place| TYPES[place].1)
}

/// Whether the name carries a hash of the content (`site.55e7cbb9ba48.css`, `app-1f3a5b7c.js`): then that name never
/// means other content.
pub(super) fn is_hashed(name: &str) -> bool {
    let name = name.rsplit_once('/').map_or(name, |(_, last)| last);
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    let mut parts = stem.split(['.', '-']);
    // The first part is the name itself, whatever it looks like.
    parts.next();
    // Decimal digits alone are a date: `report-20261122.pdf` may be mended.
    parts.any(|part| {
        part.len() >= HASH_DIGITS
            && part.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !part.bytes().all(|byte| byte.is_ascii_digit())
    })
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
        for name in ["css/site.55e7cbb9ba48.css", "app-1f3a5b7c.js", "a.1234567f.min.js"] {
            assert!(is_hashed(name), "{name}");
        }
        for name in [
            "site.css",
            "deadbeef.css",
            "site.1234567.css",
            "55e7cbb9ba48/site.css",
            "site.55e7cbb9ba48",
            "report-20261122.pdf",
        ] {
            assert!(!is_hashed(name), "{name}");
        }
    }
}
