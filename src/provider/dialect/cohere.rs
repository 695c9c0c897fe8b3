//! `GET /v1/models` of the Cohere API.
//!
//! <https://docs.cohere.com/reference/list-models>

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::ModelPage,
    rules::Rules,
};
use crate::{
    error::ListError,
    model::{Capability, Deprecation, Modalities, Modality, Model, RecordFlaw},
};

pub(super) const FORMAT: Format = Format {
    name: "cohere",
    head: RequestHead {
        path: "/v1/models",
        relative_path: "v1/models",
        stripped: &["/compatibility/v1", "/v2"],
        query: &[("page_size", "1000")],
        ..RequestHead::NONE
    },
    read,
};

fn read(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let mut object = document.object()?;
    let next = object.next_by_token("next_page_token", "page_token");
    let records = object.take("models")?;
    Ok(ModelPage::from_records(records, rules, read_record).with_next(next))
}

fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let endpoints = fields.texts("endpoints");
    let serves = |endpoint: &str| endpoints.iter().any(|other| other == endpoint);
    let output = [
        ("embed", Modality::Embeddings),
        ("rerank", Modality::Rerank),
    ];
    let output = output.into_iter().filter(|(endpoint, _)| serves(endpoint));
    let features = fields.texts("features");
    let tools = features.iter().any(|feature| feature == "tools");
    let mut model = fields
        .model("name")?
        .with_context_length(fields.tokens("context_length"))
        .with_output(Modalities::from_iter(output.map(|(_, modality)| modality)))
        .with_capability(Capability::Tools, tools.then_some(true))
        .with_deprecation(
            (fields.flag("is_deprecated") == Some(true)).then_some(Deprecation::UNDATED),
        )
        .with_extra_fields(rules.extra(fields));
    if !endpoints.is_empty() {
        model = model.with_capability(Capability::Chat, serves("chat"));
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::dialect::{Dialect, NextPage};

    #[test]
    fn endpoints_determine_capabilities() {
        let page = Dialect::Cohere
            .read(
                br#"{"models":[
                    {"name":"star-a","is_deprecated":false,"endpoints":["chat"],"finetuned":false,
                     "context_length":288000.0,"tokenizer_url":"https://x","features":["tools"]},
                    {"name":"star-embed","is_deprecated":true,"endpoints":["embed","classify"],"features":null}
                ],"next_page_token":"AAA"}"#,
            )
            .expect("is a page");
        assert_eq!(page.next(), Some(&NextPage::query("page_token", "AAA")));
        assert_eq!(
            page.models(),
            [
                Model::new("star-a")
                    .with_context_length(288_000)
                    .with_capability(Capability::Chat, true)
                    .with_capability(Capability::Tools, true)
                    .with_extra("endpoints", ["chat"])
                    .with_extra("features", ["tools"]),
                Model::new("star-embed")
                    .with_capability(Capability::Chat, false)
                    .with_output([Modality::Embeddings])
                    .with_deprecation(Deprecation::UNDATED)
                    .with_extra("endpoints", ["embed", "classify"]),
            ]
        );
    }
}
