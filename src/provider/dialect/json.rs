//! The text of one JSON value: what it is, and what it holds.
//!
//! Values stay text until somebody asks for them, so this is where each is looked at.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// More elements than any list in a record will have.
const MOST_ELEMENTS: usize = 4096;

/// Text that is borrowed where it holds no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Whether a value is text, a number, a yes or no, or a list without anything nested.
pub(super) fn is_plain(value: &str) -> bool {
    match value.as_bytes() {
        [b'{', ..] => false,
        [b'[', list @ ..] => !list.iter().any(|byte| matches!(byte, b'[' | b'{')),
        _ => true,
    }
}

/// The elements of a list; `None`: it is none, or has so many that it is not meant.
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
                if elements.len() == MOST_ELEMENTS {
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

pub(super) fn has_escapes(json: &str) -> bool {
    memchr::memchr(b'\\', json.as_bytes()).is_some()
}

pub(super) fn depth_exceeds(json: &str, levels: usize) -> bool {
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
