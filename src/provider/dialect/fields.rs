//! One JSON object, read field by field. A field of an unexpected type counts as absent, and
//! does not affect the others.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::json::{Text, depth_exceeds, elements, is_flat, read_text};
use crate::model::{Modalities, Modality, Model, RecordFlaw};

/// The fields of an object, with their values as JSON text. The last of several fields of one
/// name wins, as in most parsers.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// The maximum number of fields of an object.
pub(super) const MAX_FIELDS: usize = 4096;

/// The maximum number of fields that memory is reserved for in advance.
const MAX_RESERVED: usize = 64;

/// The maximum plausible number of tokens. A larger number is ignored.
const MAX_TOKENS: u64 = 1_000_000_000_000;

impl<'a> Fields<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        let named = |(other, _): &&(Cow<'a, str>, &RawValue)| other == name;
        let (_, value) = self.0.iter().rev().find(named)?;
        Some(value.get()).filter(|text| *text != "null")
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the field is present and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A string that is not blank, unchanged.
    pub(super) fn untrimmed_text(&self, name: &str) -> Option<Cow<'a, str>> {
        read_text(self.raw(name)?).filter(|text| !text.trim().is_empty())
    }

    /// A string that is not blank, trimmed.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        Some(match self.untrimmed_text(name)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        })
    }

    pub(super) fn first_text(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        names.iter().find_map(|name| self.text(name))
    }

    /// A number of tokens: a positive integer, written as a number or a string.
    pub(super) fn tokens(&self, name: &str) -> Option<u64> {
        let text = self.number(name)?;
        let whole = text.parse().ok().or_else(|| {
            let number: f64 = text.parse().ok()?;
            // Some providers write every number as a float.
            (number.fract() == 0.0 && number > 0.0 && number <= MAX_TOKENS as f64)
                .then_some(number as u64)
        })?;
        (1..=MAX_TOKENS).contains(&whole).then_some(whole)
    }

    pub(super) fn first_tokens(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.tokens(name))
    }

    /// A non-negative integer: a page number or a count.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.number(name)?.parse().ok()
    }

    /// A number or a string, as text. The string may not be a number.
    pub(super) fn number(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.raw(name)?;
        match raw.as_bytes().first()? {
            b'"' => self.text(name),
            b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw)),
            _ => None,
        }
    }

    /// A number of seconds since the Unix epoch, truncated.
    pub(super) fn seconds(&self, name: &str) -> Option<i64> {
        let raw = self.raw(name)?;
        let whole = || raw.parse().ok();
        let float = || {
            let number: f64 = raw.parse().ok()?;
            (number.abs() < 9e15).then_some(number.trunc() as i64)
        };
        whole().or_else(float)
    }

    /// An RFC 3339 timestamp, in seconds since the Unix epoch.
    pub(super) fn timestamp(&self, name: &str) -> Option<i64> {
        let timestamp: Timestamp = self.text(name)?.parse().ok()?;
        Some(timestamp.as_second())
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.raw(name)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    pub(super) fn first_flag(&self, names: &[&str]) -> Option<bool> {
        names.iter().find_map(|name| self.flag(name))
    }

    pub(super) fn object(&self, name: &str) -> Option<Fields<'a>> {
        let raw = self.raw(name)?;
        raw.starts_with('{').then(|| Fields::parse(raw))?
    }

    /// The objects in a list.
    pub(super) fn objects(&self, name: &str) -> Vec<Fields<'a>> {
        let elements = self.elements(name).into_iter();
        let elements = elements.filter(|element| element.starts_with('{'));
        elements.filter_map(Fields::parse).collect()
    }

    /// A model with the id in this field. It is listed with the trimmed id; the upstream id is
    /// not trimmed.
    pub(super) fn model(&self, name: &str) -> Result<Model, RecordFlaw> {
        let id = self.untrimmed_text(name).ok_or(RecordFlaw::NoId)?;
        let model = Model::new(id.trim());
        Ok(match model.id() == id {
            true => model,
            false => model.with_upstream_id(id),
        })
    }

    /// The modalities in a list of names.
    pub(super) fn modalities(&self, name: &str) -> Modalities {
        let named = self.texts(name).into_iter();
        Modalities::from_iter(named.filter_map(|name| Modality::from_name(&name)))
    }

    /// The strings in a list.
    pub(super) fn texts(&self, name: &str) -> Vec<Cow<'a, str>> {
        let Some(list) = self.raw(name).filter(|text| text.starts_with('[')) else {
            return Vec::new();
        };
        if memchr::memchr3(b'[', b'{', b'\\', &list.as_bytes()[1..]).is_none() {
            // Without escapes, each string is the text between a pair of quotation marks.
            let marks = || memchr::memchr_iter(b'"', list.as_bytes());
            let mut texts = Vec::with_capacity(marks().count() / 2);
            let mut marks = marks();
            let text = || Some(Cow::Borrowed(&list[marks.next()? + 1..marks.next()?]));
            texts.extend(std::iter::from_fn(text));
            return texts;
        }
        let elements = self.elements(name).into_iter();
        elements.filter_map(read_text).collect()
    }

    fn elements(&self, name: &str) -> Vec<&'a str> {
        let list = self.raw(name).filter(|text| text.starts_with('['));
        list.and_then(elements).unwrap_or_default()
    }

    /// A scalar or a list of scalars, as JSON text.
    pub(super) fn flat_value(&self, name: &str) -> Option<&'a str> {
        self.raw(name).filter(|value| is_flat(value))
    }

    /// All fields that are not null, with their values as JSON text.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Cow<'a, str>, &'a str)> {
        let fields = self.0.iter().map(|(name, value)| (name, value.get()));
        fields.filter(|(_, value)| *value != "null")
    }

    /// Whether a value is nested deeper than `levels`.
    pub(super) fn is_deeper_than(&self, levels: usize) -> bool {
        let deep = |(_, value): &(_, &RawValue)| depth_exceeds(value.get(), levels);
        self.0.iter().any(deep)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let fields = Fields::from_map(map, 8)?;
                fields.ok_or_else(|| Error::custom("too many fields"))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'a> Fields<'a> {
    /// Reads the fields of an object, with the expected number of them. `None` if there are more
    /// than [`MAX_FIELDS`].
    pub(super) fn from_map<'de: 'a, A: MapAccess<'de>>(
        mut map: A,
        expected: usize,
    ) -> Result<Option<Self>, A::Error> {
        let mut fields = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            if fields.len() == MAX_FIELDS {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            if fields.is_empty() {
                fields.reserve(expected.min(MAX_RESERVED)); // an empty object allocates nothing
            }
            fields.push((name, value));
        }
        Ok(Some(Self(fields)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields<'_> {
        Fields::parse(text).expect("is an object")
    }

    #[test]
    fn values_of_another_type_are_absent() {
        let fields = fields(
            r#"{"text":" a\n","blank":" ","number":7,"float":8192.0,"half":8192.5,"written":"131072",
                "na":"N/A","zero":0,"negative":-1,"huge":1e300,"null":null,"yes":true,"list":["a",1,{"b":2}]}"#,
        );
        assert_eq!(fields.text("text").as_deref(), Some("a"));
        assert_eq!(fields.untrimmed_text("text").as_deref(), Some(" a\n"));
        for absent in ["blank", "number", "null", "list", "missing"] {
            assert_eq!(fields.text(absent), None, "{absent}");
        }
        for (name, tokens) in [
            ("number", Some(7)),
            ("float", Some(8192)),
            ("written", Some(131_072)),
            ("half", None),
            ("na", None),
            ("zero", None),
            ("negative", None),
            ("huge", None),
            ("yes", None),
            ("null", None),
        ] {
            assert_eq!(fields.tokens(name), tokens, "{name}");
        }
        assert_eq!(fields.count("zero"), Some(0));
        assert_eq!(fields.flag("yes"), Some(true));
        assert_eq!(fields.flag("number"), None);
        assert_eq!(fields.texts("list"), ["a"]);
        assert_eq!(fields.objects("list")[0].tokens("b"), Some(2));
        assert!(fields.has("list") && !fields.has("null"));
    }

    #[test]
    fn last_duplicate_field_wins() {
        assert_eq!(
            fields(r#"{"a":"1","a":"2"}"#).text("a").as_deref(),
            Some("2")
        );
    }

    #[test]
    fn brackets_in_strings_do_not_count_as_depth() {
        let fields = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!(r#"{{"a":{open}"\"[[[["{close}}}"#)
        };
        for (levels, deeper) in [(3, false), (4, true), (90_000, true)] {
            let text = fields(levels);
            let fields = Fields::parse(&text).expect("is an object");
            assert_eq!(fields.is_deeper_than(3), deeper, "{levels}");
        }
    }
}
