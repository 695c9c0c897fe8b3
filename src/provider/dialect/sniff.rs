//! Detects the dialect of a document. The name of the list is not enough: six dialects name it
//! `models`, each with a different field for the id.

use super::{
    Dialect, JsonDocument,
    document::{Object, Record},
    fields::Fields,
};
use crate::error::{ListError, ListErrorKind};

/// Detects the dialect of a document that is not an error response.
pub(super) fn sniff(document: &JsonDocument<'_>) -> Result<Dialect, ListError> {
    let object = match document {
        JsonDocument::Array(_) => return Ok(Dialect::Array),
        JsonDocument::Object(object) => object,
    };
    // llama.cpp sends both `data` and `models`, a copy in Ollama's format. `data` takes
    // precedence.
    if let Some(records) = object.list("data") {
        return Ok(match first(records) {
            Some(record) => dialect_of_data(object, record),
            // Of the dialects with `has_more`, only OpenAI's has `object`.
            None if object.has("has_more") && !object.has("object") => Dialect::Anthropic,
            None => Dialect::OpenAi,
        });
    }
    let is_list = |name| object.list(name).is_some();
    if is_list("modelSummaries") {
        return Ok(Dialect::Bedrock);
    }
    if is_list("inferenceProfileSummaries") {
        return Ok(Dialect::BedrockProfiles);
    }
    if is_list("publisherModels") {
        return Ok(Dialect::Vertex);
    }
    if let Some(records) = object.list("models") {
        if records.is_empty() {
            return Ok(dialect_of_empty_models(object));
        }
        let mut dialects = records.iter().flatten().filter_map(dialect_of_models);
        return dialects.next().ok_or(ListErrorKind::NotAList.into());
    }
    if is_list("result") && object.flag("success") == Some(true) {
        return Ok(Dialect::Cloudflare);
    }
    if is_list("items") && object.has("pagination") {
        return Ok(Dialect::GpuStack);
    }
    // Whether null is an empty list is decided when the list is read.
    if object.is_null("data") {
        return Ok(Dialect::OpenAi);
    }
    if object.is_null("models") {
        return Ok(dialect_of_empty_models(object));
    }
    Err(ListErrorKind::NotAList.into())
}

/// The first record that can be read.
fn first<'r, 'a>(records: &'r [Record<'a>]) -> Option<&'r Fields<'a>> {
    records.iter().find_map(|record| record.as_ref().ok())
}

/// The dialect of a list named `data`, by one of its records.
fn dialect_of_data(object: &Object<'_>, record: &Fields<'_>) -> Dialect {
    let is = |name: &str, value: &str| record.text(name).as_deref() == Some(value);
    let dated = record.has("display_name") && record.text("created_at").is_some();
    if (is("type", "model") && dated) || (object.has("has_more") && (is("type", "model") || dated))
    {
        Dialect::Anthropic
    } else if record.has("architecture") {
        Dialect::OpenRouter
    } else if record.has("lifecycle_status") {
        Dialect::Azure
    } else if is("object", "deployment") {
        Dialect::AzureDeployments
    } else if record.has("model_name") && record.has("model_info") {
        Dialect::LiteLlm
    } else if record.has("publisher") && record.has("compatibility_type") {
        Dialect::LmStudioV0
    } else {
        Dialect::OpenAi
    }
}

/// The dialect of an empty list named `models`. It only matters for the next page.
fn dialect_of_empty_models(object: &Object<'_>) -> Dialect {
    if object.has("nextPageToken") {
        Dialect::Gemini // or Fireworks, which has the same paging
    } else if object.has("next_page_token") {
        Dialect::Cohere
    } else {
        Dialect::Ollama
    }
}

