//! A top-level array: Together, GitHub Models, the Hugging Face Hub. The records are OpenAI's
//! with additional fields.
//!
//! <https://docs.together.ai/reference/models>,
//! <https://docs.github.com/en/rest/models/catalog>

use super::{
    document::JsonDocument,
    format::{Format, RequestHead},
    openai::{Owner, read_records},
    page::ModelPage,
    rules::Rules,
};
use crate::error::ListError;

pub(super) const FORMAT: Format = Format {
    name: "array",
    head: RequestHead {
        path: "/v1/models",
        relative_path: "models",
        any_version: true,
        ..RequestHead::NONE
    },
    read,
};

fn read(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    Ok(read_records(document.array()?, rules, Owner::Stated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ListErrorKind,
        model::{Modality, Model, Prices},
        provider::dialect::{Dialect, PriceRule},
    };

    #[test]
    fn together_and_github_records_are_read() {
        let body = br#"[
            {"id":"org/Star-A","object":"model","created":0,"type":"chat","running":false,
             "display_name":"Star A","organization":"Org","link":null,"license":null,"context_length":131072,
             "pricing":{"hourly":0,"input":0.18,"output":0.59,"cached_input":0.05,"base":0,"finetune":0}},
            {"id":"vendor/moon","name":"Vendor Moon","publisher":"Vendor","rate_limit_tier":"high",
             "supported_input_modalities":["text","image"],"supported_output_modalities":["text"],
             "limits":{"max_input_tokens":1048576,"max_output_tokens":32768},"tags":["multimodal"]}
        ]"#;
        let rules = Rules {
            prices: PriceRule::Per(6),
            ..Rules::default()
        };
        let page = Dialect::Array.read_page(body, &rules).expect("is a list");
        let prices = Prices {
            prompt: "0.00000018".parse().ok(),
            completion: "0.00000059".parse().ok(),
            input_cache_read: "0.00000005".parse().ok(),
            ..Prices::default()
        };
        assert_eq!(
            page.models(),
            [
                Model::new("org/Star-A")
                    .with_owned_by("Org")
                    .with_display_name("Star A")
                    .with_context_length(131_072)
                    .with_prices(prices)
                    .with_output([Modality::Text])
                    .with_extra("type", "chat"),
                Model::new("vendor/moon")
                    .with_owned_by("Vendor")
                    .with_display_name("Vendor Moon")
                    .with_context_length(1_048_576)
                    .with_max_output_tokens(32_768)
                    .with_input([Modality::Text, Modality::Image])
                    .with_output([Modality::Text]),
            ]
        );
    }

    #[test]
    fn objects_and_error_arrays_are_rejected() {
        let kind = |body: &[u8]| Dialect::Array.read(body).expect_err("is no list").kind();
        assert_eq!(kind(br#"{"data":[]}"#), ListErrorKind::NotAList);
        assert_eq!(kind(br#"{"error":"no"}"#), ListErrorKind::Refused);
        assert_eq!(kind(br#"[{"error":{"code":403}}]"#), ListErrorKind::Refused);
        let page = Dialect::Array.read(b"[]").expect("is an empty list");
        assert!(page.models().is_empty());
        let page = Dialect::Array.read(br#"[{"id":"a","error":"none"}]"#);
        assert_eq!(page.expect("is a list").models(), [Model::new("a")]);
    }
}
