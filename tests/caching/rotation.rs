//! A provider with the same name and address keeps its list when its credential or its options
//! change.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{Empty, Full};
use tokio::{sync::Semaphore, time::sleep};
use tower::service_fn;
use tower_models_cache::{
    Model, ModelsCache, Provider, Secret, error::ListErrorKind, provider::ExtraFields,
    status::ProviderStatus,
};

use crate::support::{MODES, builder, get, ids, list, send, settle};

const SECOND: Duration = Duration::from_secs(1);
const BASE: &str = "https://api.example.com/v1";

/// An upstream whose list depends on the key: each `good-*` key sees one model of its own.
#[derive(Clone, Default)]
struct Upstream {
    keys: Arc<Mutex<Vec<String>>>,
    gate: Option<Arc<Semaphore>>,
}

impl Upstream {
    fn provider(&self, key: &str) -> Provider {
        let upstream = self.clone();
        let service = service_fn(move |request: Request<Empty<Bytes>>| {
            let upstream = upstream.clone();
            async move {
                let key = request.headers().get("authorization");
                let key = key.map_or("", |key| key.to_str().unwrap()).to_owned();
                upstream.keys.lock().unwrap().push(key.clone());
                if let Some(gate) = &upstream.gate {
                    gate.acquire().await.unwrap().forget();
                }
                let response = match key.strip_prefix("Bearer good-") {
                    Some(name) => {
                        let body = format!(
                            r#"{{"object":"list","data":[{{"id":"{name}","team":"x"}},{{"id":"both"}}]}}"#
                        );
                        Response::new(Full::<Bytes>::from(body))
                    }
                    None => Response::builder()
                        .status(401)
                        .body(Full::default())
                        .unwrap(),
                };
                Ok::<_, Infallible>(response)
            }
        });
        Provider::http("lab", service)
            .base_url(BASE)
            .bearer(Secret::new(key))
    }

    fn calls(&self) -> usize {
        self.keys.lock().unwrap().len()
    }
}

fn status(cache: &ModelsCache) -> ProviderStatus {
    cache.status().providers.remove(0)
}

async fn cache_status(layer: &tower_models_cache::StaticModelsCacheLayer) -> HeaderValue {
    send(layer, get("/v1/models")).await.headers()["cache-status"].clone()
}

/// Regression: rotating a key removed the provider from the list and from routing.
#[tokio::test(start_paused = true)]
async fn new_key_keeps_list_until_fetched() {
    for mode in MODES {
        let gate = Arc::new(Semaphore::new(1));
        let upstream = Upstream {
            gate: Some(Arc::clone(&gate)),
            ..Upstream::default()
        };
        let (layer, _refresher) = mode.start(builder([upstream.provider("good-old")]));
        assert_eq!(list(&layer).await, ["lab/both", "lab/old"]);
        let cache = layer.cache();
        cache
            .set_providers([upstream.provider("good-new")])
            .await
            .unwrap();
        settle().await;
        assert_eq!(list(&layer).await, ["lab/both", "lab/old"], "{mode:?}");
        assert!(cache.snapshot().get("lab/old").is_some(), "{mode:?}");
        assert!(status(&cache).superseded);
        assert_eq!(
            cache_status(&layer).await,
            "tower-models-cache; hit; detail=stale"
        );
        gate.add_permits(1);
        settle().await;
        assert_eq!(list(&layer).await, ["lab/both", "lab/new"], "{mode:?}");
        assert!(!status(&cache).superseded);
        assert_eq!(cache_status(&layer).await, "tower-models-cache; hit");
        assert_eq!(upstream.calls(), 2, "{mode:?}");
    }
}

/// Regression: a wrong new key removed the provider.
#[tokio::test(start_paused = true)]
async fn wrong_key_keeps_list_until_max_stale() {
    for mode in MODES {
        let upstream = Upstream::default();
        let (layer, _refresher) = mode.start(builder([upstream.provider("good-old")]));
        list(&layer).await;
        let cache = layer.cache();
        cache
            .set_providers([upstream.provider("bad")])
            .await
            .unwrap();
        for _ in 0..23 {
            sleep(3600 * SECOND).await;
            assert_eq!(list(&layer).await, ["lab/both", "lab/old"], "{mode:?}");
        }
        let status = status(&cache);
        assert!(status.superseded && status.failures > 0);
        let error = status.last_attempt.unwrap().error.unwrap();
        assert_eq!(error.kind(), ListErrorKind::Status(401));
        sleep(3 * 3600 * SECOND).await;
        assert_eq!(
            send(&layer, get("/v1/models")).await.status(),
            503,
            "{mode:?}"
        );
        cache
            .set_providers([upstream.provider("good-new")])
            .await
            .unwrap();
        settle().await;
        assert_eq!(list(&layer).await, ["lab/both", "lab/new"], "{mode:?}");
    }
}

