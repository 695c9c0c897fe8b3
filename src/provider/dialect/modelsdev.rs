//! `api.json` of models.dev: a catalogue of the models of many providers.
//!
//! <https://github.com/sst/models.dev>: an object of providers, each with an object of models.
//! A model gets the id `provider/id`, with the ids of the catalogue. A provider id contains no
//! slash.

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::ModelPage,
    prices::per,
    rules::Rules,
};
use crate::{
    error::{ListError, ListErrorKind},
    model::{Capability, Deprecation, Model, RecordFlaw},
};

pub(super) const FORMAT: Format = Format {
    name: "models.dev",
    head: RequestHead {
        path: "/api.json",
        relative_path: "api.json",
        ..RequestHead::NONE
    },
    read,
};

/// The maximum nesting depth of a record.
const MAX_DEPTH: usize = 64;

fn read(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let object = document.object()?;
    let mut page = ModelPage::default();
    let mut providers = 0;
    for (provider, fields) in object.objects() {
        if !fields.has("models") {
            continue;
        }
        providers += 1;
        let Some(models) = fields.object("models") else {
            page.flaws.add(RecordFlaw::Unreadable, page.records);
            page.records += 1;
            continue;
        };
        for (id, record) in models.iter() {
            if page.records >= rules.records {
                return Err(ListErrorKind::TooManyModels.into());
            }
            match read_record(provider, id, record) {
                Ok(model) => page.models.push(model),
                Err(flaw) => page.flaws.add(flaw, page.records),
            }
            page.records += 1;
        }
    }
    if providers == 0 {
        return Err(ListErrorKind::NotAList.into());
    }
    Ok(page)
}

fn read_record(provider: &str, id: &str, record: &str) -> Result<Model, RecordFlaw> {
    if provider.is_empty() || provider.contains('/') || id.trim().is_empty() {
        return Err(RecordFlaw::NoId);
    }
    let fields = Fields::parse(record).ok_or(RecordFlaw::Unreadable)?;
    if fields.is_deeper_than(MAX_DEPTH - 1) {
        return Err(RecordFlaw::TooDeep);
    }
    let limit = fields.object("limit").unwrap_or_default();
    let modalities = fields.object("modalities").unwrap_or_default();
    // In US dollars per million tokens.
    let cost = fields.object("cost").unwrap_or_default();
    let deprecated = fields.text("status").as_deref() == Some("deprecated");
    let mut model = Model::new(format!("{provider}/{id}"))
        .with_names(None, fields.text("name"))
        .with_context_length(limit.tokens("context"))
        .with_max_input_tokens(limit.tokens("input"))
        .with_max_output_tokens(limit.tokens("output"))
        .with_input(modalities.modalities("input"))
        .with_output(modalities.modalities("output"))
        .with_capability(Capability::Tools, fields.flag("tool_call"))
        .with_capability(Capability::Reasoning, fields.flag("reasoning"))
        .with_capability(
            Capability::StructuredOutput,
            fields.flag("structured_output"),
        )
        .with_open_weights(fields.flag("open_weights"))
        .with_prices(per(&cost, 6))
        .with_deprecation(deprecated.then_some(Deprecation::UNDATED));
    if let Some(family) = fields.text("family") {
        model = model.with_family(family);
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Modality, Prices},
        provider::dialect::Dialect,
    };

    fn read(body: &str) -> Result<ModelPage, ListErrorKind> {
        let page = Dialect::ModelsDev.read(body.as_bytes());
        page.map_err(|error| error.kind())
    }

    #[test]
    fn ids_contain_the_provider() {
        let page = read(
            r#"{"star":{"id":"star","name":"Star","doc":"https://star.test","models":{
                "star-4":{"id":"star-4","name":"Star 4","family":"star","attachment":true,"reasoning":true,
                    "tool_call":true,"structured_output":false,"knowledge":"2025-01","open_weights":false,
                    "modalities":{"input":["text","pdf"],"output":["text"]},
                    "limit":{"context":400000,"input":272000,"output":128000},
                    "cost":{"input":1.25,"output":10,"cache_read":0.125,"context_over_200k":{"input":2}}},
                "old/star":{"limit":{"context":0,"output":0},"status":"deprecated","cost":{"input":"free"}}}},
            "none":{"id":"none"},"empty":{"models":{}}}"#,
        );
        let price = |text: &str| text.parse().ok();
        let star = Model::new("star/star-4")
            .with_display_name("Star 4")
            .with_family("star")
            .with_context_length(400_000)
            .with_max_input_tokens(272_000)
            .with_max_output_tokens(128_000)
            .with_input([Modality::Text, Modality::File])
            .with_output([Modality::Text])
            .with_capability(Capability::Tools, true)
            .with_capability(Capability::Reasoning, true)
            .with_capability(Capability::StructuredOutput, false)
            .with_open_weights(false)
            .with_prices(Prices {
                prompt: price("0.00000125"),
                completion: price("0.00001"),
                input_cache_read: price("0.000000125"),
                ..Prices::default()
            });
        let old = Model::new("star/old/star").with_deprecation(Deprecation::UNDATED);
        assert_eq!(page.expect("is a catalogue").into_models(), [star, old]);
    }

    #[test]
    fn malformed_records_are_skipped() {
        let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
        let body = format!(
            r#"{{"a":{{"models":{{"x":7,"y":{{"d":{deep}}},"z":{{}},"":{{}}}}}},
            "b/c":{{"models":{{"x":{{}}}}}},"d":{{"models":[]}},"e":5}}"#
        );
        let page = read(&body).expect("is a catalogue");
        assert_eq!(
            (page.models(), page.skipped()),
            (&[Model::new("a/z")][..], 5)
        );
        for none in ["{}", "[]", r#"{"a":1}"#, r#"{"a":{"id":"a"}}"#] {
            assert_eq!(read(none), Err(ListErrorKind::NotAList), "{none}");
        }
        assert_eq!(read("<html>"), Err(ListErrorKind::NotJson));
        let error = r#"{"error":{"message":"no"}}"#;
        assert_eq!(read(error), Err(ListErrorKind::Refused));
    }
}
