//! When lists are refreshed, replaced and kept.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{
    MODES, Mode, ScriptedSource, SharedList, builder, get, list, models, now, send, settle, timed,
};
use futures_util::future::join_all;
use tokio::time::sleep;
use tower_models_cache::{
    Model, ModelsCache, Provider, Readiness,
    error::{ListError, ListErrorKind},
    model::ModelList,
    status::ProviderStatus,
};

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Longer than an interval with its jitter.
const DUE: Duration = Duration::from_secs(331);

fn lab(source: &ScriptedSource) -> Provider {
    Provider::source("lab", source.clone())
}

fn shared(ids: [&'static str; 2]) -> (SharedList, ScriptedSource) {
    let shared = SharedList::new(ids);
    let source = ScriptedSource::shared(&shared);
    (shared, source)
}

/// A source that reads the shared list when it is called and responds after `delay`.
fn slow(shared: &SharedList, delay: Duration) -> ScriptedSource {
    let shared = shared.clone();
    ScriptedSource::new(move |_| {
        let read = shared.read();
        async move {
            sleep(delay).await;
            read.map_err(ListError::from)
        }
    })
}

fn status(cache: &ModelsCache) -> ProviderStatus {
    cache.status().providers.remove(0)
}

// ===== Schedule =====

#[tokio::test(start_paused = true)]
async fn refresher_fetches_once_per_jittered_interval() {
    for seed in [1, 2, 3] {
        let times = Arc::new(Mutex::new(Vec::new()));
        let source = ScriptedSource::new({
            let times = Arc::clone(&times);
            move |_| {
                times.lock().unwrap().push(now());
                async { Ok::<_, Infallible>(models(["a"])) }
            }
        });
        let began = now();
        let (_layer, refresher) = builder([lab(&source)]).jitter_seed(seed).spawn().unwrap();
        sleep(INTERVAL * 50).await;
        refresher.shutdown().await;
        let times = times.lock().unwrap().clone();
        assert_eq!(times[0], began);
        let mut gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for gap in &gaps {
            assert!(*gap >= INTERVAL.mul_f64(0.9) && *gap <= INTERVAL.mul_f64(1.1) + SECOND / 100);
        }
        gaps.sort();
        gaps.dedup();
        assert!(gaps.len() > 40, "jitter varies the pauses");
    }
}

#[tokio::test(start_paused = true)]
async fn refresh_count_matches_intervals_per_day() {
    let source = ScriptedSource::always(["a"]);
    let (_layer, _refresher) = builder([lab(&source)]).spawn().unwrap();
    sleep(DAY).await;
    let expected = (DAY.as_secs() / INTERVAL.as_secs()) as usize; // 288
    let most = expected * 11 / 10;
    let least = expected * 9 / 10;
    assert!(
        (least..=most).contains(&source.calls()),
        "{}",
        source.calls()
    );
}

#[tokio::test(start_paused = true)]
async fn provider_interval_overrides_default() {
    for mode in MODES {
        let often = ScriptedSource::always(["a"]);
        let seldom = ScriptedSource::always(["b"]);
        let usual = ScriptedSource::always(["c"]);
        let (layer, _refresher) = mode.start(builder([
            Provider::source("often", often.clone()).refresh_interval(SECOND * 30),
            Provider::source("seldom", seldom.clone()).refresh_interval(HOUR),
            Provider::source("usual", usual.clone()),
        ]));
        for _ in 0..3600 {
            list(&layer).await;
            sleep(SECOND).await;
        }
        assert!((108..=133).contains(&often.calls()), "{}", often.calls());
        assert!((11..=14).contains(&usual.calls()), "{}", usual.calls());
        assert!((1..=2).contains(&seldom.calls()), "{}", seldom.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn provider_timeout_overrides_default() {
    let hasty = ScriptedSource::hung();
    let usual = ScriptedSource::hung();
    let (layer, _refresher) = builder([
        Provider::source("hasty", hasty).timeout(SECOND * 2),
        Provider::source("usual", usual),
    ])
    .spawn()
    .unwrap();
    sleep(SECOND * 60).await;
    let took: Vec<_> = layer
        .cache()
        .status()
        .providers
        .into_iter()
        .map(|provider| provider.last_attempt.unwrap())
        .inspect(|attempt| {
            let error = attempt.error.as_ref().unwrap();
            assert_eq!(error.kind(), ListErrorKind::Timeout);
        })
        .map(|attempt| attempt.took)
        .collect();
    assert_eq!(took, [SECOND * 2, SECOND * 15]);
}

/// Regression: without a cache every list was due again at once, and the refresher fetched in a
/// loop.
#[tokio::test(start_paused = true)]
async fn refresher_does_not_fetch_without_cache() {
    for mode in MODES {
        let source = ScriptedSource::always(["a"]);
        let (layer, _refresher) = mode.start(builder([lab(&source)]).without_cache());
        sleep(HOUR).await;
        let before = source.calls();
        assert!(before <= 1, "{mode:?}: {before} calls without a request");
        for call in 1..=10 {
            assert_eq!(list(&layer).await, ["lab/a"]);
            assert_eq!(source.calls(), before + call, "{mode:?}");
            sleep(SECOND).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn request_without_cache_waits_for_fetch() {
    for mode in MODES {
        let shared = SharedList::new(["a"]);
        let source = slow(&shared, SECOND);
        let (layer, _refresher) = mode.start(builder([lab(&source)]).without_cache());
        for ids in [["b"], ["c"], ["d"]] {
            shared.set_ids(ids);
            let (listed, took) = timed(list(&layer)).await;
            assert_eq!(listed, [format!("lab/{}", ids[0])], "{mode:?}");
            assert_eq!(took, SECOND);
        }
        // Concurrent requests share one call.
        let before = source.calls();
        let requests = (0..100).map(|_| list(&layer));
        let (_, took) = timed(join_all(requests)).await;
        assert_eq!((source.calls(), took), (before + 1, SECOND), "{mode:?}");

        shared.set(Err(ListErrorKind::Status(500)));
        assert_eq!(list(&layer).await, ["lab/d"], "{mode:?}");
        let before = source.calls();
        sleep(SECOND * 2).await; // longer than the first pause
        // Requests do not wait for a fetch after a failure.
        let (listed, took) = timed(list(&layer)).await;
        assert_eq!((listed, took), (vec!["lab/d".to_owned()], Duration::ZERO));
        settle().await;
        assert_eq!(source.calls(), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn request_without_cache_waits_miss_timeout() {
    for mode in MODES {
        let source = ScriptedSource::new(|call| async move {
            if call > 1 {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(models(["a"]))
        });
        let (layer, _refresher) = mode.start(builder([lab(&source)]).without_cache());
        list(&layer).await;
        let (listed, took) = timed(list(&layer)).await;
        assert_eq!(listed, ["lab/a"]);
        assert_eq!(took, Duration::from_millis(1500), "{mode:?}");
        let (_, took) = timed(list(&layer)).await;
        assert_eq!(took, Duration::ZERO, "{mode:?}");
        assert_eq!(source.alive(), 1);
    }
}

// ===== Replaced and kept lists =====

#[tokio::test(start_paused = true)]
async fn failure_keeps_list_and_success_replaces_it() {
    for mode in MODES {
        let (shared, source) = shared(["a", "b"]);
        let (layer, _refresher) = mode.start(builder([lab(&source)]));
        assert_eq!(list(&layer).await, ["lab/a", "lab/b"]);
        for kind in [
            ListErrorKind::Status(500),
            ListErrorKind::Status(404),
            ListErrorKind::Timeout,
            ListErrorKind::NotJson,
            ListErrorKind::Panic,
        ] {
            shared.set(Err(kind));
            let error = layer.cache().refresh_provider("lab").await.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert_eq!(list(&layer).await, ["lab/a", "lab/b"], "{mode:?} {kind:?}");
        }
        shared.set_ids(["b"]);
        layer.cache().refresh().await.unwrap();
        assert_eq!(list(&layer).await, ["lab/b"]);
        let unknown = send(&layer, get("/v1/models/lab/a")).await;
        assert_eq!(unknown.status(), 404);
    }
}

#[tokio::test(start_paused = true)]
async fn empty_list_is_refused_unless_accept_empty() {
    for believe in [false, true] {
        let (shared, source) = shared(["a", "b"]);
        let layer = builder([lab(&source)])
            .accept_empty(believe)
            .build()
            .unwrap();
        assert_eq!(list(&layer).await.len(), 2);
        shared.set_ids([]);
        let outcome = layer.cache().refresh_provider("lab").await;
        if believe {
            assert!(outcome.unwrap());
            assert!(list(&layer).await.is_empty());
        } else {
            assert_eq!(outcome.unwrap_err().kind(), ListErrorKind::Empty);
            assert_eq!(list(&layer).await.len(), 2);
            assert_eq!(status(&layer.cache()).failures, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn first_list_may_be_empty() {
    let source = ScriptedSource::always([]);
    let layer = builder([lab(&source)]).build().unwrap();
    assert!(list(&layer).await.is_empty());
    assert_eq!(status(&layer.cache()).failures, 0);
}

#[tokio::test(start_paused = true)]
async fn list_emptied_by_filter_is_accepted() {
    let (shared, source) = shared(["gpt-a", "gpt-b"]);
    let provider = lab(&source).filter(|model| model.id().starts_with("gpt-"));
    let layer = builder([provider]).build().unwrap();
    assert_eq!(list(&layer).await.len(), 2);
    shared.set_ids(["other"]);
    layer.cache().refresh().await.unwrap();
    assert!(list(&layer).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn unconfirmed_list_is_dropped_after_max_stale() {
    for mode in MODES {
        let (shared, source) = shared(["a", "b"]);
        let fixed = Provider::fixed("house", [Model::new("x")]);
        let (layer, _refresher) = mode.start(builder([lab(&source), fixed]).max_stale(HOUR));
        assert_eq!(list(&layer).await.len(), 3);
        settle().await;
        sleep(HOUR - SECOND * 10).await; // meanwhile confirmed by the refresher
        list(&layer).await;
        settle().await;
        let confirmed = status(&layer.cache()).confirmed.unwrap();
        assert!(confirmed < DUE, "{mode:?}");
        shared.set(Err(ListErrorKind::Status(500)));
        sleep(HOUR - confirmed - SECOND).await;
        assert_eq!(list(&layer).await.len(), 3, "{mode:?}");
        sleep(SECOND * 2).await;
        // Not even the first request sees the expired list.
        assert_eq!(list(&layer).await, ["house/x"], "{mode:?}");
        assert_eq!(status(&layer.cache()).confirmed, None);
        shared.set_ids(["c"]);
        layer.cache().refresh().await.unwrap();
        assert_eq!(list(&layer).await, ["lab/c", "house/x"]);
    }
}

/// Regression: the first request after an idle time got the expired list once more when the
/// provider was failing.
#[tokio::test(start_paused = true)]
async fn expired_list_is_not_served_after_idle_time() {
    for failed_before in [false, true] {
        let (shared, source) = shared(["a", "b"]);
        let layer = builder([lab(&source)]).build().unwrap();
        assert_eq!(list(&layer).await.len(), 2);
        shared.set(Err(ListErrorKind::Status(500)));
        if failed_before {
            layer.cache().refresh().await.unwrap_err();
        }
        sleep(DAY * 3).await;
        let response = send(&layer, get("/v1/models")).await;
        assert_eq!(response.status(), 503, "{failed_before}");
        let response = send(&layer, get("/v1/models/lab/a")).await;
        assert_eq!(response.status(), 503, "{failed_before}");
    }
}

#[tokio::test(start_paused = true)]
async fn list_never_expires_without_max_stale() {
    for mode in MODES {
        let (shared, source) = shared(["a", "b"]);
        let (layer, _refresher) = mode.start(builder([lab(&source)]).max_stale(None));
        assert_eq!(list(&layer).await.len(), 2);
        shared.set(Err(ListErrorKind::Status(500)));
        for _ in 0..60 {
            sleep(DAY).await;
            assert_eq!(list(&layer).await.len(), 2, "{mode:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn declared_list_does_not_expire() {
    for mode in MODES {
        let fixed = Provider::fixed("house", [Model::new("x")]);
        let (layer, _refresher) = mode.start(builder([fixed]));
        sleep(DAY * 60).await;
        assert_eq!(list(&layer).await, ["house/x"]);
    }
}

/// Regression: a list of the same models kept the counts of the first fetch.
#[tokio::test(start_paused = true)]
async fn status_counts_last_fetch_of_unchanged_list() {
    let source = ScriptedSource::new(|call| async move {
        if call == 1 {
            return Err(ListError::new(ListErrorKind::Status(404)));
        }
        let twice = [Model::new("mine"), Model::new("mine"), Model::new("")];
        Ok(ModelList::from_iter(twice).with_skipped(2))
    });
    let provider = lab(&source).fallback([Model::new("mine")]);
    let layer = builder([provider]).build().unwrap();
    list(&layer).await;
    let etag = layer.cache().snapshot().etag().to_owned();
    let first = status(&layer.cache());
    assert_eq!(
        (first.declared, first.skipped, first.duplicates),
        (true, 0, 0)
    );
    layer.cache().refresh().await.unwrap();
    let second = status(&layer.cache());
    assert_eq!(
        (second.declared, second.skipped, second.duplicates),
        (false, 3, 1)
    );
    assert_eq!(layer.cache().snapshot().etag(), etag);
}

// ===== Stable bytes =====

fn unix_now() -> u32 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    now.try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn order_and_duplicates_do_not_change_bytes() {
    let now = unix_now();
    let source = ScriptedSource::new(move |call| async move {
        let call = call as u32;
        let a = Model::new("a")
            .with_created(1_600_000_000)
            .with_owned_by("x");
        let b = Model::new("b").with_context_length(1 << call.min(1));
        let dated = |id: &str, at: u32| Model::new(id).with_created(at);
        let mut models = vec![
            a.clone(),
            b.clone(),
            dated("now", now + call),
            dated("soon", now + 1000 * call),
            dated("just", now - call),
        ];
        let length = models.len();
        models.rotate_left(call as usize % length);
        if call.is_multiple_of(2) {
            models.extend([Model::new("a"), b, dated("now", now)]);
        }
        Ok::<_, Infallible>(ModelList::from(models))
    });
    let layer = builder([lab(&source)]).build().unwrap();
    let first = send(&layer, get("/v1/models")).await;
    let mut updates = layer.cache().subscribe();
    for _ in 0..10 {
        layer.cache().refresh().await.unwrap();
        let next = send(&layer, get("/v1/models")).await;
        assert_eq!(next.body(), first.body());
        assert_eq!(next.headers()["etag"], first.headers()["etag"]);
    }
    assert_eq!(source.calls(), 11);
    let nothing = tokio::time::timeout(HOUR, updates.next()).await;
    assert!(nothing.is_err(), "an update without a change");
    let body: serde_json::Value = serde_json::from_slice(first.body()).unwrap();
    let created: Vec<_> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["created"].as_u64().unwrap())
        .collect();
    assert_eq!(created, [1_600_000_000, 0, 0, 0, 0]);
}

/// Invariant 8. Regression: a changed date was not a change, so replicas with different histories
/// served different bytes.
#[tokio::test(start_paused = true)]
async fn changed_date_is_published() {
    let (old, older) = (1_700_000_000, 1_600_000_000);
    let source = ScriptedSource::new(move |call| async move {
        let created = [unix_now(), old, older, unix_now()][call - 1];
        let list = [Model::new("a").with_created(created), Model::new("b")];
        Ok::<_, Infallible>(ModelList::from_iter(list))
    });
    let layer = builder([lab(&source)]).build().unwrap();
    let mut dates = Vec::new();
    let mut tags = std::collections::HashSet::new();
    for _ in 0..4 {
        layer.cache().refresh().await.unwrap();
        let snapshot = layer.cache().snapshot();
        dates.push(snapshot.get("lab/a").unwrap().model().created());
        tags.insert(snapshot.etag().to_owned());
    }
    assert_eq!(dates, [None, Some(old), Some(older), None]);
    assert_eq!(tags.len(), 3, "equal dates give equal tags");
}

#[tokio::test(start_paused = true)]
async fn completion_order_does_not_change_bytes() {
    let mut all = Vec::new();
    for delays in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let provider = |(index, delay): (usize, u64)| {
            let source = ScriptedSource::new(move |_| async move {
                sleep(SECOND * delay as u32 / 10).await;
                Ok::<_, Infallible>(models(["a", "b"]))
            });
            Provider::source(format!("lab-{index}"), source)
        };
        let (layer, _refresher) = builder(delays.into_iter().enumerate().map(provider))
            .spawn()
            .unwrap();
        assert_eq!(list(&layer).await.len(), 6);
        let snapshot = layer.cache().snapshot();
        all.push((snapshot.etag().to_owned(), snapshot.body()));
    }
    assert!(all.iter().all(|one| *one == all[0]));
}

#[tokio::test(start_paused = true)]
async fn etag_changes_with_every_served_fact() {
    let base = || Model::new("a").with_owned_by("x");
    let mut seen = std::collections::HashSet::new();
    for model in [
        base(),
        base().with_owned_by("y"),
        base().with_display_name("A"),
        base().with_context_length(1),
        base().with_max_output_tokens(1),
        base().with_created(5),
        Model::new("b").with_owned_by("x"),
    ] {
        let layer = builder([Provider::fixed("house", [model])])
            .build()
            .unwrap();
        assert!(seen.insert(layer.cache().snapshot().etag().to_owned()));
    }
}

// ===== Handle =====

#[tokio::test(start_paused = true)]
async fn refresh_reports_failures_and_publishes_rest() {
    let (good, bad) = (ScriptedSource::always(["a"]), ScriptedSource::failing());
    let layer = builder([
        Provider::source("bad", bad.clone()),
        Provider::source("good", good.clone()),
        Provider::fixed("house", [Model::new("x")]),
    ])
    .build()
    .unwrap();
    for round in 1..4 {
        let error = layer.cache().refresh().await.unwrap_err();
        let names: Vec<_> = error.failures().iter().map(|one| one.provider()).collect();
        assert_eq!(names, ["bad"]);
        assert_eq!(error.to_string(), "provider bad: the source failed");
        assert_eq!(layer.cache().snapshot().len(), 2);
        // `refresh` calls every provider, due or not, backed off or not.
        assert_eq!((good.calls(), bad.calls()), (round, round));
    }
}

#[tokio::test(start_paused = true)]
async fn refresh_provider_fetches_only_that_provider() {
    let (one, two) = (ScriptedSource::always(["a"]), ScriptedSource::always(["b"]));
    let layer = builder([
        Provider::source("one", one.clone()),
        Provider::source("two", two.clone()),
        Provider::fixed("house", [Model::new("x")]),
    ])
    .build()
    .unwrap();
    let cache = layer.cache();
    assert!(cache.refresh_provider("two").await.unwrap());
    assert_eq!((one.calls(), two.calls()), (0, 1));
    assert!(cache.snapshot().get("two/b").is_some());
    assert!(!cache.refresh_provider("unknown").await.unwrap());
    assert!(!cache.refresh_provider("house").await.unwrap());
    assert_eq!((one.calls(), two.calls()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn invalidated_list_is_served_until_replaced() {
    for mode in MODES {
        let (shared, source) = shared(["a", "b"]);
        let (layer, _refresher) = mode.start(builder([lab(&source)]));
        assert_eq!(list(&layer).await.len(), 2);
        shared.set_ids(["c"]);
        settle().await;
        assert!(layer.cache().invalidate("lab"));
        assert!(!layer.cache().invalidate("unknown"));
        assert_eq!(layer.cache().status().models, 2);
        if mode == Mode::Build {
            settle().await;
            assert_eq!(source.calls(), 1);
            assert_eq!(list(&layer).await.len(), 2);
        }
        settle().await;
        assert_eq!(source.calls(), 2, "{mode:?}");
        assert_eq!(list(&layer).await, ["lab/c"]);
    }
}

/// Regression: the fetch in flight, which may have read the previous list, counted as the
/// requested refresh.
#[tokio::test(start_paused = true)]
async fn list_invalidated_in_flight_is_fetched_again() {
    for mode in MODES {
        let shared = SharedList::new(["old", "older"]);
        let source = ScriptedSource::new({
            let shared = shared.clone();
            move |call| {
                let read = shared.read();
                async move {
                    sleep(SECOND * u32::from(call == 2)).await;
                    read.map_err(ListError::from)
                }
            }
        });
        let (layer, _refresher) = mode.start(builder([lab(&source)]));
        list(&layer).await;
        let cache = layer.cache();
        let forced = tokio::spawn(async move { cache.refresh().await });
        settle().await;
        shared.set_ids(["new"]);
        layer.cache().invalidate("lab");
        forced.await.unwrap().unwrap();
        list(&layer).await;
        settle().await;
        assert_eq!(list(&layer).await, ["lab/new"], "{mode:?}");
        assert_eq!(source.calls(), 3);
        // One more fetch is enough.
        sleep(SECOND * 60).await;
        list(&layer).await;
        settle().await;
        assert_eq!(source.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn invalidate_does_not_bypass_backoff() {
    for mode in MODES {
        let source = ScriptedSource::new(|_| async {
            let error = ListError::new(ListErrorKind::Status(429));
            Err::<ModelList, _>(error.with_retry_after(SECOND * 100))
        });
        let (layer, _refresher) = mode.start(builder([lab(&source)]));
        send(&layer, get("/v1/models")).await;
        for _ in 0..90 {
            layer.cache().invalidate("lab");
            send(&layer, get("/v1/models")).await;
            sleep(SECOND).await;
        }
        assert_eq!(source.calls(), 1, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn subscriber_sees_only_changes() {
    for mode in MODES {
        let (shared, source) = shared(["a", "b"]);
        let (layer, refresher) = mode.start(builder([lab(&source)]));
        let cache = layer.cache();
        let mut updates = cache.subscribe();
        cache.refresh().await.unwrap();
        assert_eq!(updates.next().await.unwrap().len(), 2);
        for _ in 0..5 {
            cache.refresh().await.unwrap();
        }
        shared.set(Err(ListErrorKind::Timeout));
        cache.refresh().await.unwrap_err();
        let nothing = tokio::time::timeout(SECOND, updates.next()).await;
        assert!(nothing.is_err(), "{mode:?}");
        shared.set_ids(["c"]);
        cache.refresh().await.unwrap();
        shared.set_ids(["c", "d"]);
        cache.refresh().await.unwrap();
        let latest = updates.next().await.unwrap();
        assert_eq!(latest.len(), 2);
        assert!(latest.get("lab/d").is_some());
        drop((layer, cache, refresher));
        assert!(updates.next().await.is_none(), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ready_distinguishes_list_and_attempt() {
    for mode in MODES {
        let (held, gate) = ScriptedSource::held(["a"]);
        let (layer, _refresher) = mode.start(builder([
            Provider::source("hung", ScriptedSource::hung()),
            Provider::source("held", held),
            Provider::source("bad", ScriptedSource::failing()),
        ]));
        let cache = layer.cache();
        assert!(!cache.is_ready(Readiness::AnyProvider) && !cache.is_ready(Readiness::Attempted));
        gate.open(1);
        let (ready, took) = timed(cache.ready(Readiness::AnyProvider)).await;
        assert!(ready && took == Duration::ZERO, "{mode:?} {took:?}");
        assert!(cache.is_ready(Readiness::AnyProvider) && !cache.is_ready(Readiness::Attempted));
        let (ready, took) = timed(cache.ready(Readiness::Attempted)).await;
        assert!(ready && took == SECOND * 15, "{mode:?} {took:?}");
        let (ready, took) = timed(cache.ready(Readiness::Attempted)).await;
        assert!(ready && took == Duration::ZERO);
    }
    let none = builder([]).build().unwrap().cache();
    assert!(none.ready(Readiness::AnyProvider).await && none.ready(Readiness::Attempted).await);
    let bad = builder([Provider::source("bad", ScriptedSource::failing())])
        .build()
        .unwrap()
        .cache();
    assert!(bad.ready(Readiness::Attempted).await);
    assert!(!bad.is_ready(Readiness::AnyProvider));
}

#[tokio::test(start_paused = true)]
async fn status_reports_provider_state() {
    let slow = slow(&SharedList::new(["a", "b"]), SECOND / 2);
    let provider = lab(&slow).display_name("The Lab");
    let layer = builder([provider]).build().unwrap();
    let cache = layer.cache();

    let new = status(&cache);
    assert_eq!(new.name, "lab");
    assert_eq!(new.display_name.as_deref(), Some("The Lab"));
    assert_eq!((new.models, new.failures, new.fetching), (0, 0, false));
    assert!(new.confirmed.is_none() && new.last_attempt.is_none());
    assert_eq!(new.next_attempt, Some(Duration::ZERO));

    let request = tokio::spawn({
        let layer = layer.clone();
        async move { list(&layer).await }
    });
    settle().await;
    let during = status(&cache);
    assert!(during.fetching && during.next_attempt.is_none() && during.last_attempt.is_none());

    request.await.unwrap();
    sleep(SECOND * 10).await;
    let good = status(&cache);
    assert_eq!((good.models, good.failures, good.fetching), (2, 0, false));
    assert_eq!(good.confirmed, Some(SECOND * 10));
    let attempt = good.last_attempt.unwrap();
    assert_eq!((attempt.ended, attempt.took), (SECOND * 10, SECOND / 2));
    assert!(attempt.error.is_none());
    let next = good.next_attempt.unwrap();
    assert!(next >= SECOND * 260 && next <= SECOND * 320, "{next:?}");
    assert_eq!(cache.status().models, 2);
    assert_eq!(cache.status().etag, cache.snapshot().etag());
    let json = serde_json::to_value(cache.status()).unwrap();
    assert_eq!(json["providers"][0]["confirmed"], 10.0);
    assert_eq!(json["providers"][0]["last_attempt"]["took"], 0.5);
}
