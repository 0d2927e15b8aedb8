//! Ids, names, digests and lengths of time: what is read prints as itself and is safe where it is put.

#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tandem_types::ids::ParseError;
use tandem_types::{
    AppName, BalancerId, BuildNumber, Digest, EnvironmentName, Epoch, HostName, InstanceId, JobId,
    ProcessType, ReleaseNumber, RolloutNumber, Span,
};

fuzz_target!(|text: &str| {
    name::<AppName>(text);
    name::<EnvironmentName>(text);
    name::<HostName>(text);
    name::<ProcessType>(text);
    name::<BalancerId>(text);
    word::<BuildNumber>(text);
    word::<ReleaseNumber>(text);
    word::<RolloutNumber>(text);
    word::<InstanceId>(text);
    word::<JobId>(text);
    word::<Epoch>(text);
    word::<Span>(text);
    if let Some(digest) = word::<Digest>(text) {
        assert_eq!(digest.to_string(), text, "a digest has one spelling");
    }
});

/// What is read prints to a text that reads as the same, in JSON too, and is refused with its own text.
fn word<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = ParseError> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            assert_eq!(printed.parse::<T>().as_ref(), Ok(&value), "{printed:?}");
            let json = serde_json::to_string(&value).expect("a word is a string");
            assert_eq!(serde_json::from_str::<T>(&json).expect("its own JSON"), value);
            Some(value)
        }
        Err(error) => {
            assert_eq!(error.given, text);
            None
        }
    }
}

/// A name is safe in paths, host names, control groups and keys: one spelling, of plain characters only.
fn name<T>(text: &str)
where
    T: FromStr<Err = ParseError> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    if let Some(name) = word::<T>(text) {
        assert_eq!(name.to_string(), text);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        assert!(text.bytes().all(plain) && text.len() <= 63 && !text.is_empty(), "{text:?}");
        assert!(
            text.starts_with(|first: char| first.is_ascii_lowercase()) && !text.ends_with('-'),
            "{text:?}"
        );
    }
}
