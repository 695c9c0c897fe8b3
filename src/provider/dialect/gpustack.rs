//! The models of a GPUStack server, in its own form: `items`, in numbered pages. Only
//! what is meant for clients is read: records hold paths, environments and arguments.
//!
//! <https://docs.gpustack.ai/>

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::{ModelPage, NextPage, Numbers},
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
        below: "models",
        query: &[("perPage", "100")],
        ..RequestHead::NONE
    },
    read,
};

const NUMBERS: Numbers = Numbers {
    size: "perPage",
    pages: "totalPage",
    all: "total",
};

fn read(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let mut object = document.object()?;
    let records = object.take("items")?;
    let next = object
        .object("pagination")
        .and_then(|info| NextPage::by_number(info, &NUMBERS, records.len()));
    Ok(ModelPage::of_records(records, rules, read_record).with_next(next))
}

/// The id of a record is a number; a model is called by its name.
fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let meta = fields.object("meta").unwrap_or_default();
    let created = fields.moment("created_at");
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
    let those = |set: &[(bool, Modality)]| {
        let those = set.iter().filter(|(has, _)| *has);
        Modalities::from_iter(those.map(|(_, modality)| *modality))
    };
    Ok(fields
        .model("name")?
        .with_created(rules.created(created))
        .with_context_length(meta.first_tokens(&["n_ctx", "max_model_len"]))
        .with_input(those(&input))
        .with_output(those(&output))
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
    fn a_model_goes_by_its_name_and_pages_by_numbers() {
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
    fn what_a_record_leaks_is_not_listed_even_when_all_is_wanted() {
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
