//! The catalog: which record describes which model, and the effects of a catalog that is late,
//! invalid or unavailable.

use crate::support;
use std::{
    convert::Infallible,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use serde_json::{Value, json};
use tower_models_cache::{
    Catalog, Model, Preset, Provider, StaticModelsCacheLayer, error::ListErrorKind, model::Prices,
    provider::Dialect, status::Status,
};

use crate::support::{Gate, MODES, Mode, ScriptedSource, builder, get, list, send, settle};

/// A request: its URI, and its `If-None-Match`.
type Fetch = (String, Option<String>);

/// A server with a catalog that the test can change.
#[derive(Clone, Default)]
struct CatalogServer {
    answer: Arc<Mutex<(u16, String, Option<&'static str>)>>,
    fetches: Arc<Mutex<Vec<Fetch>>>,
    sent: Arc<AtomicUsize>,
    gate: Option<Gate>,
}

impl CatalogServer {
    fn new(catalog: &Value) -> Self {
        let server = Self::default();
        server.set_catalog(catalog);
        server
    }

    fn set_catalog(&self, catalog: &Value) {
        self.set(200, catalog.to_string(), None);
    }

    fn set(&self, status: u16, body: impl Into<String>, etag: Option<&'static str>) {
        *self.answer.lock().unwrap() = (status, body.into(), etag);
    }

    fn catalog(&self) -> Catalog {
        let server = self.clone();
        Catalog::http(tower::service_fn(move |request: Request<Empty<Bytes>>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(&request).await) }
        }))
    }

    async fn answer(&self, request: &Request<Empty<Bytes>>) -> Response<Full<Bytes>> {
        if let Some(gate) = &self.gate {
            gate.passed().await;
        }
        let known = request.headers().get("if-none-match");
        let known = known.map(|tag| tag.to_str().unwrap().to_owned());
        let fetches = (request.uri().to_string(), known.clone());
        self.fetches.lock().unwrap().push(fetches);
        let (status, body, etag) = self.answer.lock().unwrap().clone();
        let mut response = Response::builder().status(status);
        if let Some(etag) = etag {
            response = response.header("etag", etag);
            if known.as_deref() == Some(etag) {
                let response = response.status(StatusCode::NOT_MODIFIED);
                return response.body(Full::default()).unwrap();
            }
        }
        self.sent.fetch_add(1, Ordering::SeqCst);
        response.body(Full::from(body)).unwrap()
    }

    fn fetches(&self) -> usize {
        self.fetches.lock().unwrap().len()
    }
}

/// A catalog with one model, of which this context length is known.
fn of(provider: &str, id: &str, window: u64) -> Value {
    json!({ provider: { "models": { id: { "limit": { "context": window } } } } })
}

fn window(layer: &StaticModelsCacheLayer, id: &str) -> Option<u64> {
    let snapshot = layer.cache().snapshot();
    snapshot.get(id).unwrap().model().context_length()
}

fn catalog(layer: &StaticModelsCacheLayer) -> tower_models_cache::status::CatalogStatus {
    let Status { catalog, .. } = layer.cache().status();
    catalog.unwrap()
}

async fn with(catalog: &Value, provider: Provider) -> StaticModelsCacheLayer {
    let server = CatalogServer::new(catalog);
    let layer = builder([provider])
        .catalog(server.catalog())
        .build()
        .unwrap();
    assert_eq!(
        layer
            .cache()
            .refresh_catalog()
            .await
            .map_err(|error| error.kind()),
        Ok(true)
    );
    layer
}

// ===== Matching records =====

#[tokio::test(start_paused = true)]
async fn catalog_fills_missing_facts() {
    let known = json!({"star": {"models": {"star-4": {
        "name": "Star 4", "family": "star", "tool_call": true, "reasoning": false,
        "open_weights": true, "modalities": {"input": ["text", "image"], "output": ["text"]},
        "limit": {"context": 400_000, "input": 272_000, "output": 128_000},
        "cost": {"input": 2.5999999999999996, "output": 0.18, "cache_read": 1e-7}, "status": "deprecated",
    }}}});
    let model = Model::new("star-4")
        .with_display_name("Own")
        .with_max_output_tokens(5);
    let layer = with(
        &known,
        Provider::fixed("star", [model, Model::new("star-5")]),
    )
    .await;
    let response = send(&layer, get("/v1/models/star/star-4")).await;
    let record: Value = serde_json::from_slice(response.body()).unwrap();
    let expected = json!({"id": "star/star-4", "object": "model", "created": 0,
        "owned_by": "star", "name": "Own", "context_length": 400_000,
        "max_input_tokens": 272_000, "max_output_tokens": 5, "family": "star",
        "open_weights": true,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "capabilities": {"tools": true, "reasoning": false},
        "pricing": {"prompt": "0.0000025999999999999996", "completion": "0.00000018",
            "input_cache_read": "0.0000000000001"},
        "deprecated": true});
    assert_eq!(record, expected);
    let response = send(&layer, get("/v1/models/star/star-5")).await;
    let record: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(record.as_object().unwrap().len(), 4, "{record}");
    let status = catalog(&layer);
    assert_eq!((status.models, status.described, status.skipped), (1, 1, 0));
    let providers = layer.cache().status().providers;
    assert_eq!(
        providers.iter().map(|of| of.catalogued).collect::<Vec<_>>(),
        [1]
    );
}

