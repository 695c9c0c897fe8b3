//! Concurrent requests share one call per provider, and a dropped caller cancels nothing.

use crate::support;
use std::convert::Infallible;

use crate::support::{Gate, MODES, ScriptedSource, builder, get, list, models, send, settle};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tokio::task::JoinHandle;
use tower_models_cache::{Provider, StaticModelsCacheLayer, error::ListErrorKind};
use tower_test::mock;

const PROVIDERS: usize = 10;
const CALLERS: usize = 1000;

/// Providers that answer each call when the gate opens.
fn held() -> (Vec<ScriptedSource>, Vec<Provider>, Gate) {
    let gate = Gate::default();
    let sources: Vec<_> = (0..PROVIDERS)
        .map(|_| {
            let gate = gate.clone();
            ScriptedSource::new(move |_| {
                let gate = gate.clone();
                async move {
                    gate.passed().await;
                    Ok::<_, Infallible>(models(["small", "large"]))
                }
            })
        })
        .collect();
    let provider = |(index, source): (usize, &ScriptedSource)| {
        Provider::source(format!("lab-{index}"), source.clone())
    };
    let providers = sources.iter().enumerate().map(provider).collect();
    (sources, providers, gate)
}

fn spawn_requests(
    layer: &StaticModelsCacheLayer,
    callers: usize,
) -> Vec<JoinHandle<Response<Bytes>>> {
    let caller = |_| {
        let layer = layer.clone();
        tokio::spawn(async move { send(&layer, get("/v1/models")).await })
    };
    (0..callers).map(caller).collect()
}

fn calls(sources: &[ScriptedSource]) -> Vec<usize> {
    sources.iter().map(ScriptedSource::calls).collect()
}

