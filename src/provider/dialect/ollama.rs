//! `GET /api/tags` of Ollama.
//!
//! <https://github.com/ollama/ollama/blob/main/docs/api.md#list-local-models>

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::ModelPage,
    rules::Rules,
};
use crate::{
    error::ListError,
    model::{Capability, Modality, Model, RecordFlaw},
};

pub(super) const FORMAT: Format = Format {
    name: "ollama",
    head: RequestHead {
        path: "/api/tags",
        relative_path: "api/tags",
        stripped: &["/v1"],
        ..RequestHead::NONE
    },
    read,
};

fn read(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let records = document.object()?.take("models")?;
    Ok(ModelPage::from_records(records, rules, read_record))
}

fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let details = fields.object("details").unwrap_or_default();
    let capabilities = fields.texts("capabilities");
    let can = |name: &str| capabilities.iter().any(|other| other == name);
    let modified = fields.timestamp("modified_at");
    let mut model = (fields.model("name"))
        .or_else(|_| fields.model("model"))?
        .with_created(rules.created(modified))
        .with_extra_fields(rules.extra_with(
            fields,
            &[
                ("parameter_size", details.flat_value("parameter_size")),
                ("quantization", details.flat_value("quantization_level")),
            ],
        ));
    if let Some(family) = details.text("family") {
        model = model.with_family(family);
    }
    if !capabilities.is_empty() {
        model = model
            .with_capability(Capability::Chat, can("completion"))
            .with_capability(Capability::Tools, can("tools"))
            .with_capability(Capability::Reasoning, can("thinking"));
    }
    model = model.with_vision(Some(can("vision")));
    if can("embedding") {
        model = model.with_output([Modality::Embeddings]);
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::dialect::Dialect;

    #[test]
    fn names_are_ids_and_modified_at_is_created() {
        let page = Dialect::Ollama
            .read(
                br#"{"models":[
                    {"name":"star:35b-q8","model":"star:35b-q8","modified_at":"2026-04-16T13:56:31.2489145-04:00",
                     "size":38696967047,"digest":"0218","details":{"format":"gguf","family":"starmoe",
                     "families":["starmoe"],"parameter_size":"36.0B","quantization_level":"Q8_0"}},
                    {"model":"moon:latest","modified_at":"","size":"","capabilities":["completion","vision"]},
                    {"name":"embed:latest","capabilities":["embedding"]}
                ]}"#,
            )
            .expect("is a page");
        assert_eq!(
            page.models(),
            [
                Model::new("star:35b-q8")
                    .with_created(1_776_362_191)
                    .with_family("starmoe")
                    .with_extra("parameter_size", "36.0B")
                    .with_extra("quantization", "Q8_0"),
                Model::new("moon:latest")
                    .with_input([Modality::Text, Modality::Image])
                    .with_capability(Capability::Chat, true)
                    .with_capability(Capability::Tools, false)
                    .with_capability(Capability::Reasoning, false),
                Model::new("embed:latest")
                    .with_output([Modality::Embeddings])
                    .with_capability(Capability::Chat, false)
                    .with_capability(Capability::Tools, false)
                    .with_capability(Capability::Reasoning, false),
            ]
        );
    }
}
