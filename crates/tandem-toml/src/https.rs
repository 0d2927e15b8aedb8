//! `[https]`: what the balancer does besides where it serves HTTPS; of an app as of a route.

use tandem_types::https::HttpsSpec;

use crate::{Mistake, Table, Text};

const HTTPS: &[&str] = &["hsts", "redirect"];

/// Reads the table. `place` is where it stands (`in [https]`).
///
/// # Errors
/// The first mistake in it.
pub fn https(text: Text<'_>, table: &Table<'_>, place: &str) -> Result<HttpsSpec, Mistake> {
    let mut entry = HttpsSpec::default();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "redirect" => entry.redirect = text.flag(value, "redirect")?,
            "hsts" => entry.hsts = Some(text.parsed(value, "hsts")?),
            _ => return Err(text.unknown(key, place, HTTPS)),
        }
    }
    Ok(entry)
}
