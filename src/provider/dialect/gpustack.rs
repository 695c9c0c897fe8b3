//! The native list of a GPUStack server: `items`, in numbered pages. Only fields meant for
//! clients are read: records also contain paths, environment variables and arguments.
//!
//! <https://docs.gpustack.ai/>

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::{ModelPage, NextPage, PageFields},
    rules::Rules,
};
use crate::{
    error::ListError,
    model::{Capability, Modalities, Modality, Model, RecordFlaw},
};

pub(super) const FORMAT: Format = Format {
    name: "gpustack",
    head: RequestHead {
        path: "/v1/models",
        relative_path: "models",
        query: &[("perPage", "100")],
        ..RequestHead::NONE
    },
    read,
};

const PAGE_FIELDS: PageFields = PageFields {
    size: "perPage",
    pages: "totalPage",
    all: "total",
};

fn read(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let mut object = document.object()?;
    let records = object.take("items")?;
    let next = object
        .object("pagination")
        .and_then(|info| NextPage::by_number(info, &PAGE_FIELDS, records.len()));
    Ok(ModelPage::from_records(records, rules, read_record).with_next(next))
}

/// Requests name a model by its name. The id of a record is a number.
fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let meta = fields.object("meta").unwrap_or_default();
    let created = fields.timestamp("created_at");
    let is = |category: &str| fields.texts("categories").iter().any(|of| of == category);
    let supports = |name: &str| meta.flag(name) == Some(true);
    let (image, audio) = (supports("support_vision"), supports("support_audio"));
    let input = [
        (image || audio, Modality::Text),
        (image, Modality::Image),
        (audio, Modality::Audio),
    ];
    let output = [
        (is("llm"), Modality::Text),
        (is("embedding"), Modality::Embeddings),
        (is("reranker"), Modality::Rerank),
        (is("image"), Modality::Image),
        (is("text_to_speech"), Modality::Speech),
        (is("speech_to_text"), Modality::Transcription),
    ];
    let selected = |set: &[(bool, Modality)]| {
        let selected = set.iter().filter(|(has, _)| *has);
        Modalities::from_iter(selected.map(|(_, modality)| *modality))
    };
    Ok(fields
        .model("name")?
        .with_created(rules.created(created))
        .with_context_length(meta.first_tokens(&["n_ctx", "max_model_len"]))
        .with_input(selected(&input))
        .with_output(selected(&output))
        .with_capability(Capability::Tools, meta.flag("support_tool_calls"))
        .with_capability(Capability::Reasoning, meta.flag("support_reasoning"))
        .with_extra_fields(rules.extra(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::dialect::{Dialect, ExtraFields};

    const PAGE: &[u8] = br#"{"items":[{"source":"huggingface","huggingface_filename":"*-Q4*.gguf","local_path":"/srv/m",
        "name":"star3","description":"","id":1,"created_at":"2025-11-02T10:00:00Z","updated_at":"2026-01-13T10:00:00Z",
        "meta":{"n_ctx":8192,"n_ctx_train":40960,"support_vision":true,"support_tool_calls":true,"support_reasoning":false},"categories":["llm"],"replicas":1,
        "backend_parameters":["--api-key=hunter2"],"env":{"KEY":"hunter2"}}],
        "pagination":{"page":1,"perPage":100,"total":101,"totalPage":2}}"#;

    #[test]
    fn names_are_ids_and_pages_are_numbered() {
        let page = Dialect::GpuStack.read(PAGE).expect("is a page");
        let expected = Model::new("star3")
            .with_created(1_762_077_600)
            .with_context_length(8192)
            .with_input([Modality::Text, Modality::Image])
            .with_output([Modality::Text])
            .with_capability(Capability::Tools, true)
            .with_capability(Capability::Reasoning, false);
        assert_eq!(page.models(), [expected]);
        assert_eq!(page.next(), Some(&NextPage::query("page", "2")));
    }

    #[test]
    fn secrets_are_not_served_with_all_fields() {
        let rules = Rules {
            extra: ExtraFields::All,
            ..Rules::default()
        };
        let page = Dialect::GpuStack
            .read_page(PAGE, &rules)
            .expect("is a page");
        let model = &page.models()[0];
        assert_eq!(model.extra("replicas"), Some("1"));
        let extra = model.extra_members();
        assert!(
            !extra.contains("hunter2") && !extra.contains("/srv"),
            "{extra}"
        );
    }
}
