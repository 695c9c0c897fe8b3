//! `GET /v1/model/info` of a LiteLLM proxy: a record per deployment, so a name can occur several
//! times. The parameters of a deployment (`litellm_params`) are never read.
//!
//! <https://docs.litellm.ai/docs/proxy/model_management>

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::ModelPage,
    rules::Rules,
};
use crate::{
    error::ListError,
    model::{Capability, Model, Price, Prices, RecordFlaw},
};

pub(super) const FORMAT: Format = Format {
    name: "litellm",
    head: RequestHead {
        path: "/v1/model/info",
        relative_path: "model/info",
        ..RequestHead::NONE
    },
    read,
};

fn read(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let records = document.object()?.take("data")?;
    Ok(ModelPage::from_records(records, rules, read_record))
}

fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let info = fields.object("model_info").unwrap_or_default();
    let price = |name: &str| Price::per(&info.number(name)?, 0);
    let prices = Prices {
        prompt: price("input_cost_per_token"),
        completion: price("output_cost_per_token"),
        input_cache_read: price("cache_read_input_token_cost"),
        input_cache_write: price("cache_creation_input_token_cost"),
        ..Prices::default()
    };
    Ok(fields
        .model("model_name")?
        .with_names(info.text("litellm_provider"), None)
        .with_context_length(info.tokens("max_input_tokens"))
        .with_max_output_tokens(info.first_tokens(&["max_output_tokens", "max_tokens"]))
        .with_capability(Capability::Tools, info.flag("supports_function_calling"))
        .with_capability(Capability::Reasoning, info.flag("supports_reasoning"))
        .with_capability(
            Capability::StructuredOutput,
            info.flag("supports_response_schema"),
        )
        .with_prices(prices)
        .with_vision(info.flag("supports_vision"))
        .with_extra_fields(rules.extra(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Modality;
    use crate::provider::dialect::{Dialect, ExtraFields};

    #[test]
    fn deployment_parameters_are_never_served() {
        let rules = Rules {
            extra: ExtraFields::All,
            ..Rules::default()
        };
        let body = br#"{"data":[{"model_name":"star","litellm_params":{"api_key":"hunter2","model":"vendor/star"},
            "model_info":{"id":"0f7e","max_input_tokens":131072,"max_tokens":8192,"supports_vision":true,
            "supports_function_calling":true,"supports_reasoning":null,"litellm_provider":"vendor",
            "input_cost_per_token":2.5e-6,"output_cost_per_token":0.00001}}]}"#;
        let page = Dialect::LiteLlm.read_page(body, &rules).expect("is a page");
        let model = &page.models()[0];
        assert!(!model.extra_members().contains("hunter2"));
        let prices = Prices {
            prompt: "0.0000025".parse().ok(),
            completion: "0.00001".parse().ok(),
            ..Prices::default()
        };
        let expected = Model::new("star")
            .with_owned_by("vendor")
            .with_context_length(131_072)
            .with_max_output_tokens(8192)
            .with_input([Modality::Text, Modality::Image])
            .with_capability(Capability::Tools, true)
            .with_prices(prices);
        assert_eq!(
            model.clone().with_extra_fields(Default::default()),
            expected
        );
    }
}
