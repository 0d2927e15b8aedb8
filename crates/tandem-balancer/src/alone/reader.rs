//! Reading TOML key by key with the place of each, so that every mistake can be shown where it is.

use std::borrow::Cow;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::Mistake;

/// A key with its place.
pub(super) type Key<'a> = Spanned<Cow<'a, str>>;
/// A value with its place.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// The text that places refer to, and the name of its file.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

impl<'a> Text<'a> {
    pub(super) fn parse(self) -> Result<DeTable<'a>, Mistake> {
        match DeTable::parse(self.text) {
            Ok(table) => Ok(table.into_inner()),
            Err(error) => {
                let offset = error.span().map_or(self.text.len(), |span| span.start);
                Err(self.at(offset, error.message().replace('\n', ", ")))
            }
        }
    }

    /// The folder from which relative paths are meant.
    pub(super) fn base(self) -> &'a Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    pub(super) fn at(self, offset: usize, message: impl Into<String>) -> Mistake {
        Mistake::at((self.file, self.text), offset, message)
    }

    pub(super) fn at_key(self, key: &Key<'_>, message: impl Into<String>) -> Mistake {
        self.at(key.span().start, message)
    }

    pub(super) fn at_value(self, value: &Value<'_>, message: impl Into<String>) -> Mistake {
        self.at(value.span().start, message)
    }

    /// A key that is not known here, with the one that was meant where one is near.
    pub(super) fn unknown(self, key: &Key<'_>, place: &str, known: &[&str]) -> Mistake {
        let name = key.get_ref();
        let mistake = self.at_key(key, format!("unknown key `{name}` {place}"));
        match nearest(name, known) {
            Some(meant) => mistake.hint(format!("did you mean `{meant}`?")),
            None => mistake.hint(format!("known here: {}", known.join(", "))),
        }
    }

    /// The tables of `[[what]]`.
    pub(super) fn tables<'v>(
        self,
        value: &'v Value<'a>,
        what: &str,
    ) -> Result<Vec<(&'v DeTable<'a>, usize)>, Mistake> {
        let refuse = |value| {
            self.wrong_type(value, what, "a list of tables")
                .hint(format!("write [[{what}]], with two brackets"))
        };
        let list = value.get_ref().as_array().ok_or_else(|| refuse(value))?;
        let table = |value: &'v Value<'a>| {
            let table = value.get_ref().as_table().ok_or_else(|| refuse(value))?;
            Ok((table, value.span().start))
        };
        list.iter().map(table).collect()
    }

    pub(super) fn table<'v>(self, value: &'v Value<'a>, what: &str) -> Result<&'v DeTable<'a>, Mistake> {
        value.get_ref().as_table().ok_or_else(|| self.wrong_type(value, what, "a table"))
    }

    /// A text that is not empty. Never with a NUL: no path or name can hold one.
    pub(super) fn words<'v>(self, value: &'v Value<'_>, what: &str) -> Result<&'v str, Mistake> {
        let text =
            value.get_ref().as_str().ok_or_else(|| self.wrong_type(value, what, "a text in quotes"))?;
        match text {
            _ if text.trim().is_empty() => Err(self.at_value(value, format!("`{what}` is empty"))),
            _ if text.contains('\0') => Err(self.at_value(value, format!("`{what}` holds a NUL"))),
            _ => Ok(text),
        }
    }

    /// A list of texts that is not empty.
    pub(super) fn list<'v>(self, value: &'v Value<'a>, what: &str) -> Result<Vec<&'v Value<'a>>, Mistake> {
        let list = value.get_ref().as_array();
        let list = list.ok_or_else(|| self.wrong_type(value, what, "a list of texts: [\"…\", \"…\"]"))?;
        if list.is_empty() {
            return Err(self.at_value(value, format!("`{what}` is empty")));
        }
        list.iter().map(|value| self.words(value, what).map(|_| value)).collect()
    }

    pub(super) fn flag(self, value: &Value<'_>, what: &str) -> Result<bool, Mistake> {
        value.get_ref().as_bool().ok_or_else(|| self.wrong_type(value, what, "true or false"))
    }

    fn wrong_type(self, value: &Value<'_>, what: &str, expected: &str) -> Mistake {
        let found = match value.get_ref() {
            DeValue::String(text) => format!("{text:?}"),
            other => format!("a value of type {}", other.type_str()),
        };
        self.at_value(value, format!("`{what}` is {found}; expected {expected}"))
    }
}

/// The known word nearest to a mistyped one.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase().replace('-', "_");
    let distance = |other: &str| strsim::damerau_levenshtein(&word, other);
    let near = |other: &&&str| {
        let shorter = word.len().min(other.len());
        distance(other) <= 1 + shorter / 4
            || shorter >= 3 && (other.starts_with(&word) || word.starts_with(**other))
    };
    known.iter().filter(near).min_by_key(|other| distance(other)).copied()
}
