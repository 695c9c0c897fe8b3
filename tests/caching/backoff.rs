//! A failing provider is backed off, by the refresher and by requests alike.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{MODES, Mode, ScriptedSource, builder, get, models, now, send, settle};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tokio::time::sleep;
use tower_models_cache::{
    Builder, ModelsCache, Provider, StaticModelsCacheLayer,
    error::{ListError, ListErrorKind},
    model::ModelList,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const INTERVAL: Duration = Duration::from_secs(300);
const REQUESTS: u32 = 10_000;
/// The time between two of 10,000 requests per hour.
const GAP: Duration = Duration::from_millis(360);

/// A provider that always fails, and the times of its calls.
fn failing() -> (Provider, Arc<Mutex<Vec<Duration>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&calls);
    let began = now();
    let source = ScriptedSource::new(move |_| {
        noted.lock().unwrap().push(began.elapsed());
        async { Err("down") }
    });
    (Provider::source("lab", source), calls)
}

/// The documented pauses: 1 s, doubling with each failure, of which the upper half is random;
/// once the pause reaches the interval, the interval with a jitter of a tenth.
fn pauses(seed: u64) -> impl Iterator<Item = Duration> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..).map(move |failure| {
        let backoff = SECOND.saturating_mul(1 << i32::min(failure, 20));
        if backoff >= INTERVAL {
            INTERVAL.mul_f64(1.0 + 0.1 * (2.0 * random.f64() - 1.0))
        } else {
            backoff.mul_f64(0.5 + 0.5 * random.f64())
        }
    })
}

/// The times at which a failing provider is called within an hour, if a call can only start on a
/// multiple of `grid`.
fn schedule(seed: u64, grid: Duration) -> Vec<Duration> {
    let mut calls = vec![Duration::ZERO];
    for pause in pauses(seed) {
        let due = *calls.last().unwrap() + pause;
        let ticks = due.as_nanos().div_ceil(grid.as_nanos());
        let next = grid * u32::try_from(ticks).unwrap();
        if next >= HOUR {
            return calls;
        }
        // The fetch in flight completes before the next one can start.
        calls.push(next.max(*calls.last().unwrap()));
    }
    unreachable!("the pauses never end")
}

