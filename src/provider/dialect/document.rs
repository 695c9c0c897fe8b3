//! One answer as a document: its fields, and its lists with each record for itself.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::error::Category;

use super::{
    Next,
    fields::{Fields, Text},
};
use crate::{
    error::{ListError, ListErrorKind},
    model::RecordFlaw,
};

/// What a list's element is: an object that can be read, or nothing of use.
pub(super) type Record<'a> = Result<Fields<'a>, RecordFlaw>;

/// A whole answer.
#[derive(Debug)]
pub(super) enum Document<'a> {
    Array(Vec<Record<'a>>),
    Object(Object<'a>),
}

/// An object around lists. Every member that is a list is read as one of records,
/// whatever its name: which of them counts is for the dialect to say.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Member<'a>)>);

#[derive(Debug)]
enum Member<'a> {
    Null,
    Flag(bool),
    Number,
    Text(Cow<'a, str>),
    Object(Fields<'a>),
    List(Vec<Record<'a>>),
}

/// How deep a record may be nested.
const DEEPEST: usize = 64;

impl<'a> Document<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, ListError> {
        serde_json::from_str(text).map_err(|error| {
            // The error itself stays here: its text may quote the body.
            match error.classify() {
                Category::Data => ListErrorKind::NotAList.into(),
                Category::Io | Category::Syntax | Category::Eof => ListErrorKind::NotJson.into(),
            }
        })
    }

    /// The same, unless it is an error in the place of a list, under whatever status.
    pub(super) fn no_error(self) -> Result<Self, ListError> {
        let is_error = match &self {
            Self::Object(object) => object.is_error(),
            Self::Array(records) => is_list_of_errors(records),
        };
        if is_error {
            return Err(ListErrorKind::Refused.into());
        }
        Ok(self)
    }

    /// The object that it must be, and no error.
    pub(super) fn object(self) -> Result<Object<'a>, ListError> {
        match self.no_error()? {
            Self::Object(object) => Ok(object),
            Self::Array(_) => Err(ListErrorKind::NotAList.into()),
        }
    }

    /// The list that it must be, and no error.
    pub(super) fn array(self) -> Result<Vec<Record<'a>>, ListError> {
        match self.no_error()? {
            Self::Array(records) => Ok(records),
            Self::Object(_) => Err(ListErrorKind::NotAList.into()),
        }
    }
}

/// Whether the first element is an error and no model, as in `[{"error":{...}}]`.
fn is_list_of_errors(records: &[Record<'_>]) -> bool {
    let is_error = |record: &Fields<'_>| record.has("error") && !record.has("id");
    matches!(records, [Ok(first), ..] if is_error(first))
}

impl<'a> Object<'a> {
    fn member(&self, name: &str) -> Option<&Member<'a>> {
        let named = |(other, _): &&(Cow<'a, str>, Member<'a>)| other == name;
        let (_, member) = self.0.iter().rev().find(named)?;
        (!matches!(member, Member::Null)).then_some(member)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// Whether there is a member of this name, and it is null.
    pub(super) fn is_null(&self, name: &str) -> bool {
        let named = |(other, member): &(Cow<'a, str>, Member<'a>)| {
            other == name && matches!(member, Member::Null)
        };
        self.0.iter().any(named)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.member(name)? {
            Member::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.member(name)? {
            Member::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    pub(super) fn object(&self, name: &str) -> Option<&Fields<'a>> {
        match self.member(name)? {
            Member::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The records of a list, to look at.
    pub(super) fn list(&self, name: &str) -> Option<&[Record<'a>]> {
        match self.member(name)? {
            Member::List(records) => Some(records),
            _ => None,
        }
    }

    /// The records of a list that must be there.
    pub(super) fn take(&mut self, name: &str) -> Result<Vec<Record<'a>>, ListError> {
        let calls_itself_a_list = self.text("object") == Some("list");
        let members = self.0.iter_mut().rev();
        let mut members = members.filter(|(other, _)| other == name);
        match members.next() {
            Some((_, Member::List(records))) => Ok(std::mem::take(records)),
            // Servers in Go encode an empty list this way.
            Some((_, Member::Null)) if calls_itself_a_list => Ok(Vec::new()),
            _ => Err(ListErrorKind::NotAList.into()),
        }
    }

    /// The next page, where a field of this name holds a token for this parameter; an
    /// empty one is the end.
    pub(super) fn next_by_token(&self, field: &str, parameter: &'static str) -> Option<Next> {
        match self.member(field)? {
            Member::Text(token) if token.is_empty() => None,
            Member::Text(token) => Some(Next::query(parameter, &**token)),
            _ => Some(Next::Unknown),
        }
    }

    /// The same for a document of Google's APIs, which leave out what is empty: there
    /// an object without anything is a page without models.
    pub(super) fn take_or_none(&mut self, name: &str) -> Result<Vec<Record<'a>>, ListError> {
        let known = |(other, _): &(Cow<'a, str>, Member<'a>)| other == "nextPageToken";
        if self.0.iter().all(known) {
            return Ok(Vec::new());
        }
        self.take(name)
    }

    /// Whether this is an error: by a field that says so, or by the form that errors
    /// have where there is no list.
    fn is_error(&self) -> bool {
        let says_so = self.has("error")
            || self.flag("success") == Some(false)
            || self.text("object") == Some("error");
        let detailed = ["detail", "errors"];
        let has_form = detailed.iter().any(|name| self.has(name))
            || (self.has("message") && (self.has("code") || self.has("status")));
        let is_list = |(name, member): &(Cow<'a, str>, Member<'a>)| {
            matches!(member, Member::List(_)) && !detailed.contains(&&**name)
        };
        says_so || (has_form && !self.0.iter().any(is_list))
    }
}

// ===== Reading =====
//
// One pass over the whole: what is no object and no list of them is skipped where it
// stands, and values of a record stay text until a dialect asks for them.

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl<'de> Visitor<'de> for Whole {
            type Value = Document<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or a list")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), member)) = map.next_entry()? {
                    members.push((name, member));
                }
                Ok(Document::Object(Object(members)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                read_records(seq).map(Document::Array)
            }
        }
        deserializer.deserialize_any(Whole)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Member<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyMember)
    }
}

struct AnyMember;

impl<'de> Visitor<'de> for AnyMember {
    type Value = Member<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Member::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Member::Flag(flag))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Member::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Member::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Member::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Member::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Member::Text(Cow::Borrowed(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Fields::of(map, 0).map(Member::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        read_records(seq).map(Member::List)
    }
}

fn read_records<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Vec<Record<'de>>, A::Error> {
    let mut records = Vec::new();
    // The records of a list are alike.
    let mut fields = 0;
    while let Some(record) = seq.next_element_seed(AnyElement { fields })? {
        fields = record.as_ref().map_or(0, Fields::len);
        records.push(record);
    }
    Ok(records)
}

/// An element that likely has so many fields.
struct AnyElement {
    fields: usize,
}

impl<'de> DeserializeSeed<'de> for AnyElement {
    type Value = Record<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyElement {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Err(RecordFlaw::Unreadable))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Err(RecordFlaw::Unreadable))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Err(RecordFlaw::Unreadable))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Err(RecordFlaw::Unreadable))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Err(RecordFlaw::Unreadable))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Err(RecordFlaw::Unreadable))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let fields = Fields::of(map, self.fields)?;
        Ok(if fields.is_deeper_than(DEEPEST - 1) {
            Err(RecordFlaw::TooDeep)
        } else {
            Ok(fields)
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err(RecordFlaw::Unreadable))
    }
}
