//! Small lists in the wire formats of real providers, written for these tests, which run
//! everywhere. `captured` tests the same with real lists.

use tower_models_cache::{ModelsSnapshot, error::ListErrorKind};

use crate::captured::{Outcome, assert_is_read, assert_truncation_fails, layer};

struct Sample {
    name: &'static str,
    body: &'static str,
    /// The configured dialect.
    configured: &'static str,
    /// The dialect that is detected without configuration.
    detected: &'static str,
    outcome: Outcome,
}

macro_rules! samples {
    ($($file:literal, $configured:literal, $detected:literal, $outcome:expr;)*) => {
        &[$(Sample {
            name: $file,
            body: include_str!(concat!("samples/", $file, ".json")),
            configured: $configured,
            detected: $detected,
            outcome: $outcome,
        }),*]
    };
}

const SAMPLES: &[Sample] = samples! {
    "anthropic", "anthropic", "anthropic", Ok((2, 0));
    "azure", "azure", "azure", Ok((3, 1));
    "bedrock", "bedrock", "bedrock", Ok((2, 0));
    "flat-fields", "openai", "openai", Ok((2, 0));
    "gemini", "gemini", "gemini", Ok((2, 0));
    "github", "array", "array", Ok((2, 0));
    "gpustack", "gpustack", "gpustack", Ok((1, 0));
    "gpustack-401", "gpustack", "", Err(ListErrorKind::Refused);
    "llamacpp", "openai", "openai", Ok((1, 0));
    "lmstudio-v0", "lmstudio-v0", "lmstudio-v0", Ok((2, 0));
    "minimal", "openai", "openai", Ok((2, 0));
    "mistral", "openai", "openai", Ok((3, 1));
    "models.dev", "openai", "", Err(ListErrorKind::NotAList);
    "no-list", "openai", "", Err(ListErrorKind::NotAList);
    "ollama", "ollama", "ollama", Ok((2, 0));
    "openai-monday", "openai", "openai", Ok((3, 0));
    "openai-tuesday", "openai", "openai", Ok((3, 0));
    "openrouter", "openrouter", "openrouter", Ok((2, 0));
    "ppio", "array", "array", Ok((1, 0));
    "tgi", "openai", "openai", Ok((1, 0));
    "vertex", "vertex", "vertex", Ok((1, 0));
};

fn sample(name: &str) -> &'static Sample {
    let sample = SAMPLES.iter().find(|sample| sample.name == name);
    sample.expect("a sample in the table")
}

async fn snapshot(name: &str) -> ModelsSnapshot {
    let sample = sample(name);
    let cache = layer(sample.body.into(), sample.configured).cache();
    cache.refresh().await.expect(name);
    cache.snapshot()
}

#[tokio::test]
async fn samples_are_read_in_set_or_auto_dialect() {
    for sample in SAMPLES {
        let dialects = (sample.configured, sample.detected);
        assert_is_read(
            sample.name,
            sample.body.as_bytes(),
            dialects,
            sample.outcome,
        )
        .await;
    }
}

#[tokio::test]
async fn truncated_sample_is_a_failure() {
    for sample in SAMPLES.iter().filter(|sample| sample.outcome.is_ok()) {
        assert_truncation_fails(sample.name, sample.body.as_bytes(), sample.configured).await;
    }
}

#[tokio::test]
async fn sampled_models_are_listed_by_upstream_id() {
    for (name, listed, upstream, owner) in [
        (
            "gemini",
            "osprey-2-flash",
            "models/osprey-2-flash",
            "captured",
        ),
        (
            "vertex",
            "osprey-2-flash-002",
            "publishers/google/models/osprey-2-flash-002",
            "google",
        ),
        // The provider's id ends in a space, which no client can send.
        ("tgi", "acme/Avocet-8B", "acme/Avocet-8B ", "acme/Avocet-8B"),
        ("gpustack", "plover", "plover", "captured"),
        (
            "openrouter",
            "fernhill/moss-2:free",
            "fernhill/moss-2:free",
            "fernhill",
        ),
        ("github", "heron/heron-4", "heron/heron-4", "Heron"),
    ] {
        let snapshot = snapshot(name).await;
        let model = snapshot.get(&format!("captured/{listed}")).expect(listed);
        assert_eq!(model.upstream_id(), upstream);
        assert_eq!(model.model().owned_by().unwrap_or("captured"), owner);
    }
}

#[tokio::test]
async fn each_format_yields_its_context_window() {
    for (name, id, window) in [
        ("flat-fields", "finch/finch-20b", Some(131_072)),
        ("llamacpp", "rook-7b-q4", Some(32_768)),
        ("lmstudio-v0", "wren-embed", Some(2_048)),
        ("minimal", "sparrow-chat", None),
        ("mistral", "swift-medium-2505", Some(131_072)),
        ("openrouter", "fernhill/moss-2", Some(262_144)),
        ("ppio", "kestrel/kestrel-r1", Some(64_000)),
    ] {
        let snapshot = snapshot(name).await;
        let model = snapshot.get(&format!("captured/{id}")).expect(id);
        assert_eq!(model.model().context_length(), window, "{name}");
    }
}

#[tokio::test]
async fn samples_of_two_days_differ_only_by_content() {
    let first = snapshot("openai-monday").await;
    let second = snapshot("openai-tuesday").await;
    let changed = first.iter().filter(|model| {
        let other = second.get(&model.id()).expect("the same ids");
        other.model() != model.model()
    });
    // Two models had a deprecation date on Monday.
    assert_eq!(changed.count(), 2);
}

#[cfg(feature = "catalog")]
#[tokio::test]
async fn sampled_catalog_describes_listed_models() {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{Empty, Full};
    use tower_models_cache::{Catalog, Provider, StaticModelsCacheLayer};

    let service = tower::service_fn(|_: Request<Empty<Bytes>>| async {
        let body = Bytes::from_static(sample("minimal").body.as_bytes());
        Ok::<_, Infallible>(Response::new(Full::new(body)))
    });
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/providers/samples/models.dev.json"
    );
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::http("lab", service))
        .catalog(Catalog::file(file))
        .build()
        .expect("valid settings");
    let cache = layer.cache();
    cache.refresh().await.expect("a list");
    cache.refresh_catalog().await.expect("a catalog");
    let status = cache.status().catalog.expect("a configured catalog");
    assert_eq!((status.models, status.skipped), (2, 0));
    assert_eq!(status.described, 1);
    let snapshot = cache.snapshot();
    let described = snapshot.get("lab/sparrow-chat").expect("a listed model");
    assert_eq!(described.model().context_length(), Some(1_000_000));
    let prices = described.model().prices().expect("known prices");
    let prompt = prices.prompt.map(|price| price.to_string());
    assert_eq!(prompt.as_deref(), Some("0.000002"));
    let other = snapshot
        .get("lab/sparrow-reasoner")
        .expect("a listed model");
    assert_eq!(other.model().context_length(), None);
}