async fn an_hour_of_requests(layer: &StaticModelsCacheLayer) {
    for _ in 0..REQUESTS {
        assert_eq!(send(layer, get("/v1/models")).await.status(), 503);
        sleep(GAP).await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_and_refresher_follow_one_backoff() {
    // Timers have a resolution of one millisecond.
    let tick = Duration::from_millis(1);
    for (mode, is_cached, grid) in [
        (Mode::Build, true, GAP),
        (Mode::Spawn, true, tick),
        (Mode::Build, false, GAP),
        (Mode::Spawn, false, GAP),
    ] {
        for seed in [1, 7, 42] {
            let (provider, calls) = failing();
            let mut builder = builder([provider]).jitter_seed(seed);
            if !is_cached {
                builder = builder.without_cache();
            }
            let (layer, _refresher) = mode.start(builder);
            an_hour_of_requests(&layer).await;
            let calls = calls.lock().unwrap().clone();
            let case = format!("{mode:?}, cached: {is_cached}, seed {seed}");
            assert_eq!(calls, schedule(seed, grid), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn call_count_is_bounded_for_every_seed() {
    // Without jitter there are 1 + 9 calls while the pause grows to 300 s (1 + 2 + ... + 256 =
    // 511 s), and 1 + 3089 / 300 after that.
    const LEAST: usize = 10 + 10;
    for seed in 0..20 {
        for mode in MODES {
            let (provider, calls) = failing();
            let (layer, _refresher) = mode.start(builder([provider]).jitter_seed(seed));
            for _ in 0..3600 {
                send(&layer, get("/v1/models")).await;
                sleep(SECOND).await;
            }
            let calls = calls.lock().unwrap().len();
            assert!(
                (LEAST..=LEAST + 3).contains(&calls),
                "{mode:?} {seed}: {calls}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pause_is_within_documented_bounds() {
    for seed in 0..50 {
        let (provider, calls) = failing();
        let (_layer, _refresher) = builder([provider]).jitter_seed(seed).spawn().unwrap();
        sleep(HOUR).await;
        let calls = calls.lock().unwrap();
        for (failure, pair) in (0..).zip(calls.windows(2)) {
            let backoff = SECOND.saturating_mul(1 << i32::min(failure, 20));
            let (least, most) = if backoff < INTERVAL {
                (backoff / 2, backoff)
            } else {
                (INTERVAL.mul_f64(0.9), INTERVAL.mul_f64(1.1))
            };
            let pause = pair[1] - pair[0];
            let resolution = Duration::from_millis(1);
            assert!(
                pause >= least && pause <= most + resolution,
                "{seed}: {pair:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn backoff_spans_first_pause_to_own_interval() {
    let (provider, calls) = failing();
    let provider = provider.refresh_interval(SECOND * 8);
    let (_layer, _refresher) = builder([provider]).backoff(SECOND * 2).spawn().unwrap();
    sleep(HOUR).await;
    let calls = calls.lock().unwrap();
    let longest = calls
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    assert!(longest > SECOND * 8 && longest <= SECOND * 9);
    assert!((440..460).contains(&calls.len()), "{}", calls.len());
}

fn failures(cache: &ModelsCache) -> u32 {
    cache.status().providers[0].failures
}

fn next_attempt(cache: &ModelsCache) -> Duration {
    cache.status().providers[0].next_attempt.unwrap()
}

#[tokio::test(start_paused = true)]
async fn backoff_resets_after_success() {
    for mode in MODES {
        let source = ScriptedSource::new(|call| async move {
            if call == 11 {
                Ok(models(["a"]))
            } else {
                Err("down")
            }
        });
        let (layer, _refresher) = mode.start(builder([Provider::source("lab", source.clone())]));
        let cache = layer.cache();
        while source.calls() < 10 {
            let _ = cache.refresh().await;
        }
        assert_eq!(failures(&cache), 10);
        cache.refresh().await.unwrap();
        assert_eq!(failures(&cache), 0);
        assert!(next_attempt(&cache) >= SECOND * 270, "{mode:?}");
        cache.refresh().await.unwrap_err();
        assert_eq!(failures(&cache), 1);
        assert!(next_attempt(&cache) <= SECOND, "{mode:?}");
        assert_eq!(cache.snapshot().len(), 1);
    }
}

fn rate_limited(delay: Duration) -> ScriptedSource {
    ScriptedSource::new(move |_| async move {
        let error = ListError::new(ListErrorKind::Status(429)).with_retry_after(delay);
        Err::<ModelList, _>(error)
    })
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honored_up_to_cap() {
    for mode in MODES {
        for (requested, cap, kept) in [
            (SECOND * 90, HOUR, SECOND * 90),
            (SECOND * 900, HOUR, SECOND * 900),
            (HOUR * 24 * 365 * 100, HOUR, HOUR),
            (Duration::MAX, HOUR, HOUR),
            (SECOND * 90, SECOND * 30, SECOND * 30),
        ] {
            let source = rate_limited(requested);
            let provider = Provider::source("lab", source.clone());
            let (layer, _refresher) = mode.start(builder([provider]).max_retry_after(cap));
            send(&layer, get("/v1/models")).await;
            let wait = next_attempt(&layer.cache());
            assert_eq!(wait, kept, "{mode:?} {requested:?}");
            sleep(kept - SECOND).await;
            send(&layer, get("/v1/models")).await;
            settle().await;
            assert_eq!(source.calls(), 1);
            sleep(SECOND).await;
            send(&layer, get("/v1/models")).await;
            settle().await;
            assert_eq!(source.calls(), 2, "{mode:?} {requested:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn short_retry_after_does_not_shorten_backoff() {
    for retry_after in [Duration::ZERO, SECOND] {
        let source = rate_limited(retry_after);
        let layer = builder([Provider::source("lab", source)])
            .backoff(SECOND * 100)
            .build()
            .unwrap();
        let cache = layer.cache();
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            cache.refresh().await.unwrap_err();
            assert!(next_attempt(&cache) >= retry_after);
            longest = longest.max(next_attempt(&cache));
        }
        assert!(longest > SECOND * 200, "{longest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_read_from_http_response() {
    let service = tower::service_fn(|_: Request<Empty<Bytes>>| async {
        let response = Response::builder().status(503).header("retry-after", "77");
        Ok::<_, std::convert::Infallible>(response.body(Full::<Bytes>::default()).unwrap())
    });
    let layer = builder([Provider::http("lab", service)]).build().unwrap();
    let error = layer.cache().refresh_provider("lab").await.unwrap_err();
    assert_eq!(error.kind(), ListErrorKind::Status(503));
    assert_eq!(error.retry_after(), Some(SECOND * 77));
    assert_eq!(next_attempt(&layer.cache()), SECOND * 77);
    let answer = send(&layer, get("/v1/models")).await;
    assert_eq!(answer.headers()["retry-after"], "60");
}

/// Regression: a clone with changed options, as after a configuration reload, made the provider
/// due within its interval.
#[tokio::test(start_paused = true)]
async fn retry_after_survives_changed_options() {
    for mode in MODES {
        let source = rate_limited(HOUR);
        let provider = Provider::source("lab", source.clone());
        let (layer, _refresher) = mode.start(builder([provider.clone()]));
        send(&layer, get("/v1/models")).await;
        for _ in 0..59 {
            let provider = provider.clone().refresh_interval(SECOND * 5);
            layer.cache().set_providers([provider]).await.unwrap();
            send(&layer, get("/v1/models")).await;
            sleep(SECOND * 60).await;
        }
        assert_eq!(source.calls(), 1, "{mode:?}");
    }
}

// ===== Never more often than a healthy provider =====

/// Counts the calls of a provider during a day with the refresher, after the first hour.
async fn calls_a_day(seed: u64, builder: Builder, source: &ScriptedSource) -> usize {
    let (_layer, _refresher) = builder.jitter_seed(seed).spawn().unwrap();
    sleep(HOUR).await; // until the backoff has reached the interval
    let before = source.calls();
    sleep(HOUR * 24).await;
    source.calls() - before
}

/// Regression: a failing provider was fetched twice as often as a healthy one.
#[tokio::test(start_paused = true)]
async fn failing_provider_is_not_fetched_more_often() {
    for seed in 0..10 {
        let healthy = ScriptedSource::always(["a"]);
        let failing = ScriptedSource::failing();
        let lab = |source: &ScriptedSource| builder([Provider::source("lab", source.clone())]);
        let of_healthy = calls_a_day(seed, lab(&healthy), &healthy).await;
        let of_failing = calls_a_day(seed, lab(&failing), &failing).await;
        assert!(
            of_failing <= of_healthy + 3,
            "{seed}: {of_failing} {of_healthy}"
        );
        assert!(
            of_failing >= of_healthy - 12,
            "{seed}: {of_failing} {of_healthy}"
        );
    }
}

/// Regression: a wrong key was sent 580 times a day.
#[tokio::test(start_paused = true)]
async fn refused_credential_is_tried_once_per_interval() {
    for kind in [
        ListErrorKind::Status(401),
        ListErrorKind::Status(403),
        ListErrorKind::Credential,
    ] {
        for mode in MODES {
            let source =
                ScriptedSource::new(
                    move |_| async move { Err::<ModelList, _>(ListError::new(kind)) },
                );
            let provider = Provider::source("lab", source.clone());
            let (layer, _refresher) = mode.start(builder([provider]));
            for _ in 0..3600 {
                send(&layer, get("/v1/models")).await;
                sleep(SECOND).await;
            }
            assert!(
                source.calls() <= 14,
                "{kind:?} {mode:?}: {}",
                source.calls()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn backoff_may_exceed_interval() {
    for mode in MODES {
        let (provider, calls) = failing();
        let builder = builder([provider]).backoff(SECOND * 600);
        let (layer, _refresher) = mode.start(builder);
        for _ in 0..3600 {
            send(&layer, get("/v1/models")).await;
            sleep(SECOND).await;
        }
        let calls = calls.lock().unwrap();
        let mut pauses = calls.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(
            pauses.all(|pause| pause >= SECOND * 540),
            "{mode:?} {calls:?}"
        );
        assert!(calls.len() >= 6, "{mode:?}");
    }
}
