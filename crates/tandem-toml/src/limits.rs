//! `[limits]`: what requests may take, and how long they wait; of an app as of a route.

use std::ops::RangeInclusive;

use tandem_kit::size::parse_bytes;
use tandem_types::{Limits, Span};

use crate::{Mistake, Table, Text, Value};

const LIMITS: &[&str] =
    &["answer_timeout", "body", "client_timeout", "connections", "head", "hold", "requests"];
/// Times for which a request may wait for an instance: browsers and whatever stands before us give up soon after the longest.
const HOLD: RangeInclusive<Span> = Span::seconds(0)..=Span::seconds(60);
/// Times for which anybody may wait for anybody else.
const TIMEOUT: RangeInclusive<Span> = Span::seconds(1)..=Span::minutes(60);
/// Bytes of heads: browsers send some hundred, and no head is longer than the longest that balancers read.
const HEAD: RangeInclusive<u64> = 1024..=64 * 1024;
/// Most requests or connections that can be named: far more than any machine bears.
const MOST: u32 = 1_000_000;

/// Reads the table. `place` is where it stands (`in [limits]`), `closed` what to do instead of letting no request through.
///
/// # Errors
/// The first mistake in it.
pub fn limits(text: Text<'_>, table: &Table<'_>, (place, closed): (&str, &str)) -> Result<Limits, Mistake> {
    let mut limits = Limits::default();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "hold" => limits.hold = Some(span(text, value, ("hold", HOLD))?),
            "requests" => {
                let never = ("requests", "no request could ever be answered", closed);
                limits.requests = Some(count(text, value, never)?);
            }
            "connections" => {
                let never = ("connections", "no client could ever connect", closed);
                limits.connections = Some(count(text, value, never)?);
            }
            "head" => limits.head_bytes = Some(size(text, value, ("head", HEAD))?),
            "body" => limits.body_bytes = Some(size(text, value, ("body", 0..=u64::MAX))?),
            "client_timeout" => limits.client_timeout = Some(span(text, value, ("client_timeout", TIMEOUT))?),
            "answer_timeout" => limits.answer_timeout = Some(span(text, value, ("answer_timeout", TIMEOUT))?),
            _ => return Err(text.unknown(key, place, LIMITS)),
        }
    }
    Ok(limits)
}

fn span(
    text: Text<'_>,
    value: &Value<'_>,
    (what, within): (&str, RangeInclusive<Span>),
) -> Result<Span, Mistake> {
    let span: Span = text.parsed(value, what)?;
    if within.contains(&span) {
        return Ok(span);
    }
    let hint = format!("from \"{}\" to \"{}\"", within.start(), within.end());
    Err(text.at_value(value, format!("`{what}` cannot be {span}")).hint(hint))
}

fn size(
    text: Text<'_>,
    value: &Value<'_>,
    (what, within): (&str, RangeInclusive<u64>),
) -> Result<u64, Mistake> {
    let size = text.string(value, what)?;
    let Some(bytes) = parse_bytes(size) else {
        let hint = "such as \"16KiB\" or \"100MiB\"";
        return Err(text.at_value(value, format!("{size:?} is not a size")).hint(hint));
    };
    if within.contains(&bytes) {
        return Ok(bytes);
    }
    let hint = format!("from \"{}KiB\" to \"{}KiB\"", within.start() >> 10, within.end() >> 10);
    Err(text.at_value(value, format!("`{what}` cannot be {size:?}")).hint(hint))
}

fn count(
    text: Text<'_>,
    value: &Value<'_>,
    (what, never, closed): (&str, &str, &str),
) -> Result<u32, Mistake> {
    match text.number(value, what, MOST)? {
        0 => Err(text.at_value(value, never).hint(closed)),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(written: &str) -> Result<Limits, Mistake> {
        let text = Text { file: Path::new("a.toml"), text: written };
        limits(text, &text.parse().expect("it is TOML"), ("in [limits]", "close it"))
    }

    #[test]
    fn limits_are_read_up_to_their_bounds() {
        let all = "hold = '1m'\nrequests = 1000000\nconnections = 5\nhead = '64KiB'\nbody = '0B'\nclient_timeout = '1s'\nanswer_timeout = '1h'";
        let expected = Limits {
            hold: Some(Span::minutes(1)),
            requests: Some(1_000_000),
            connections: Some(5),
            head_bytes: Some(64 << 10),
            body_bytes: Some(0),
            client_timeout: Some(Span::seconds(1)),
            answer_timeout: Some(Span::minutes(60)),
        };
        assert_eq!(read(all).unwrap(), expected);
        assert_eq!(read("").unwrap(), Limits::default());
    }

    #[test]
    fn limits_that_cannot_be_are_told_with_what_can() {
        for (text, column, message, hint) in [
            ("hold = '2m'", 8, "`hold` cannot be 2m", "from \"0s\" to \"1m\""),
            ("hold = 5", 8, "expected a text in quotes", ""),
            ("hold = ''", 8, "is not a length of time", ""),
            ("answer_timeout = '0s'", 18, "`answer_timeout` cannot be 0s", "from \"1s\" to \"1h\""),
            ("head = '1MiB'", 8, "`head` cannot be \"1MiB\"", "from \"1KiB\" to \"64KiB\""),
            ("body = 'many'", 8, "\"many\" is not a size", "100MiB"),
            ("requests = 0", 12, "no request could ever be answered", "close it"),
            ("connections = 0", 15, "no client could ever connect", "close it"),
            ("requests = 1000001", 12, "expected a whole number up to 1000000", ""),
            ("holds = '5s'", 1, "unknown key `holds` in [limits]", "`hold`?"),
        ] {
            let mistake = read(text).unwrap_err();
            assert_eq!((mistake.line, mistake.column), (1, column), "{text}: {mistake}");
            assert!(mistake.message.contains(message) && mistake.hint.contains(hint), "{text}: {mistake:?}");
        }
    }
}
