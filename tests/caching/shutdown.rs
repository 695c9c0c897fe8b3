//! Shutdown completes at once, whatever is in flight, and no task runs after it.

use crate::support;
use std::{convert::Infallible, time::Duration};

use crate::support::{
    Gate, MODES, ScriptedSource, builder, get, list, models, now, send, settle, timed,
};
use futures_util::future::join_all;
use tokio::{runtime::Handle, task::JoinHandle, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_models_cache::{
    Builder, Model, Provider, Readiness, Refresher, StaticModelsCacheLayer, error::ListErrorKind,
};

const SECOND: Duration = Duration::from_secs(1);
const FLIGHTS: usize = 50;

/// Fifty hung providers and one declared list.
struct Fixture {
    hung: ScriptedSource,
    tasks: TaskTracker,
    layer: StaticModelsCacheLayer,
    refresher: Refresher,
}

impl Fixture {
    /// Starts the layer, with all fetches in flight.
    async fn start(set: impl FnOnce(Builder) -> Builder) -> Self {
        let hung = ScriptedSource::hung();
        let provider = |index| Provider::source(format!("hung-{index}"), hung.clone());
        let good = Provider::fixed("good", [Model::new("a")]);
        let tasks = TaskTracker::new();
        tasks.close();
        let (layer, refresher) = set(builder((0..FLIGHTS).map(provider).chain([good])))
            .spawn_on(&tasks)
            .unwrap();
        sleep(SECOND).await; // sixteen fetches start every quarter of a second
        assert_eq!((hung.calls(), hung.alive()), (FLIGHTS, FLIGHTS));
        assert_eq!(tasks.len(), FLIGHTS + 1);
        Self {
            hung,
            tasks,
            layer,
            refresher,
        }
    }

    fn send(&self) -> JoinHandle<Vec<String>> {
        let layer = self.layer.clone();
        tokio::spawn(async move { list(&layer).await })
    }
}

fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn shutdown_completes_at_once_and_ends_tasks() {
    let before = alive();
    let fixture = Fixture::start(|builder| builder).await;
    assert_eq!(alive(), before + FLIGHTS + 1);
    let began = now();
    fixture.refresher.shutdown().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(fixture.hung.alive(), 0);
    assert!(fixture.tasks.is_empty());
    assert_eq!(alive(), before);
    sleep(SECOND * 3600 * 48).await;
    assert_eq!(list(&fixture.layer).await, ["good/a"]);
    assert_eq!(
        fixture.hung.calls(),
        FLIGHTS,
        "no task starts after shutdown"
    );
    assert_eq!(alive(), before);
}

/// Ends the fixture by the given function and checks that all tasks end without any time passing.
async fn assert_ends(fixture: Fixture, end: impl FnOnce(StaticModelsCacheLayer, Refresher)) {
    let Fixture {
        hung,
        tasks,
        layer,
        refresher,
    } = fixture;
    let (began, others) = (now(), alive() - tasks.len());
    end(layer, refresher);
    tasks.wait().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(hung.alive(), 0);
    assert_eq!(alive(), others);
    sleep(SECOND * 3600).await;
    assert_eq!(hung.calls(), FLIGHTS);
}

#[tokio::test(start_paused = true)]
async fn cancelled_token_or_parent_ends_all_tasks() {
    for parent in [false, true] {
        let token = CancellationToken::new();
        let child = token.child_token();
        let fixture = Fixture::start(|builder| builder.cancellation_token(child.clone())).await;
        let mut kept = None;
        assert_ends(fixture, |layer, refresher| {
            if parent { &token } else { &child }.cancel();
            kept = Some((layer, refresher));
        })
        .await;
        let (layer, refresher) = kept.unwrap();
        assert_eq!(list(&layer).await, ["good/a"]);
        let ((), took) = timed(refresher.shutdown()).await;
        assert_eq!(took, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_refresher_ends_all_tasks() {
    let mut kept = None;
    assert_ends(
        Fixture::start(|builder| builder).await,
        |layer, refresher| {
            drop(refresher);
            kept = Some(layer);
        },
    )
    .await;
    assert_eq!(list(&kept.unwrap()).await, ["good/a"]);

    let mut kept = None;
    assert_ends(
        Fixture::start(|builder| builder).await,
        |layer, refresher| {
            refresher.cancel();
            kept = Some((layer, refresher));
        },
    )
    .await;
    // A shutdown future that is dropped unpolled is a shutdown as well.
    assert_ends(
        Fixture::start(|builder| builder).await,
        |layer, refresher| {
            drop(refresher.shutdown());
            drop(layer);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn last_layer_ends_detached_refresher() {
    use tower::Layer;
    let fixture = Fixture::start(|builder| builder).await;
    let clone = fixture.layer.clone();
    let handle = fixture.layer.cache();
    let service = fixture.layer.layer(support::Unreachable);
    assert_ends(fixture, |layer, refresher| {
        refresher.detach();
        drop((layer, clone, handle, service));
    })
    .await;
    // A handle keeps the refresher alive, as a layer does; a snapshot and a subscription do not.
    let fixture = Fixture::start(|builder| builder).await;
    let (tasks, hung) = (fixture.tasks.clone(), fixture.hung.clone());
    let handle = fixture.layer.cache();
    let others = (handle.snapshot(), handle.subscribe());
    fixture.refresher.detach();
    drop(fixture.layer);
    settle().await;
    assert_eq!(tasks.len(), FLIGHTS + 1);
    drop(handle);
    let ((), took) = timed(tasks.wait()).await;
    assert_eq!((took, hung.alive()), (Duration::ZERO, 0));
    drop(others);
}

#[tokio::test(start_paused = true)]
async fn detached_refresher_keeps_running() {
    let source = ScriptedSource::always(["a"]);
    let token = CancellationToken::new();
    let (layer, refresher) = builder([Provider::source("lab", source.clone())])
        .cancellation_token(token.clone())
        .spawn()
        .unwrap();
    refresher.detach();
    sleep(SECOND * 3600).await;
    assert!((11..=14).contains(&source.calls()), "{}", source.calls());
    token.cancel();
    let calls = source.calls();
    sleep(SECOND * 3600).await;
    assert_eq!(source.calls(), calls);
    drop(layer);
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_cancel_caller_token() {
    let token = CancellationToken::new();
    let fixture = Fixture::start(|builder| builder.cancellation_token(token.clone())).await;
    fixture.refresher.shutdown().await;
    drop(fixture.layer);
    assert!(!token.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn pending_requests_get_partial_list_on_shutdown() {
    let fixture = Fixture::start(|builder| builder.miss_timeout(SECOND * 1000)).await;
    let began = now();
    let requests: Vec<_> = (0..100).map(|_| fixture.send()).collect();
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert!(requests.iter().all(|request| !request.is_finished()));
    fixture.refresher.shutdown().await;
    for listed in join_all(requests).await {
        assert_eq!(listed.unwrap(), ["good/a"]);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn pending_requests_get_503_on_shutdown() {
    let hung = Provider::source("hung", ScriptedSource::hung());
    let (layer, refresher) = builder([hung]).spawn().unwrap();
    let request = tokio::spawn({
        let layer = layer.clone();
        async move { timed(send(&layer, get("/v1/models"))).await }
    });
    settle().await;
    refresher.shutdown().await;
    let (response, took) = request.await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(took <= SECOND / 100);
    let (response, took) = timed(send(&layer, get("/v1/models"))).await;
    assert_eq!((response.status().as_u16(), took), (503, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn shutdown_wakes_handle_waiters() {
    let hung = Provider::source("hung", ScriptedSource::hung());
    let (layer, refresher) = builder([hung]).spawn().unwrap();
    let cache = layer.cache();
    let refresh = tokio::spawn({
        let cache = cache.clone();
        async move { cache.refresh_provider("hung").await }
    });
    let ready = tokio::spawn({
        let cache = cache.clone();
        async move { cache.ready(Readiness::Attempted).await }
    });
    settle().await;
    let began = now();
    refresher.shutdown().await;
    let error = refresh.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ListErrorKind::Cancelled);
    assert!(!ready.await.unwrap());
    // Later calls do not wait either.
    cache.refresh().await.unwrap_err();
    assert!(!cache.ready(Readiness::AnyProvider).await);
    cache.invalidate("hung");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn token_and_last_layer_end_on_demand_fetches() {
    for by_token in [true, false] {
        let (hung, token) = (ScriptedSource::hung(), CancellationToken::new());
        let layer = builder([Provider::source("hung", hung.clone())])
            .cancellation_token(token.clone())
            .build()
            .unwrap();
        let before = alive();
        send(&layer, get("/v1/models")).await;
        assert_eq!((hung.alive(), alive()), (1, before + 1));
        let mut layer = Some(layer);
        let began = now();
        if by_token {
            token.cancel();
        } else {
            layer = None;
        }
        while alive() > before {
            tokio::task::yield_now().await;
        }
        assert_eq!((hung.alive(), began.elapsed()), (0, Duration::ZERO));
        if let Some(layer) = layer {
            assert_eq!(send(&layer, get("/v1/models")).await.status(), 503);
            assert_eq!(hung.calls(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn last_list_is_served_after_shutdown() {
    for mode in MODES {
        let token = CancellationToken::new();
        let source = ScriptedSource::always(["a"]);
        let provider = Provider::source("lab", source.clone());
        let (layer, _refresher) = mode.start(builder([provider]).cancellation_token(token.clone()));
        list(&layer).await;
        token.cancel();
        for _ in 0..100 {
            sleep(SECOND * 3600).await;
            let (listed, took) = timed(list(&layer)).await;
            assert_eq!((listed, took), (vec!["lab/a".to_owned()], Duration::ZERO));
        }
        assert_eq!(source.calls(), 1, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn layer_with_cancelled_token_never_fetches() {
    for mode in MODES {
        let token = CancellationToken::new();
        token.cancel();
        let source = ScriptedSource::always(["a"]);
        let provider = Provider::source("lab", source.clone());
        let (layer, _refresher) = mode.start(builder([provider]).cancellation_token(token));
        let (response, took) = timed(send(&layer, get("/v1/models"))).await;
        assert_eq!((response.status().as_u16(), took), (503, Duration::ZERO));
        assert_eq!(source.calls(), 0);
    }
}

/// On several threads, at every point of a fetch and its publication.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn shutdown_completes_at_any_point() {
    for round in 0..200 {
        let gate = Gate::default();
        let source = ScriptedSource::new({
            let gate = gate.clone();
            move |call| {
                let gate = gate.clone();
                async move {
                    gate.passed().await;
                    let ids = if call % 2 == 0 {
                        ["a", "b"]
                    } else {
                        ["c", "d"]
                    };
                    Ok::<_, Infallible>(models(ids))
                }
            }
        });
        let tasks = TaskTracker::new();
        tasks.close();
        let provider = Provider::source("lab", source.clone());
        let (layer, refresher) = builder([provider]).spawn_on(&tasks).unwrap();
        let send_with = tokio::spawn({
            let layer = layer.clone();
            async move {
                for _ in 0..10 {
                    send(&layer, get("/v1/models")).await;
                    let _ = layer.cache().refresh().await;
                }
            }
        });
        gate.open(round % 7);
        for _ in 0..round % 11 {
            tokio::task::yield_now().await;
        }
        refresher.shutdown().await;
        gate.open(100);
        send_with.await.unwrap();
        tasks.wait().await;
        assert_eq!(source.alive(), 0);
    }
}
