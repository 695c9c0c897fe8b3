//! Amazon Bedrock: foundation models, and inference profiles, which most newer models are called
//! through.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html>

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::ModelPage,
    rules::Rules,
};
use crate::{
    error::ListError,
    model::{Deprecation, Model, RecordFlaw},
};

pub(super) const MODELS: Format = Format {
    name: "bedrock",
    head: RequestHead {
        path: "/foundation-models",
        relative_path: "foundation-models",
        ..RequestHead::NONE
    },
    read: read_models,
};

pub(super) const PROFILES: Format = Format {
    name: "bedrock-profiles",
    head: RequestHead {
        path: "/inference-profiles",
        relative_path: "inference-profiles",
        query: &[("maxResults", "1000")],
        ..RequestHead::NONE
    },
    read: read_profiles,
};

fn read_models(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let records = document.object()?.take("modelSummaries")?;
    Ok(ModelPage::from_records(records, rules, read_model))
}

fn read_model(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let owner = fields.text("providerName");
    // For Amazon's own models this is the output limit, for most others the context length.
    let max_output = fields
        .object("converse")
        .filter(|_| owner.as_deref() == Some("Amazon"))
        .and_then(|of| of.tokens("maxTokensMaximum"));
    let lifecycle = fields.object("modelLifecycle");
    let legacy = lifecycle.is_some_and(|of| of.text("status").as_deref() == Some("LEGACY"));
    Ok(fields
        .model("modelId")?
        .with_names(owner, fields.text("modelName"))
        .with_max_output_tokens(max_output)
        .with_input(fields.modalities("inputModalities"))
        .with_output(fields.modalities("outputModalities"))
        .with_deprecation(legacy.then_some(Deprecation::UNDATED))
        .with_extra_fields(rules.extra(fields)))
}

fn read_profiles(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let mut object = document.object()?;
    let next = object.next_by_token("nextToken", "nextToken");
    let records = object.take("inferenceProfileSummaries")?;
    Ok(ModelPage::from_records(records, rules, read_profile).with_next(next))
}

fn read_profile(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let created = fields.timestamp("createdAt");
    Ok(fields
        .model("inferenceProfileId")?
        .with_names(None, fields.text("inferenceProfileName"))
        .with_created(rules.created(created))
        .with_extra_fields(rules.extra(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Modality;
    use crate::provider::dialect::{Dialect, NextPage};

    #[test]
    fn foundation_models_have_owner_and_modalities() {
        let page = Dialect::Bedrock
            .read(
                br#"{"modelSummaries":[
                    {"modelId":"amazon.star-v1:0:20k","modelName":"Star","providerName":"Amazon",
                     "inputModalities":["TEXT","IMAGE"],"outputModalities":["TEXT"],
                     "converse":{"maxTokensMaximum":8192},"modelLifecycle":{"status":"ACTIVE"}},
                    {"modelId":"vendor.moon-v2:0","modelName":"Moon","providerName":"Vendor",
                     "inputModalities":["TEXT"],"outputModalities":["EMBEDDING"],
                     "converse":{"maxTokensMaximum":131072},"modelLifecycle":{"status":"LEGACY"}},
                    {"modelId":"vendor.bare","converse":null}
                ]}"#,
            )
            .expect("is a page");
        assert_eq!(
            page.models(),
            [
                Model::new("amazon.star-v1:0:20k")
                    .with_owned_by("Amazon")
                    .with_display_name("Star")
                    .with_max_output_tokens(8192)
                    .with_input([Modality::Text, Modality::Image])
                    .with_output([Modality::Text]),
                Model::new("vendor.moon-v2:0")
                    .with_owned_by("Vendor")
                    .with_display_name("Moon")
                    .with_input([Modality::Text])
                    .with_output([Modality::Embeddings])
                    .with_deprecation(Deprecation::UNDATED),
                Model::new("vendor.bare"),
            ]
        );
    }

    #[test]
    fn inference_profiles_are_paged() {
        let page = Dialect::BedrockProfiles
            .read(
                br#"{"inferenceProfileSummaries":[{"inferenceProfileId":"us.vendor.moon-v1:0",
                    "inferenceProfileName":"US Moon","inferenceProfileArn":"arn:x","type":"SYSTEM_DEFINED",
                    "status":"ACTIVE","createdAt":"2025-05-20T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z",
                    "models":[{"modelArn":"arn:y"}]}],"nextToken":"AAA"}"#,
            )
            .expect("is a page");
        assert_eq!(page.next(), Some(&NextPage::query("nextToken", "AAA")));
        let expected = Model::new("us.vendor.moon-v1:0")
            .with_display_name("US Moon")
            .with_created(1_747_699_200)
            .with_extra("type", "SYSTEM_DEFINED");
        assert_eq!(page.models(), [expected]);
    }
}