#[tokio::test(start_paused = true)]
async fn concurrent_cold_requests_share_one_fetch() {
    for mode in MODES {
        let (sources, providers, gate) = held();
        let (layer, _refresher) = mode.start(builder(providers));
        let requests = spawn_requests(&layer, CALLERS);
        settle().await;
        assert_eq!(calls(&sources), [1; PROVIDERS], "{mode:?}");
        assert!(requests.iter().all(|caller| !caller.is_finished()));
        gate.open(PROVIDERS);
        let responses = join_all(requests).await;
        let first = responses[0].as_ref().unwrap();
        assert_eq!(support::ids(first.body()).len(), 2 * PROVIDERS);
        for response in &responses {
            let response = response.as_ref().unwrap();
            assert_eq!(response.body(), first.body());
            assert_eq!(response.headers(), first.headers());
        }
        assert_eq!(calls(&sources), [1; PROVIDERS], "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_callers_do_not_cancel_others() {
    for mode in MODES {
        let (sources, providers, gate) = held();
        let (layer, _refresher) = mode.start(builder(providers));
        let mut staying = spawn_requests(&layer, CALLERS);
        settle().await;
        let leaving: Vec<_> = staying.drain(..CALLERS / 2).collect();
        for caller in &leaving {
            caller.abort();
        }
        drop(leaving);
        settle().await;
        gate.open(PROVIDERS);
        for response in join_all(staying).await {
            assert_eq!(support::ids(response.unwrap().body()).len(), 2 * PROVIDERS);
        }
        assert_eq!(calls(&sources), [1; PROVIDERS], "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn abandoned_fetch_completes_and_is_stored() {
    for mode in MODES {
        let (sources, providers, gate) = held();
        let (layer, _refresher) = mode.start(builder(providers));
        for caller in spawn_requests(&layer, CALLERS) {
            poll_once(&caller).await;
            caller.abort();
        }
        settle().await;
        gate.open(PROVIDERS);
        settle().await;
        let response = send(&layer, get("/v1/models")).await;
        assert_eq!(
            response.headers()["cache-status"],
            "tower-models-cache; hit"
        );
        assert_eq!(support::ids(response.body()).len(), 2 * PROVIDERS);
        assert_eq!(calls(&sources), [1; PROVIDERS], "{mode:?}");
    }
}

/// Polls a request until it waits.
async fn poll_once(caller: &JoinHandle<Response<Bytes>>) {
    tokio::task::yield_now().await;
    assert!(!caller.is_finished());
}

#[tokio::test(start_paused = true)]
async fn first_caller_may_be_dropped_first() {
    let (sources, providers, gate) = held();
    let layer = builder(providers).build().unwrap();
    let leader = spawn_requests(&layer, 1);
    settle().await;
    assert_eq!(calls(&sources), [1; PROVIDERS]);
    let followers = spawn_requests(&layer, 10);
    settle().await;
    leader[0].abort();
    settle().await;
    gate.open(PROVIDERS);
    for response in join_all(followers).await {
        assert_eq!(support::ids(response.unwrap().body()).len(), 2 * PROVIDERS);
    }
    assert_eq!(calls(&sources), [1; PROVIDERS]);
}

#[tokio::test(start_paused = true)]
async fn dropped_unpolled_future_cancels_nothing() {
    use tower::{Layer, Service};
    let (source, gate) = ScriptedSource::held(["a"]);
    let layer = builder([Provider::source("lab", source.clone())])
        .build()
        .unwrap();
    drop(layer.layer(support::Unreachable).call(get("/v1/models")));
    settle().await;
    gate.open(1);
    settle().await;
    assert_eq!(list(&layer).await, ["lab/a"]);
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn error_and_panic_reach_all_waiters() {
    for mode in MODES {
        for (panics, kind) in [(false, ListErrorKind::Other), (true, ListErrorKind::Panic)] {
            let gate = Gate::default();
            let opened = gate.clone();
            let source = ScriptedSource::new(move |_| {
                let opened = opened.clone();
                async move {
                    opened.passed().await;
                    assert!(!panics, "panic in the source");
                    Err("down")
                }
            });
            let provider = Provider::source("lab", source.clone());
            let (layer, _refresher) = mode.start(builder([provider]));
            let requests = spawn_requests(&layer, 100);
            let forced: Vec<_> = (0..100)
                .map(|_| {
                    let cache = layer.cache();
                    tokio::spawn(async move { cache.refresh_provider("lab").await })
                })
                .collect();
            settle().await;
            gate.open(1);
            for response in join_all(requests).await {
                assert_eq!(response.unwrap().status(), 503);
            }
            for outcome in join_all(forced).await {
                let error = outcome.unwrap().unwrap_err();
                assert_eq!((error.provider(), error.kind()), ("lab", kind));
            }
            assert_eq!(source.calls(), 1, "{mode:?} {kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn forced_refreshes_join_fetch_in_flight() {
    let (source, gate) = ScriptedSource::held(["a"]);
    let layer = builder([Provider::source("lab", source.clone())])
        .build()
        .unwrap();
    let requests = spawn_requests(&layer, 10);
    let (one, all) = (layer.cache(), layer.cache());
    let one = tokio::spawn(async move { one.refresh_provider("lab").await });
    let all = tokio::spawn(async move { all.refresh().await });
    settle().await;
    gate.open(1);
    assert!(one.await.unwrap().unwrap());
    all.await.unwrap().unwrap();
    join_all(requests).await;
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn later_refreshes_share_one_flight() {
    let (source, gate) = ScriptedSource::held(["a"]);
    let layer = builder([Provider::source("lab", source.clone())])
        .build()
        .unwrap();
    gate.open(1);
    layer.cache().refresh().await.unwrap();
    for round in 2..6 {
        let forced: Vec<_> = (0..50)
            .map(|_| {
                let cache = layer.cache();
                tokio::spawn(async move { cache.refresh().await })
            })
            .collect();
        settle().await;
        assert_eq!((source.calls(), source.alive()), (round, 1));
        gate.open(1);
        for outcome in join_all(forced).await {
            outcome.unwrap().unwrap();
        }
        assert_eq!((source.calls(), source.alive()), (round, 0));
    }
}

type Sent = Request<Empty<Bytes>>;
type Received = Response<Full<Bytes>>;

#[tokio::test(start_paused = true)]
async fn concurrent_requests_send_one_http_request() {
    for mode in MODES {
        let (service, mut handle) = mock::pair::<Sent, Received>();
        let (layer, _refresher) = mode.start(builder([Provider::http("lab", service)]));
        let requests = spawn_requests(&layer, CALLERS);
        handle.allow(1);
        let (request, response) = handle.next_request().await.unwrap();
        assert_eq!(request.method(), "GET");
        assert_eq!(request.uri(), "/v1/models");
        handle.allow(1);
        settle().await;
        assert!(requests.iter().all(|caller| !caller.is_finished()));
        response.send_response(Response::new(
            r#"{"object":"list","data":[{"id":"a","object":"model"}]}"#.into(),
        ));
        for response in join_all(requests).await {
            assert_eq!(support::ids(response.unwrap().body()), ["lab/a"]);
        }
        // It was ready for another request, and none arrived.
        let another = tokio::time::timeout(std::time::Duration::from_secs(60), async {
            handle.next_request().await
        });
        assert!(another.await.is_err(), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn http_failure_reaches_all_waiters() {
    let (service, mut handle) = mock::pair::<Sent, Received>();
    let layer = builder([Provider::http("lab", service)]).build().unwrap();
    let requests = spawn_requests(&layer, 100);
    handle.allow(1);
    let (_, response) = handle.next_request().await.unwrap();
    let cache = layer.cache();
    let forced = tokio::spawn(async move { cache.refresh_provider("lab").await });
    settle().await;
    response.send_error("connection reset");
    for response in join_all(requests).await {
        assert_eq!(response.unwrap().status(), 503);
    }
    let error = forced.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ListErrorKind::Transport);
}

#[tokio::test(start_paused = true)]
async fn http_service_is_not_called_until_ready() {
    let (service, mut handle) = mock::pair::<Sent, Received>();
    let layer = builder([Provider::http("lab", service)]).build().unwrap();
    handle.allow(0);
    let requests = spawn_requests(&layer, 1);
    settle().await;
    let request = tokio::time::timeout(std::time::Duration::ZERO, handle.next_request());
    assert!(request.await.is_err());
    handle.allow(1);
    let (_, response) = handle.next_request().await.unwrap();
    response.send_response(Response::new(r#"{"data":[{"id":"a"}]}"#.into()));
    for response in join_all(requests).await {
        assert_eq!(support::ids(response.unwrap().body()), ["lab/a"]);
    }
}

/// Regression: between the end of a fetch and its publication, which takes a while for a long
/// list, requests got an empty cache.
#[tokio::test(start_paused = true)]
async fn request_waits_while_first_list_is_published() {
    for mode in MODES {
        let source = ScriptedSource::new(|_| async {
            let model = |index| tower_models_cache::Model::new(format!("model-{index}"));
            Ok::<_, Infallible>((0..20_000).map(model).collect())
        });
        let (layer, _refresher) = mode.start(builder([Provider::source("lab", source.clone())]));
        let first = spawn_requests(&layer, 1);
        let mut responses = Vec::new();
        while !first[0].is_finished() {
            responses.extend(spawn_requests(&layer, 1));
            tokio::task::yield_now().await;
        }
        for response in join_all(responses).await {
            assert_eq!(response.unwrap().status(), 200, "{mode:?}");
        }
        assert_eq!(source.calls(), 1);
    }
}
