//! Durations as text: `"5m"`, `"1500ms"`, and `"off"` where there may be none.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// How long after its last success a provider's list is kept: in a file a duration
/// such as `"24h"`, or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxStale {
    /// For ever.
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
        let age = deserializer.deserialize_str(Text { or_off: true })?;
        Ok(age.map_or(Self::Off, Self::After))
    }
}

/// Reads a field that is a duration when it is there.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    deserializer.deserialize_str(Text { or_off: false })
}

/// Reads a duration, or `off` as none.
struct Text {
    or_off: bool,
}

impl de::Visitor<'_> for Text {
    type Value = Option<Duration>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_off = if self.or_off { r#", or "off""# } else { "" };
        write!(f, r#"a duration as text, such as "5m" or "1500ms"{or_off}"#)
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
