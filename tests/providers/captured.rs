//! Real lists as providers sent them, from the directory in `MODELS_CAPTURES`.
//!
//! The captures are not part of the crate. Without the variable these tests read nothing;
//! `samples` tests the same with small lists that are part of the crate.

use std::{convert::Infallible, fs, path::PathBuf};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower_models_cache::{
    Provider, StaticModelsCacheLayer, error::ListErrorKind, provider::Dialect,
};

/// The number of models and of duplicates among them, or a failure.
pub(crate) type Outcome = Result<(usize, usize), ListErrorKind>;

/// A capture: its file, its configured dialect, the dialect that is detected without
/// configuration, and the result: the number of models and of duplicates, or a failure.
type Capture = (&'static str, &'static str, &'static str, Outcome);

const CAPTURES: &[Capture] = &[
    (
        "anthropic/models_2026-02-10.json",
        "anthropic",
        "anthropic",
        Ok((10, 0)),
    ),
    (
        "anthropic/models_2026-08-05.json",
        "anthropic",
        "anthropic",
        Ok((11, 0)),
    ),
    (
        "azure/openai_v1_models_2026-02-10.json",
        "azure",
        "azure",
        Ok((265, 2)),
    ),
    (
        "bedrock/foundation_models_2026-02-10.json",
        "bedrock",
        "bedrock",
        Ok((135, 0)),
    ),
    (
        "bedrock/mantle_models_2026-08-19.json",
        "openai",
        "openai",
        Ok((48, 0)),
    ),
    (
        "deepgram/models_2026.json",
        "openai",
        "",
        Err(ListErrorKind::NotAList),
    ),
    (
        "deepseek/models_2026-02-10.json",
        "openai",
        "openai",
        Ok((2, 0)),
    ),
    (
        "gemini/models_all_2026-02-10.json",
        "gemini",
        "gemini",
        Ok((45, 0)),
    ),
    (
        "gemini/models_page1_of_n_2026-01-13.json",
        "gemini",
        "gemini",
        Ok((50, 0)),
    ),
    (
        "github/catalog_models_2025-05-17.json",
        "array",
        "array",
        Ok((56, 0)),
    ),
    (
        "gpustack/error_401_2026-02-10.json",
        "gpustack",
        "",
        Err(ListErrorKind::Refused),
    ),
    (
        "gpustack/models_items_pagination_2026-01-13.json",
        "gpustack",
        "gpustack",
        Ok((1, 0)),
    ),
    ("groq/models_2026-08.json", "openai", "openai", Ok((14, 0))),
    (
        "litellm/v1_models_2025-07.json",
        "openai",
        "openai",
        Ok((1, 0)),
    ),
    (
        "llamacpp/v1_models_2025-02.json",
        "openai",
        "openai",
        Ok((1, 0)),
    ),
    (
        "lmstudio/api_v0_models_2025-07.json",
        "lmstudio-v0",
        "lmstudio-v0",
        Ok((1, 0)),
    ),
    (
        "lmstudio/v1_models_2025-11.json",
        "openai",
        "openai",
        Ok((4, 0)),
    ),
    (
        "mistral/models_2026-02-10.json",
        "openai",
        "openai",
        Ok((57, 2)),
    ),
    (
        "modelsdev/api_2026-02-10.json",
        "openai",
        "",
        Err(ListErrorKind::NotAList),
    ),
    (
        "ollama/api_tags_2026-04.json",
        "ollama",
        "ollama",
        Ok((3, 0)),
    ),
    (
        "ollama/v1_models_2026-02-10.json",
        "openai",
        "openai",
        Ok((3, 0)),
    ),
    (
        "openai/models_2026-02-10.json",
        "openai",
        "openai",
        Ok((119, 0)),
    ),
    (
        "openai/models_2026-08-04.json",
        "openai",
        "openai",
        Ok((132, 0)),
    ),
    (
        "openai/models_2026-08-05.json",
        "openai",
        "openai",
        Ok((132, 0)),
    ),
    (
        "openrouter/models_2026-02-10.json",
        "openrouter",
        "openrouter",
        Ok((344, 0)),
    ),
    (
        "openrouter/models_all_modalities_2026-08-04.json",
        "openrouter",
        "openrouter",
        Ok((456, 0)),
    ),
    (
        "ppio/models_data_array_2025.json",
        "array",
        "array",
        Ok((2, 0)),
    ),
    ("tgi/v1_models_2024-08.json", "openai", "openai", Ok((1, 0))),
    (
        "vertexai/publisher_models_google_2026-02-10.json",
        "vertex",
        "vertex",
        Ok((10, 0)),
    ),
    (
        "xai/models_2026-02-10.json",
        "openai",
        "openai",
        Ok((13, 0)),
    ),
];

fn captures() -> Option<PathBuf> {
    std::env::var_os("MODELS_CAPTURES").map(PathBuf::from)
}

/// A provider with this capture as its first page; a next page, if there is one, is empty.
pub(crate) fn layer(body: Vec<u8>, dialect: &str) -> StaticModelsCacheLayer {
    let body = Bytes::from(body);
    let service = tower::service_fn(move |request: Request<Empty<Bytes>>| {
        let query = request.uri().query().unwrap_or_default();
        let body = if query.contains("pageToken") {
            Bytes::from_static(b"{}")
        } else {
            body.clone()
        };
        async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
    });
    let dialect: Dialect = dialect.parse().expect("known dialect");
    StaticModelsCacheLayer::builder()
        .provider(Provider::http("captured", service).dialect(dialect))
        .build()
        .expect("valid settings")
}

#[test]
fn every_captured_list_is_in_the_table() {
    let Some(folder) = captures() else { return };
    let mut files = Vec::new();
    for group in fs::read_dir(&folder).expect("a directory") {
        let group = group.expect("readable directory entry").path();
        for file in fs::read_dir(&group).into_iter().flatten() {
            let file = file.expect("readable directory entry").path();
            let name = file
                .strip_prefix(&folder)
                .expect("path below the directory");
            files.push(name.to_string_lossy().into_owned());
        }
    }
    files.sort();
    let table: Vec<_> = CAPTURES
        .iter()
        .map(|(file, ..)| (*file).to_owned())
        .collect();
    assert_eq!(files, table);
}

#[tokio::test]
async fn captures_are_read_in_set_or_auto_dialect() {
    let Some(folder) = captures() else { return };
    for (file, configured, found, expected) in CAPTURES {
        let body = fs::read(folder.join(file)).expect(file);
        assert_is_read(file, &body, (configured, found), *expected).await;
    }
}

/// Reads the list in the configured dialect and in the detected one.
pub(crate) async fn assert_is_read(
    name: &str,
    body: &[u8],
    (configured, detected): (&str, &str),
    expected: Outcome,
) {
    for (dialect, reported) in [(configured, configured), ("auto", detected)] {
        let cache = layer(body.to_vec(), dialect).cache();
        let outcome = cache.refresh_provider("captured").await;
        let status = cache.status().providers.remove(0);
        match expected {
            Ok((models, duplicates)) => {
                outcome.expect(name);
                assert_eq!(status.dialect, Some(reported), "{name}");
                assert_eq!(status.duplicates, duplicates, "{name} as {dialect}");
                assert_eq!(status.models, models - duplicates, "{name} as {dialect}");
                assert_eq!(status.flaws, [], "{name} as {dialect}");
            }
            Err(kind) => {
                let error = outcome.expect_err(name);
                assert_eq!(error.kind(), kind, "{name} as {dialect}");
            }
        }
    }
}

#[tokio::test]
async fn captured_models_are_listed_and_routed_by_id() {
    let Some(folder) = captures() else { return };
    for (file, dialect, listed, upstream, owner) in [
        (
            "gemini/models_all_2026-02-10.json",
            "gemini",
            "gemini-2.5-flash",
            "models/gemini-2.5-flash",
            "captured",
        ),
        (
            "vertexai/publisher_models_google_2026-02-10.json",
            "auto",
            "gemini-1.5-flash-002",
            "publishers/google/models/gemini-1.5-flash-002",
            "google",
        ),
        (
            "tgi/v1_models_2024-08.json",
            "openai",
            "meta-llama/Meta-Llama-3-8B",
            "meta-llama/Meta-Llama-3-8B ",
            "meta-llama/Meta-Llama-3-8B",
        ),
        (
            "gpustack/models_items_pagination_2026-01-13.json",
            "auto",
            "qwen3",
            "qwen3",
            "captured",
        ),
        (
            "openrouter/models_2026-02-10.json",
            "auto",
            "qwen/qwen3-max-thinking",
            "qwen/qwen3-max-thinking",
            "qwen",
        ),
        (
            "github/catalog_models_2025-05-17.json",
            "auto",
            "openai/gpt-4.1",
            "openai/gpt-4.1",
            "OpenAI",
        ),
    ] {
        let body = fs::read(folder.join(file)).expect(file);
        let cache = layer(body, dialect).cache();
        cache.refresh().await.expect(file);
        let snapshot = cache.snapshot();
        let model = snapshot.get(&format!("captured/{listed}")).expect(listed);
        assert_eq!(model.upstream_id(), upstream);
        assert_eq!(model.model().owned_by().unwrap_or("captured"), owner);
    }
}

#[tokio::test]
async fn captures_of_two_days_differ_only_by_content() {
    let Some(folder) = captures() else { return };
    let read = |file: &str| fs::read(folder.join(file)).expect(file);
    let list = async |body| {
        let cache = layer(body, "openai").cache();
        cache.refresh().await.expect("a list");
        cache.snapshot()
    };
    let first = list(read("openai/models_2026-08-04.json")).await;
    let second = list(read("openai/models_2026-08-05.json")).await;
    let changed = first.iter().filter(|model| {
        let other = second.get(&model.id()).expect("the same ids");
        other.model() != model.model()
    });
    // 57 models had a deprecation date on the first day, and none on the second.
    assert_eq!(changed.count(), 57);
}

#[tokio::test]
async fn truncated_captured_list_is_a_failure() {
    let Some(folder) = captures() else { return };
    for (file, dialect, _, _) in CAPTURES.iter().filter(|capture| capture.3.is_ok()) {
        let body = fs::read(folder.join(file)).expect(file);
        assert_truncation_fails(file, &body, dialect).await;
    }
}

/// Truncates the list at several positions.
pub(crate) async fn assert_truncation_fails(name: &str, body: &[u8], dialect: &str) {
    let body = body.trim_ascii_end();
    for end in [body.len() - 1, body.len() / 2, 1] {
        let cache = layer(body[..end].to_vec(), dialect).cache();
        let outcome = cache.refresh_provider("captured").await;
        let kind = outcome.expect_err(name).kind();
        assert_eq!(kind, ListErrorKind::NotJson, "{name}");
    }
}

#[cfg(feature = "catalog")]
#[tokio::test]
async fn captured_catalog_describes_listed_models() {
    let Some(folder) = captures() else { return };
    let file = folder.join("modelsdev/api_2026-02-10.json");
    let body = Bytes::from(
        fs::read(folder.join("openai/models_2026-08-04.json")).expect("readable capture"),
    );
    let service = tower::service_fn(move |_: Request<Empty<Bytes>>| {
        let response = Response::new(Full::new(body.clone()));
        async { Ok::<_, Infallible>(response) }
    });
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::http("openai", service))
        .catalog(tower_models_cache::Catalog::file(file))
        .build()
        .expect("valid settings");
    let cache = layer.cache();
    cache.refresh().await.expect("a list");
    let plain = cache.snapshot();
    cache.refresh_catalog().await.expect("a catalog");
    let status = cache.status().catalog.expect("a configured catalog");
    assert_eq!((status.models, status.skipped), (2512, 0));
    assert_eq!(status.described, 38);
    let snapshot = cache.snapshot();
    assert_eq!(snapshot.len(), plain.len());
    let model = snapshot
        .get("openai/gpt-4.1")
        .expect("a listed model")
        .model();
    assert_eq!(model.context_length(), Some(1_047_576));
    let prices = model.prices().expect("known prices");
    assert_eq!(
        prices.prompt.map(|price| price.to_string()).as_deref(),
        Some("0.000002")
    );
}
