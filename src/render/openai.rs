//! The OpenAI envelope, its records and its errors.
//!
//! <https://platform.openai.com/docs/api-reference/models/object>: strict typed
//! clients want every field of the four, `created` within 32 bits included.

use serde::Serialize;

use super::ListedId;
use crate::model::{Capabilities, Deprecation, Modalities, Model, Prices};

/// What stands before the first record of a list, and after the last.
pub(crate) const ENVELOPE: (&[u8], &[u8]) = (br#"{"object":"list","data":["#, b"]}");

#[derive(Serialize)]
struct Record<'a> {
    id: ListedId<'a>,
    object: &'static str,
    created: u32,
    owned_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
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

/// Where most clients look for modalities: in OpenRouter's place.
#[derive(Serialize)]
struct Architecture {
    #[serde(skip_serializing_if = "Modalities::is_empty")]
    input_modalities: Modalities,
    #[serde(skip_serializing_if = "Modalities::is_empty")]
    output_modalities: Modalities,
}

/// Appends one record. `owner` stands in where the model's is not known.
pub(crate) fn write_model(out: &mut Vec<u8>, prefix: Option<&str>, owner: &str, model: &Model) {
    let (input_modalities, output_modalities) = (model.input(), model.output());
    let shaped = !input_modalities.is_empty() || !output_modalities.is_empty();
    let deprecation = model.deprecation();
    let record = Record {
        id: ListedId {
            prefix,
            id: model.id(),
        },
        object: "model",
        created: model.created().unwrap_or(0),
        owned_by: model.owned_by().unwrap_or(owner),
        name: model.display_name(),
        context_length: model.context_length(),
        max_output_tokens: model.max_output_tokens(),
        architecture: shaped.then_some(Architecture {
            input_modalities,
            output_modalities,
        }),
        capabilities: model.capabilities(),
        pricing: model.prices(),
        deprecated: deprecation.filter(|end| !end.is_dated()).map(|_| true),
        deprecation_date: deprecation.filter(|end| end.is_dated()),
    };
    serde_json::to_writer(&mut *out, &record).expect("plain values always serialise");
    let extra = model.extra_members();
    if !extra.is_empty() {
        out.pop(); // the brace
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

fn failure(error: FailureBody<'_>) -> Vec<u8> {
    serde_json::to_vec(&Failure { error }).expect("plain strings always serialise")
}

/// The error for an id that is not listed.
pub(crate) fn not_found(id: &str) -> Vec<u8> {
    failure(FailureBody {
        message: &format!("The model `{id}` does not exist or you do not have access to it."),
        r#type: "invalid_request_error",
        param: Some("model"),
        code: Some("model_not_found"),
    })
}

/// The error while there is nothing to list.
pub(crate) fn unavailable() -> Vec<u8> {
    failure(FailureBody {
        message: "The list of models is not available yet. Please try again.",
        r#type: "server_error",
        param: None,
        code: Some("models_unavailable"),
    })
}

/// The error for a client that refuses every coding there is.
pub(crate) fn not_acceptable() -> Vec<u8> {
    failure(FailureBody {
        message: "The list of models is available as identity, gzip, zstd and br.",
        r#type: "invalid_request_error",
        param: None,
        code: Some("not_acceptable"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(prefix: Option<&str>, model: &Model) -> String {
        let mut out = Vec::new();
        write_model(&mut out, prefix, "somebody", model);
        String::from_utf8(out).expect("is UTF-8")
    }

    #[test]
    fn a_record_has_the_four_fields_and_what_else_is_known() {
        assert_eq!(
            rendered(Some("p"), &Model::new("a")),
            r#"{"id":"p/a","object":"model","created":0,"owned_by":"somebody"}"#
        );
        let model = Model::new("q\"\\ü")
            .with_created(7)
            .with_owned_by("me")
            .with_display_name("Q")
            .with_context_length(8)
            .with_max_output_tokens(9);
        assert_eq!(
            rendered(None, &model),
            r#"{"id":"q\"\\ü","object":"model","created":7,"owned_by":"me","name":"Q","context_length":8,"max_output_tokens":9}"#
        );
    }

    #[test]
    fn errors_have_the_form_that_clients_raise_from() {
        let error: serde_json::Value = serde_json::from_slice(&not_found("x\"y")).expect("is JSON");
        assert_eq!(error["error"]["code"], "model_not_found");
        assert_eq!(error["error"]["type"], "invalid_request_error");
        assert!(
            error["error"]["message"]
                .as_str()
                .expect("is text")
                .contains("x\"y")
        );
        let error: serde_json::Value = serde_json::from_slice(&unavailable()).expect("is JSON");
        assert_eq!(error["error"]["param"], serde_json::Value::Null);
    }
}
