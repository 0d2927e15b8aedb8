//! The words of an error page, for people who see it in a terminal.

use std::fmt;

/// Most of a page that is looked through: its words come after a style sheet often enough.
const LOOKED_AT: usize = 32 * 1024;
/// Lines that are told.
const LINES: usize = 3;
/// Most characters of each.
const LINE_CHARS: usize = 200;
/// Elements whose text is not for people.
const HIDDEN: [&str; 3] = ["script", "style", "svg"];
/// Elements that do not begin a new line.
const INLINE: [&str; 9] = ["a", "b", "code", "em", "i", "small", "span", "strong", "u"];

/// The first lines of a page; empty where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    lines: Vec<String>,
}

impl Page {
    pub(super) fn read(bytes: &[u8], is_html: bool) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LOOKED_AT)]);
        let text =
            if is_html || text.trim_start().starts_with('<') { words(&text) } else { text.into_owned() };
        let mut page = Self::default();
        for line in text.lines().map(one_line).filter(|line| !line.is_empty()) {
            if page.lines.len() < LINES && !page.lines.contains(&line) {
                page.lines.push(line);
            }
        }
        page
    }

    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether it says this anywhere in its first lines.
    pub(super) fn says(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.contains(words))
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("; "))
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LINE_CHARS).collect()
}

/// The text of a piece of HTML, a line for each block. No parser: what it gets wrong, a person still reads.
fn words(html: &str) -> String {
    let (mut text, mut rest) = (String::new(), html);
    while let Some((before, tag)) = rest.split_once('<') {
        text.extend(before.chars().map(|letter| if letter == '\n' { ' ' } else { letter }));
        if let Some(comment) = tag.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        rest = tag.split_once('>').map_or("", |(_, rest)| rest);
        if HIDDEN.contains(&name.as_str()) {
            rest = after_end_of(&name, rest);
        }
        let closes = tag.trim_start_matches('/').to_ascii_lowercase();
        let is_inline = INLINE.iter().any(|inline| {
            closes
                .strip_prefix(inline)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
        });
        text.push(if is_inline { ' ' } else { '\n' });
    }
    text.extend(rest.chars().map(|letter| if letter == '\n' { ' ' } else { letter }));
    decoded(&text)
}

fn after_end_of<'a>(name: &str, html: &'a str) -> &'a str {
    // ASCII alone changes, so places stay the same.
    let end = html.to_ascii_lowercase().find(&format!("</{name}"));
    end.and_then(|end| html[end..].split_once('>')).map_or("", |(_, rest)| rest)
}

/// The entities that templates escape by.
fn decoded(text: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&#34;", "\""),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ];
    entities.iter().fold(text.to_owned(), |text, (entity, letter)| text.replace(entity, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_by_its_first_words() {
        for (page, told) in [
            (
                "\n\n  no such table: entries\n\nmore\nand more\nand more",
                "no such table: entries; more; and more",
            ),
            // Django without DEBUG.
            (
                "\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Server Error (500)</title>\n</head>\n<body>\n  \
                 <h1>Server Error (500)</h1><p></p>\n</body>\n</html>\n",
                "Server Error (500)",
            ),
            // Django with DEBUG.
            (
                "<!DOCTYPE html><html><head><title>OperationalError\n          at /</title>\
                 <style type=\"text/css\">html * { padding:0 }\n</style></head><body><header id=\"summary\">\
                 <h1>OperationalError\n       at /</h1><pre class=\"exception_value\">no such table: entries</pre>\
                 <table><tr><th>Request Method:</th><td>GET</td></tr>",
                "OperationalError at /; no such table: entries; Request Method:",
            ),
            ("<p>It&#x27;s <b>1 &lt; 2</b> here<script>x</scr", "It's 1 < 2 here"),
            ("<!-- a > b --><H1>up</H1", "up"),
            ("{\"detail\": \"x\"}", "{\"detail\": \"x\"}"),
            ("", ""),
            ("<", ""),
        ] {
            assert_eq!(Page::read(page.as_bytes(), false).to_string(), told);
        }
    }

    #[test]
    fn what_breaks_off_or_is_no_text_breaks_nothing() {
        for page in
            [&b"<style>\xff"[..], b"<script", b"</", b"<!--", b"<\xc3\xa4>", b"&lt", b"<style></STYLE"]
        {
            Page::read(page, true);
        }
        let long = format!("<p>{}</p>", "ä".repeat(LOOKED_AT));
        assert_eq!(Page::read(long.as_bytes(), true).to_string().chars().count(), LINE_CHARS);
    }
}
