//! Durations as strings: `"5m"`, `"1500ms"`, and `"off"` where a duration is optional.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// How long a provider's list is served after it was last confirmed. In a file, a duration such
/// as `"24h"`, or `"off"`. See [`Builder::max_stale`](crate::Builder::max_stale).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxStale {
    /// Forever.
    Off,
    /// For this long.
    After(Duration),
}

impl From<MaxStale> for Option<Duration> {
    fn from(age: MaxStale) -> Self {
        match age {
            MaxStale::Off => None,
            MaxStale::After(age) => Some(age),
        }
    }
}

impl<'de> Deserialize<'de> for MaxStale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let age = deserializer.deserialize_str(DurationVisitor { or_off: true })?;
        Ok(age.map_or(Self::Off, Self::After))
    }
}

/// Deserialises a field that is present as a duration.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    deserializer.deserialize_str(DurationVisitor { or_off: false })
}

/// Parses a duration, and `off` as `None` if `or_off` is set.
struct DurationVisitor {
    or_off: bool,
}

impl de::Visitor<'_> for DurationVisitor {
    type Value = Option<Duration>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_off = if self.or_off { r#", or "off""# } else { "" };
        write!(
            f,
            r#"a duration as a string, such as "5m" or "1500ms"{or_off}"#
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if self.or_off && text == "off" {
            return Ok(None);
        }
        humantime::parse_duration(text)
            .map(Some)
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}
