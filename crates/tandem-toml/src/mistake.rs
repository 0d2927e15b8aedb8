//! A mistake in a text, told where it is.

use std::path::Path;

use tandem_types::problem::Problem;

/// A mistake in a file that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", self.place())]
pub struct Mistake {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1; 0 where it is the file as a whole.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line itself; empty where the file has none, or could not be read.
    pub excerpt: String,
    /// What to write instead; may be empty.
    pub hint: String,
}

impl Mistake {
    /// A mistake in a file with this text, at an offset in bytes: behind the end it is the end, within a character its
    /// first byte.
    #[must_use]
    pub fn at((file, text): (&Path, &str), offset: usize, message: impl Into<String>) -> Self {
        let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let before = &text[..offset];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let excerpt = text[start..].lines().next().unwrap_or_default();
        Self {
            file: file.display().to_string(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            message: message.into(),
            excerpt: excerpt.to_owned(),
            hint: String::new(),
        }
    }

    /// A mistake of the file as a whole.
    #[must_use]
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { line: 0, ..Self::at((file, ""), 0, message) }
    }

    fn place(&self) -> String {
        let Self { file, line, column, .. } = self;
        if *line == 0 { file.clone() } else { format!("{file}:{line}:{column}") }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The line with a mark below the place, for people; empty where there is no line.
    #[must_use]
    pub fn detail(&self) -> String {
        if self.excerpt.is_empty() {
            return String::new();
        }
        let number = self.line.to_string();
        // Tabs stay tabs, so that the mark stands where it belongs.
        let before = self.excerpt.chars().take(self.column - 1);
        let mark: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        format!("{number} | {}\n{:width$} | {mark}^", self.excerpt, "", width = number.len())
    }

    /// All of it in one line, for a log.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        if self.hint.is_empty() { self.to_string() } else { format!("{self} (hint: {})", self.hint) }
    }

    /// The mistake as people get it, under the code of its kind of file: place and message, the line with a mark below it,
    /// what to write instead.
    #[must_use]
    pub fn to_problem(&self, code: &str) -> Problem {
        Problem::new(422, code, self.to_string()).detail(self.detail()).hint(self.hint.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, offset: usize) -> Mistake {
        Mistake::at((Path::new("a.toml"), text), offset, "it is wrong")
    }

    #[test]
    fn a_mistake_is_shown_in_its_line() {
        let mistake = at("a = 1\n\té = 2\r\nb = 3", "a = 1\n\t".len());
        assert_eq!(mistake.to_string(), "a.toml:2:2: it is wrong");
        assert_eq!(mistake.detail(), "2 | \té = 2\n  | \t^");
        let problem = mistake.hint("write it well").to_problem("a_invalid");
        assert_eq!((problem.code.as_str(), problem.status), ("a_invalid", 422));
        assert_eq!(
            (problem.title.as_str(), problem.hint.as_str()),
            ("a.toml:2:2: it is wrong", "write it well")
        );
        assert_eq!(problem.detail, "2 | \té = 2\n  | \t^");
        let whole = Mistake::of_file(Path::new("a.toml"), "it cannot be read");
        assert_eq!((whole.to_string().as_str(), whole.detail().as_str()), ("a.toml: it cannot be read", ""));
    }

    #[test]
    fn a_place_is_always_one_of_the_text() {
        for (text, offset, place) in
            [("", 0, (1, 1)), ("ab", 9, (1, 3)), ("é", 1, (1, 1)), ("a\n", 2, (2, 1)), ("é é", 3, (1, 3))]
        {
            let mistake = at(text, offset);
            assert_eq!((mistake.line, mistake.column), place, "{text:?} {offset}");
        }
        assert_eq!(at("", 0).detail(), "");
    }

    #[test]
    fn a_log_has_it_in_one_line() {
        assert_eq!(at("a", 0).in_one_line(), "a.toml:1:1: it is wrong");
        assert_eq!(at("a", 0).hint("b").in_one_line(), "a.toml:1:1: it is wrong (hint: b)");
    }
}
