//! One JSON object, field by field: each is read as what it should be, and where it is
//! not, it is absent. A bad field costs itself alone.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::json::{Text, depth_exceeds, elements, is_plain, read_text};
use crate::model::{Modalities, Modality, Model, RecordFlaw};

/// The fields of an object, their values still as text. Of one name twice the last
/// counts, as for nearly every parser.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// More fields than any record will have.
pub(super) const MOST_FIELDS: usize = 4096;

/// As many fields as nearly every record has at the most.
const MOST_LIKELY: usize = 64;

/// More tokens than any model will take: what is larger is not meant.
const MOST_TOKENS: u64 = 1_000_000_000_000;

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

    /// Whether there is a field of this name, and not as null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// Text that is not empty, as it stands there.
    pub(super) fn verbatim(&self, name: &str) -> Option<Cow<'a, str>> {
        read_text(self.raw(name)?).filter(|text| !text.trim().is_empty())
    }

    /// Text that is not empty, without spaces at its ends.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        Some(match self.verbatim(name)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        })
    }

    pub(super) fn first_text(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        names.iter().find_map(|name| self.text(name))
    }

    /// A number of tokens: whole and more than none, as a number of any form or as text.
    pub(super) fn tokens(&self, name: &str) -> Option<u64> {
        let text = self.number(name)?;
        let whole = text.parse().ok().or_else(|| {
            let number: f64 = text.parse().ok()?;
            // Some write every number as a float, and none writes half a token.
            (number.fract() == 0.0 && number > 0.0 && number <= MOST_TOKENS as f64)
                .then_some(number as u64)
        })?;
        (1..=MOST_TOKENS).contains(&whole).then_some(whole)
    }

    pub(super) fn first_tokens(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.tokens(name))
    }

    /// A whole number from 0 on: a page, or a count.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.number(name)?.parse().ok()
    }

    /// What stands where a number should, as text: a number, or one as a text.
    pub(super) fn number(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.raw(name)?;
        match raw.as_bytes().first()? {
            b'"' => self.text(name),
            b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw)),
            _ => None,
        }
    }

    /// A moment in whole seconds since the Unix epoch, as a number.
    pub(super) fn seconds(&self, name: &str) -> Option<i64> {
        let raw = self.raw(name)?;
        let whole = || raw.parse().ok();
        let float = || {
            let number: f64 = raw.parse().ok()?;
            (number.abs() < 9e15).then_some(number.trunc() as i64)
        };
        whole().or_else(float)
    }

    /// A moment as of RFC 3339, in seconds since the Unix epoch.
    pub(super) fn moment(&self, name: &str) -> Option<i64> {
        let moment: Timestamp = self.text(name)?.parse().ok()?;
        Some(moment.as_second())
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

    /// The model whose id stands in this field: listed without spaces at its ends, and
    /// asked for as it is.
    pub(super) fn model(&self, name: &str) -> Result<Model, RecordFlaw> {
        let id = self.verbatim(name).ok_or(RecordFlaw::NoId)?;
        let model = Model::new(id.trim());
        Ok(match model.id() == id {
            true => model,
            false => model.with_upstream_id(id),
        })
    }

    /// The modalities whose names stand in a list.
    pub(super) fn modalities(&self, name: &str) -> Modalities {
        let named = self.texts(name).into_iter();
        Modalities::from_iter(named.filter_map(|name| Modality::from_name(&name)))
    }

    /// The texts in a list.
    pub(super) fn texts(&self, name: &str) -> Vec<Cow<'a, str>> {
        let Some(list) = self.raw(name).filter(|text| text.starts_with('[')) else {
            return Vec::new();
        };
        if memchr::memchr3(b'[', b'{', b'\\', &list.as_bytes()[1..]).is_none() {
            // Then texts are what stands between each two quotation marks.
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

    /// A value that is listed as it is: text, a number, a yes or no, or a list without
    /// anything nested, as JSON.
    pub(super) fn plain(&self, name: &str) -> Option<&'a str> {
        self.raw(name).filter(|value| is_plain(value))
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
                let fields = Fields::of(map, 8)?;
                fields.ok_or_else(|| Error::custom("too many fields"))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'a> Fields<'a> {
    /// The fields of an object that likely has so many; `None`: it has so many that it is
    /// not meant.
    pub(super) fn of<'de: 'a, A: MapAccess<'de>>(
        mut map: A,
        likely: usize,
    ) -> Result<Option<Self>, A::Error> {
        let mut fields = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            if fields.len() == MOST_FIELDS {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            if fields.is_empty() {
                fields.reserve(likely.min(MOST_LIKELY)); // an empty object takes no room
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
    fn a_value_of_another_type_is_absent() {
        let fields = fields(
            r#"{"text":" a\n","blank":" ","number":7,"float":8192.0,"half":8192.5,"written":"131072",
                "na":"N/A","zero":0,"negative":-1,"huge":1e300,"null":null,"yes":true,"list":["a",1,{"b":2}]}"#,
        );
        assert_eq!(fields.text("text").as_deref(), Some("a"));
        assert_eq!(fields.verbatim("text").as_deref(), Some(" a\n"));
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
    fn of_one_name_twice_the_last_counts() {
        assert_eq!(
            fields(r#"{"a":"1","a":"2"}"#).text("a").as_deref(),
            Some("2")
        );
    }

    #[test]
    fn depth_is_that_of_brackets_outside_of_text() {
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
