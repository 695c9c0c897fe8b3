//! `models.list` of the Gemini API, and of compatible gateways.
//!
//! <https://ai.google.dev/api/models#method:-models.list>

use super::{
    fields::Fields,
    format::{Format, RequestHead},
    google,
    rules::Rules,
};
use crate::model::{Capability, Modality, Model, RecordFlaw};

pub(super) const FORMAT: Format = Format {
    name: "gemini",
    head: RequestHead {
        path: "/v1beta/models",
        relative_path: "v1beta/models",
        stripped: &["/openai"],
        any_version: true,
        query: &[("pageSize", "1000")],
        ..RequestHead::NONE
    },
    read: |document, rules| google::read(document, "models", rules, read_record),
};

fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let name = fields.untrimmed_text("name").ok_or(RecordFlaw::NoId)?;
    let id = name.trim();
    let id = id.strip_prefix("models/").unwrap_or(id).trim();
    if id.is_empty() {
        return Err(RecordFlaw::NoId);
    }
    let methods = fields.texts("supportedGenerationMethods");
    let does = |method: &str| methods.iter().any(|other| other == method);
    let mut model = Model::new(id)
        .with_upstream_id(&*name)
        .with_context_length(fields.tokens("inputTokenLimit"))
        .with_max_output_tokens(fields.tokens("outputTokenLimit"))
        .with_capability(Capability::Reasoning, fields.flag("thinking"))
        .with_extra_fields(rules.extra_with(
            fields,
            &[(
                "supported_generation_methods",
                fields.flat_value("supportedGenerationMethods"),
            )],
        ));
    if !methods.is_empty() {
        model = model.with_capability(Capability::Chat, does("generateContent"));
    }
    if does("embedContent") {
        model = model.with_output([Modality::Embeddings]);
    }
    Ok(model.with_names(None, fields.text("displayName")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::dialect::{Dialect, NextPage};

    #[test]
    fn models_prefix_is_only_in_the_upstream_id() {
        let page = Dialect::Gemini
            .read(
                br#"{"models":[
                    {"name":"models/star-2-flash","version":"2","displayName":"Star 2 Flash","description":"d",
                     "inputTokenLimit":1048576,"outputTokenLimit":65536,"thinking":true,"temperature":1,"topP":0.95,
                     "supportedGenerationMethods":["generateContent","countTokens"]},
                    {"name":"models/star-embed","supportedGenerationMethods":["embedContent"]},
                    {"name":"posing","displayName":null,"inputTokenLimit":null,"supportedGenerationMethods":null},
                    {"displayName":"nameless"}
                ],"nextPageToken":"t+/="}"#,
            )
            .expect("is a page");
        assert_eq!(page.skipped(), 1);
        assert_eq!(page.next(), Some(&NextPage::query("pageToken", "t+/=")));
        assert_eq!(
            page.models(),
            [
                Model::new("star-2-flash")
                    .with_upstream_id("models/star-2-flash")
                    .with_display_name("Star 2 Flash")
                    .with_context_length(1_048_576)
                    .with_max_output_tokens(65_536)
                    .with_capability(Capability::Reasoning, true)
                    .with_capability(Capability::Chat, true)
                    .with_extra("version", "2")
                    .with_extra(
                        "supported_generation_methods",
                        ["generateContent", "countTokens"]
                    ),
                Model::new("star-embed")
                    .with_upstream_id("models/star-embed")
                    .with_capability(Capability::Chat, false)
                    .with_output([Modality::Embeddings])
                    .with_extra("supported_generation_methods", ["embedContent"]),
                Model::new("posing"),
            ]
        );
    }

    #[test]
    fn empty_object_is_an_empty_page() {
        for body in ["{}", r#"{"nextPageToken":""}"#, r#"{"models":[]}"#] {
            let page = Dialect::Gemini.read(body.as_bytes()).expect(body);
            assert!(page.models().is_empty() && page.next().is_none(), "{body}");
        }
        assert!(Dialect::Gemini.read(br#"{"data":[]}"#).is_err());
        let page = Dialect::Gemini.read(br#"{"nextPageToken":7}"#);
        assert_eq!(page.expect("is a page").next(), Some(&NextPage::Unknown));
    }
}
