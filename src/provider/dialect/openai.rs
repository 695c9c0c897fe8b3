//! `GET /v1/models` of the OpenAI API and of compatible servers, which add fields to the records
//! or nest them in `meta` or `metadata`, and of OpenRouter.
//!
//! <https://platform.openai.com/docs/api-reference/models/list>

use std::{borrow::Cow, collections::HashMap};

use super::{
    document::{JsonDocument, Object, Record},
    fields::Fields,
    format::{Format, RequestHead},
    page::{ModelPage, NextPage},
    prices::prices,
    rules::{PriceRule, Rules},
};
use crate::{
    error::ListError,
    model::{Capability, Deprecation, Modalities, Modality, Model, Prices, RecordFlaw},
};

pub(super) const FORMAT: Format = Format {
    name: "openai",
    head: HEAD,
    read: |document, rules| read(document, rules, Owner::Stated),
};

pub(super) const OPENROUTER: Format = Format {
    name: "openrouter",
    head: HEAD,
    read: |document, rules| {
        // The provider's own rule takes precedence: `auto` may have detected this dialect.
        let prices = match rules.prices {
            PriceRule::Unknown => PriceRule::Per(0),
            known => known,
        };
        read(document, &Rules { prices, ..*rules }, Owner::FirstSegment)
    },
};

const HEAD: RequestHead = RequestHead {
    path: "/v1/models",
    relative_path: "models",
    any_version: true,
    ..RequestHead::NONE
};

/// The owner of a model whose record does not name one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// None.
    Stated,
    /// The first segment of the id: `qwen` for `qwen/qwen3` and `~qwen/latest`.
    FirstSegment,
}

fn read(document: JsonDocument<'_>, rules: &Rules, owner: Owner) -> Result<ModelPage, ListError> {
    let mut object = document.object()?;
    let next = next(&object);
    let records = object.take("data")?;
    Ok(read_records(records, rules, owner).with_next(next))
}

/// Only OpenRouter documents a link to the next page. Others only report that there is one.
fn next(object: &Object<'_>) -> Option<NextPage> {
    let link = object.object("links").and_then(|links| links.text("next"));
    match link {
        Some(link) => Some(NextPage::Link(link.into_owned())),
        None => (object.flag("has_more") == Some(true)).then_some(NextPage::Unknown),
    }
}

/// Reads records in OpenAI's format.
pub(super) fn read_records<'a>(records: Vec<Record<'a>>, rules: &Rules, owner: Owner) -> ModelPage {
    // The record of an adapter lacks the context length, which is that of the parent model.
    let mut children = Vec::new();
    let mut index = 0;
    let mut page = ModelPage::from_records(records, rules, |fields, rules| {
        let model = read_record(fields, rules, owner)?;
        if model.context_length().is_none()
            && let Some(parent) = fields.text("parent")
        {
            children.push((index, parent));
        }
        index += 1;
        Ok(model)
    });
    if !children.is_empty() {
        let window = |model: &Model| Some((model.id().to_owned(), model.context_length()?));
        let windows: HashMap<_, _> = page.models.iter().filter_map(window).collect();
        for (index, parent) in children {
            let model = &mut page.models[index];
            *model = model
                .clone()
                .with_context_length(windows.get(&*parent).copied());
        }
    }
    page
}

fn read_record(fields: &Fields<'_>, rules: &Rules, owner: Owner) -> Result<Model, RecordFlaw> {
    let architecture = fields.object("architecture").unwrap_or_default();
    let window = context_length(fields);
    let mut model = fields
        .model("id")?
        .with_created(rules.created(created(fields)))
        .with_context_length(window)
        .with_max_input_tokens(max_input_tokens(fields).filter(|max| Some(*max) != window))
        .with_max_output_tokens(max_output_tokens(fields))
        .with_open_weights(fields.flag("open_weights"))
        .with_input(input(fields, &architecture))
        .with_output(output(fields, &architecture))
        .with_prices(record_prices(fields, rules))
        .with_deprecation(deprecation(fields))
        .with_extra_fields(rules.extra(fields));
    for (capability, has) in capabilities(fields) {
        model = model.with_capability(capability, has);
    }
    let stated = fields.first_text(&["owned_by", "organization", "publisher", "owner"]);
    if let Some(stated) = stated {
        model = model.with_owned_by(stated);
    } else if owner == Owner::FirstSegment
        && let Some((first, _)) = model.id().trim_start_matches('~').split_once('/')
    {
        let first = first.to_owned().into();
        model = model.with_names(Some(first), None);
    }
    if let Some(family) = fields.text("family") {
        model = model.with_family(family);
    }
    if let Some(name) = display_name(fields).filter(|name| *name != model.id()) {
        model = model.with_display_name(name);
    }
    Ok(model)
}