/// Failures under the old key do not delay the first fetch under the new one.
#[tokio::test(start_paused = true)]
async fn new_key_resets_backoff() {
    for mode in MODES {
        let upstream = Upstream::default();
        let (layer, _refresher) = mode.start(builder([upstream.provider("bad")]));
        send(&layer, get("/v1/models")).await;
        sleep(SECOND).await;
        assert_eq!(upstream.calls(), 1);
        let good = upstream.provider("good-new");
        layer.cache().set_providers([good]).await.unwrap();
        assert_eq!(list(&layer).await, ["lab/both", "lab/new"], "{mode:?}");
    }
}

/// A list fetched with the old key must not be served once the new key is set.
#[tokio::test(start_paused = true)]
async fn fetch_with_old_key_is_discarded() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream {
        gate: Some(Arc::clone(&gate)),
        ..Upstream::default()
    };
    let (layer, _refresher) = builder([upstream.provider("good-old")]).spawn().unwrap();
    settle().await;
    let cache = layer.cache();
    cache
        .set_providers([upstream.provider("good-new")])
        .await
        .unwrap();
    settle().await;
    gate.add_permits(2);
    settle().await;
    assert_eq!(ids(&cache.snapshot().body()), ["lab/both", "lab/new"]);
    assert_eq!(upstream.calls(), 2);
}

/// Options decide how a response is read, and a filter which models are listed: the list is kept,
/// and filtered models are removed at once.
#[tokio::test(start_paused = true)]
async fn changed_options_keep_list_and_apply_filter() {
    for mode in MODES {
        let gate = Arc::new(Semaphore::new(1));
        let upstream = Upstream {
            gate: Some(Arc::clone(&gate)),
            ..Upstream::default()
        };
        let provider = upstream.provider("good-a");
        let (layer, _refresher) = mode.start(builder([provider.clone()]));
        let before = send(&layer, get("/v1/models")).await;
        let cache = layer.cache();
        for changed in [
            provider.clone().extra_fields(ExtraFields::All),
            provider.clone().timeout(7 * SECOND),
            provider.clone().fallback([Model::new("x")]),
        ] {
            cache.set_providers([changed]).await.unwrap();
            let after = send(&layer, get("/v1/models")).await;
            assert_eq!(before.body(), after.body(), "{mode:?}");
        }
        let narrow = provider.clone().filter(|model| model.id() != "a");
        cache.set_providers([narrow]).await.unwrap();
        assert_eq!(list(&layer).await, ["lab/both"], "{mode:?}");
        let none = provider
            .clone()
            .filter(|_| -> bool { panic!("panic in the filter") });
        let error = cache.set_providers([none]).await.unwrap_err();
        assert_eq!(error.field(), "providers.lab.filter");
        assert_eq!(list(&layer).await, ["lab/both"], "the list is unchanged");
        let wide = provider.clone().filter(|_| true);
        cache.set_providers([wide]).await.unwrap();
        gate.add_permits(5);
        list(&layer).await; // starts the fetch, without a refresher
        settle().await;
        assert_eq!(list(&layer).await, ["lab/a", "lab/both"], "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn changed_address_starts_without_list() {
    let gate = Arc::new(Semaphore::new(1));
    let upstream = Upstream {
        gate: Some(Arc::clone(&gate)),
        ..Upstream::default()
    };
    let layer = builder([upstream.provider("good-a")]).build().unwrap();
    list(&layer).await;
    let moved = upstream
        .provider("good-a")
        .base_url("https://api.example.org/v1");
    layer.cache().set_providers([moved]).await.unwrap();
    assert_eq!(layer.cache().status().models, 0);
}

/// Regression: the old interval remained the longest pause of a failing provider.
#[tokio::test(start_paused = true)]
async fn changed_interval_caps_backoff_immediately() {
    for mode in MODES {
        let upstream = Upstream::default();
        let provider = upstream.provider("bad");
        let hourly = provider.clone().refresh_interval(3600 * SECOND);
        let (layer, _refresher) = mode.start(builder([hourly]));
        send(&layer, get("/v1/models")).await;
        settle().await;
        let cache = layer.cache();
        assert!(status(&cache).next_attempt.unwrap() > 3000 * SECOND);
        let often = provider.clone().refresh_interval(10 * SECOND);
        cache.set_providers([often]).await.unwrap();
        assert!(
            status(&cache).next_attempt.unwrap() <= 10 * SECOND,
            "{mode:?}"
        );
        let calls = upstream.calls();
        for _ in 0..100 {
            sleep(SECOND).await;
            send(&layer, get("/v1/models")).await;
        }
        assert!((8..=12).contains(&(upstream.calls() - calls)), "{mode:?}");
    }
}
