//! The native API of LM Studio, versions 0 and 1.
//!
//! <https://lmstudio.ai/docs/developer/rest>

use super::{
    fields::Fields,
    format::{Format, RequestHead},
    page::ModelPage,
    rules::Rules,
};
use crate::model::{Capability, Modality, Model, RecordFlaw};

pub(super) const V0: Format = Format {
    name: "lmstudio-v0",
    head: RequestHead {
        path: "/api/v0/models",
        relative_path: "api/v0/models",
        stripped: &["/api/v1", "/v1"],
        ..RequestHead::NONE
    },
    read: |document, rules| {
        let records = document.object()?.take("data")?;
        Ok(ModelPage::from_records(records, rules, read_v0))
    },
};

pub(super) const V1: Format = Format {
    name: "lmstudio",
    head: RequestHead {
        path: "/api/v1/models",
        relative_path: "api/v1/models",
        stripped: &["/api/v0", "/v1"],
        ..RequestHead::NONE
    },
    read: |document, rules| {
        let records = document.object()?.take("models")?;
        Ok(ModelPage::from_records(records, rules, read_v1))
    },
};

/// The context length is that of the model, not of a loaded instance: instances come and go, and
/// LM Studio loads a model on request.
fn read_v0(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let model = fields
        .model("id")?
        .with_names(fields.text("publisher"), None)
        .with_context_length(fields.tokens("max_context_length"))
        .with_extra_fields(rules.extra(fields));
    Ok(typed(model, fields))
}

fn read_v1(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let can = fields.object("capabilities").unwrap_or_default();
    let quantization = fields.object("quantization").unwrap_or_default();
    let quantization = [("quantization", quantization.flat_value("name"))];
    let model = fields
        .model("key")?
        .with_names(fields.text("publisher"), fields.text("display_name"))
        .with_context_length(fields.tokens("max_context_length"))
        .with_capability(Capability::Tools, can.flag("trained_for_tool_use"))
        .with_capability(Capability::Reasoning, can.flag("reasoning"))
        .with_vision(can.flag("vision"))
        .with_extra_fields(rules.extra_with(fields, &quantization));
    Ok(typed(model, fields))
}

fn typed(model: Model, fields: &Fields<'_>) -> Model {
    match fields.text("type").as_deref() {
        Some("vlm") => model.with_vision(Some(true)),
        Some("embedding" | "embeddings") => model.with_output([Modality::Embeddings]),
        _ => model,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::dialect::Dialect;

    #[test]
    fn v0_records_are_read() {
        let page = Dialect::LmStudioV0
            .read(
                br#"{"data":[{"id":"star-4b-mlx","object":"model","type":"vlm","publisher":"community",
                    "arch":"star","compatibility_type":"mlx","quantization":"4bit","state":"loaded",
                    "max_context_length":32768,"loaded_context_length":4096}],"object":"list"}"#,
            )
            .expect("is a page");
        let expected = Model::new("star-4b-mlx")
            .with_owned_by("community")
            .with_context_length(32_768)
            .with_input([Modality::Text, Modality::Image])
            .with_extra("type", "vlm")
            .with_extra("quantization", "4bit");
        assert_eq!(page.models(), [expected]);
    }

    #[test]
    fn v1_keys_are_ids() {
        let page = Dialect::LmStudio
            .read(
                br#"{"models":[
                    {"type":"llm","publisher":"org","key":"org/star","display_name":"Star","architecture":"star",
                     "quantization":{"name":"Q4_K_M","bits_per_weight":4},"size_bytes":123,"max_context_length":131072,
                     "format":"gguf","loaded_instances":[{"id":"x","config":{"context_length":8192}}],
                     "capabilities":{"vision":true,"trained_for_tool_use":false}},
                    {"type":"embedding","key":"embed","quantization":null},
                    {"type":"llm","id":"keyless"}
                ]}"#,
            )
            .expect("is a page");
        assert_eq!(page.skipped(), 1);
        assert_eq!(
            page.models(),
            [
                Model::new("org/star")
                    .with_owned_by("org")
                    .with_display_name("Star")
                    .with_context_length(131_072)
                    .with_input([Modality::Text, Modality::Image])
                    .with_capability(Capability::Tools, false)
                    .with_extra("type", "llm")
                    .with_extra("quantization", "Q4_K_M"),
                Model::new("embed")
                    .with_output([Modality::Embeddings])
                    .with_extra("type", "embedding"),
            ]
        );
    }
}
