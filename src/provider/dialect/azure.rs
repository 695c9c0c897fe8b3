//! Azure OpenAI: the models available to a resource for deployment, and its deployments.
//!
//! <https://learn.microsoft.com/en-us/rest/api/azureopenai/models/list>

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::ModelPage,
    rules::Rules,
};
use crate::{
    error::ListError,
    model::{Capability, Deprecation, Modality, Model, RecordFlaw},
};

pub(super) const MODELS: Format = Format {
    name: "azure",
    head: RequestHead {
        path: "/openai/v1/models",
        relative_path: "openai/v1/models",
        ..RequestHead::NONE
    },
    read: |document, rules| read(document, rules, read_model),
};

pub(super) const DEPLOYMENTS: Format = Format {
    name: "azure-deployments",
    head: RequestHead {
        path: "/openai/deployments",
        relative_path: "openai/deployments",
        query: &[("api-version", "2023-03-15-preview")],
        ..RequestHead::NONE
    },
    read: |document, rules| read(document, rules, read_deployment),
};

fn read(
    document: JsonDocument<'_>,
    rules: &Rules,
    read_record: fn(&Fields<'_>, &Rules) -> Result<Model, RecordFlaw>,
) -> Result<ModelPage, ListError> {
    let records = document.object()?.take("data")?;
    Ok(ModelPage::from_records(records, rules, read_record))
}

fn read_model(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let can = fields.object("capabilities").unwrap_or_default();
    // There are several kinds of fine-tuning, each with its own flag.
    let kinds = ["global_fine_tune", "devtier_fine_tune"];
    let tunes = kinds.iter().any(|kind| can.flag(kind) == Some(true));
    let tunes = tunes.then_some(true);
    let end = fields.object("deprecation");
    let end = end.and_then(|of| Deprecation::at(of.seconds("inference")?));
    let mut model = fields
        .model("id")?
        .with_created(rules.created(fields.seconds("created_at")))
        .with_capability(Capability::Chat, can.flag("chat_completion"))
        .with_capability(Capability::FineTuning, tunes.or(can.flag("fine_tune")))
        .with_deprecation(end)
        .with_extra_fields(rules.extra(fields));
    if can.flag("embeddings") == Some(true) {
        model = model.with_output([Modality::Embeddings]);
    }
    Ok(model)
}

/// Requests name the deployment, not its model.
fn read_deployment(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    Ok(fields
        .model("id")?
        .with_created(rules.created(fields.seconds("created_at")))
        .with_names(fields.text("owner"), None)
        .with_extra_fields(rules.extra_with(fields, &[("base_model", fields.flat_value("model"))])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::dialect::Dialect;

    #[test]
    fn dates_are_in_unix_seconds() {
        let page = Dialect::Azure
            .read(
                br#"{"object":"list","data":[
                    {"status":"succeeded","id":"Star-4-2026-01-01","created_at":1691712000,"object":"model",
                     "lifecycle_status":"generally-available","deprecation":{"inference":1771372800},
                     "capabilities":{"fine_tune":true,"inference":true,"chat_completion":true,"embeddings":false}},
                    {"id":"star-embed","capabilities":{"embeddings":true,"fine_tune":false,"devtier_fine_tune":true},"deprecation":{"inference":4102358400}}
                ]}"#,
            )
            .expect("is a page");
        assert_eq!(
            page.models(),
            [
                Model::new("Star-4-2026-01-01")
                    .with_created(1_691_712_000)
                    .with_capability(Capability::Chat, true)
                    .with_capability(Capability::FineTuning, true)
                    .with_deprecation(Deprecation::on(2026, 2, 18)),
                Model::new("star-embed")
                    .with_output([Modality::Embeddings])
                    .with_capability(Capability::FineTuning, true),
            ]
        );
    }

    #[test]
    fn deployments_are_listed_by_their_own_ids() {
        let page = Dialect::AzureDeployments
            .read(
                br#"{"object":"list","data":[{"object":"deployment","id":"prod-chat","model":"star-4",
                    "owner":"organization-owner","status":"succeeded","created_at":1681171441,"updated_at":1681171442}]}"#,
            )
            .expect("is a page");
        let expected = Model::new("prod-chat")
            .with_created(1_681_171_441)
            .with_owned_by("organization-owner")
            .with_extra("base_model", "star-4");
        assert_eq!(page.models(), [expected]);
    }
}