/// `name` is a display name, except for Mistral, which repeats the canonical id there.
fn display_name<'a>(fields: &Fields<'a>) -> Option<Cow<'a, str>> {
    let label = fields.text("display_name");
    let name = || {
        let mistral = fields
            .text("owned_by")
            .is_some_and(|owner| owner == "mistralai");
        fields.text("name").filter(|_| !mistral)
    };
    label.or_else(name)
}

/// The creation date, in Unix seconds or RFC 3339.
fn created(fields: &Fields<'_>) -> Option<i64> {
    let timestamp = |name: &&str| fields.timestamp(name);
    let seconds = ["created", "created_at"];
    (seconds.iter().find_map(|name| fields.seconds(name)))
        .or_else(|| ["created_at", "created"].iter().find_map(timestamp))
}

fn context_length(fields: &Fields<'_>) -> Option<u64> {
    const FLAT: [&str; 6] = [
        "context_length",
        "context_window",
        "max_context_length",
        "max_model_len",
        "max_input_tokens",
        "context_size",
    ];
    let nested = |object: &str, names: &[&str]| fields.object(object)?.first_tokens(names);
    fields
        .first_tokens(&FLAT)
        .or_else(|| nested("metadata", &["context_length"]))
        .or_else(|| nested("limits", &["max_input_tokens", "max_context_length"]))
        .or_else(|| nested("top_provider", &["context_length"]))
        .or_else(|| nested("meta", &["n_ctx", "max_model_len", "n_ctx_train"]))
        .or_else(|| {
            let providers = fields.objects("providers").into_iter();
            providers.filter_map(|of| of.tokens("context_length")).max()
        })
}

/// The input limit. Most providers that have the field set it to the context length.
fn max_input_tokens(fields: &Fields<'_>) -> Option<u64> {
    let nested = || fields.object("limits")?.tokens("max_input_tokens");
    fields.tokens("max_input_tokens").or_else(nested)
}

fn max_output_tokens(fields: &Fields<'_>) -> Option<u64> {
    const FLAT: [&str; 3] = [
        "max_completion_tokens",
        "max_output_tokens",
        "max_output_length",
    ];
    let nested = |object: &str, names: &[&str]| fields.object(object)?.first_tokens(names);
    fields
        .first_tokens(&FLAT)
        .or_else(|| nested("top_provider", &["max_completion_tokens"]))
        .or_else(|| nested("limits", &["max_output_tokens", "max_completion_tokens"]))
        .or_else(|| nested("metadata", &["max_tokens"]))
        // With Vercel's `context_window`, and only then, this is the output limit.
        .or_else(|| {
            fields
                .tokens("max_tokens")
                .filter(|_| fields.has("context_window"))
        })
}

// ===== Modalities and capabilities =====

fn named<'a>(names: impl IntoIterator<Item = Cow<'a, str>>) -> Modalities {
    let known = |name: Cow<'a, str>| Modality::from_name(&name);
    names.into_iter().filter_map(known).collect()
}

fn input(fields: &Fields<'_>, architecture: &Fields<'_>) -> Modalities {
    let names = ["input_modalities", "supported_input_modalities"];
    let listed = modalities(fields, architecture, names, 0);
    if !listed.is_empty() {
        return listed;
    }
    // A flag per modality. No provider has one for text.
    let capabilities = fields.object("capabilities").unwrap_or_default();
    let tags = fields.object("metadata").map(|of| of.texts("tags"));
    let tagged = |tag: &str| tags.iter().flatten().any(|other| other == tag);
    let image = [
        "supports_vision",
        "supports_image_in",
        "supports_image_input",
    ];
    let image = image.iter().any(|name| fields.flag(name) == Some(true))
        || capabilities.flag("vision") == Some(true)
        || tagged("vision");
    let audio = capabilities.flag("audio") == Some(true);
    let video = fields.flag("supports_video_in") == Some(true);
    if !(image || audio || video) {
        return Modalities::default();
    }
    [
        (true, Modality::Text),
        (image, Modality::Image),
        (audio, Modality::Audio),
        (video, Modality::Video),
    ]
    .into_iter()
    .filter_map(|(has, modality)| has.then_some(modality))
    .collect()
}

