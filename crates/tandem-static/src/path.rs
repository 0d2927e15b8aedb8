//! From the path in a URL to the name of a file in a tree.
//!
//! Files are looked up by name in a list, never opened by a name from outside, so no path leads out of a tree. This
//! only decides which spellings name the same file, and keeps odd ones away from the list.

/// The name of a file below a static folder: percent-escapes decoded, `/` between the parts. None where it could not
/// name a file: empty parts, `.` and `..`, an escaped slash, NUL, or what is no UTF-8.
pub fn file_name(path: &str) -> Option<String> {
    if !path.contains('%') {
        return is_plain(path).then(|| path.to_owned());
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let (&[high, low], tail) = tail.split_first_chunk::<2>()?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let decoded = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
        if decoded == b'/' {
            return None;
        }
        bytes.push(decoded);
        rest = tail;
    }
    String::from_utf8(bytes).ok().filter(|name| is_plain(name))
}

fn is_plain(name: &str) -> bool {
    !name.contains('\0') && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(file_name("site.css").unwrap(), "site.css");
        assert_eq!(file_name("a/b%20c/%C3%A4.txt").unwrap(), "a/b c/ä.txt");
        assert_eq!(file_name("100%2525").unwrap(), "100%25");
    }

    #[test]
    fn paths_that_climb_or_hide_name_no_file() {
        for path in [
            "",
            "/",
            "a//b",
            "a/",
            "../secret",
            "a/../b",
            "a/./b",
            "%2e%2e/secret",
            "a/%2e%2e/b",
            "..%2fsecret",
            "a%2Fb",
            "a%00.css",
            "a\0b",
            "%",
            "%2",
            "%zz",
            "%ff",
            "%c3",
        ] {
            assert_eq!(file_name(path), None, "{path:?}");
        }
    }
}
