//! `Deserialize` for [`Prefix`]: `true`, `false` or `"on-conflict"`.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

use crate::provider::Prefix;

struct PrefixVisitor;

impl Visitor<'_> for PrefixVisitor {
    type Value = Prefix;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"true, false or "on-conflict""#)
    }

    fn visit_bool<E: Error>(self, prefixed: bool) -> Result<Prefix, E> {
        Ok(prefixed.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Prefix, E> {
        match text {
            "on-conflict" => Ok(Prefix::OnConflict),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PrefixVisitor)
    }
}
