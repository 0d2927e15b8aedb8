//! Text of others (apps, journal reasons, names of files) made safe to print: a control character in it moves the
//! cursor, changes the title of the terminal or forges a line, so it is shown instead of sent.

use std::borrow::Cow;
use std::fmt::Write;

/// Ends whatever colours a line of an app has begun.
const RESET: &str = "\u{1b}[0m";
/// What a control sequence begins with.
const CSI: &str = "\u{1b}[";
/// Longest colour sequence that is let through, in characters: true colours for text and ground fit.
const LONGEST_SEQUENCE: usize = 40;

/// One line without control characters: a line break becomes `\n`, Escape `\x1b`. Tabs stay. So do not the characters
/// that reverse the direction of what follows them.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    text.chars().for_each(|c| push(&mut shown, c));
    Cow::Owned(shown)
}

/// Several lines: as [`plain`], but their breaks stay.
pub(crate) fn plain_lines(text: &str) -> String {
    text.lines().map(|line| plain(line).into_owned()).collect::<Vec<_>>().join("\n")
}

/// What a terminal would show of a line that a program wrote for one: as [`visible`], without colours and the like, and
/// without what was written over (behind a carriage return).
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let last = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    if !last.contains(CSI) {
        return visible(last);
    }
    let mut parts = last.split(CSI);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Parameters, then one letter or sign that ends it (ECMA-48, 5.4).
        match part.find(|c: char| !matches!(c, '\u{20}'..='\u{3f}')) {
            Some(end) if matches!(part[end..].chars().next(), Some('@'..='~')) => {
                shown.push_str(&part[end + 1..])
            }
            _ => {
                shown.push_str(CSI);
                shown.push_str(part);
            }
        }
    }
    Cow::Owned(visible(&shown).into_owned())
}

/// As [`visible`], but colours (`ESC [ numbers m`) pass; they end with the line.
pub(crate) fn colored(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    let (mut rest, mut painted) = (text, false);
    while let Some(c) = rest.chars().next() {
        let length = color_length(rest);
        match length {
            Some(length) => shown.push_str(&rest[..length]),
            None => push(&mut shown, c),
        }
        painted |= length.is_some();
        rest = &rest[length.unwrap_or(c.len_utf8())..];
    }
    if painted {
        shown.push_str(RESET);
    }
    Cow::Owned(shown)
}

/// Bytes of the colour sequence that a text begins with.
fn color_length(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    (end <= LONGEST_SEQUENCE && numbers[end..].starts_with('m')).then_some("\u{1b}[".len() + end + 1)
}

fn is_hidden(c: char) -> bool {
    c.is_control() && c != '\t' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push(shown: &mut String, c: char) {
    match c {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        _ if is_hidden(c) && u32::from(c) < 0x100 => {
            let _ = write!(shown, "\\x{:02x}", u32::from(c));
        }
        _ if is_hidden(c) => {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        }
        _ => shown.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_tabs_stay() {
        for (text, shown) in [
            ("plain\ttext, ümläute 日本", "plain\ttext, ümläute 日本"),
            ("one\ntwo\r\n", "one\\ntwo\\r\\n"),
            ("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07"),
            ("\u{9b}31m", "\\x9b31m"),
            ("\u{202e}evil", "\\u{202e}evil"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(plain_lines("a\u{8}\nb\n"), "a\\x08\nb");
    }

    #[test]
    fn of_what_was_written_for_a_terminal_the_words_are_left() {
        for (text, shown) in [
            ("\u{1b}[1;32mcreated \u{1b}[1mbundle.js\u{1b}[22m in 3 s\u{1b}[39m", "created bundle.js in 3 s"),
            ("\u{1b}[2K\rtransforming...done", "transforming...done"),
            ("10 %\r50 %\r100 %\r", "100 %"),
            ("cut \u{1b}[1;3", "cut \\x1b[1;3"),
            ("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07"),
            ("a\u{1b}[31mü", "aü"),
            ("plain", "plain"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn only_colors_pass_and_they_end_with_the_line() {
        for (text, shown) in [
            ("\u{1b}[1;32mok", "\u{1b}[1;32mok\u{1b}[0m"),
            ("\u{1b}[2Jgone", "\\x1b[2Jgone"),
            ("\u{1b}[1;3", "\\x1b[1;3"),
            ("\u{1b}[?25l\u{1b}[mx", "\\x1b[?25l\u{1b}[mx\u{1b}[0m"),
            ("plain", "plain"),
        ] {
            assert_eq!(colored(text), shown);
        }
    }
}