fn output(fields: &Fields<'_>, architecture: &Fields<'_>) -> Modalities {
    let names = ["output_modalities", "supported_output_modalities"];
    let listed = modalities(fields, architecture, names, 1);
    if !listed.is_empty() {
        return listed;
    }
    // Together and Vercel report the kind of a model in `type`.
    let modality = match fields.text("type").as_deref() {
        Some("chat" | "language" | "code") => Modality::Text,
        Some("image") => Modality::Image,
        Some("embedding") => Modality::Embeddings,
        Some("rerank") => Modality::Rerank,
        Some("audio") => Modality::Audio,
        Some("transcribe") => Modality::Transcription,
        _ => return listed,
    };
    [modality].into()
}

/// Reads modalities from a list, or from one `side` of a string such as `text+image->text`.
fn modalities(
    fields: &Fields<'_>,
    architecture: &Fields<'_>,
    names: [&str; 2],
    side: usize,
) -> Modalities {
    let places = [
        (architecture, names[0]),
        (fields, names[0]),
        (fields, names[1]),
    ];
    let mut lists = places.into_iter().map(|(of, name)| named(of.texts(name)));
    lists.find(|set| !set.is_empty()).unwrap_or_else(|| {
        let line = architecture.text("modality").unwrap_or_default();
        let side = line.split("->").nth(side).unwrap_or_default();
        named(side.split('+').map(Cow::Borrowed))
    })
}

fn capabilities(fields: &Fields<'_>) -> impl Iterator<Item = (Capability, Option<bool>)> {
    let own = fields.object("capabilities").unwrap_or_default();
    let parameters = fields.texts("supported_parameters");
    let takes = |name: &str| parameters.iter().any(|other| other == name).then_some(true);
    [
        (
            Capability::Chat,
            own.first_flag(&["chat", "completion_chat", "chat_completion"])
                .or_else(|| fields.flag("supports_chat")),
        ),
        (
            Capability::Tools,
            own.first_flag(&["function_calling", "tools"])
                .or_else(|| fields.first_flag(&["supports_tools", "supports_function_calling"]))
                .or_else(|| takes("tools")),
        ),
        (
            Capability::Reasoning,
            own.flag("reasoning")
                .or_else(|| fields.flag("supports_reasoning"))
                .or_else(|| takes("reasoning")),
        ),
        (
            Capability::StructuredOutput,
            own.flag("structured_output")
                .or_else(|| fields.flag("supports_structured_output"))
                .or_else(|| takes("structured_outputs")),
        ),
        (
            Capability::FineTuning,
            own.first_flag(&["fine_tuning", "fine_tune"]),
        ),
        (Capability::Batch, own.flag("batch")),
    ]
    .into_iter()
}

// ===== Prices and deprecation =====

fn record_prices(fields: &Fields<'_>, rules: &Rules) -> Prices {
    let nested = fields.object("metadata").filter(|of| of.has("pricing"));
    prices(nested.as_ref().unwrap_or(fields), rules.prices)
}

