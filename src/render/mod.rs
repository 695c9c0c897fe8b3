//! Rendering: models in, bytes of an answer out. Pure: no I/O, no clock.

pub(crate) mod openai;

use std::fmt;

use serde::{Serialize, Serializer};

/// The id under which a model is listed: the provider's, behind a prefix or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListedId<'a> {
    pub(crate) prefix: Option<&'a str>,
    pub(crate) id: &'a str,
}

impl fmt::Display for ListedId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(prefix) = self.prefix {
            f.write_str(prefix)?;
            f.write_str("/")?;
        }
        f.write_str(self.id)
    }
}

impl Serialize for ListedId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.prefix {
            Some(_) => serializer.collect_str(self),
            None => serializer.serialize_str(self.id),
        }
    }
}