#[tokio::test(start_paused = true)]
async fn catalog_provider_is_matched_by_name() {
    let known = of("amazon-bedrock", "a", 7);
    let provider = |name: &str| Provider::fixed(name, [Model::new("a")]);
    for (provider, expected) in [
        (provider("amazon-bedrock"), Some(7)),
        (provider("bedrock"), None),
        (provider("Amazon-Bedrock"), None),
        (provider("aws").catalog_id("amazon-bedrock"), Some(7)),
        (provider("amazon-bedrock").catalog_id("other"), None),
        (provider("amazon-bedrock").no_catalog(), None),
    ] {
        let name = provider.name().to_owned();
        let layer = with(&known, provider).await;
        assert_eq!(window(&layer, &format!("{name}/a")), expected, "{name}");
    }
}

#[test]
fn presets_map_to_catalog_names() {
    for (preset, id) in [
        (Preset::Anthropic, Some("anthropic")),
        (Preset::Gemini, Some("google")),
        (Preset::Bedrock, Some("amazon-bedrock")),
        (Preset::Together, Some("togetherai")),
        (Preset::AzureDeployments, None),
        (Preset::Vllm, None),
    ] {
        assert_eq!(preset.catalog_id(), id, "{preset}");
    }
}

#[tokio::test(start_paused = true)]
async fn renamed_preset_keeps_its_catalog_name() {
    let gemini = tower::service_fn(|_: Request<Empty<Bytes>>| async {
        let body = r#"{"models":[{"name":"models/gemini-3"}]}"#;
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(body)))
    });
    let provider =
        Provider::preset_with(Preset::Gemini, tower_models_cache::Secret::new("k"), gemini);
    let layer = with(&of("google", "gemini-3", 7), provider.with_name("g")).await;
    layer.cache().refresh().await.unwrap();
    assert_eq!(window(&layer, "g/gemini-3"), Some(7));
}

#[tokio::test(start_paused = true)]
async fn ids_match_exactly_or_after_vendor() {
    let star = |window: u64| {
        json!({"limit": {"context": window}, "cost": {"input": 1, "output": 2},
            "status": "deprecated"})
    };
    let all = json!({
        "star": {"models": {"star-4": star(1), "both": star(2), "alike": star(3), "x/y": star(4)}},
        "shop": {"models": {"star/own": star(5), "both": star(6), "alike": star(3), "rest": star(7),
            "models/up": star(8)}},
    });
    let price = |price: &str| price.parse().ok();
    let costs = Some(Prices {
        prompt: price("0.000001"),
        completion: price("0.000002"),
        ..Prices::default()
    });
    let models = [
        "star/own",
        "star/star-4",
        "star/both",
        "star/alike",
        "nobody/rest",
        "star/x/y",
        "star-4",
        "STAR/star-4",
        "star/star-4-20250101",
        "rest",
        "up",
    ]
    .map(Model::new)
    .map(|model| match model.id() {
        "up" => model.with_upstream_id("models/up"),
        _ => model,
    });
    let layer = with(&all, Provider::fixed("shop", models)).await;
    let snapshot = layer.cache().snapshot();
    for (id, window, priced) in [
        // Records under the provider's own name: all facts, with prices.
        ("star/own", Some(5), true),
        ("rest", Some(7), true),
        ("up", Some(8), true),
        // Records of the same model under other providers: only facts that do not depend on the
        // provider.
        ("star/star-4", Some(1), false),
        ("star/alike", Some(3), false),
        ("star/x/y", Some(4), false),
        ("nobody/rest", Some(7), false),
        // Two records that differ, or none.
        ("star/both", None, false),
        ("star-4", None, false),
        ("STAR/star-4", None, false),
        ("star/star-4-20250101", None, false),
    ] {
        let model = snapshot.get(&format!("shop/{id}")).unwrap().model().clone();
        assert_eq!(model.context_length(), window, "{id}");
        assert_eq!(model.prices().copied(), costs.filter(|_| priced), "{id}");
        assert_eq!(model.deprecation().is_some(), priced, "{id}");
    }
    assert_eq!(catalog(&layer).described, 7);
}

