//! Host names that an app or a route has: in lower case, without a port.

/// The domain of every host that no other route names.
pub const ANY_HOST: &str = "*";
/// What a wildcard begins with: `*.example.org` covers any number of labels below `example.org`, and not that itself.
pub const WILDCARD: &str = "*.";
/// Bytes of the longest name (RFC 1035, 2.3.4).
pub const LONGEST: usize = 253;

/// Bytes of its longest part between dots.
const LONGEST_LABEL: usize = 63;

/// Whether a text is an exact host name, or `*.` and one: any number of labels below it.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    is_exact(text.strip_prefix(WILDCARD).unwrap_or(text))
}

/// Whether a text is an exact host name; an IPv4 address looks like one.
#[must_use]
pub fn is_exact(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LONGEST_LABEL
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= LONGEST && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_names_in_lower_case_or_all_below_one() {
        for good in ["localhost", "a.example.org", "xn--bcher-kva.example", "1.example", "127.0.0.1"] {
            assert!(is_domain(good) && is_exact(good), "{good}");
            let below = format!("*.{good}");
            assert!(is_domain(&below) && !is_exact(&below), "{below}");
        }
        for wrong in [
            "",
            "*",
            "*.",
            "a.*.org",
            "*.*.org",
            "*a.org",
            "**.org",
            "A.example",
            "a_b.example",
            "a.example:80",
            "a..b",
            "-a",
            "a-",
            "http://a",
            "a.",
            "::1",
        ] {
            assert!(!is_domain(wrong), "{wrong}");
        }
    }

    #[test]
    fn names_are_as_long_as_the_name_system_allows() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert!(is_exact(&label) && !is_exact(&"a".repeat(64)));
        assert!(is_exact(&longest) && !is_exact(&format!("{longest}a")));
    }
}
