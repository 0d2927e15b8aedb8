//! What is wrong with a `tandem.toml`, where, and what was probably meant.

use std::path::PathBuf;

use tandem_types::problem::Problem;

use super::NAME;

/// Why a `tandem.toml` is not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is there but cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// It can be read but is not understood.
    #[error("{NAME}, line {line}, column {column}: {message}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
        /// The line as it stands in the file.
        text: String,
        /// What to do, where that is known.
        hint: String,
    },
}

impl Error {
    /// The error as people get it.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        match self {
            Self::Read { cause, .. } => {
                Problem::new(422, "app_file_unreadable", format!("failed to {self}: {cause}"))
            }
            Self::Malformed { line, column, text, hint, .. } => {
                let number = line.to_string();
                let space = " ".repeat(number.len());
                let before: String =
                    text.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
                Problem::new(422, "app_file_malformed", self.to_string())
                    .detail(format!("{space} |\n{number} | {text}\n{space} | {before}^"))
                    .hint(hint.clone())
            }
        }
    }

    pub(super) fn from_toml(text: &str, cause: &toml::de::Error) -> Self {
        let offset = cause.span().map_or(0, |span| span.start);
        let (message, hint) = explain(cause.message());
        Self::at(text, offset, message, hint)
    }

    /// Points at the first place where `needle` stands, in quotes if it does so anywhere; else at the beginning.
    pub(super) fn at_text(text: &str, needle: &str, message: String, hint: String) -> Self {
        let offset = text.find(&format!("{needle:?}")).or_else(|| text.find(needle));
        Self::at(text, offset.unwrap_or(0), message, hint)
    }

    fn at(text: &str, offset: usize, message: String, hint: String) -> Self {
        let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let before = &text[..offset];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_text = text[start..].lines().next().unwrap_or_default().to_owned();
        Self::Malformed {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            message,
            text: line_text,
            hint,
        }
    }
}

/// The parser's message in our words, and a hint: the key that was probably meant.
fn explain(message: &str) -> (String, String) {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(key) = quoted.next().filter(|_| message.starts_with("unknown field")) else {
        return (message.trim().replace('\n', ", "), String::new());
    };
    if key == "cron" {
        let hint =
            "run a process that keeps its own time: [processes.clock], of which there is never more than one";
        return ("[cron] is not available in this version".to_owned(), hint.to_owned());
    }
    let known: Vec<&str> = quoted.collect();
    let near = known.iter().filter(|name| strsim::damerau_levenshtein(name, key) <= 2.max(key.len() / 3));
    let hint = match near.min_by_key(|name| strsim::damerau_levenshtein(name, key)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    (format!("unknown key `{key}`"), hint)
}
