//! A text of TOML and the values in it, each read as what it should be.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Mistake;

/// A key with its place.
pub type Key<'a> = Spanned<Cow<'a, str>>;
/// A value with its place.
pub type Value<'a> = Spanned<DeValue<'a>>;
/// Keys and their values.
pub type Table<'a> = DeTable<'a>;

/// The text that places refer to, and the name of its file. Where a method takes `what`, that is the key as people wrote it.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// The file as it was named.
    pub file: &'a Path,
    /// What stands in it.
    pub text: &'a str,
}

impl<'a> Text<'a> {
    /// The keys at its top.
    ///
    /// # Errors
    /// It is no TOML: where it breaks.
    pub fn parse(self) -> Result<Table<'a>, Mistake> {
        match DeTable::parse(self.text) {
            Ok(table) => Ok(table.into_inner()),
            Err(error) => {
                let offset = error.span().map_or(self.text.len(), |span| span.start);
                Err(self.at(offset, error.message().replace('\n', ", ")))
            }
        }
    }

    /// The folder from which relative paths are meant.
    #[must_use]
    pub fn base(self) -> &'a Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// A mistake at an offset in bytes.
    #[must_use]
    pub fn at(self, offset: usize, message: impl Into<String>) -> Mistake {
        Mistake::at((self.file, self.text), offset, message)
    }

    /// A mistake at a key.
    #[must_use]
    pub fn at_key(self, key: &Key<'_>, message: impl Into<String>) -> Mistake {
        self.at(key.span().start, message)
    }

    /// A mistake at a value.
    #[must_use]
    pub fn at_value(self, value: &Value<'_>, message: impl Into<String>) -> Mistake {
        self.at(value.span().start, message)
    }

    /// A key that is not known in a place (`in [build]`), with the one that was meant where one is near.
    #[must_use]
    pub fn unknown(self, key: &Key<'_>, place: &str, known: &[&str]) -> Mistake {
        let name = key.get_ref();
        let mistake = self.at_key(key, format!("unknown key `{name}` {place}"));
        match nearest(name, known) {
            Some(meant) => mistake.hint(format!("did you mean `{meant}`?")),
            None => mistake.hint(format!("known here: {}", known.join(", "))),
        }
    }

    /// A table.
    ///
    /// # Errors
    /// It is none.
    pub fn table<'v>(self, value: &'v Value<'a>, what: &str) -> Result<&'v Table<'a>, Mistake> {
        value.get_ref().as_table().ok_or_else(|| self.wrong_type(value, what, "a table"))
    }

    /// The tables of `[[what]]`, each with its offset in bytes.
    ///
    /// # Errors
    /// It is no list of tables.
    pub fn tables<'v>(
        self,
        value: &'v Value<'a>,
        what: &str,
    ) -> Result<Vec<(&'v Table<'a>, usize)>, Mistake> {
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

    /// A text, which may be empty. Never with a NUL: no command line, path or environment of Linux can hold one.
    ///
    /// # Errors
    /// It is no text, or has a NUL.
    pub fn string<'v>(self, value: &'v Value<'_>, what: &str) -> Result<&'v str, Mistake> {
        let text =
            value.get_ref().as_str().ok_or_else(|| self.wrong_type(value, what, "a text in quotes"))?;
        if text.contains('\0') {
            Err(self.at_value(value, format!("`{what}` holds a NUL")))
        } else {
            Ok(text)
        }
    }

    /// A text that is more than white space.
    ///
    /// # Errors
    /// As for [`Text::string`], or it is empty.
    pub fn words<'v>(self, value: &'v Value<'_>, what: &str) -> Result<&'v str, Mistake> {
        let text = self.string(value, what)?;
        if text.trim().is_empty() {
            Err(self.at_value(value, format!("`{what}` is empty")))
        } else {
            Ok(text)
        }
    }

    /// A list, perhaps empty, of texts that are not; each with the value that it was.
    ///
    /// # Errors
    /// It is no list, or one in it is not such a text.
    pub fn list<'v>(
        self,
        value: &'v Value<'a>,
        what: &str,
    ) -> Result<Vec<(&'v str, &'v Value<'a>)>, Mistake> {
        let list = value.get_ref().as_array();
        let list = list.ok_or_else(|| self.wrong_type(value, what, "a list of texts: [\"…\", \"…\"]"))?;
        list.iter().map(|value| self.words(value, what).map(|text| (text, value))).collect()
    }

    /// A list in which there is something.
    ///
    /// # Errors
    /// As for [`Text::list`], or it is empty.
    pub fn full_list<'v>(
        self,
        value: &'v Value<'a>,
        what: &str,
    ) -> Result<Vec<(&'v str, &'v Value<'a>)>, Mistake> {
        let list = self.list(value, what)?;
        if list.is_empty() { Err(self.at_value(value, format!("`{what}` is empty"))) } else { Ok(list) }
    }

    /// A text that is the print of something.
    ///
    /// # Errors
    /// As for [`Text::string`], or it is no such print, in the words of whoever reads it.
    pub fn parsed<T>(self, value: &Value<'_>, what: &str) -> Result<T, Mistake>
    where
        T: FromStr<Err: Display>,
    {
        self.read(value, self.string(value, what)?)
    }

    /// What the print of a value stands for.
    pub(crate) fn read<T>(self, value: &Value<'_>, print: &str) -> Result<T, Mistake>
    where
        T: FromStr<Err: Display>,
    {
        print.parse().map_err(|error: T::Err| self.at_value(value, error.to_string()))
    }

    /// A whole number from 0 to `most`.
    ///
    /// # Errors
    /// It is none.
    pub fn number(self, value: &Value<'_>, what: &str, most: u32) -> Result<u32, Mistake> {
        let refuse = || self.wrong_type(value, what, &format!("a whole number up to {most}"));
        let integer = value.get_ref().as_integer().ok_or_else(refuse)?;
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| refuse())?;
        if number > most { Err(refuse()) } else { Ok(number) }
    }

    /// A number, with a point or without.
    ///
    /// # Errors
    /// It is none.
    pub fn float(self, value: &Value<'_>, what: &str) -> Result<f64, Mistake> {
        let text = match value.get_ref() {
            DeValue::Integer(integer) => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            _ => return Err(self.wrong_type(value, what, "a number")),
        };
        text.parse().map_err(|_| self.wrong_type(value, what, "a number"))
    }

    /// Yes or no.
    ///
    /// # Errors
    /// It is neither.
    pub fn flag(self, value: &Value<'_>, what: &str) -> Result<bool, Mistake> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader makes of `value`, which stands behind `a = `.
    fn read<T>(
        value: &str,
        reader: impl Fn(Text<'_>, &Value<'_>) -> Result<T, Mistake>,
    ) -> Result<T, String> {
        let written = format!("a = {value}");
        let text = Text { file: Path::new("/etc/a.toml"), text: &written };
        let table = text.parse().expect("it is TOML");
        reader(text, &table["a"]).map_err(|mistake| {
            assert_eq!(mistake.line, 1, "{mistake}");
            mistake.message
        })
    }

    #[test]
    fn a_text_may_be_empty_where_that_means_something_and_never_holds_a_nul() {
        let string = |value: &str| read(value, |text, value| text.string(value, "a").map(str::to_owned));
        let words = |value: &str| read(value, |text, value| text.words(value, "a").map(str::to_owned));
        assert_eq!((string("''"), string("' b'")), (Ok(String::new()), Ok(" b".to_owned())));
        assert_eq!((words("' '"), words("'b'")), (Err("`a` is empty".to_owned()), Ok("b".to_owned())));
        assert_eq!(words("\"b\\u0000\""), Err("`a` holds a NUL".to_owned()));
        assert_eq!(string("3"), Err("`a` is a value of type integer; expected a text in quotes".to_owned()));
    }

    #[test]
    fn a_list_has_texts_and_must_have_one_where_none_means_nothing() {
        let own = |list: Vec<(&str, &Value<'_>)>| -> Vec<String> {
            list.into_iter().map(|(text, _)| text.to_owned()).collect()
        };
        let list = |value: &str| read(value, |text, value| text.list(value, "a").map(own));
        let full = |value: &str| read(value, |text, value| text.full_list(value, "a").map(own));
        let two = Ok(vec!["b".to_owned(), "c".to_owned()]);
        assert_eq!((list("['b', 'c']"), full("['b', 'c']")), (two.clone(), two));
        assert_eq!((list("[]"), full("[]")), (Ok(Vec::new()), Err("`a` is empty".to_owned())));
        assert!(list("'b'").unwrap_err().contains("`a` is \"b\"; expected a list of texts"));
        assert_eq!(list("['b', '']"), Err("`a` is empty".to_owned()));
    }

    #[test]
    fn numbers_lie_within_their_bounds() {
        let number = |value: &str| read(value, |text, value| text.number(value, "a", 16)).ok();
        assert_eq!(
            (number("0"), number("16"), number("0x10"), number("1_0")),
            (Some(0), Some(16), Some(16), Some(10))
        );
        for wrong in ["17", "-1", "1.0", "'1'", "99999999999999999999"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
        let float = |value: &str| read(value, |text, value| text.float(value, "a")).ok();
        assert_eq!((float("2"), float("1.5"), float("'2'")), (Some(2.0), Some(1.5), None));
        let flag = |value: &str| read(value, |text, value| text.flag(value, "a")).ok();
        assert_eq!((flag("true"), flag("1")), (Some(true), None));
    }

    #[test]
    fn the_word_that_was_meant_is_found_where_one_is_near() {
        let known = ["command", "stop_timeout", "memory"];
        for (word, meant) in [
            ("comand", Some("command")),
            ("Stop-Timeout", Some("stop_timeout")),
            ("memory_limit", Some("memory")),
            ("mem", Some("memory")),
            ("xyz", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
    }

    #[test]
    fn paths_are_meant_from_the_folder_of_the_file() {
        let base = |file: &'static str| Text { file: Path::new(file), text: "" }.base();
        assert_eq!((base("/etc/a.toml"), base("a.toml")), (Path::new("/etc"), Path::new("")));
    }
}
