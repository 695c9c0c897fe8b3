//! Inspection of the JSON text of one value.
//!
//! The values of a record stay text until a dialect reads them with these functions.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The maximum number of elements of a list in a record.
const MAX_ELEMENTS: usize = 4096;

/// A string that is borrowed if it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Whether a value is a scalar, or a list of scalars.
pub(super) fn is_flat(value: &str) -> bool {
    match value.as_bytes() {
        [b'{', ..] => false,
        [b'[', list @ ..] => !list.iter().any(|byte| matches!(byte, b'[' | b'{')),
        _ => true,
    }
}

/// The elements of a list. `None` if the value is not a list, or has too many elements.
pub(super) fn elements(json: &str) -> Option<Vec<&str>> {
    struct Elements;
    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element::<&RawValue>()? {
                if elements.len() == MAX_ELEMENTS {
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

/// The value of a string. `raw` must be valid JSON.
pub(super) fn read_text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !has_escapes(inner) {
        return Some(Cow::Borrowed(inner));
    }
    let Text(text) = serde_json::from_str(raw).ok()?;
    Some(text)
}

pub(super) fn has_escapes(json: &str) -> bool {
    memchr::memchr(b'\\', json.as_bytes()).is_some()
}

/// Whether the nesting of arrays and objects is deeper than `levels`.
pub(super) fn depth_exceeds(json: &str, levels: usize) -> bool {
    // A cheap test first: hardly any value is long enough, or has so many brackets in total.
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
