//! Renders models as bytes of a response. Pure: no I/O, no clock, no logging.
//!
//! A client dialect consists of the start and the end of a list, a record, the start of a
//! page if it is paged, and an error.

mod anthropic;
mod codex;
mod dialect;
mod gemini;
mod ollama;
mod openai;
mod problem;

use std::{cmp::Ordering, fmt, sync::Arc};

use serde::{Serialize, Serializer};

pub use self::dialect::{ClientDialect, UnknownClientDialect};
pub(crate) use self::{
    dialect::{Dialects, PageInfo, Pagination},
    ollama::{show, version},
    problem::ErrorResponse,
};
use crate::model::Model;

/// A model, as it is rendered in one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) id: ListedId<'a>,
    /// The owner, if the model itself names none.
    pub(crate) owner: &'a str,
    pub(crate) model: &'a Model,
}

/// The operator's settings for records.
#[derive(Clone, Debug)]
pub(crate) struct CodexOptions {
    /// The instructions that Codex gives to a model. They replace Codex's own text.
    pub(crate) codex_instructions: Arc<str>,
}

impl Default for CodexOptions {
    fn default() -> Self {
        let text = "You are a coding agent. You work in the user's own files and terminal, \
                    through the tools that you are given. Look before you change anything, \
                    keep changes as small as the task allows, run what can show that they \
                    work, and say plainly what you did and what you could not do.";
        Self {
            codex_instructions: text.into(),
        }
    }
}

/// The id under which a model is listed: the provider's own id, with or without a prefix,
/// or an alias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListedId<'a> {
    /// Precedes the prefix, such as `claude-`.
    pub(crate) lead: &'static str,
    pub(crate) prefix: Option<&'a str>,
    pub(crate) id: &'a str,
}

impl<'a> ListedId<'a> {
    pub(crate) fn new(prefix: Option<&'a str>, id: &'a str) -> Self {
        Self {
            lead: "",
            prefix,
            id,
        }
    }

    fn parts(self) -> [&'a str; 4] {
        let slash = if self.prefix.is_some() { "/" } else { "" };
        [self.lead, self.prefix.unwrap_or_default(), slash, self.id]
    }

    /// The whole id, if it is a single string.
    pub(crate) fn as_str(self) -> Option<&'a str> {
        match self.parts() {
            ["", "", "", id] => Some(id),
            _ => None,
        }
    }

    fn bytes(self) -> impl Iterator<Item = u8> {
        self.parts().into_iter().flat_map(str::bytes)
    }

    /// Compares the bytes of the whole ids.
    pub(crate) fn order(self, other: Self) -> Ordering {
        // Most ids that are compared have the same provider.
        if self.lead == other.lead && self.prefix == other.prefix {
            return self.id.cmp(other.id);
        }
        self.bytes().cmp(other.bytes())
    }

    /// Compares with an id from a request, in the same order.
    pub(crate) fn order_to(self, id: &str) -> Ordering {
        let mut rest = id.as_bytes();
        for part in self.parts() {
            let common = part.len().min(rest.len());
            let (other, behind) = rest.split_at(common);
            match part.as_bytes()[..common].cmp(other) {
                Ordering::Equal if common < part.len() => return Ordering::Greater,
                Ordering::Equal => rest = behind,
                unequal => return unequal,
            }
        }
        if rest.is_empty() {
            Ordering::Equal
        } else {
            Ordering::Less
        }
    }
}

impl fmt::Display for ListedId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts()
            .into_iter()
            .try_for_each(|part| f.write_str(part))
    }
}

impl Serialize for ListedId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(id) => serializer.serialize_str(id),
            None => serializer.collect_str(self),
        }
    }
}

/// Appends a value as JSON.
fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("plain values always serialise");
}

/// Serialises a value as JSON.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(&mut out, value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_all_their_bytes() {
        let texts = [
            "",
            "a",
            "a/",
            "a/b",
            "ab",
            "b",
            "claude-",
            "claude-a/b",
            "ü",
        ];
        let parts = ["", "a", "a/b", "b", "ü"];
        for lead in ["", "claude-"] {
            for prefix in [None, Some("a"), Some("ab"), Some("ü")] {
                for id in parts.map(|id| ListedId { lead, prefix, id }) {
                    for text in texts {
                        let expected = id.to_string().as_str().cmp(text);
                        assert_eq!(id.order_to(text), expected, "{id} {text}");
                        let other = ListedId::new(None, text);
                        assert_eq!(id.order(other), expected, "{id} {text}");
                    }
                }
            }
        }
    }
}
