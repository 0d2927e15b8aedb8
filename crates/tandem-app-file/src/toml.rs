//! Reading TOML key by key with the place of each, so that every mistake can be shown where it is.

use std::str::FromStr;

use tandem_types::ids::ParseError;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{APP_FILE, Error};

/// A key or value with its place.
pub(super) type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// The text that places refer to.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl<'a> Text<'a> {
    pub(super) fn parse(self) -> Result<DeTable<'a>, Error> {
        match DeTable::parse(self.0) {
            Ok(table) => Ok(table.into_inner()),
            Err(error) => {
                let offset = error.span().map_or(self.0.len(), |span| span.start);
                Err(Error::at(APP_FILE, self.0, offset, error.message().replace('\n', ", ")))
            }
        }
    }

    pub(super) fn at_key(self, key: &Key<'_>, message: impl Into<String>) -> Error {
        Error::at(APP_FILE, self.0, key.span().start, message)
    }

    pub(super) fn at(self, value: &Value<'_>, message: impl Into<String>) -> Error {
        Error::at(APP_FILE, self.0, value.span().start, message)
    }

    /// A key that is not known here, with the one that was meant where one is near.
    pub(super) fn unknown(self, key: &Key<'_>, place: &str, known: &[&str]) -> Error {
        let name = key.get_ref();
        let error = self.at_key(key, format!("unknown key `{name}` {place}"));
        match nearest(name, known) {
            Some(meant) => error.hint(format!("did you mean `{meant}`?")),
            None => error.hint(format!("known here: {}", known.join(", "))),
        }
    }

    pub(super) fn table<'v>(self, value: &'v Value<'a>, what: &str) -> Result<&'v DeTable<'a>, Error> {
        value.get_ref().as_table().ok_or_else(|| self.wrong_type(value, what, "a table"))
    }

    /// Never with a NUL: no command line, path or environment of Linux can hold one.
    pub(super) fn string<'v>(self, value: &'v Value<'_>, what: &str) -> Result<&'v str, Error> {
        let text =
            value.get_ref().as_str().ok_or_else(|| self.wrong_type(value, what, "a text in quotes"))?;
        if text.contains('\0') { Err(self.at(value, format!("`{what}` holds a NUL"))) } else { Ok(text) }
    }

    /// A text that is not empty.
    pub(super) fn words<'v>(self, value: &'v Value<'_>, what: &str) -> Result<&'v str, Error> {
        let text = self.string(value, what)?;
        if text.trim().is_empty() { Err(self.at(value, format!("`{what}` is empty"))) } else { Ok(text) }
    }

    pub(super) fn strings<'v>(self, value: &'v Value<'a>, what: &str) -> Result<Vec<&'v Value<'a>>, Error> {
        let list = value.get_ref().as_array();
        let list = list.ok_or_else(|| self.wrong_type(value, what, "a list of texts: [\"…\", \"…\"]"))?;
        list.iter().map(|value| self.words(value, what).map(|_| value)).collect()
    }

    pub(super) fn parsed<T>(self, value: &Value<'_>, what: &str) -> Result<T, Error>
    where
        T: FromStr<Err = ParseError>,
    {
        self.string(value, what)?.parse().map_err(|error: ParseError| self.at(value, error.to_string()))
    }

    /// A whole number within bounds.
    pub(super) fn number(self, value: &Value<'_>, what: &str, most: u32) -> Result<u32, Error> {
        let refuse = || self.wrong_type(value, what, &format!("a whole number up to {most}"));
        let integer = value.get_ref().as_integer().ok_or_else(refuse)?;
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| refuse())?;
        if number > most { Err(refuse()) } else { Ok(number) }
    }

    pub(super) fn flag(self, value: &Value<'_>, what: &str) -> Result<bool, Error> {
        value.get_ref().as_bool().ok_or_else(|| self.wrong_type(value, what, "true or false"))
    }

    pub(super) fn float(self, value: &Value<'_>, what: &str) -> Result<f64, Error> {
        let text = match value.get_ref() {
            DeValue::Integer(integer) => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            _ => return Err(self.wrong_type(value, what, "a number")),
        };
        text.parse().map_err(|_| self.wrong_type(value, what, "a number"))
    }

    fn wrong_type(self, value: &Value<'_>, what: &str, expected: &str) -> Error {
        let found = match value.get_ref() {
            DeValue::String(text) => format!("{text:?}"),
            other => format!("a value of type {}", other.type_str()),
        };
        self.at(value, format!("`{what}` is {found}; expected {expected}"))
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
