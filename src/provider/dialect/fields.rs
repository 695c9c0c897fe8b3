//! One JSON object, field by field: each is read as what it should be, and where it is
//! not, it is absent. A bad field costs itself alone.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::model::{Modalities, Modality, Model, RecordFlaw};

/// The fields of an object, their values still as text. Of one name twice the last
/// counts, as for nearly every parser.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Text that is borrowed where it holds no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// More fields than any record will have, and elements than any list in one.
pub(super) const MOST_FIELDS: usize = 4096;

/// As many fields as nearly every record has at the most.
const MOST_LIKELY: usize = 64;

/// More tokens than any model will take: what is larger is not meant.
const MOST_TOKENS: u64 = 1_000_000_000_000;

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Option<Self> {
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
        Ok(Model::new(id.trim()).with_upstream_id(id))
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

/// Whether a value is text, a number, a yes or no, or a list without anything nested.
pub(super) fn is_plain(value: &str) -> bool {
    match value.as_bytes() {
        [b'{', ..] => false,
        [b'[', list @ ..] => !list.iter().any(|byte| matches!(byte, b'[' | b'{')),
        _ => true,
    }
}

/// The elements of a list; `None`: it is none, or has so many that it is not meant.
fn elements(json: &str) -> Option<Vec<&str>> {
    struct Elements;
    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element::<&RawValue>()? {
                if elements.len() == MOST_FIELDS {
                    return Err(Error::custom("too many elements"));
                }
                elements.push(element.get());
            }
            Ok(elements)
        }
    }
    let mut json = serde_json::Deserializer::from_str(json);
    json.deserialize_seq(Elements).ok()
}

/// A text, of which `raw` is known to be JSON.
pub(super) fn read_text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !has_escapes(inner) {
        return Some(Cow::Borrowed(inner));
    }
    let Text(text) = serde_json::from_str(raw).ok()?;
    Some(text)
}

fn has_escapes(json: &str) -> bool {
    memchr::memchr(b'\\', json.as_bytes()).is_some()
}

fn depth_exceeds(json: &str, levels: usize) -> bool {
    // Nearly no value has so many brackets in all, or room for them.
    let brackets = || memchr::memchr2_iter(b'[', b'{', json.as_bytes());
    if json.len() <= 2 * levels || brackets().nth(levels).is_none() {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth -= 1,
            _ => {}
        }
        if depth > levels {
            return true;
        }
    }
    false
}

/// The same value with sorted names and without spaces, less the fields that `drop`
/// names; numbers stay as they are written. `None` for one that not every reader of JSON
/// can read: with a number out of range, or a text that is no Unicode.
///
/// It follows the nesting, whose depth must have been looked at before.
pub(super) fn canonical<'a>(json: &'a str, drop: &dyn Fn(&str) -> bool) -> Option<Cow<'a, str>> {
    Some(match json.as_bytes().first()? {
        b'{' => {
            let fields = Fields::parse(json)?;
            let mut sorted = BTreeMap::new();
            for (name, value) in fields.iter().filter(|(name, _)| !drop(name)) {
                let name = serde_json::to_string(name).expect("text always serialises");
                sorted.insert(name, canonical(value, drop)?);
            }
            let members = sorted.into_iter().map(|(name, value)| name + ":" + &value);
            format!("{{{}}}", Vec::from_iter(members).join(",")).into()
        }
        b'[' => {
            if let Some(texts) = without_spaces(json) {
                return Some(texts);
            }
            let list = elements(json)?.into_iter();
            let list = list.map(|value| canonical(value, drop));
            format!("[{}]", list.collect::<Option<Vec<_>>>()?.join(",")).into()
        }
        // Another way of writing it is the same text.
        b'"' if has_escapes(json) => serde_json::to_string(&read_text(json)?)
            .expect("text always serialises")
            .into(),
        b'-' | b'0'..=b'9' if !json.parse().is_ok_and(f64::is_finite) => return None,
        _ => json.into(),
    })
}

/// The same list without the spaces around what it holds, if that is text without escapes.
fn without_spaces(json: &str) -> Option<Cow<'_, str>> {
    let (mut in_text, mut spaces) = (false, false);
    for byte in json.bytes() {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' => return None,
            _ if in_text => {}
            b'[' | b',' | b']' => {}
            _ if byte.is_ascii_whitespace() => spaces = true,
            _ => return None,
        }
    }
    if !spaces {
        return Some(json.into());
    }
    let stays = |byte: &u8| {
        in_text ^= *byte == b'"';
        in_text || !byte.is_ascii_whitespace()
    };
    let mut short = Vec::with_capacity(json.len());
    short.extend(json.bytes().filter(stays));
    let short = String::from_utf8(short).expect("spaces are characters of their own");
    Some(short.into())
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

    #[test]
    fn the_canonical_form_does_not_depend_on_how_a_value_is_written() {
        let drop = |name: &str| name == "no";
        let one = canonical(
            r#" {"b" : [1.50, "\u0061"], "a":{"no":1,"y":null,"x":true}}"#.trim(),
            &drop,
        );
        let two = canonical(r#"{"a":{"x":true,"no":2},"b":[1.50,"a"]}"#, &drop);
        assert_eq!(one.as_deref(), Some(r#"{"a":{"x":true},"b":[1.50,"a"]}"#));
        assert_eq!(one, two);
        let lists = [
            "[ \"a b\" ,\n\"c,[\" , [] ]",
            r#"["\u0061 b","c,[",[]]"#,
            r#"["a b","c,[",[]]"#,
        ];
        for list in lists {
            let list = canonical(list, &drop);
            assert_eq!(list.as_deref(), Some(r#"["a b","c,[",[]]"#));
        }
    }

    #[test]
    fn what_not_every_reader_can_read_has_no_canonical_form() {
        for (json, readable) in [
            ("1e308", true),
            ("-0.5", true),
            ("184467440737095516160", true),
            ("1e309", false),
            (r#"[["a"],-1e400]"#, false),
            (r#"{"a":{"b":1e400}}"#, false),
            (r#""\ud83d\ude00""#, true),
            (r#"["\ud83d"]"#, false),
        ] {
            let form = canonical(json, &|_| false);
            assert_eq!(form.is_some(), readable, "{json}");
            if let Some(form) = form {
                serde_json::from_str::<serde_json::Value>(&form).expect("is JSON");
            }
        }
    }
}
