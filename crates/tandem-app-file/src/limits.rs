//! `[limits]`: what requests may take, and how long they wait.

use std::ops::RangeInclusive;

use tandem_kit::size::parse_bytes;
use tandem_types::{Limits, Span};
use toml::de::DeTable;

use super::Error;
use super::toml::{Text, Value};

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

pub(super) fn limits(text: Text<'_>, table: &DeTable<'_>) -> Result<Limits, Error> {
    let mut limits = Limits::default();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "hold" => limits.hold = Some(span(text, value, ("hold", HOLD))?),
            "requests" => {
                limits.requests = Some(count(text, value, ("requests", "request could ever be answered"))?)
            }
            "connections" => {
                limits.connections = Some(count(text, value, ("connections", "client could ever connect"))?)
            }
            "head" => limits.head_bytes = Some(size(text, value, ("head", HEAD))?),
            "body" => limits.body_bytes = Some(size(text, value, ("body", 0..=u64::MAX))?),
            "client_timeout" => limits.client_timeout = Some(span(text, value, ("client_timeout", TIMEOUT))?),
            "answer_timeout" => limits.answer_timeout = Some(span(text, value, ("answer_timeout", TIMEOUT))?),
            _ => return Err(text.unknown(key, "in [limits]", LIMITS)),
        }
    }
    Ok(limits)
}

fn span(
    text: Text<'_>,
    value: &Value<'_>,
    (what, within): (&str, RangeInclusive<Span>),
) -> Result<Span, Error> {
    let span: Span = text.parsed(value, what)?;
    if within.contains(&span) {
        return Ok(span);
    }
    let hint = format!("from \"{}\" to \"{}\"", within.start(), within.end());
    Err(text.at(value, format!("`{what}` cannot be {span}")).hint(hint))
}

fn size(
    text: Text<'_>,
    value: &Value<'_>,
    (what, within): (&str, RangeInclusive<u64>),
) -> Result<u64, Error> {
    let size = text.string(value, what)?;
    match parse_bytes(size) {
        Some(bytes) if within.contains(&bytes) => Ok(bytes),
        Some(_) => {
            let hint = format!("from {} to {} bytes", within.start(), within.end());
            Err(text.at(value, format!("`{what}` cannot be {size:?}")).hint(hint))
        }
        None => {
            Err(text.at(value, format!("{size:?} is not a size")).hint("such as \"16KiB\" or \"100MiB\""))
        }
    }
}

fn count(text: Text<'_>, value: &Value<'_>, (what, never): (&str, &str)) -> Result<u32, Error> {
    match text.number(value, what, MOST)? {
        0 => Err(text.at(value, format!("no {never}")).hint("`tandem pause` closes an app for a while")),
        number => Ok(number),
    }
}
