//! What users write and read: words for enum variants, keys and globs of every type, errors.

use std::{collections::HashSet, error::Error, time::Duration};

use serde::Serialize;
use tower_models_cache::{
    BuildError, ClientDialect, Preset, Readiness, StaticModelsCacheLayer,
    error::ListErrorKind,
    model::{Capability, Modality, RecordFlaw},
    provider::{Dialect, ExtraFields, ListModels, Prefix},
};

#[track_caller]
fn are_words(words: &[&str], separators: &str) {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || separators.contains(c);
    for word in words {
        assert!(!word.is_empty() && word.chars().all(good), "{word}");
    }
    let distinct: HashSet<_> = words.iter().collect();
    assert_eq!(distinct.len(), words.len(), "{words:?}");
}

fn json(value: impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn every_variant_has_a_distinct_word() {
    use ListErrorKind as Kind;
    let kinds = [
        Kind::Timeout,
        Kind::Transport,
        Kind::Status(404),
        Kind::TooLarge,
        Kind::TooManyModels,
        Kind::TooManyPages,
        Kind::PageLoop,
        Kind::NextPage,
        Kind::Encoding,
        Kind::NotJson,
        Kind::NotAList,
        Kind::Refused,
        Kind::Empty,
        Kind::Credential,
        Kind::Panic,
        Kind::Cancelled,
        Kind::Other,
    ];
    are_words(&kinds.map(Kind::as_str), "_");
    assert_eq!(Kind::Status(500).as_str(), "status");
    assert_eq!(Kind::TooManyModels.as_str(), "too_many_models");

    let flaws = [
        RecordFlaw::Unreadable,
        RecordFlaw::NoId,
        RecordFlaw::IdTooLong,
        RecordFlaw::IdCharacters,
        RecordFlaw::TooDeep,
        RecordFlaw::Name,
    ];
    are_words(&flaws.map(RecordFlaw::as_str), "_");
    for flaw in flaws {
        assert_eq!(json(flaw), flaw.as_str());
        assert_eq!(flaw.to_string(), flaw.as_str());
    }
    let modalities = [
        Modality::Text,
        Modality::Image,
        Modality::File,
        Modality::Audio,
        Modality::Video,
        Modality::Embeddings,
        Modality::Speech,
        Modality::Transcription,
        Modality::Rerank,
    ];
    are_words(&modalities.map(Modality::as_str), "_");
    for modality in modalities {
        assert_eq!(json(modality), modality.as_str());
        assert_eq!(modality.to_string(), modality.as_str());
    }
    let capabilities = [
        Capability::Chat,
        Capability::Tools,
        Capability::Reasoning,
        Capability::StructuredOutput,
        Capability::FineTuning,
        Capability::Batch,
    ];
    are_words(&capabilities.map(Capability::as_str), "_");
    for capability in capabilities {
        assert_eq!(json(capability), capability.as_str());
        assert_eq!(capability.to_string(), capability.as_str());
    }
    let prefixes = [Prefix::Always, Prefix::Never, Prefix::OnConflict];
    are_words(&prefixes.map(Prefix::as_str), "_");
    assert_eq!(Prefix::OnConflict.to_string(), "on_conflict");
    are_words(
        &[Readiness::Attempted, Readiness::AnyProvider].map(Readiness::as_str),
        "_",
    );
    assert_eq!(Readiness::AnyProvider.to_string(), "any_provider");
    let extra = [ExtraFields::All, ExtraFields::Known, ExtraFields::None];
    are_words(&extra.map(ExtraFields::as_str), "_");
    let dialects = [
        ClientDialect::OpenAi,
        ClientDialect::Anthropic,
        ClientDialect::Gemini,
        ClientDialect::Ollama,
        ClientDialect::Codex,
    ];
    are_words(&dialects.map(ClientDialect::as_str), "_");
    for dialect in dialects {
        assert_eq!(dialect.to_string().parse::<ClientDialect>(), Ok(dialect));
    }
    // File names, which usually have hyphens.
    let presets: Vec<_> = Preset::ALL.iter().map(|preset| preset.as_str()).collect();
    are_words(&presets, "-");
    assert_eq!(Dialect::AzureDeployments.as_str(), "azure-deployments");
    assert_eq!(Dialect::AzureDeployments.to_string(), "azure-deployments");
}

/// What `main() -> Result<(), BuildError>` prints.
#[test]
fn debug_output_of_build_error_is_its_message() {
    let error: BuildError = StaticModelsCacheLayer::builder()
        .max_models(0)
        .build()
        .unwrap_err();
    let sentence = "max_models is 0, expected 1 to 1073741824";
    assert_eq!(format!("{error}"), sentence);
    assert_eq!(format!("{error:?}"), sentence);
    assert_eq!(format!("{error:#?}"), sentence);
    let boxed: Box<dyn Error> = error.into();
    assert_eq!(format!("{boxed:?}"), sentence);
}

#[test]
fn list_models_is_constructible() {
    let request = ListModels::new();
    assert_eq!(request.timeout(), Duration::from_secs(15));
    assert_eq!(
        (request.max_models(), request.max_pages()),
        (100_000, 1_000)
    );
    assert_eq!(request.max_bytes(), 16 * 1024 * 1024);
    let request = ListModels::default()
        .with_timeout(Duration::from_secs(1))
        .with_max_models(2)
        .with_max_pages(3)
        .with_max_bytes(4);
    assert_eq!(request.timeout(), Duration::from_secs(1));
    assert_eq!((request.max_models(), request.max_pages()), (2, 3));
    assert_eq!(request.max_bytes(), 4);
}

/// This must compile: `None` needs one type.
#[cfg(feature = "client")]
#[test]
#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "a text by reference is a key, too"
)]
fn key_accepts_secret_string_or_none() {
    use tower_models_cache::{Provider, Secret};

    let url = "http://localhost:1/v1";
    for provider in [
        Provider::openai("lab", url, None),
        Provider::openai("lab", url, "k"),
        Provider::openai("lab", url, String::from("k")),
        Provider::openai("lab", url, &String::from("k")),
        Provider::openai("lab", url, Secret::new("k")),
        Provider::openai("lab", url, Some(Secret::new("k"))),
        Provider::preset(Preset::Anthropic, "k"),
        Provider::preset(Preset::Ollama, None),
        Provider::preset(Preset::OpenAi, None).api_key("k"),
        Provider::client("lab", url).bearer("k"),
        Provider::client("lab", url).secret_header(http::header::COOKIE, String::from("k")),
    ] {
        let _ = StaticModelsCacheLayer::builder()
            .provider(provider)
            .build()
            .unwrap();
    }
    for bad in [
        Provider::openai("lab", url, ""),
        Provider::openai("lab", url, "a\nb"),
    ] {
        let error = StaticModelsCacheLayer::builder()
            .provider(bad)
            .build()
            .unwrap_err();
        assert_eq!(error.field(), "providers.lab.headers.authorization");
    }
}

