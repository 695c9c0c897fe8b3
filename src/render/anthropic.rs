//! Anthropic's dialect: the list, its pages, its records and its errors.
//!
//! <https://platform.claude.com/docs/en/api/models-list>, with the fields of the SDKs of
//! 2026. Unknown values are left out. `capabilities` is always left out, because clients
//! require all of its members or none.

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::{ErrorResponse, ListedId, Record, to_json, write_json};
use crate::model::Model;

#[derive(Serialize)]
struct PageHead<'a> {
    first_id: Option<ListedId<'a>>,
    last_id: Option<ListedId<'a>>,
    has_more: bool,
}

/// Appends the start of a page, up to its first record. `ends` are its first and last id.
pub(super) fn open(out: &mut Vec<u8>, ends: Option<(ListedId<'_>, ListedId<'_>)>, has_more: bool) {
    let head = PageHead {
        first_id: ends.map(|(first, _)| first),
        last_id: ends.map(|(_, last)| last),
        has_more,
    };
    write_json(out, &head);
    out.pop(); // the closing brace
    out.extend_from_slice(br#","data":["#);
}

#[derive(Serialize)]
struct AnthropicModel<'a> {
    r#type: &'static str,
    id: ListedId<'a>,
    display_name: DisplayName<'a>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    lifecycle: &'static str,
}

/// Always present. The id, if there is no display name.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum DisplayName<'a> {
    Own(&'a str),
    Id(ListedId<'a>),
}

impl<'a> DisplayName<'a> {
    pub(super) fn of(record: &Record<'a>) -> Self {
        match record.model.display_name() {
            Some(name) => Self::Own(name),
            None => Self::Id(record.id),
        }
    }
}

/// The `lifecycle` of a model. A model with an end date is deprecated both before and after
/// that date, so equal models have equal bytes on every day. Only a model whose provider
/// reports `retired` is retired.
fn lifecycle(model: &Model) -> &'static str {
    match (model.extra("lifecycle"), model.deprecation()) {
        (Some(r#""retired""#), _) => "retired",
        (_, Some(_)) => "deprecated",
        (_, None) => "active",
    }
}

/// Appends one record.
pub(super) fn write(out: &mut Vec<u8>, record: &Record<'_>) {
    let model = record.model;
    let record = AnthropicModel {
        r#type: "model",
        id: record.id,
        display_name: DisplayName::of(record),
        // Anthropic also uses the epoch if the date is not known.
        created_at: Timestamp::from_second(model.created().unwrap_or(0).into())
            .expect("32 bits are within the years that there are"),
        max_input_tokens: model.input_limit(),
        max_tokens: model.max_output_tokens(),
        lifecycle: lifecycle(model),
    };
    write_json(out, &record);
}

#[derive(Serialize)]
struct Failure<'a> {
    r#type: &'static str,
    error: FailureBody<'a>,
}

#[derive(Serialize)]
struct FailureBody<'a> {
    r#type: &'static str,
    message: &'a str,
}

pub(super) fn problem(problem: &ErrorResponse<'_>) -> Vec<u8> {
    let message = match problem {
        ErrorResponse::NotFound(id) => format!("model: {id}"),
        other => other.message(),
    };
    let r#type = match problem.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "api_error",
    };
    to_json(&Failure {
        r#type: "error",
        error: FailureBody {
            r#type,
            message: &message,
        },
    })
}
