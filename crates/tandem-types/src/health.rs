//! What web instances are asked to show that they are well, and which answers do.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::defaults;
use crate::ids::{ParseError, text_serde};

/// A question to a web instance, asked with the app's own host name unless it names another.
///
/// Written as an object. A bare text is the path of version 1, when every status below 500 was good: an app that was
/// healthy by that must not fall out of its pool because Tandem was upgraded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Health {
    /// Path and query.
    pub path: String,
    /// `Host` header; none: the first domain of the environment.
    pub host: Option<String>,
    /// Whether `X-Forwarded-Proto` says `https`.
    pub https: bool,
    /// Answers that are good.
    pub statuses: Statuses,
}

impl Default for Health {
    fn default() -> Self {
        let statuses = Statuses::default();
        Self { path: defaults::HEALTH_PATH.to_owned(), host: None, https: false, statuses }
    }
}

impl Health {
    /// A path, asked for in the usual way.
    #[must_use]
    pub fn at(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// As version 1 meant a path.
    #[must_use]
    pub fn of_version_1(path: impl Into<String>) -> Self {
        Self { statuses: Statuses::below_500(), ..Self::at(path) }
    }
}

/// What of it is not usual, for people: `/healthz`, `/healthz as example.org over https, good: 200`.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, host, https, statuses } = self;
        write!(f, "{path}")?;
        host.iter().try_for_each(|host| write!(f, " as {host}"))?;
        if *https {
            write!(f, " over https")?;
        }
        if *statuses == Statuses::default() { Ok(()) } else { write!(f, ", good: {statuses}") }
    }
}

#[derive(Serialize, Deserialize)]
struct Written {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    https: bool,
    #[serde(default, skip_serializing_if = "is_usual")]
    statuses: Statuses,
}

fn is_usual(statuses: &Statuses) -> bool {
    *statuses == Statuses::default()
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::of_version_1(&*self.path) {
            return serializer.serialize_str(&self.path);
        }
        let Self { path, host, https, statuses } = self.clone();
        Written { path, host, https, statuses }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Health {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Health;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or an object with one")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<Health, E> {
                Ok(Health::of_version_1(path))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Health, A::Error> {
                let written = Written::deserialize(MapAccessDeserializer::new(map))?;
                let Written { path, host, https, statuses } = written;
                Ok(Health { path, host, https, statuses })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// HTTP statuses (RFC 9110 §15), written as numbers and ranges: `200-399,401`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// As version 1 had it for all.
    #[must_use]
    pub fn below_500() -> Self {
        Self(vec![100..=499])
    }

    /// Whether a status is one of them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// What is below 500, since a login page, a redirect or a missing home page is an app that works, without 400: it is what Django
/// says to all requests whose host it does not know.
impl Default for Statuses {
    fn default() -> Self {
        Self(vec![200..=399, 401..=499])
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (one, end) if one == end => write!(f, "{comma}{one}")?,
                (start, end) => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Statuses {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError {
            what: "set of HTTP statuses",
            given: text.to_owned(),
            expected: "numbers from 100 to 599 and ranges of them, such as 200, 200-399 or 200-399,401",
        };
        let status = |text: &str| {
            let plain = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|status| plain && (100..=599).contains(status)).ok_or_else(refuse)
        };
        let range = |part: &str| {
            let (start, end) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
            let range = status(start.trim())?..=status(end.trim())?;
            if range.is_empty() { Err(refuse()) } else { Ok(range) }
        };
        text.split(',').map(range).collect::<Result<Vec<_>, _>>().map(Self)
    }
}

text_serde!(Statuses);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_parse_and_print_as_people_write_them() {
        for text in ["200", "200-399", "200-399,401", "100-599"] {
            assert_eq!(text.parse::<Statuses>().unwrap().to_string(), text);
        }
        assert_eq!("200 - 204, 301".parse::<Statuses>().unwrap().to_string(), "200-204,301");
        for wrong in ["", "ok", "20", "600", "0200", "300-200", "200-", "200,,201", "2xx", "+20"] {
            assert!(wrong.parse::<Statuses>().is_err(), "{wrong:?} was taken for statuses");
        }
        let some: Statuses = "200-299,404".parse().unwrap();
        let good: Vec<u16> = [199, 200, 299, 300, 404].into_iter().filter(|it| some.contains(*it)).collect();
        assert_eq!(good, [200, 299, 404]);
    }

    #[test]
    fn a_refused_host_is_not_healthy_by_default_but_was_in_version_1() {
        let (now, before) = (Health::default(), serde_json::from_str::<Health>("\"/\"").unwrap());
        for (status, is_good) in
            [(200, true), (302, true), (400, false), (401, true), (404, true), (500, false)]
        {
            assert_eq!(now.statuses.contains(status), is_good, "{status}");
        }
        assert!(before.statuses.contains(400) && !before.statuses.contains(500));
        assert_eq!(serde_json::to_string(&before).unwrap(), "\"/\"");
        assert_eq!(serde_json::to_string(&now).unwrap(), "{\"path\":\"/\"}");
    }

    #[test]
    fn what_is_not_usual_is_told() {
        let special = Health {
            path: "/up".to_owned(),
            host: Some("example.org".to_owned()),
            https: true,
            statuses: "200".parse().unwrap(),
        };
        assert_eq!(special.to_string(), "/up as example.org over https, good: 200");
        assert_eq!(Health::at("/up").to_string(), "/up");
        let written = serde_json::to_string(&special).unwrap();
        assert_eq!(written, r#"{"path":"/up","host":"example.org","https":true,"statuses":"200"}"#);
        assert_eq!(serde_json::from_str::<Health>(&written).unwrap(), special);
    }
}
