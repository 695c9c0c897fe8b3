//! `GET /v1/models` of the OpenAI API, and of the many that imitate it.
//!
//! <https://platform.openai.com/docs/api-reference/models/list>

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{error::Category, value::RawValue};

use super::{Page, lenient, read_records};
use crate::{
    error::{ListError, ListErrorKind},
    model::Model,
};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    object: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(default)]
    success: Option<bool>,
}

/// Only the id is required: fields come and go between servers, and from day to day.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(default, deserialize_with = "lenient")]
    created: Option<f64>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    owned_by: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    display_name: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "lenient")]
    context_length: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    context_window: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    max_model_len: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    max_completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    max_output_tokens: Option<u64>,
}

pub(super) fn read_page(body: &[u8]) -> Result<Page, ListError> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| {
        // The error itself stays here: its text may quote the body.
        match error.classify() {
            Category::Data => ListErrorKind::NotAList,
            Category::Io | Category::Syntax | Category::Eof => ListErrorKind::NotJson,
        }
    })?;
    if envelope.error.is_some()
        || envelope.success == Some(false)
        || envelope.object.as_deref() == Some("error")
    {
        return Err(ListErrorKind::Refused.into());
    }
    match envelope.data {
        Some(records) => Ok(read_records(&records, read_record)),
        // Servers in Go encode an empty list this way.
        None if envelope.object.as_deref() == Some("list") => Ok(read_records(&[], read_record)),
        None => Err(ListErrorKind::NotAList.into()),
    }
}

fn read_record(record: &str) -> Option<Model> {
    let record: Record<'_> = serde_json::from_str(record).ok()?;
    let id = record.id.trim();
    if id.is_empty() {
        return None;
    }
    let known = |tokens: &u64| *tokens > 0; // 0 stands for "does not apply"
    let mut model = Model::new(id)
        .with_created(record.created.and_then(seconds))
        .with_context_length(
            [
                record.context_length,
                record.context_window,
                record.max_model_len,
            ]
            .into_iter()
            .flatten()
            .find(known),
        )
        .with_max_output_tokens(
            [record.max_completion_tokens, record.max_output_tokens]
                .into_iter()
                .flatten()
                .find(known),
        );
    if let Some(owner) = record.owned_by.filter(|owner| !owner.is_empty()) {
        model = model.with_owned_by(owner);
    }
    if let Some(name) = record.display_name.filter(|name| !name.is_empty()) {
        model = model.with_display_name(name);
    }
    Some(model)
}

/// Whole seconds that an OpenAI client can hold; 0 stands for "unknown".
fn seconds(created: f64) -> Option<u32> {
    let whole = created.trunc();
    (whole >= 1.0 && whole <= f64::from(u32::MAX)).then_some(whole as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(body: &str) -> ListErrorKind {
        read_page(body.as_bytes()).expect_err(body).kind()
    }

    #[test]
    fn reads_the_envelope_and_what_imitators_add() {
        let page = read_page(
            br#"{"object":"list","data":[
                {"id":"a","object":"model","created":1700000000,"owned_by":"o"},
                {"id":" b ","context_window":8192,"max_completion_tokens":512,"display_name":"B"},
                {"id":"c","created":1700000000.9,"context_length":0,"max_model_len":4096}
            ]}"#,
        )
        .expect("is a list");
        assert_eq!(page.skipped, 0);
        assert_eq!(
            page.models,
            [
                Model::new("a")
                    .with_created(1_700_000_000)
                    .with_owned_by("o"),
                Model::new("b")
                    .with_context_length(8192)
                    .with_max_output_tokens(512)
                    .with_display_name("B"),
                Model::new("c")
                    .with_created(1_700_000_000)
                    .with_context_length(4096),
            ]
        );
    }

    #[test]
    fn a_bad_record_costs_itself_and_a_bad_field_costs_the_field() {
        let page = read_page(
            br#"{"data":[{"id":7},null,{},"x",[],{"id":""},
                {"id":"a","created":"yesterday","owned_by":null,"context_length":"N/A"},
                {"id":"b","created":-1},{"id":"c","created":99999999999}]}"#,
        )
        .expect("is a list");
        assert_eq!(page.skipped, 6);
        assert_eq!(page.models, ["a", "b", "c"].map(Model::new));
    }

    #[test]
    fn what_is_no_list_is_a_failure_of_its_kind() {
        use ListErrorKind::*;
        for (body, expected) in [
            ("", NotJson),
            ("<html>", NotJson),
            (r#"{"data":[{"id":"a"}"#, NotJson),
            (r#"{"data":[]} trailing"#, NotJson),
            ("7", NotAList),
            ("[]", NotAList),
            ("{}", NotAList),
            (r#"{"data":{}}"#, NotAList),
            (r#"{"data":null}"#, NotAList),
            (r#"{"stt":[],"tts":[]}"#, NotAList),
            (r#"{"error":{"message":"no"},"data":[]}"#, Refused),
            (r#"{"error":"no"}"#, Refused),
            (r#"{"object":"error","message":"no"}"#, Refused),
            (r#"{"success":false,"data":[]}"#, Refused),
        ] {
            assert_eq!(kind(body), expected, "{body}");
        }
    }

    #[test]
    fn a_null_list_that_calls_itself_one_is_empty() {
        let page = read_page(br#"{"object":"list","data":null}"#).expect("is a list");
        assert!(page.models.is_empty());
    }

    #[test]
    fn a_record_nested_beyond_reason_costs_itself() {
        let deep = format!(
            r#"{{"data":[{}1{},{{"id":"a"}}]}}"#,
            "[".repeat(99_999),
            "]".repeat(99_999)
        );
        let page = read_page(deep.as_bytes()).expect("is a list");
        assert_eq!((page.models.len(), page.skipped), (1, 1));
    }
}
