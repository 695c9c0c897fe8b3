//! OpenAI's dialect: the list, its records and its errors.
//!
//! <https://platform.openai.com/docs/api-reference/models/object>. Strictly typed clients
//! require all four fields, and a `created` that fits into 32 bits.

use http::StatusCode;
use serde::Serialize;

use super::{ErrorResponse, ListedId, Record, to_json, write_json};
use crate::model::{Capabilities, Deprecation, Modalities, Prices};

/// The start of a list, up to its first record, and its end.
pub(super) const ENVELOPE: (&[u8], &[u8]) = (br#"{"object":"list","data":["#, b"]}");

#[derive(Serialize)]
struct OpenAiModel<'a> {
    id: ListedId<'a>,
    object: &'static str,
    created: u32,
    owned_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_weights: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<Architecture>,
    #[serde(skip_serializing_if = "Capabilities::is_empty")]
    capabilities: Capabilities,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<&'a Prices>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecation_date: Option<Deprecation>,
}

/// Modalities are rendered as OpenRouter does, where most clients look for them.
#[derive(Serialize)]
struct Architecture {
    #[serde(skip_serializing_if = "Modalities::is_empty")]
    input_modalities: Modalities,
    #[serde(skip_serializing_if = "Modalities::is_empty")]
    output_modalities: Modalities,
}

/// Appends one record.
pub(super) fn write(out: &mut Vec<u8>, record: &Record<'_>) {
    let Record { id, owner, model } = *record;
    let (input_modalities, output_modalities) = (model.input(), model.output());
    let shaped = !input_modalities.is_empty() || !output_modalities.is_empty();
    let deprecation = model.deprecation();
    let record = OpenAiModel {
        id,
        object: "model",
        created: model.created().unwrap_or(0),
        owned_by: model.owned_by().unwrap_or(owner),
        name: model.display_name(),
        context_length: model.context_length(),
        max_input_tokens: model.input_limit(),
        max_output_tokens: model.max_output_tokens(),
        family: model.family(),
        open_weights: model.open_weights(),
        architecture: shaped.then_some(Architecture {
            input_modalities,
            output_modalities,
        }),
        capabilities: model.capabilities(),
        pricing: model.prices(),
        deprecated: deprecation.filter(|end| !end.is_dated()).map(|_| true),
        deprecation_date: deprecation.filter(|end| end.is_dated()),
    };
    write_json(out, &record);
    let extra = model.extra_members();
    if !extra.is_empty() {
        out.pop(); // the closing brace
        out.push(b',');
        out.extend_from_slice(extra.as_bytes());
        out.push(b'}');
    }
}

#[derive(Serialize)]
struct Failure<'a> {
    error: FailureBody<'a>,
}

#[derive(Serialize)]
struct FailureBody<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

pub(super) fn problem(problem: &ErrorResponse<'_>) -> Vec<u8> {
    let (param, code) = match problem {
        ErrorResponse::NotFound(_) => (Some("model"), Some("model_not_found")),
        ErrorResponse::Unavailable | ErrorResponse::Stopped => (None, Some("models_unavailable")),
        ErrorResponse::NotAcceptable => (None, Some("not_acceptable")),
        ErrorResponse::Denied(StatusCode::UNAUTHORIZED) => (None, Some("invalid_api_key")),
        ErrorResponse::Denied(_) | ErrorResponse::NoView => (None, None),
        ErrorResponse::PageToken => (Some("after"), None),
        ErrorResponse::NoModel => (Some("model"), None),
    };
    let status = problem.status();
    let error = FailureBody {
        message: &problem.message(),
        r#type: match status.is_client_error() {
            true => "invalid_request_error",
            false => "server_error",
        },
        param,
        code,
    };
    to_json(&Failure { error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    fn rendered(prefix: Option<&str>, model: &Model) -> String {
        let mut out = Vec::new();
        let record = Record {
            id: ListedId::new(prefix, model.id()),
            owner: "owner",
            model,
        };
        write(&mut out, &record);
        String::from_utf8(out).expect("is UTF-8")
    }

    #[test]
    fn records_have_four_fields_and_known_others() {
        assert_eq!(
            rendered(Some("p"), &Model::new("a")),
            r#"{"id":"p/a","object":"model","created":0,"owned_by":"owner"}"#
        );
        let model = Model::new("q\"\\ü")
            .with_created(7)
            .with_owned_by("me")
            .with_display_name("Q")
            .with_context_length(8)
            .with_max_output_tokens(9)
            .with_family("q")
            .with_open_weights(true);
        assert_eq!(
            rendered(None, &model),
            r#"{"id":"q\"\\ü","object":"model","created":7,"owned_by":"me","name":"Q","context_length":8,"max_input_tokens":8,"max_output_tokens":9,"family":"q","open_weights":true}"#
        );
    }

    #[test]
    fn errors_have_the_fields_that_clients_read() {
        let error: serde_json::Value =
            serde_json::from_slice(&problem(&ErrorResponse::NotFound("x\"y"))).expect("is JSON");
        assert_eq!(error["error"]["code"], "model_not_found");
        assert_eq!(error["error"]["type"], "invalid_request_error");
        assert!(
            error["error"]["message"]
                .as_str()
                .expect("is text")
                .contains("x\"y")
        );
        let error: serde_json::Value =
            serde_json::from_slice(&problem(&ErrorResponse::Unavailable)).expect("is JSON");
        assert_eq!(error["error"]["param"], serde_json::Value::Null);
    }
}
