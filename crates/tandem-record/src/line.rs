//! Lines of the access log. What a client sent can neither end a line nor begin another one.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use tandem_types::Timestamp;
use tandem_types::traffic::Served;

use super::seen::without_query;
use super::{Facts, Seen};
use tandem_wire::Version;

/// Form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessFormat {
    /// One JSON object a line: [`tandem_types::traffic::RequestRecord`].
    #[default]
    Json,
    /// The combined format of Apache and nginx.
    Combined,
}

impl fmt::Display for AccessFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Combined => "combined",
        })
    }
}

impl FromStr for AccessFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "combined" => Ok(Self::Combined),
            _ => Err("expected json or combined".to_owned()),
        }
    }
}

/// Writes lines; keeps the text of the second, which is that of the line before most of the time.
#[derive(Debug)]
pub(super) struct Pen {
    format: AccessFormat,
    with_query: bool,
    second: i64,
    stamp: String,
}

impl Pen {
    /// For lines of this form; `with_query` leaves the queries of URLs in.
    pub(super) fn new(format: AccessFormat, with_query: bool) -> Self {
        Self { format, with_query, second: i64::MIN, stamp: String::new() }
    }

    /// Writes a line.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        served: Option<&Served>,
        (facts, seen): (&Facts, &Seen<'_>),
    ) {
        self.stamp_for(facts.at_us.div_euclid(1_000_000));
        match self.format {
            AccessFormat::Json => self.json(out, served, (facts, seen)),
            AccessFormat::Combined => self.combined(out, facts, seen),
        }
        out.push(b'\n');
    }

    fn stamp_for(&mut self, second: i64) {
        if self.second == second {
            return;
        }
        self.second = second;
        self.stamp.clear();
        let time = Timestamp::from_second(second).unwrap_or_default();
        let form = match self.format {
            AccessFormat::Json => "%Y-%m-%dT%H:%M:%S",
            AccessFormat::Combined => "%d/%b/%Y:%H:%M:%S +0000",
        };
        let _ = write!(self.stamp, "{}", time.strftime(form));
    }

    /// Without the formatting of the standard library, which would take as long as all the rest.
    fn json(&self, out: &mut Vec<u8>, served: Option<&Served>, (facts, seen): (&Facts, &Seen<'_>)) {
        let mut digits = itoa::Buffer::new();
        // A million more has all the zeros in front.
        let micros = digits.format(1_000_000 + facts.at_us.rem_euclid(1_000_000));
        texts(out, ["{\"time\":\"", &self.stamp, ".", &micros[1..], "Z\""]);
        if let Some(Served { app, environment, release }) = served {
            texts(out, [",\"app\":\"", app.as_str(), "\",\"environment\":\"", environment.as_str()]);
            texts(out, ["\",\"release\":\"r", digits.format(release.0), "\""]);
        }
        if let Some(instance) = facts.instance {
            texts(out, [",\"instance\":\"i", digits.format(instance.0), "\""]);
        }
        let path = if self.with_query { seen.target } else { seen.path() };
        for (name, text) in [("method", seen.method), ("host", seen.host), ("path", path)] {
            json_text(out, name, text);
        }
        out.extend_from_slice(b",\"status\":");
        match facts.status {
            Some(status) => out.extend_from_slice(status.as_str().as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        let word = |is: bool| if is { "true" } else { "false" };
        texts(out, [",\"answered_by\":\"", facts.by.as_str(), "\",\"retried\":", word(facts.retried)]);
        texts(out, [",\"cut\":", word(facts.cut)]);
        for (name, number) in [
            ("bytes_in", facts.bytes_in),
            ("bytes_out", facts.bytes_out),
            ("queue_us", facts.queue_us),
            ("connect_us", facts.connect_us),
            ("first_byte_us", facts.first_byte_us),
            ("total_us", facts.total_us),
        ] {
            texts(out, [",\"", name, "\":", digits.format(number)]);
        }
        json_text(out, "request_id", seen.id);
        json_text(out, "client", seen.client);
        out.push(b'}');
    }

    fn combined(&self, out: &mut Vec<u8>, facts: &Facts, seen: &Seen<'_>) {
        let client = if seen.client.is_empty() { "-" } else { seen.client };
        out.extend_from_slice(client.as_bytes());
        out.extend_from_slice(b" - - [");
        out.extend_from_slice(self.stamp.as_bytes());
        out.extend_from_slice(b"] \"");
        match (seen.method, self.with_query) {
            ("", _) => out.push(b'-'),
            (method, with_query) => {
                quoted(out, method.as_bytes());
                out.push(b' ');
                quoted(out, if with_query { seen.target } else { seen.path() }.as_bytes());
                out.extend_from_slice(match seen.head.map(|head| head.version) {
                    Some(Version::Http10) => b" HTTP/1.0",
                    Some(Version::Http2) => b" HTTP/2.0",
                    Some(Version::Http11) | None => b" HTTP/1.1",
                });
            }
        }
        let status = facts.status.as_ref().map_or("000", |status| status.as_str());
        put(out, format_args!("\" {status} {} \"", facts.bytes_out));
        match seen.field(b"referer").map(String::from_utf8_lossy) {
            Some(referer) if self.with_query => quoted(out, referer.as_bytes()),
            Some(referer) => quoted(out, without_query(&referer).as_bytes()),
            None => out.push(b'-'),
        }
        out.extend_from_slice(b"\" \"");
        quoted(out, seen.field(b"user-agent").unwrap_or(b"-"));
        out.push(b'"');
    }
}

fn texts<const N: usize>(out: &mut Vec<u8>, parts: [&str; N]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Memory takes everything.
    let _ = std::io::Write::write_fmt(out, text);
}

fn json_text(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        for letter in text.chars() {
            match letter {
                '"' | '\\' => out.extend_from_slice(&[b'\\', letter as u8]),
                // Also those that turn the direction of a line on a terminal, or begin a sequence there.
                _ if letter.is_control() || is_turning(letter) => {
                    put(out, format_args!("\\u{:04x}", u32::from(letter)));
                }
                _ => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    out.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn is_turning(letter: char) -> bool {
    matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// As Apache and nginx do it: whatever is not plain ASCII, and what would end the field, as `\xHH`.
fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        if is_plain(*byte) {
            out.push(*byte);
        } else {
            put(out, format_args!("\\x{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests;
