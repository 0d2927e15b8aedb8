//! A mistake in the file of routes, told where it is.

use std::path::Path;

/// A mistake in the file of routes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct Mistake {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line itself.
    pub excerpt: String,
    /// What to write instead; may be empty.
    pub hint: String,
}

impl Mistake {
    /// A mistake at a place in a text.
    pub(super) fn at((file, text): (&Path, &str), offset: usize, message: impl Into<String>) -> Self {
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

    /// Adds what to write instead.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The line with a mark below the place, for people.
    #[must_use]
    pub fn detail(&self) -> String {
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
}
