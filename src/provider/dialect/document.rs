//! The parser of a response: the members of the top-level object, and the records of its lists.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::error::Category;

use super::{
    fields::{Fields, MAX_FIELDS},
    json::Text,
    page::NextPage,
};
use crate::{
    error::{ListError, ListErrorKind},
    model::RecordFlaw,
};

/// An element of a list: an object, or the reason why it cannot be read.
pub(super) type Record<'a> = Result<Fields<'a>, RecordFlaw>;

/// A whole response.
#[derive(Debug)]
pub(super) enum JsonDocument<'a> {
    Array(Vec<Record<'a>>),
    Object(Object<'a>),
}

/// The top-level object. Every member that is a list is parsed as a list of records. The dialect
/// selects one of them.
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

/// The maximum nesting depth of a record.
const MAX_DEPTH: usize = 64;

impl<'a> JsonDocument<'a> {
    /// Parses a whole response with at most `max_records` records in all of its lists.
    pub(super) fn parse(text: &'a str, max_records: usize) -> Result<Self, ListError> {
        let (remaining, exceeded) = (Cell::new(max_records), Cell::new(false));
        let limits = Limits {
            remaining: &remaining,
            exceeded: &exceeded,
        };
        let mut json = serde_json::Deserializer::from_str(text);
        let document = limits.deserialize(&mut json);
        document
            .and_then(|document| json.end().map(|()| document))
            .map_err(|error| {
                // The error is dropped, because its text may quote the body.
                let kind = match error.classify() {
                    _ if exceeded.get() => ListErrorKind::TooManyModels,
                    Category::Data => ListErrorKind::NotAList,
                    Category::Io | Category::Syntax | Category::Eof => ListErrorKind::NotJson,
                };
                kind.into()
            })
    }

    /// Fails if the document is an error response, which some providers send with status 200.
    pub(super) fn reject_error(self) -> Result<Self, ListError> {
        let is_error = match &self {
            Self::Object(object) => object.is_error(),
            Self::Array(records) => is_list_of_errors(records),
        };
        if is_error {
            return Err(ListErrorKind::Refused.into());
        }
        Ok(self)
    }

    /// The top-level object. Fails for an error response or an array.
    pub(super) fn object(self) -> Result<Object<'a>, ListError> {
        match self.reject_error()? {
            Self::Object(object) => Ok(object),
            Self::Array(_) => Err(ListErrorKind::NotAList.into()),
        }
    }

    /// The top-level array. Fails for an error response or an object.
    pub(super) fn array(self) -> Result<Vec<Record<'a>>, ListError> {
        match self.reject_error()? {
            Self::Array(records) => Ok(records),
            Self::Object(_) => Err(ListErrorKind::NotAList.into()),
        }
    }
}

