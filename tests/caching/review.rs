//! Regressions that a review of the cache found.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use http::HeaderValue;
use tokio::time::advance;
use tower_models_cache::{
    Model, ModelsCache, Provider, Readiness, View,
    enrich::Enrich,
    error::{BoxError, ListError, ListErrorKind},
    model::ModelList,
};

use crate::support::{MODES, ScriptedSource, SharedList, builder, get, list, send, settle};

const SECOND: Duration = Duration::from_secs(1);

/// Describes every model, unless it is new while callbacks are left out.
struct Window;

impl Enrich for Window {
    fn describe(&self, _: &str, _: &Model) -> Option<Model> {
        Some(Model::description().with_context_length(1_000))
    }
}

/// So many models that a publication leaves the async workers.
fn many(seed: usize) -> ModelList {
    (0..5_000)
        .map(|n| Model::new(format!("model-{seed}-{n:05}")))
        .collect()
}

/// Regression: a publication without the callbacks lost what enrichers had said before, and
/// nothing published again once they returned.
#[tokio::test(start_paused = true)]
async fn facts_survive_hung_callback_and_return_with_it() {
    let hung = Arc::new((Mutex::new(false), Condvar::new()));
    let entered = Arc::new(AtomicBool::new(false));
    let view = View::named("slow", {
        let (hung, entered) = (Arc::clone(&hung), Arc::clone(&entered));
        move |_| {
            let mut is_hung = hung.0.lock().unwrap();
            while *is_hung {
                entered.store(true, Ordering::SeqCst);
                is_hung = hung.1.wait(is_hung).unwrap();
            }
            true
        }
    });
    let shared = SharedList::new([]);
    shared.set(Ok(many(1)));
    let lab = Provider::source("lab", ScriptedSource::shared(&shared));
    let house = Provider::fixed("house", [Model::new("x")]);
    let layer = builder([lab, house])
        .enrich(Window)
        .views(
            move |head| match head.headers.contains_key("authorization") {
                true => Ok(view.clone()),
                false => Ok(View::all()),
            },
        )
        .build()
        .unwrap();
    let mut request = get("/v1/models");
    let key = HeaderValue::from_static("Bearer team");
    request.headers_mut().insert("authorization", key);
    assert_eq!(send(&layer, request).await.status(), 200);
    let window = |cache: &ModelsCache, id: &str| {
        let snapshot = cache.snapshot();
        let model = snapshot.get(id).expect(id);
        model.model().context_length()
    };
    let cache = layer.cache();
    assert_eq!(window(&cache, "lab/model-1-00000"), Some(1_000));

    *hung.0.lock().unwrap() = true;
    let before = many(1);
    let next = before.models().iter().skip(1).cloned();
    shared.set(Ok(next.chain([Model::new("new")]).collect()));
    let mut refresh = Box::pin(cache.refresh());
    while !entered.load(Ordering::SeqCst) {
        assert!(refresh.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    advance(11 * SECOND).await;
    refresh.await.unwrap();
    assert_eq!(window(&cache, "house/x"), Some(1_000));
    assert_eq!(
        window(&cache, "lab/model-1-00001"),
        Some(1_000),
        "unchanged"
    );
    assert_eq!(window(&cache, "lab/new"), None, "not described yet");

    *hung.0.lock().unwrap() = false;
    hung.1.notify_all();
    while window(&cache, "lab/new").is_none() {
        tokio::task::yield_now().await;
    }
}

/// Regression: each list that came was due again at once, and `ready` fetched it again.
#[tokio::test(start_paused = true)]
async fn ready_without_cache_fetches_each_provider_once() {
    for mode in MODES {
        let fast = ScriptedSource::always(["a"]);
        let providers = [
            Provider::source("fast", fast.clone()),
            Provider::source("hung", ScriptedSource::hung()),
        ];
        let (layer, _refresher) = mode.start(builder(providers).without_cache());
        assert!(layer.cache().ready(Readiness::Attempted).await);
        assert_eq!(fast.calls(), 1, "{mode:?}");
    }
}

/// An error that uses the cache when it is dropped.
struct Meddling(Arc<OnceLock<ModelsCache>>, Arc<AtomicUsize>);

impl Drop for Meddling {
    fn drop(&mut self) {
        if let Some(cache) = self.0.get() {
            cache.status();
            cache.snapshot();
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl fmt::Debug for Meddling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meddling")
    }
}

impl fmt::Display for Meddling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("meddling")
    }
}

impl Error for Meddling {}

/// Regression: the error of the attempt before was dropped under the table's lock.
#[tokio::test(start_paused = true)]
async fn dropped_error_of_a_source_may_use_the_cache() {
    for kind in [ListErrorKind::Other, ListErrorKind::Status(404)] {
        let cache = Arc::new(OnceLock::new());
        let dropped = Arc::new(AtomicUsize::new(0));
        let source = ScriptedSource::new({
            let (cache, dropped) = (Arc::clone(&cache), Arc::clone(&dropped));
            move |_| {
                let cause = Meddling(Arc::clone(&cache), Arc::clone(&dropped));
                async move { Err::<ModelList, BoxError>(ListError::new(kind).with_cause(cause).into()) }
            }
        });
        let lab = Provider::source("lab", source).fallback([Model::new("x")]);
        let layer = builder([lab]).build().unwrap();
        let _ = cache.set(layer.cache());
        for _ in 0..3 {
            let _ = layer.cache().refresh().await;
        }
        settle().await;
        assert!(dropped.load(Ordering::SeqCst) >= 2, "{kind:?}");
    }
}

/// Regression: requests that waited for a first attempt got 503 at once when the credential
/// changed.
#[tokio::test(start_paused = true)]
async fn waiting_requests_wait_for_the_new_credential() {
    for mode in MODES {
        let calls = Arc::new(AtomicUsize::new(0));
        let service = tower::service_fn({
            let calls = Arc::clone(&calls);
            move |request: http::Request<http_body_util::Empty<bytes::Bytes>>| {
                calls.fetch_add(1, Ordering::SeqCst);
                let is_new = request.headers()["authorization"] == "Bearer new";
                async move {
                    if !is_new {
                        std::future::pending::<()>().await;
                    }
                    let body = r#"{"data":[{"id":"a"}]}"#;
                    let body = http_body_util::Full::<bytes::Bytes>::from(body);
                    Ok::<_, std::convert::Infallible>(http::Response::new(body))
                }
            }
        });
        let provider = |key: &str| {
            let provider = Provider::http("lab", service.clone());
            provider.base_url("https://api.example.com/v1").bearer(key)
        };
        let (layer, _refresher) = mode.start(builder([provider("old")]));
        let waiting = tokio::spawn({
            let layer = layer.clone();
            async move { send(&layer, get("/v1/models")).await.status() }
        });
        settle().await;
        layer
            .cache()
            .set_providers([provider("new")])
            .await
            .unwrap();
        assert_eq!(waiting.await.unwrap(), 200, "{mode:?}");
        assert_eq!(list(&layer).await, ["lab/a"]);
        assert_eq!(calls.load(Ordering::SeqCst), 2, "{mode:?}");
    }
}

/// Regression: one runtime without a timer disabled the fetches of every other for a minute.
#[test]
fn timerless_runtime_does_not_disable_others() {
    let source = ScriptedSource::always(["a"]);
    let layer = builder([Provider::source("lab", source)]).build().unwrap();
    let other = layer.clone();
    std::thread::spawn(move || {
        let timerless = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        timerless.block_on(async { other.cache().status() });
    })
    .join()
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(list(&layer)), ["lab/a"]);
}

/// Regression: the age of a catalogue, which never expires, kept the schedule in the past:
/// the refresher spun, and the paused clock stood still.
#[cfg(feature = "catalog")]
#[tokio::test(start_paused = true)]
async fn failing_catalog_does_not_spin_the_refresher() {
    let file = tempfile();
    let known = r#"{"house":{"id":"house","models":{"x":{"id":"x","limit":{"context":7}}}}}"#;
    std::fs::write(&file, known).unwrap();
    let catalog = tower_models_cache::Catalog::file(&file);
    let builder = builder([Provider::fixed("house", [Model::new("x")])]).catalog(catalog);
    let (layer, _refresher) = builder.spawn().unwrap();
    assert!(layer.cache().refresh_catalog().await.unwrap());
    std::fs::remove_file(&file).unwrap();
    tokio::time::sleep(50 * 3600 * SECOND).await;
    let snapshot = layer.cache().snapshot();
    let model = snapshot.get("house/x").unwrap();
    assert_eq!(model.model().context_length(), Some(7), "it never expires");
}

#[cfg(feature = "catalog")]
fn tempfile() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("spinning-catalog.json")
}