#[tokio::test(start_paused = true)]
async fn operator_and_provider_override_catalog() {
    let known = json!({"lab": {"models": {"a": {"family": "catalogue", "open_weights": false,
        "limit": {"context": 3}, "cost": {"input": 1, "output": 1}}}}});
    let own = Prices {
        prompt: "5".parse().ok(),
        ..Prices::default()
    };
    let model = Model::new("a").with_family("provider").with_prices(own);
    let server = CatalogServer::new(&known);
    let layer = builder([Provider::fixed("lab", [model])])
        .catalog(server.catalog())
        .override_model("lab/a", Model::description().with_context_length(1))
        .build()
        .unwrap();
    layer.cache().refresh_catalog().await.unwrap();
    let snapshot = layer.cache().snapshot();
    let model = snapshot.get("lab/a").unwrap().model();
    assert_eq!(model.context_length(), Some(1));
    assert_eq!(model.family(), Some("provider"));
    assert_eq!(model.open_weights(), Some(false));
    // Prices of two sources are not mixed.
    assert_eq!(model.prices(), Some(&own));
}

// ===== Fetching the catalog =====

#[tokio::test(start_paused = true)]
async fn late_catalog_is_published_without_waiting() {
    for mode in MODES {
        let gate = Gate::default();
        let server = CatalogServer {
            gate: Some(gate.clone()),
            ..CatalogServer::new(&of("lab", "a", 7))
        };
        let source = ScriptedSource::always(["a", "b"]);
        let (layer, _refresher) =
            mode.start(builder([Provider::source("lab", source)]).catalog(server.catalog()));
        let (ids, took) = support::timed(list(&layer)).await;
        assert_eq!((ids.len(), took), (2, Duration::ZERO), "{mode:?}");
        settle().await;
        assert_eq!(window(&layer, "lab/a"), None);
        assert!(catalog(&layer).fetching);
        let before = layer.cache().snapshot();
        let mut updates = layer.cache().subscribe();
        gate.open(1);
        settle().await;
        assert_eq!(window(&layer, "lab/a"), Some(7));
        assert_ne!(layer.cache().snapshot().etag(), before.etag());
        assert!(updates.next().await.is_some());
        let more = tokio::time::timeout(Duration::from_secs(1), updates.next());
        assert!(more.await.is_err(), "published twice");
        assert_eq!(server.fetches(), 1);
        assert_eq!(server.fetches.lock().unwrap()[0].0, "/api.json");
    }
}

#[tokio::test(start_paused = true)]
async fn catalog_is_revalidated_per_interval() {
    for mode in [Mode::Spawn, Mode::Build] {
        let server = CatalogServer::default();
        server.set(200, of("lab", "a", 7).to_string(), Some("\"1\""));
        let (layer, _refresher) = mode.start(
            builder([Provider::fixed("lab", [Model::new("a")])])
                .catalog(server.catalog().refresh_interval(Duration::from_secs(600))),
        );
        list(&layer).await;
        settle().await;
        assert_eq!(window(&layer, "lab/a"), Some(7), "{mode:?}");
        let first = layer.cache().snapshot();
        tokio::time::sleep(Duration::from_secs(700)).await;
        list(&layer).await;
        settle().await;
        let fetches = server.fetches.lock().unwrap().clone();
        let tags: Vec<_> = fetches.iter().map(|(_, tag)| tag.as_deref()).collect();
        assert_eq!(tags, [None, Some("\"1\"")], "{mode:?}");
        assert_eq!(server.sent.load(Ordering::SeqCst), 1);
        assert_eq!(
            layer.cache().snapshot().body().as_ptr(),
            first.body().as_ptr()
        );
        assert!(catalog(&layer).confirmed.unwrap() < Duration::from_secs(100));
    }
}

