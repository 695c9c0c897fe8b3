//! Shared work runs as a flight: dropped callers, ended runtimes and user code that never returns
//! delay only themselves.

use std::{
    pin::pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    runtime,
    time::{advance, sleep},
};
use tower::{Layer, Service};
use tower_models_cache::{
    Model, ModelsCache, Provider, StaticModelsCacheLayer, View, enrich::Enrich, model::ModelList,
};

use crate::support::{
    Gate, MODES, ScriptedSource, SharedList, Unreachable, builder, get, list, send, settle, timed,
};

const SECOND: Duration = Duration::from_secs(1);

/// Enough models that rendering them moves to a blocking thread.
const MANY: usize = 5_000;

fn many(seed: usize) -> ModelList {
    let id = |n| Model::new(format!("model-{seed}-{n:05}"));
    (0..MANY).map(id).collect()
}

fn lab(source: &ScriptedSource) -> Provider {
    Provider::source("lab", source.clone())
}

// ===== Dropped callers =====

/// Regression: each client that disconnected left a rendering behind, and the next one started
/// another.
#[tokio::test]
async fn disconnected_clients_share_one_rendering() {
    let calls = Arc::new(AtomicUsize::new(0));
    let view = View::named("all", {
        let calls = Arc::clone(&calls);
        move |_| calls.fetch_add(1, Ordering::SeqCst) < usize::MAX
    });
    let layer = builder([Provider::fixed("house", many(0).models().to_vec())])
        .views(move |_| Ok(view.clone()))
        .build()
        .unwrap();
    let mut service = layer.layer(Unreachable);
    for _ in 0..40 {
        let response = service.call(get("/v1/models"));
        assert!(
            response.now_or_never().is_none(),
            "rendered on a blocking thread"
        );
    }
    assert_eq!(list(&layer).await.len(), MANY);
    assert_eq!(calls.load(Ordering::SeqCst), MANY);
}

/// Regression: an unpolled future held the publish lock.
#[tokio::test]
async fn unpolled_publication_blocks_nothing() {
    let shared = SharedList::new([]);
    shared.set(Ok(many(0)));
    let (layer, refresher) = builder([lab(&ScriptedSource::shared(&shared))])
        .spawn()
        .unwrap();
    list(&layer).await;
    let cache = layer.cache();
    let mut idle = pin!(cache.reenrich());
    assert!(
        idle.as_mut().now_or_never().is_none(),
        "published by another task"
    );
    shared.set_ids(["a"]);
    cache.refresh().await.unwrap_err(); // the list shrank
    cache.refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["lab/a"]);
    cache
        .set_providers([Provider::fixed("b", [Model::new("c")])])
        .await
        .unwrap();
    assert_eq!(list(&layer).await, ["b/c"]);
    refresher.shutdown().await;
    idle.await;
}

/// Publications are counted by reads of an enricher's generation, which is read once per
/// publication.
#[tokio::test(start_paused = true)]
async fn simultaneous_lists_share_one_publication() {
    struct Publications(Arc<AtomicUsize>);
    impl Enrich for Publications {
        fn describe(&self, _: &str, _: &Model) -> Option<Model> {
            None
        }
        fn generation(&self) -> u64 {
            self.0.fetch_add(1, Ordering::SeqCst);
            0
        }
    }
    for mode in MODES {
        let published = Arc::new(AtomicUsize::new(0));
        let (sources, gates): (Vec<_>, Vec<_>) =
            (0..64).map(|_| ScriptedSource::held(["a"])).unzip();
        let providers = (0..).zip(&sources);
        let providers =
            providers.map(|(n, source)| Provider::source(format!("p{n}"), source.clone()));
        let builder = builder(providers)
            .max_concurrent_fetches(64)
            .enrich(Publications(Arc::clone(&published)));
        let (layer, _refresher) = mode.start(builder);
        send(&layer, get("/v1/models")).now_or_never();
        settle().await;
        let before = published.load(Ordering::SeqCst);
        for gate in &gates {
            gate.open(1);
        }
        assert_eq!(list(&layer).await.len(), 64);
        let after = published.load(Ordering::SeqCst);
        // The first list, and all lists that arrive while it is published.
        assert!(after - before <= 3, "{mode:?}: {}", after - before);
    }
}

// ===== Runtimes that end or are not driven =====