fn deprecation(fields: &Fields<'_>) -> Option<Deprecation> {
    let day = |name: &&str| Deprecation::from_text(&fields.text(name)?);
    let days = ["deprecation_date", "expiration_date", "deprecation"];
    let nested = || Deprecation::at(fields.object("deprecation")?.seconds("inference")?);
    let flag = || (fields.flag("deprecated") == Some(true)).then_some(Deprecation::UNDATED);
    days.iter().find_map(day).or_else(nested).or_else(flag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ListErrorKind, provider::dialect::Dialect};

    fn read(records: &str) -> Vec<Model> {
        read_by(Dialect::OpenAi, records, Rules::default())
    }

    fn read_by(dialect: Dialect, records: &str, rules: Rules) -> Vec<Model> {
        let body = format!(r#"{{"object":"list","data":[{records}]}}"#);
        let page = dialect.read_page(body.as_bytes(), &rules).expect(records);
        assert_eq!(page.skipped(), 0, "{records}");
        page.into_models()
    }

    #[test]
    fn additional_fields_of_servers_are_read() {
        let models = read(
            r#"{"id":"a","object":"model","created":1700000000,"owned_by":"o"},
            {"id":" b ","context_window":8192,"max_completion_tokens":512,"display_name":"B"},
            {"id":"c","created":1700000000.9,"context_length":0,"max_model_len":4096},
            {"id":"d","created":"2023-11-14T22:13:20Z","deprecation_date":"2026-10-23"},
            {"id":"e","created_at":1700000000,"context_window":128000,"max_tokens":8000,"name":"e"},
            {"id":"f","context_length":128000,"max_tokens":8000}"#,
        );
        assert_eq!(
            models,
            [
                Model::new("a")
                    .with_created(1_700_000_000)
                    .with_owned_by("o"),
                Model::new("b")
                    .with_upstream_id(" b ")
                    .with_context_length(8192)
                    .with_max_output_tokens(512)
                    .with_display_name("B"),
                Model::new("c")
                    .with_created(1_700_000_000)
                    .with_context_length(4096),
                Model::new("d")
                    .with_created(1_700_000_000)
                    .with_deprecation(Deprecation::on(2026, 10, 23)),
                Model::new("e")
                    .with_created(1_700_000_000)
                    .with_context_length(128_000)
                    .with_max_output_tokens(8000),
                // Elsewhere the meaning of `max_tokens` is unknown.
                Model::new("f").with_context_length(128_000),
            ]
        );
    }

    #[test]
    fn input_limit_differs_from_context_length() {
        let models = read(
            r#"{"id":"a","context_length":400000,"max_input_tokens":272000,"family":" star ","open_weights":false},
            {"id":"b","max_input_tokens":8192},
            {"id":"c","limits":{"max_input_tokens":8192}},
            {"id":"d","context_window":8192,"max_input_tokens":8192,"family":7,"open_weights":"yes"}"#,
        );
        let of = |id: &str| Model::new(id).with_context_length(8192);
        let full = Model::new("a")
            .with_context_length(400_000)
            .with_max_input_tokens(272_000)
            .with_family("star")
            .with_open_weights(false);
        assert_eq!(models, [full, of("b"), of("c"), of("d")]);
    }

    #[test]
    fn malformed_fields_are_ignored() {
        let models = read(
            r#"{"id":"a","created":"yesterday","owned_by":null,"context_length":"N/A","name":7},
            {"id":"b","created":-1},{"id":"c","created":99999999999},{"id":"d","created":null},
            {"id":"e","architecture":[],"capabilities":"all","pricing":7,"providers":{},"aliases":null}"#,
        );
        assert_eq!(models, ["a", "b", "c", "d", "e"].map(Model::new));
    }

    #[test]
    fn nested_fields_are_read() {
        let rules = Rules {
            prices: PriceRule::Per(6),
            ..Rules::default()
        };
        // DeepInfra, llama.cpp, Hugging Face, Cerebras.
        let models = read_by(
            Dialect::OpenAi,
            r#"{"id":"a","created":0,"metadata":{"context_length":262144,"max_tokens":262144,
                "tags":["vision","reasoning"],"pricing":{"input_tokens":0.5,"output_tokens":2}}},
            {"id":"b","aliases":[],"tags":[],"meta":{"n_ctx":8192,"n_ctx_train":131072,"n_params":8190735360}},
            {"id":"c","meta":{"n_ctx_train":131072}},
            {"id":"d","providers":[{"context_length":1048576},{"status":"live"},{"context_length":"131072"}]},
            {"id":"e","limits":{"max_context_length":65536,"max_completion_tokens":32768},
                "architecture":{"modality":"text+vision"},"deprecated":true}"#,
            rules,
        );
        let prices = Prices {
            prompt: "0.0000005".parse().ok(),
            completion: "0.000002".parse().ok(),
            ..Prices::default()
        };
        assert_eq!(
            models,
            [
                Model::new("a")
                    .with_context_length(262_144)
                    .with_max_output_tokens(262_144)
                    .with_input([Modality::Text, Modality::Image])
                    .with_prices(prices),
                Model::new("b").with_context_length(8192),
                Model::new("c").with_context_length(131_072),
                Model::new("d").with_context_length(1_048_576),
                Model::new("e")
                    .with_context_length(65_536)
                    .with_max_output_tokens(32_768)
                    .with_input([Modality::Text, Modality::Image])
                    .with_deprecation(Deprecation::UNDATED),
            ]
        );
    }

    #[test]
    fn openrouter_prices_and_owners_are_read() {
        let models = read_by(
            Dialect::OpenRouter,
            r#"{"id":"~vendor/star:free","canonical_slug":"vendor/star-1","name":"Vendor: Star","created":1770671901,
                "context_length":262144,"top_provider":{"context_length":131072,"max_completion_tokens":null},
                "architecture":{"modality":"text+image->text","input_modalities":[],"output_modalities":null},
                "pricing":{"prompt":"0.0000012","completion":"-1"},"expiration_date":"2098-12-31",
                "supported_parameters":["tools","structured_outputs"]}"#,
            Rules::default(),
        );
        let prices = Prices {
            prompt: "0.0000012".parse().ok(),
            ..Prices::default()
        };
        let odd = read_by(
            Dialect::OpenRouter,
            r#"{"id":"/a"},{"id":"b /c"}"#,
            Rules::default(),
        );
        let owners = odd.iter().map(Model::owned_by);
        assert!(owners.eq([None, Some("b")]));
        let expected = Model::new("~vendor/star:free")
            .with_owned_by("vendor")
            .with_display_name("Vendor: Star")
            .with_created(1_770_671_901)
            .with_context_length(262_144)
            .with_input([Modality::Text, Modality::Image])
            .with_output([Modality::Text])
            .with_capability(Capability::Tools, true)
            .with_capability(Capability::StructuredOutput, true)
            .with_prices(prices)
            .with_extra("canonical_slug", "vendor/star-1")
            .with_extra("supported_parameters", ["tools", "structured_outputs"]);
        assert_eq!(models, [expected]);
        // Without a price rule the unit is unknown.
        let models = read(r#"{"id":"a","pricing":{"prompt":"1.40"}}"#);
        assert_eq!(models, [Model::new("a")]);
    }

    #[test]
    fn mistral_names_and_dates_are_ignored() {
        let rules = Rules {
            invents_dates: true,
            ..Rules::default()
        };
        let models = read_by(
            Dialect::OpenAi,
            r#"{"id":"star-latest","created":1770716719,"owned_by":"mistralai","name":"star-2512","max_context_length":131072,
                "capabilities":{"completion_chat":true,"function_calling":false,"fine_tuning":false,"vision":true,"audio":false},
                "aliases":["star-2512"],"deprecation":"2026-03-31T12:00:00Z","type":"base"}"#,
            rules,
        );
        let expected = Model::new("star-latest")
            .with_owned_by("mistralai")
            .with_context_length(131_072)
            .with_input([Modality::Text, Modality::Image])
            .with_capability(Capability::Chat, true)
            .with_capability(Capability::Tools, false)
            .with_capability(Capability::FineTuning, false)
            .with_deprecation(Deprecation::on(2026, 3, 31))
            .with_extra("aliases", ["star-2512"])
            .with_extra("type", "base");
        assert_eq!(models, [expected]);
    }

    #[test]
    fn adapter_has_context_length_of_parent() {
        let models = read(
            r#"{"id":"lora","owned_by":"vllm","root":"/loras/x","parent":"base"},
            {"id":"base","owned_by":"vllm","root":"/models/base","parent":null,"max_model_len":32768,
             "permission":[{"id":"modelperm-1f","created":1750000000}]},
            {"id":"orphan","parent":"gone"}"#,
        );
        let windows = models.iter().map(Model::context_length);
        assert!(windows.eq([Some(32_768), Some(32_768), None]));
        assert_eq!(models[0].extra("parent"), Some(r#""base""#));
        assert!(models.iter().all(|model| model.extra("root").is_none()));
    }

    #[test]
    fn data_takes_precedence_over_models() {
        let page = Dialect::OpenAi
            .read(br#"{"models":[{"name":"copy"}],"object":"list","data":[{"id":"m.gguf"}]}"#)
            .expect("is a list");
        assert_eq!(page.models(), [Model::new("m.gguf")]);
    }

    #[test]
    fn has_more_without_link_is_unknown() {
        for (body, next) in [
            (
                r#"{"data":[],"links":{"next":"/api/v1/models?offset=2"},"total_count":4}"#,
                Some(NextPage::Link("/api/v1/models?offset=2".to_owned())),
            ),
            (r#"{"data":[],"links":{"next":null}}"#, None),
            (r#"{"data":[],"has_more":true}"#, Some(NextPage::Unknown)),
            (r#"{"data":[],"has_more":false,"last_id":"a"}"#, None),
        ] {
            let page = Dialect::OpenRouter.read(body.as_bytes()).expect(body);
            assert_eq!(page.next(), next.as_ref(), "{body}");
        }
    }

    #[test]
    fn null_data_of_a_list_object_is_empty() {
        let page = Dialect::OpenAi.read(br#"{"object":"list","data":null}"#);
        assert!(page.expect("is a list").models().is_empty());
        let error = Dialect::OpenAi
            .read(br#"{"data":null}"#)
            .expect_err("is none");
        assert_eq!(error.kind(), ListErrorKind::NotAList);
    }
}
