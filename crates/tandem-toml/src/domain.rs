//! Names under which a site is reached; of an app as of a route.

use crate::{Mistake, Text, Value};

/// Refuses a name that is none for who reads the file. `value` is where it stands.
///
/// # Errors
/// It is none; the hint says what is written instead.
pub fn ensure_domain(
    text: Text<'_>,
    value: &Value<'_>,
    name: &str,
    is_domain: fn(&str) -> bool,
) -> Result<(), Mistake> {
    if is_domain(name) {
        return Ok(());
    }
    let hint = match name {
        "*" => "name what it is the app of: \"*.example.org\" covers every name below example.org",
        _ if !name.is_ascii() => "write it as browsers send it: \"xn--mnchen-3ya.de\" for münchen.de",
        _ => {
            "a name in lower case, without scheme, port or path: \"www.example.org\"; \"*.example.org\" for all below it"
        }
    };
    Err(text.at_value(value, format!("{name:?} is not a host name")).hint(hint))
}
