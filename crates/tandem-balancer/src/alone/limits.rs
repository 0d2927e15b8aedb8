//! `limits` of a `[[route]]`, as in `[limits]` of an app's file.

use std::ops::RangeInclusive;

use tandem_kit::size::parse_bytes;
use tandem_types::{Limits, Span};

use super::mistake::Mistake;
use super::reader::{Text, Value};

const LIMITS: &[&str] =
    &["answer_timeout", "body", "client_timeout", "connections", "head", "hold", "requests"];
/// What these may be, as for apps.
const HOLD: RangeInclusive<Span> = Span::seconds(0)..=Span::seconds(60);
const TIMEOUT: RangeInclusive<Span> = Span::seconds(1)..=Span::minutes(60);
const HEAD: RangeInclusive<u64> = 1024..=64 * 1024;

pub(super) fn limits(text: Text<'_>, value: &Value<'_>) -> Result<Limits, Mistake> {
    let mut limits = Limits::default();
    for (key, value) in text.table(value, "limits")? {
        match key.get_ref().as_ref() {
            "hold" => limits.hold = Some(span(text, value, ("hold", HOLD))?),
            "requests" => limits.requests = Some(count(text, value, "requests")?),
            "connections" => limits.connections = Some(count(text, value, "connections")?),
            "head" => limits.head_bytes = Some(size(text, value, ("head", HEAD))?),
            "body" => limits.body_bytes = Some(size(text, value, ("body", 0..=u64::MAX))?),
            "client_timeout" => limits.client_timeout = Some(span(text, value, ("client_timeout", TIMEOUT))?),
            "answer_timeout" => limits.answer_timeout = Some(span(text, value, ("answer_timeout", TIMEOUT))?),
            _ => return Err(text.unknown(key, "in `limits`", LIMITS)),
        }
    }
    Ok(limits)
}

fn span(
    text: Text<'_>,
    value: &Value<'_>,
    (what, within): (&str, RangeInclusive<Span>),
) -> Result<Span, Mistake> {
    let word = text.words(value, what)?;
    let span: Span = word
        .parse()
        .map_err(|error: tandem_types::ids::ParseError| text.at_value(value, error.to_string()))?;
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
    let word = text.words(value, what)?;
    match parse_bytes(word).filter(|bytes| within.contains(bytes)) {
        Some(bytes) => Ok(bytes),
        None => {
            let hint = match what {
                "head" => "from \"1KiB\" to \"64KiB\"",
                _ => "such as \"100MiB\"",
            };
            Err(text.at_value(value, format!("`{what}` cannot be {word:?}")).hint(hint))
        }
    }
}

fn count(text: Text<'_>, value: &Value<'_>, what: &str) -> Result<u32, Mistake> {
    let number = value.get_ref().as_integer();
    let number = number.and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
    number.filter(|number| *number > 0).ok_or_else(|| {
        let hint = format!("such as {what} = 1000");
        text.at_value(value, format!("`{what}` is not a number of {what}")).hint(hint)
    })
}