/// This must compile: `[]` needs one type.
#[cfg(feature = "globs")]
#[test]
#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "arrays by reference are lists, too"
)]
fn globs_accept_array_slice_vec_or_none() {
    use tower_models_cache::View;
    let texts: Vec<String> = vec!["a/*".to_owned()];
    for view in [
        View::globs(["a/*"], []),
        View::globs(&["a/*"], &[]),
        View::globs(&["a/*"][..], []),
        View::globs(vec!["a/*"], []),
        View::globs(&texts, []),
        View::globs(&texts[..], []),
        View::globs(texts.clone(), []),
    ] {
        // Views with the same globs are one view.
        let expected = format!("{:?}", View::globs(["a/*"], []).unwrap());
        assert_eq!(format!("{:?}", view.unwrap()), expected);
    }
    assert!(View::globs([], []).is_ok());
}

#[cfg(feature = "catalog")]
#[tokio::test]
async fn catalog_error_is_std_error() {
    use tower_models_cache::{Catalog, error::CatalogError};
    let catalog = Catalog::file("no-such-catalogue.json");
    let builder = StaticModelsCacheLayer::builder().catalog(catalog);
    let cache = builder.build().unwrap().cache();
    let error: CatalogError = cache.refresh_catalog().await.unwrap_err();
    assert_eq!(error.kind(), ListErrorKind::Transport);
    assert_eq!(error.retry_after(), None);
    assert_eq!(
        error.to_string(),
        "catalogue: the provider could not be reached"
    );
    assert!(error.source().is_some());
    let _: Box<dyn Error + Send + Sync> = error.into();
}
