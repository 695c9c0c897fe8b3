//! `GET /v1/models` of the Anthropic API.
//!
//! <https://platform.claude.com/docs/en/api/models-list>

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::{ModelPage, NextPage},
    rules::Rules,
};
use crate::{
    error::ListError,
    model::{Capability, Deprecation, Modalities, Modality, Model, RecordFlaw},
};

pub(super) const FORMAT: Format = Format {
    name: "anthropic",
    head: RequestHead {
        path: "/v1/models",
        relative_path: "v1/models",
        query: &[("limit", "1000")],
        headers: &[("anthropic-version", "2023-06-01")],
        ..RequestHead::NONE
    },
    read,
};

fn read(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let mut object = document.object()?;
    let next = (object.flag("has_more") == Some(true)).then(|| match object.text("last_id") {
        Some(last) => NextPage::query("after_id", last),
        None => NextPage::Unknown,
    });
    let records = object.take("data")?;
    Ok(ModelPage::from_records(records, rules, read_record).with_next(next))
}

fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let capabilities = fields.object("capabilities").unwrap_or_default();
    let supported = |name: &str| capabilities.object(name)?.flag("supported");
    let accepts = |(name, modality)| (supported(name) == Some(true)).then_some(modality);
    let inputs = [
        ("image_input", Modality::Image),
        ("pdf_input", Modality::File),
    ];
    let mut input = Vec::from_iter(inputs.into_iter().filter_map(accepts));
    if !input.is_empty() {
        input.push(Modality::Text);
    }
    let created = fields.timestamp("created_at");
    let stage = fields.text("lifecycle");
    let deprecated = matches!(stage.as_deref(), Some("deprecated" | "retired"));
    Ok(fields
        .model("id")?
        .with_names(None, fields.text("display_name"))
        .with_created(rules.created(created))
        .with_context_length(fields.tokens("max_input_tokens"))
        .with_max_output_tokens(fields.tokens("max_tokens"))
        .with_input(Modalities::from_iter(input))
        .with_capability(Capability::Reasoning, supported("thinking"))
        .with_capability(
            Capability::StructuredOutput,
            supported("structured_outputs"),
        )
        .with_capability(Capability::Batch, supported("batch"))
        .with_deprecation(deprecated.then_some(Deprecation::UNDATED))
        .with_extra_fields(rules.extra(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::dialect::Dialect;

    #[test]
    fn limits_and_capabilities_are_read() {
        let page = Dialect::Anthropic
            .read(
                br#"{"data":[
                    {"type":"model","id":"star-5","display_name":"Star 5","created_at":"2026-02-04T00:00:00Z",
                     "max_input_tokens":1000000,"max_tokens":128000,
                     "capabilities":{"batch":{"supported":true},"image_input":{"supported":true},
                     "pdf_input":{"supported":false},"thinking":{"supported":true},"structured_outputs":{"supported":false}}},
                    {"type":"model","id":"star-4","created_at":"soon","max_input_tokens":0},
                    {"type":"model","id":"star-3","capabilities":{"pdf_input":{"supported":true}}},
                    {"type":"model"}
                ],"has_more":true,"first_id":"star-5","last_id":"star-4"}"#,
            )
            .expect("is a page");
        assert_eq!(page.skipped(), 1);
        assert_eq!(page.next(), Some(&NextPage::query("after_id", "star-4")));
        assert_eq!(
            page.models(),
            [
                Model::new("star-5")
                    .with_display_name("Star 5")
                    .with_created(1_770_163_200)
                    .with_context_length(1_000_000)
                    .with_max_output_tokens(128_000)
                    .with_input([Modality::Text, Modality::Image])
                    .with_capability(Capability::Reasoning, true)
                    .with_capability(Capability::StructuredOutput, false)
                    .with_capability(Capability::Batch, true),
                Model::new("star-4"),
                Model::new("star-3").with_input([Modality::Text, Modality::File]),
            ]
        );
    }

    #[test]
    fn has_more_without_last_id_is_unknown() {
        for (body, next) in [
            (
                r#"{"data":[],"has_more":true,"last_id":null}"#,
                Some(NextPage::Unknown),
            ),
            (
                r#"{"data":[],"has_more":true,"last_id":""}"#,
                Some(NextPage::Unknown),
            ),
            (r#"{"data":[],"has_more":false,"last_id":"a"}"#, None),
            (r#"{"data":[]}"#, None),
        ] {
            let page = Dialect::Anthropic.read(body.as_bytes()).expect(body);
            assert_eq!(page.next(), next.as_ref(), "{body}");
        }
    }
}
