//! Which fields and variants of a type no golden line has: a deserializer that watches what is asked of it.
//!
//! Serde names all fields when it asks for a struct, and all variants when it asks for an enum. Fields of enums with a tag
//! inside, and of flattened structs, it does not name; those are left to the reader.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _};
use serde::de::{IntoDeserializer, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// By the name of a struct or an enum: all its fields or variants, and those that were seen.
type Seen = BTreeMap<&'static str, (&'static [&'static str], BTreeSet<String>)>;

/// Names such as `Rollout.soak` that are in no line.
pub(super) fn missing<T: DeserializeOwned>(golden: &str) -> Vec<String> {
    let seen = RefCell::new(Seen::new());
    for line in golden.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        T::deserialize(Watching { value: &value, seen: &seen }).unwrap();
    }
    let missing = |(name, (all, seen)): (&'static str, (&'static [&'static str], BTreeSet<String>))| {
        let missing: Vec<_> = all.iter().filter(|part| !seen.contains(**part)).collect();
        missing.into_iter().map(|part| format!("{name}.{part}")).collect::<Vec<_>>()
    };
    seen.into_inner().into_iter().flat_map(missing).collect()
}

#[derive(Clone, Copy)]
struct Watching<'a> {
    value: &'a Value,
    seen: &'a RefCell<Seen>,
}

impl<'a> Watching<'a> {
    fn of(self, value: &'a Value) -> Self {
        Self { value, ..self }
    }

    fn note(self, name: &'static str, all: &'static [&'static str], part: &str) {
        let mut seen = self.seen.borrow_mut();
        seen.entry(name).or_insert_with(|| (all, BTreeSet::new())).1.insert(part.to_owned());
    }
}

impl<'de> IntoDeserializer<'de, Error> for Watching<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Watching<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.iter().map(|item| self.of(item))))
            }
            Value::Object(fields) => visitor.visit_map(MapDeserializer::new(
                fields.iter().map(|(name, value)| (name.as_str(), self.of(value))),
            )),
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        for field in self.value.as_object().into_iter().flat_map(|object| object.keys()) {
            self.note(name, fields, field);
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = match self.value {
            Value::Object(object) => object.keys().next().map(String::as_str),
            value => value.as_str(),
        };
        let variant = variant.ok_or_else(|| Error::custom("no variant"))?;
        self.note(name, variants, variant);
        visitor.visit_enum(Variant { name: variant, content: self })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Variant<'a> {
    name: &'a str,
    content: Watching<'a>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Watching<'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), Error> {
        let content = self.content.value.get(self.name).map_or(self.content, |value| self.content.of(value));
        Ok((seed.deserialize(self.name.into_deserializer())?, content))
    }
}

impl<'de> VariantAccess<'de> for Watching<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
}

#[test]
fn a_field_and_a_variant_that_no_line_has_are_named() {
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    struct Thing {
        name: String,
        #[serde(default)]
        color: Option<Color>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "it is only read")]
    enum Color {
        Red,
        Mixed(u8),
    }
    assert_eq!(missing::<Thing>(r#"{"name":"a"}"#), ["Thing.color"]);
    let red = r#"{"name":"a","color":"red"}"#;
    assert_eq!(missing::<Thing>(red), ["Color.mixed"]);
    let both = format!("{red}\n{}", r#"{"name":"a","color":{"mixed":1}}"#);
    assert_eq!(missing::<Thing>(&both), [""; 0]);
}
