//! `GET /v1/language-models` of the xAI API, with modalities and prices, which `/v1/models`
//! lacks.
//!
//! <https://docs.x.ai/docs/api-reference#list-language-models>

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::ModelPage,
    rules::Rules,
};
use crate::{
    error::ListError,
    model::{Model, Price, Prices, RecordFlaw},
};

pub(super) const FORMAT: Format = Format {
    name: "xai-language",
    head: RequestHead {
        path: "/v1/language-models",
        relative_path: "language-models",
        any_version: true,
        ..RequestHead::NONE
    },
    read,
};

fn read(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let records = document.object()?.take("models")?;
    Ok(ModelPage::from_records(records, rules, read_record))
}

fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    // In ten-thousandths of a US dollar per million tokens.
    let price = |name: &str| Price::per(&fields.number(name)?, 10);
    let prices = Prices {
        prompt: price("prompt_text_token_price"),
        completion: price("completion_text_token_price"),
        input_cache_read: price("cached_prompt_text_token_price"),
        ..Prices::default()
    };
    Ok(fields
        .model("id")?
        .with_names(fields.text("owned_by"), None)
        .with_created(rules.created(fields.seconds("created")))
        .with_context_length(fields.tokens("context_length"))
        .with_input(fields.modalities("input_modalities"))
        .with_output(fields.modalities("output_modalities"))
        .with_prices(prices)
        .with_extra_fields(rules.extra(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Modality;
    use crate::provider::dialect::Dialect;

    #[test]
    fn prices_are_ten_thousandths_per_million() {
        let page = Dialect::XaiLanguage
            .read(
                br#"{"models":[{"id":"star-4","created":1752019200,"object":"model","owned_by":"xai","version":"1.0",
                    "fingerprint":"fp_1","input_modalities":["text","image"],"output_modalities":["text"],
                    "prompt_text_token_price":30000,"cached_prompt_text_token_price":7500,
                    "completion_text_token_price":150000,"prompt_image_token_price":0,"aliases":["star-latest"]}]}"#,
            )
            .expect("is a page");
        let prices = Prices {
            prompt: "0.000003".parse().ok(),
            completion: "0.000015".parse().ok(),
            input_cache_read: "0.00000075".parse().ok(),
            ..Prices::default()
        };
        let expected = Model::new("star-4")
            .with_owned_by("xai")
            .with_created(1_752_019_200)
            .with_input([Modality::Text, Modality::Image])
            .with_output([Modality::Text])
            .with_prices(prices)
            .with_extra("version", "1.0")
            .with_extra("aliases", ["star-latest"]);
        assert_eq!(page.models(), [expected]);
    }
}