/// Whether the first element is an error and not a model, as in `[{"error":{...}}]`.
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

    /// Whether the member is present and null.
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

    /// The members that are objects, with their names.
    #[cfg(feature = "catalog")]
    pub(super) fn objects(&self) -> impl Iterator<Item = (&str, &Fields<'a>)> {
        self.0.iter().filter_map(|(name, member)| match member {
            Member::Object(fields) => Some((&**name, fields)),
            _ => None,
        })
    }

    /// The records of a list.
    pub(super) fn list(&self, name: &str) -> Option<&[Record<'a>]> {
        match self.member(name)? {
            Member::List(records) => Some(records),
            _ => None,
        }
    }

    /// Takes the records of a list. Fails if there is no such list.
    pub(super) fn take(&mut self, name: &str) -> Result<Vec<Record<'a>>, ListError> {
        let is_list_object = self.text("object") == Some("list");
        let members = self.0.iter_mut().rev();
        let mut members = members.filter(|(other, _)| other == name);
        match members.next() {
            Some((_, Member::List(records))) => Ok(std::mem::take(records)),
            // Servers written in Go encode an empty slice as null.
            Some((_, Member::Null)) if is_list_object => Ok(Vec::new()),
            _ => Err(ListErrorKind::NotAList.into()),
        }
    }

    /// Like [`take`](Self::take), for Google's APIs, which omit empty members: an object without
    /// a list is an empty page.
    pub(super) fn take_or_empty(&mut self, name: &str) -> Result<Vec<Record<'a>>, ListError> {
        let known = |(other, _): &(Cow<'a, str>, Member<'a>)| {
            other == "nextPageToken" || other == "totalSize"
        };
        if self.0.iter().all(known) {
            return Ok(Vec::new());
        }
        self.take(name)
    }

    /// The next page, if `field` holds a token for the query parameter `parameter`. An empty
    /// token marks the last page.
    pub(super) fn next_by_token(&self, field: &str, parameter: &'static str) -> Option<NextPage> {
        match self.member(field)? {
            Member::Text(token) if token.is_empty() => None,
            Member::Text(token) => Some(NextPage::query(parameter, &**token)),
            _ => Some(NextPage::Unknown),
        }
    }

    /// Whether this is an error response: it has a member that marks it as one, or has the
    /// members of an error and no list.
    fn is_error(&self) -> bool {
        let error = match self.member("error") {
            Some(Member::Text(text)) => !text.is_empty(),
            Some(Member::List(errors)) => !errors.is_empty(),
            Some(Member::Flag(flag)) => *flag,
            error => matches!(error, Some(Member::Object(_))),
        };
        let is_marked =
            error || self.flag("success") == Some(false) || self.text("object") == Some("error");
        let detailed = ["detail", "errors"];
        let has_form = detailed.iter().any(|name| self.has(name))
            || (self.has("message") && (self.has("code") || self.has("status")));
        let is_list = |(name, member): &(Cow<'a, str>, Member<'a>)| {
            matches!(member, Member::List(_)) && !detailed.contains(&&**name)
        };
        is_marked || (has_form && !self.0.iter().any(is_list))
    }
}

// ===== Parsing =====
//
// One pass over the text. The values of a record stay JSON text until a dialect reads them.

/// Bounds the number of records: a parsed record takes several times the memory of its text,
/// and a hostile document may consist of empty records.
#[derive(Clone, Copy)]
struct Limits<'c> {
    /// How many more records are accepted, over all lists.
    remaining: &'c Cell<usize>,
    /// Whether there were too many.
    exceeded: &'c Cell<bool>,
}

impl Limits<'_> {
    fn read_records<'de, A: SeqAccess<'de>>(
        self,
        mut seq: A,
    ) -> Result<Vec<Record<'de>>, A::Error> {
        let mut records = Vec::new();
        // The capacity of the next record: the records of a list have similar fields.
        let mut fields = 0;
        while let Some(record) = seq.next_element_seed(AnyElement { fields })? {
            let Some(remaining) = self.remaining.get().checked_sub(1) else {
                self.exceeded.set(true);
                return Err(A::Error::custom("too many records"));
            };
            self.remaining.set(remaining);
            fields = record.as_ref().map_or(0, Fields::len);
            records.push(record);
        }
        Ok(records)
    }
}

impl<'de> DeserializeSeed<'de> for Limits<'_> {
    type Value = JsonDocument<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Limits<'_> {
    type Value = JsonDocument<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            if members.len() == MAX_FIELDS {
                return Err(A::Error::custom("too many members"));
            }
            members.push((name, map.next_value_seed(AnyMember(self))?));
        }
        Ok(JsonDocument::Object(Object(members)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        self.read_records(seq).map(JsonDocument::Array)
    }
}

/// A member of the top-level object.
struct AnyMember<'c>(Limits<'c>);

impl<'de> DeserializeSeed<'de> for AnyMember<'_> {
    type Value = Member<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyMember<'_> {
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
        let fields = Fields::from_map(map, 0)?;
        Ok(fields.map_or(Member::Null, Member::Object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        self.0.read_records(seq).map(Member::List)
    }
}

/// An element of a list, with the expected number of fields.
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
        Ok(match Fields::from_map(map, self.fields)? {
            None => Err(RecordFlaw::Unreadable),
            Some(fields) if fields.is_deeper_than(MAX_DEPTH - 1) => Err(RecordFlaw::TooDeep),
            Some(fields) => Ok(fields),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err(RecordFlaw::Unreadable))
    }
}
