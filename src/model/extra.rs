//! Additional fields of a model, for which the crate has no property.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use serde_json::value::RawValue;

/// The names of the fields that the crate serves itself.
const RESERVED: [&str; 16] = [
    "architecture",
    "capabilities",
    "context_length",
    "created",
    "deprecated",
    "deprecation_date",
    "family",
    "id",
    "max_input_tokens",
    "max_output_tokens",
    "name",
    "object",
    "open_weights",
    "owned_by",
    "pricing",
    "error", // clients treat a record with this field as an error
];

/// Additional fields of a model: a JSON object, sorted by name and without whitespace, so that
/// equal fields are equal bytes. An empty one does not allocate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Extra(Option<Box<str>>);

impl Extra {
    /// Whether the crate does not serve a field of this name itself.
    pub(crate) fn is_free(name: &str) -> bool {
        !RESERVED.contains(&name)
    }

    /// Creates fields from names and values, as JSON text without whitespace. The last of
    /// several fields of one name wins.
    pub(crate) fn new<'a>(fields: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Self {
        let fields = fields.into_iter().filter(|(name, _)| Self::is_free(name));
        let mut sorted = Vec::from_iter(fields);
        sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
        if sorted.is_empty() {
            return Self(None);
        }
        let size = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| name.len() + value.len() + 4;
        let mut text = Vec::with_capacity(sorted.iter().map(size).sum::<usize>() + 1);
        for same in sorted.chunk_by(|(one, _), (other, _)| one == other) {
            let [.., (name, value)] = same else { continue };
            text.push(if text.is_empty() { b'{' } else { b',' });
            serde_json::to_writer(&mut text, name).expect("text always serialises");
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
        }
        text.push(b'}');
        let text = String::from_utf8(text).expect("was made of text");
        Self(Some(text.into_boxed_str()))
    }

    /// Adds a field, replacing one of the same name.
    pub(crate) fn with(&self, name: &str, value: &impl Serialize) -> Self {
        // The objects of a `Value` are sorted. Those of the argument may be in any order.
        let Ok(value) = serde_json::to_value(value) else {
            return self.clone();
        };
        let value = value.to_string();
        let fields = self.fields().into_iter();
        let fields = fields.map(|(name, value)| (name, Cow::Borrowed(value.get())));
        Self::new(fields.chain([(Cow::Borrowed(name), Cow::Owned(value))]))
    }

    /// Merges two sets of fields. The first takes precedence.
    pub(super) fn merged(first: &Self, second: &Self) -> Self {
        if second.is_empty() || first == second {
            return first.clone();
        }
        let fields = second.fields().into_iter().chain(first.fields());
        Self::new(fields.map(|(name, value)| (name, Cow::Borrowed(value.get()))))
    }

    fn fields(&self) -> BTreeMap<Cow<'_, str>, &RawValue> {
        let text = self.0.as_deref().unwrap_or("{}");
        serde_json::from_str(text).expect("was made of names and values")
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?;
        Some(self.fields().get(name)?.get())
    }

    /// The members of the object without its braces: `"a":1,"b":2`, or an empty string.
    pub(crate) fn members(&self) -> &str {
        let text = self.0.as_deref().unwrap_or("{}");
        &text[1..text.len() - 1]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_sorted_and_reserved_names_ignored() {
        let fields = [("z", "1"), ("id", "2"), ("a\"", "[3]"), ("z", "4")];
        let fields = fields.map(|(name, value)| (Cow::from(name), Cow::from(value)));
        let extra = Extra::new(fields);
        assert_eq!(extra.members(), r#""a\"":[3],"z":4"#);
        let extra = extra.with("m", &"text").with("object", &"x");
        assert_eq!(extra.members(), r#""a\"":[3],"m":"text","z":4"#);
        assert_eq!(extra.get("m"), Some(r#""text""#));
        assert_eq!(extra.get("object"), None);
        assert_eq!(Extra::default().members(), "");
        assert!(Extra::new([]).is_empty());
    }
}