/// The dialect of a list named `models`, by one of its records.
fn dialect_of_models(record: &Fields<'_>) -> Option<Dialect> {
    let name = record.text("name").unwrap_or_default();
    Some(
        if record.has("supportedGenerationMethods") || name.starts_with("models/") {
            Dialect::Gemini
        } else if record.has("digest") || record.has("modified_at") {
            Dialect::Ollama
        } else if record.has("endpoints") || record.has("tokenizer_url") {
            Dialect::Cohere
        } else if record.has("key") {
            Dialect::LmStudio
        } else if record.has("id") {
            Dialect::XaiLanguage
        } else if name.starts_with("accounts/") {
            Dialect::Fireworks
        } else {
            return None;
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(body: &str) -> Result<&'static str, ListErrorKind> {
        match Dialect::Auto.read(body.as_bytes()) {
            Ok(page) => Ok(page.detected.expect("a dialect is detected").name()),
            Err(error) => Err(error.kind()),
        }
    }

    #[test]
    fn auto_detects_each_dialect() {
        for (body, dialect) in [
            (r#"{"object":"list","data":[{"id":"a"}]}"#, "openai"),
            (r#"{"data":[]}"#, "openai"),
            (r#"{"data":null,"object":"list"}"#, "openai"),
            (r#"{"data":[],"has_more":true,"last_id":"a"}"#, "anthropic"),
            (r#"{"object":"list","data":[],"has_more":false}"#, "openai"),
            (r#"{"data":[{"id":"a","max_model_len":8192}]}"#, "openai"),
            (r#"{"data":[7,{"id":"a","architecture":{}}]}"#, "openrouter"),
            (
                r#"{"data":[{"type":"model","id":"a"}],"has_more":false}"#,
                "anthropic",
            ),
            (
                r#"{"data":[{"id":"a","display_name":"A","created_at":"2026-01-01T00:00:00Z"}],"has_more":true,"last_id":"a"}"#,
                "anthropic",
            ),
            (
                r#"{"data":[{"type":"model","id":"a","display_name":"A","created_at":"2026-01-01T00:00:00Z"}]}"#,
                "anthropic",
            ),
            (
                r#"{"object":"list","data":[{"id":"a","object":"model","owned_by":"system"}],"has_more":false}"#,
                "openai",
            ),
            (
                r#"{"data":[{"id":"a","lifecycle_status":"preview"}]}"#,
                "azure",
            ),
            (
                r#"{"data":[{"id":"a","object":"deployment","model":"b"}]}"#,
                "azure-deployments",
            ),
            (
                r#"{"data":[{"model_name":"a","model_info":{}}]}"#,
                "litellm",
            ),
            (
                r#"{"data":[{"id":"a","publisher":"p","compatibility_type":"gguf"}]}"#,
                "lmstudio-v0",
            ),
            (
                r#"{"models":[{"name":"m.gguf","digest":"","modified_at":""}],"object":"list","data":[{"id":"m.gguf"}]}"#,
                "openai",
            ),
            (r#"[{"id":"a"}]"#, "array"),
            ("[]", "array"),
            (r#"{"modelSummaries":[{"modelId":"a"}]}"#, "bedrock"),
            (
                r#"{"inferenceProfileSummaries":[{"inferenceProfileId":"a"}]}"#,
                "bedrock-profiles",
            ),
            (
                r#"{"publisherModels":[{"name":"publishers/p/models/a"}]}"#,
                "vertex",
            ),
            (r#"{"models":[{"name":"models/a"}]}"#, "gemini"),
            (
                r#"{"models":[{"name":"a","supportedGenerationMethods":[]}]}"#,
                "gemini",
            ),
            (r#"{"models":[{"name":"a","digest":"d"}]}"#, "ollama"),
            (r#"{"data":[{"id":"a","publisher":"p"}]}"#, "openai"),
            (r#"{"models":[]}"#, "ollama"),
            (r#"{"models":[],"nextPageToken":"x"}"#, "gemini"),
            (r#"{"models":[],"next_page_token":"x"}"#, "cohere"),
            (
                r#"{"models":[{"name":"a","endpoints":["chat"]}]}"#,
                "cohere",
            ),
            (r#"{"models":null,"object":"list"}"#, "ollama"),
            (
                r#"{"models":[7,{},{"name":"a"},{"name":"b","digest":"d"}]}"#,
                "ollama",
            ),
            (r#"{"models":[{"key":"a"}]}"#, "lmstudio"),
            (r#"{"models":[{"id":"a"}]}"#, "xai-language"),
            (
                r#"{"models":[{"name":"accounts/o/models/a"}]}"#,
                "fireworks",
            ),
            (
                r#"{"success":true,"result":[{"name":"@cf/a"}]}"#,
                "cloudflare",
            ),
            (
                r#"{"items":[{"name":"a"}],"pagination":{"page":1}}"#,
                "gpustack",
            ),
        ] {
            assert_eq!(detect(body), Ok(dialect), "{body}");
        }
    }

    #[test]
    fn auto_rejects_unknown_formats_and_errors() {
        use ListErrorKind::{NotAList, NotJson, Refused};
        for (body, kind) in [
            ("", NotJson),
            ("<html>", NotJson),
            ("7", NotAList),
            ("{}", NotAList),
            (r#"{"data":{}}"#, NotAList),
            (r#"{"data":null}"#, NotAList),
            (r#"{"models":null}"#, NotAList),
            (r#"{"models":[{"name":"a"}]}"#, NotAList),
            (r#"{"models":[7]}"#, NotAList),
            (r#"{"models":{"a":{"id":"a"}}}"#, NotAList),
            (r#"{"stt":[{"name":"a"}],"tts":[{"name":"b"}]}"#, NotAList),
            (r#"{"p":{"id":"p","models":{"a":{"id":"a"}}}}"#, NotAList),
            (r#"{"result":[{"name":"a"}]}"#, NotAList),
            (r#"{"items":[{"name":"a"}]}"#, NotAList),
            (r#"{"error":"no"}"#, Refused),
            (r#"{"error":{"message":"no"},"data":[{"id":"a"}]}"#, Refused),
            (
                r#"{"code":401,"reason":"Unauthorized","message":"no"}"#,
                Refused,
            ),
            (r#"{"success":false,"result":[]}"#, Refused),
            (r#"[{"error":{"code":403}}]"#, Refused),
        ] {
            assert_eq!(detect(body), Err(kind), "{body}");
        }
    }
}
