//! Gemini's dialect: the list, its pages, its records and its errors.
//!
//! <https://ai.google.dev/api/models>. A model's name is its id with the prefix `models/`.

use std::fmt;

use http::StatusCode;
use serde::{Serialize, Serializer};

use super::{ErrorResponse, ListedId, Record, anthropic::DisplayName, to_json, write_json};
use crate::model::{Capability, Modality, Model};

/// Appends the start of a page, up to its first record. `next` is the token of the next
/// page.
pub(super) fn open(out: &mut Vec<u8>, next: Option<&str>) {
    out.push(b'{');
    if let Some(token) = next {
        out.extend_from_slice(br#""nextPageToken":"#);
        write_json(out, &token);
        out.push(b',');
    }
    out.extend_from_slice(br#""models":["#);
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiModel<'a> {
    name: Name<'a>,
    version: &'a str,
    display_name: DisplayName<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_token_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_token_limit: Option<u64>,
    supported_generation_methods: Methods<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<bool>,
}

struct Name<'a>(ListedId<'a>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "models/{}", self.0)
    }
}

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The methods of a model: as Gemini itself reports them, or derived from the output.
/// Clients list only models with `generateContent`, so an unknown model has it.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Methods<'a> {
    Stated(Vec<&'a str>),
    Known(&'static [&'static str]),
}

impl<'a> Methods<'a> {
    fn of(model: &'a Model) -> Self {
        let stated = model.extra("supported_generation_methods");
        let stated = stated.and_then(|text| serde_json::from_str(text).ok());
        if let Some(methods) = stated {
            return Self::Stated(methods);
        }
        let output = model.output();
        let only = |modality| output.contains(modality) && output.iter().count() == 1;
        Self::Known(if only(Modality::Embeddings) {
            &["embedContent"]
        } else {
            &["generateContent", "countTokens"]
        })
    }
}

/// Appends one record.
pub(super) fn write(out: &mut Vec<u8>, record: &Record<'_>) {
    let model = record.model;
    let version = model.extra("version");
    let version = version.and_then(|text| serde_json::from_str(text).ok());
    let record = GeminiModel {
        name: Name(record.id),
        version: version.unwrap_or(""),
        display_name: DisplayName::of(record),
        input_token_limit: model.input_limit(),
        output_token_limit: model.max_output_tokens(),
        supported_generation_methods: Methods::of(model),
        thinking: model.capabilities().get(Capability::Reasoning),
    };
    write_json(out, &record);
}

#[derive(Serialize)]
struct Failure<'a> {
    error: FailureBody<'a>,
}

#[derive(Serialize)]
struct FailureBody<'a> {
    code: u16,
    message: &'a str,
    status: &'static str,
}

pub(super) fn problem(problem: &ErrorResponse<'_>) -> Vec<u8> {
    let message = match problem {
        ErrorResponse::NotFound(id) => format!("models/{id} is not found for this API version."),
        other => other.message(),
    };
    let status = problem.status();
    to_json(&Failure {
        error: FailureBody {
            code: status.as_u16(),
            message: &message,
            status: status_name(status),
        },
    })
}

/// The name of a status in Google's APIs (`google.rpc.Code`).
fn status_name(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
        StatusCode::FORBIDDEN => "PERMISSION_DENIED",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
        StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        status if status.is_client_error() => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}