#[tokio::test(start_paused = true)]
async fn failure_keeps_last_catalog_and_is_reported() {
    let good = of("lab", "a", 7).to_string();
    let server = CatalogServer::default();
    let builder = builder([Provider::fixed("lab", [Model::new("a")])])
        .catalog(server.catalog())
        .max_stale(Duration::from_secs(3600));
    let layer = builder.build().unwrap();
    let cache = layer.cache();
    for (status, body, kind) in [
        (404, "", ListErrorKind::Status(404)),
        (200, "<html>", ListErrorKind::NotJson),
        (200, &good[..good.len() - 1], ListErrorKind::NotJson),
        (200, "{}", ListErrorKind::NotAList),
        (200, r#"{"lab":{"models":{}}}"#, ListErrorKind::Empty),
        (500, "", ListErrorKind::Status(500)),
    ] {
        if kind != ListErrorKind::Empty {
            server.set(status, body, None);
            assert_eq!(
                cache.refresh_catalog().await.map_err(|error| error.kind()),
                Err(kind)
            );
            assert_eq!(catalog(&layer).error, Some(kind));
        }
        server.set(200, &*good, None);
        assert_eq!(
            cache.refresh_catalog().await.map_err(|error| error.kind()),
            Ok(true)
        );
        let etag = cache.snapshot().etag().to_owned();
        server.set(status, body, None);
        tokio::time::sleep(Duration::from_secs(30 * 3600)).await;
        assert_eq!(
            cache.refresh_catalog().await.map_err(|error| error.kind()),
            Err(kind)
        );
        let reported = catalog(&layer);
        assert_eq!(
            (reported.models, reported.described, reported.error),
            (1, 1, Some(kind))
        );
        assert!(
            reported.failures > 0 && reported.confirmed.unwrap() >= Duration::from_secs(30 * 3600)
        );
        assert_eq!(window(&layer, "lab/a"), Some(7));
        assert_eq!(cache.snapshot().etag(), etag);
        server.set(200, &*good, None);
        assert_eq!(
            cache.refresh_catalog().await.map_err(|error| error.kind()),
            Ok(true)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn failing_catalog_backs_off_alone() {
    for mode in MODES {
        let server = CatalogServer::default();
        server.set(503, "", None);
        let (layer, _refresher) = mode.start(
            builder([Provider::source("lab", ScriptedSource::always(["a"]))])
                .catalog(server.catalog()),
        );
        for _ in 0..1000 {
            assert_eq!(list(&layer).await, ["lab/a"]);
        }
        settle().await;
        assert_eq!(server.fetches(), 1, "{mode:?}");
        let response = send(&layer, get("/v1/models")).await;
        let status = response.headers()["cache-status"].to_str().unwrap();
        assert!(
            !status.contains("partial") && !status.contains("stale"),
            "{status}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn catalog_is_not_fetched_per_uncached_request() {
    let server = CatalogServer::new(&of("lab", "a", 7));
    let layer = builder([Provider::source("lab", ScriptedSource::always(["a"]))])
        .catalog(server.catalog())
        .without_cache()
        .build()
        .unwrap();
    for _ in 0..5 {
        list(&layer).await;
        settle().await;
    }
    assert_eq!(server.fetches(), 1);
    assert_eq!(window(&layer, "lab/a"), Some(7));
}

#[tokio::test(start_paused = true)]
async fn removed_catalog_facts_are_unlisted() {
    let server = CatalogServer::new(&json!({"lab": {"models": {
        "a": {"family": "f"}, "b": {"family": "f"}}}}));
    let layer = builder([Provider::fixed("lab", ["a", "b"].map(Model::new))])
        .catalog(server.catalog())
        .build()
        .unwrap();
    let cache = layer.cache();
    let family = |id: &str| {
        let snapshot = cache.snapshot();
        let model = snapshot.get(id).unwrap().model();
        model.family().map(str::to_owned)
    };
    let plain = cache.snapshot();
    cache.refresh_catalog().await.unwrap();
    assert_eq!(family("lab/a").as_deref(), Some("f"));
    server.set_catalog(&json!({"lab": {"models": {"b": {"family": "g"}}}}));
    cache.refresh_catalog().await.unwrap();
    assert_eq!((family("lab/a"), family("lab/b")), (None, Some("g".into())));
    server.set_catalog(&of("other", "a", 7));
    cache.refresh_catalog().await.unwrap();
    assert_eq!(cache.snapshot().etag(), plain.etag());
    assert_eq!(catalog(&layer).described, 0);
}

#[tokio::test(start_paused = true)]
async fn catalog_outlives_replaced_providers() {
    let server = CatalogServer::new(&of("lab", "a", 7));
    let layer = builder([]).catalog(server.catalog()).build().unwrap();
    let cache = layer.cache();
    cache.refresh_catalog().await.unwrap();
    assert_eq!(list(&layer).await, [""; 0]);
    assert_eq!(cache.status().providers.len(), 0);
    assert!(!cache.refresh_provider("catalog").await.unwrap());
    assert!(!cache.invalidate("catalog"));
    let provider = Provider::fixed("lab", [Model::new("a")]);
    let other = provider.clone().catalog_id("other");
    for (provider, expected) in [
        (provider.clone(), Some(7)),
        (other, None),
        (provider, Some(7)),
    ] {
        cache.set_providers([provider]).await.unwrap();
        assert_eq!(window(&layer, "lab/a"), expected);
    }
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn catalog_is_read_from_file() {
    let folder = std::env::temp_dir().join(format!("models-catalogue-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("api.json");
    let layer = builder([Provider::fixed("lab", [Model::new("a")])])
        .catalog(Catalog::file(&file))
        .build()
        .unwrap();
    let cache = layer.cache();
    assert_eq!(
        cache.refresh_catalog().await.map_err(|error| error.kind()),
        Err(ListErrorKind::Transport)
    );
    fs::write(&file, of("lab", "a", 7).to_string()).unwrap();
    assert_eq!(
        cache.refresh_catalog().await.map_err(|error| error.kind()),
        Ok(true)
    );
    assert_eq!(window(&layer, "lab/a"), Some(7));
    fs::write(&file, "{").unwrap();
    assert_eq!(
        cache.refresh_catalog().await.map_err(|error| error.kind()),
        Err(ListErrorKind::NotJson)
    );
    fs::write(&file, vec![b' '; 16 * 1024 * 1024 + 1]).unwrap();
    assert_eq!(
        cache.refresh_catalog().await.map_err(|error| error.kind()),
        Err(ListErrorKind::TooLarge)
    );
    assert_eq!(window(&layer, "lab/a"), Some(7));
    fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(start_paused = true)]
async fn catalog_has_own_limits() {
    let many = |count: usize| {
        let models = (0..count).map(|index| (index.to_string(), json!({})));
        let half = |models: Vec<(String, Value)>| json!({"models": Value::from_iter(models)});
        let all: Vec<_> = models.collect();
        let providers = all.chunks(4000).enumerate();
        Value::from_iter(providers.map(|(at, part)| (at.to_string(), half(part.to_vec()))))
    };
    let server = CatalogServer::new(&many(2000));
    let layer = builder([])
        .catalog(server.catalog())
        .max_models(1)
        .max_bytes(10)
        .build()
        .unwrap();
    assert_eq!(
        layer
            .cache()
            .refresh_catalog()
            .await
            .map_err(|error| error.kind()),
        Ok(true)
    );
    assert_eq!(catalog(&layer).models, 2000);
    server.set_catalog(&many(100_001));
    let kind = ListErrorKind::TooManyModels;
    assert_eq!(
        layer
            .cache()
            .refresh_catalog()
            .await
            .map_err(|error| error.kind()),
        Err(kind)
    );
    server.set(200, " ".repeat(16 * 1024 * 1024 + 1), None);
    let kind = ListErrorKind::TooLarge;
    assert_eq!(
        layer
            .cache()
            .refresh_catalog()
            .await
            .map_err(|error| error.kind()),
        Err(kind)
    );
    assert_eq!(catalog(&layer).models, 2000);
}

#[test]
fn catalog_error_names_the_setting() {
    let server = CatalogServer::default();
    let build = |catalog| builder([]).catalog(catalog).build().map(drop).unwrap_err();
    let error = build(server.catalog().refresh_interval(Duration::ZERO));
    assert_eq!(error.field(), "catalog.refresh_interval");
    let error = build(server.catalog().base_url("models.dev"));
    assert_eq!(error.field(), "catalog.base_url");
    assert!("models.dev".parse::<Dialect>().is_err());
}

#[tokio::test(start_paused = true)]
async fn status_has_no_catalog_by_default() {
    let layer = builder([]).build().unwrap();
    assert!(layer.cache().status().catalog.is_none());
    assert_eq!(
        layer
            .cache()
            .refresh_catalog()
            .await
            .map_err(|error| error.kind()),
        Ok(false)
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_catalog_fetch() {
    let server = CatalogServer {
        gate: Some(Gate::default()),
        ..CatalogServer::new(&of("lab", "a", 7))
    };
    let (layer, refresher) = Mode::Spawn.start(builder([]).catalog(server.catalog()));
    settle().await;
    assert!(catalog(&layer).fetching);
    let ((), took) = support::timed(refresher.unwrap().shutdown()).await;
    assert_eq!(took, Duration::ZERO);
    let kind = ListErrorKind::Cancelled;
    assert_eq!(
        layer
            .cache()
            .refresh_catalog()
            .await
            .map_err(|error| error.kind()),
        Err(kind)
    );
}