/// Blocks the first publication after it is armed, on a blocking thread.
#[derive(Clone)]
struct Block {
    armed: Arc<AtomicBool>,
    entered: mpsc::SyncSender<()>,
    released: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Block {
    fn new() -> (Self, mpsc::Receiver<()>, mpsc::SyncSender<()>) {
        let (entered, seen) = mpsc::sync_channel(1);
        let (release, released) = mpsc::sync_channel(1);
        let block = Self {
            armed: Arc::default(),
            entered,
            released: Arc::new(Mutex::new(released)),
        };
        (block, seen, release)
    }

    fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    fn pass(&self) {
        if self.armed.swap(false, Ordering::SeqCst) {
            self.entered.send(()).unwrap();
            let _ = self.released.lock().unwrap().recv();
        }
    }
}

impl Enrich for Block {
    fn describe(&self, _: &str, _: &Model) -> Option<Model> {
        self.pass();
        None
    }
}

fn multi_thread() -> runtime::Runtime {
    runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Regression: a list that was stored but not published when its runtime ended was never
/// published, although every later fetch of it succeeded.
#[test]
fn request_publishes_list_of_ended_runtime() {
    let (block, entered, release) = Block::new();
    block.arm();
    let source = ScriptedSource::new(|_| async { Ok::<_, std::io::Error>(many(0)) });
    let layer = builder([lab(&source)])
        .enrich(block)
        .miss_timeout(600 * SECOND)
        .build()
        .unwrap();
    let first = multi_thread();
    let cache = layer.cache();
    first.spawn(async move { cache.refresh().await });
    entered.recv().unwrap();
    first.shutdown_background();
    release.send(()).unwrap();
    multi_thread().block_on(async {
        assert_eq!(list(&layer).await.len(), MANY);
        assert_eq!(source.calls(), 1, "the list was already fetched");
    });
}

/// Starts work on a runtime that is never driven again: spawned tasks make no progress.
fn on_idle_runtime(
    start: impl FnOnce(&ModelsCache),
    layer: &StaticModelsCacheLayer,
) -> runtime::Runtime {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let cache = layer.cache();
    runtime.block_on(async {
        start(&cache);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    });
    runtime
}

fn paused() -> runtime::Runtime {
    runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Regression: such a fetch occupied its provider forever, and its permit blocked other
/// providers.
#[test]
fn fetch_on_idle_runtime_ends_at_deadline() {
    let source = ScriptedSource::new(|call| async move {
        if call == 1 {
            std::future::pending::<()>().await;
        }
        Ok::<_, std::io::Error>(ModelList::from_iter([Model::new("a")]))
    });
    let layer = builder([lab(&source)])
        .max_concurrent_fetches(1)
        .build()
        .unwrap();
    let start = |cache: &ModelsCache| drop(cache.snapshot());
    let _idle = on_idle_runtime(start, &layer);
    assert_eq!(source.calls(), 1);
    paused().block_on(async {
        advance(14 * SECOND).await;
        assert_eq!(send(&layer, get("/v1/models")).await.status(), 503);
        assert_eq!(source.calls(), 1, "the fetch is in flight");
        advance(30 * SECOND).await;
        send(&layer, get("/v1/models")).await;
        assert_eq!(layer.cache().status().providers[0].failures, 1, "a timeout");
        sleep(2 * SECOND).await;
        send(&layer, get("/v1/models")).await;
        settle().await;
        assert_eq!(list(&layer).await, ["lab/a"]);
        assert_eq!(source.calls(), 2);
    });
}

/// `refresh` polls the deadline itself, so it is bounded as well.
#[test]
fn refresh_joining_stuck_fetch_ends_at_deadline() {
    let source = ScriptedSource::hung();
    let layer = builder([lab(&source)]).build().unwrap();
    let _idle = on_idle_runtime(|cache| drop(cache.snapshot()), &layer);
    paused().block_on(async {
        let (refreshed, took) = timed(layer.cache().refresh()).await;
        refreshed.unwrap_err();
        assert!(took < 30 * SECOND, "{took:?}");
    });
}

/// Regression: compression stayed off once the runtime that compressed had ended.
#[cfg(feature = "compression")]
#[test]
fn compression_resumes_after_runtime_shutdown() {
    let models = (0..500).map(|n| Model::new(format!("model-{n}")));
    let layer = builder([Provider::fixed("house", models)]).build().unwrap();
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // Starts to compress; the runtime ends before compression completes.
    runtime.block_on(async { send(&layer, get("/v1/models")).await });
    drop(runtime);
    let encoded = async || {
        let mut request = get("/v1/models");
        let gzip = http::HeaderValue::from_static("gzip");
        request.headers_mut().insert("accept-encoding", gzip);
        let response = send(&layer, request).await;
        response.headers().contains_key("content-encoding")
    };
    multi_thread().block_on(async {
        layer.cache().reenrich().await; // a publication, which restarts compression
        while !encoded().await {
            tokio::task::yield_now().await;
        }
    });
}

// ===== User code that never returns =====

/// Regression: a filter that never returned occupied its provider forever.
#[tokio::test(start_paused = true)]
async fn hung_filter_is_abandoned_at_deadline() {
    let (block, entered, release) = Block::new();
    block.arm();
    let source = ScriptedSource::new(|call| async move { Ok::<_, std::io::Error>(many(call)) });
    let provider = lab(&source).filter(move |_| {
        block.pass();
        true
    });
    let layer = builder([provider]).build().unwrap();
    assert!(send(&layer, get("/v1/models")).now_or_never().is_none());
    yield_until(|| entered.try_recv().is_ok()).await;
    advance(60 * SECOND).await;
    assert_eq!(layer.cache().status().providers[0].failures, 1);
    advance(60 * SECOND).await;
    layer.cache().refresh().await.unwrap();
    assert_eq!(source.calls(), 2);
    let etag = layer.cache().snapshot().etag().to_owned();
    release.send(()).unwrap();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    // The late result is discarded.
    assert_eq!(layer.cache().snapshot().etag(), etag);
    assert!(layer.cache().snapshot().get("lab/model-2-00000").is_some());
}

/// Yields until a condition is set by another thread. The paused clock does not advance.
async fn yield_until(happened: impl Fn() -> bool) {
    while !happened() {
        tokio::task::yield_now().await;
    }
}

/// Regression: the predicate of one view kept every other list from being published.
#[tokio::test(start_paused = true)]
async fn hung_predicate_is_abandoned_at_deadline() {
    // Hangs every time, so the publication that follows must not call it.
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
    let layer = builder([lab(&ScriptedSource::shared(&shared))])
        .views(
            move |head| match head.headers.contains_key("authorization") {
                true => Ok(view.clone()),
                false => Ok(View::all()),
            },
        )
        .build()
        .unwrap();
    let by_view = || {
        let mut request = get("/v1/models");
        let key = http::HeaderValue::from_static("Bearer team");
        request.headers_mut().insert("authorization", key);
        request
    };
    assert_eq!(send(&layer, by_view()).await.status(), 200);
    *hung.0.lock().unwrap() = true;
    shared.set(Ok(many(2)));
    let cache = layer.cache();
    let mut refresh = Box::pin(cache.refresh());
    while !entered.load(Ordering::SeqCst) {
        assert!(refresh.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    advance(11 * SECOND).await;
    refresh.await.unwrap();
    assert!(layer.cache().snapshot().get("lab/model-2-00000").is_some());
    *hung.0.lock().unwrap() = false;
    hung.1.notify_all();
}

/// Only callers of the hung view wait for it.
#[tokio::test(start_paused = true)]
async fn hung_rendering_is_abandoned() {
    let (block, _entered, release) = Block::new();
    block.arm();
    let view = View::named("slow", move |_| {
        block.pass();
        true
    });
    let layer = builder([Provider::fixed("house", many(0).models().to_vec())])
        .views(move |_| Ok(view.clone()))
        .build()
        .unwrap();
    let mut hung = Box::pin(send(&layer, get("/v1/models")));
    for _ in 0..100 {
        assert!(hung.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    advance(11 * SECOND).await;
    assert_eq!(hung.await.status(), 500);
    release.send(()).unwrap();
    assert_eq!(list(&layer).await.len(), MANY);
}

// ===== Expired lists =====

/// The next fetch counts as the first again: requests wait for it, because there is no list to
/// serve.
#[tokio::test(start_paused = true)]
async fn request_waits_for_fetch_after_list_expired() {
    let gate = Gate::default();
    gate.open(1);
    let source = ScriptedSource::new({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.passed().await;
                Ok::<_, std::io::Error>(ModelList::from_iter([Model::new("a")]))
            }
        }
    });
    let layer = builder([lab(&source)]).build().unwrap();
    assert_eq!(list(&layer).await.len(), 1);
    // Longer than `max_stale` without a request.
    sleep(25 * 3600 * SECOND).await;
    let (response, took) = timed(async {
        let response = send(&layer, get("/v1/models"));
        let open = async {
            sleep(SECOND).await;
            gate.open(1);
        };
        futures_util::future::join(response, open).await.0
    })
    .await;
    assert_eq!((response.status().as_u16(), took), (200, SECOND));
}

/// The same while an ordinary refresh is in flight: requests then wait for that refresh.
#[tokio::test(start_paused = true)]
async fn request_waits_when_list_expires_in_refresh() {
    let (source, gate) = ScriptedSource::held(["a"]);
    gate.open(1);
    let layer = builder([lab(&source)])
        .refresh_interval(60 * SECOND)
        .max_stale(100 * SECOND)
        .fetch_timeout(60 * SECOND)
        .miss_timeout(50 * SECOND)
        .build()
        .unwrap();
    assert_eq!(list(&layer).await.len(), 1);
    sleep(80 * SECOND).await;
    assert_eq!(list(&layer).await.len(), 1, "the old list, at once");
    settle().await;
    assert_eq!(source.calls(), 2);
    sleep(25 * SECOND).await;
    let waiting = pin!(send(&layer, get("/v1/models")));
    let mut waiting = waiting;
    assert!(
        waiting.as_mut().now_or_never().is_none(),
        "no list to serve"
    );
    gate.open(1);
    assert_eq!(waiting.await.status(), 200);
    assert_eq!(source.calls(), 2);
}
