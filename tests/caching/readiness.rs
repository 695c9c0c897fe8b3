//! Readiness, and caches that are used only through handles: no refresher, no requests.

use std::time::Duration;

use tokio::time::sleep;
use tower_models_cache::{Builder, Model, Provider, Readiness, error::ListErrorKind};

use crate::support::{MODES, ScriptedSource, SharedList, builder, models, settle, timed};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn lab(source: &ScriptedSource) -> Builder {
    builder([Provider::source("lab", source.clone())])
}

/// Regression: without a refresher, `ready` waited forever after one failed fetch.
#[tokio::test(start_paused = true)]
async fn ready_retries_until_list_is_fetched() {
    for mode in MODES {
        let source = ScriptedSource::new(|call| async move {
            match call {
                1..=3 => Err(ListErrorKind::Timeout.into()),
                _ => Ok::<_, tower_models_cache::error::ListError>(models(["a"])),
            }
        });
        let (layer, _refresher) = mode.start(lab(&source));
        let (ready, took) = timed(layer.cache().ready(Readiness::AnyProvider)).await;
        assert!(ready, "{mode:?}");
        assert_eq!(source.calls(), 4, "{mode:?}");
        // Pauses of 1 s, 2 s and 4 s, each at least half of that.
        assert!(
            (3 * SECOND..8 * SECOND).contains(&took),
            "{mode:?} {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ready_ends_when_cache_is_dropped() {
    for mode in MODES {
        let stop = tokio_util::sync::CancellationToken::new();
        let (layer, _refresher) =
            mode.start(lab(&ScriptedSource::failing()).cancellation_token(stop.clone()));
        let cache = layer.cache();
        let waiting = tokio::spawn(async move { cache.ready(Readiness::AnyProvider).await });
        sleep(HOUR).await;
        assert!(!waiting.is_finished());
        stop.cancel();
        assert!(!waiting.await.unwrap(), "{mode:?}");
    }
}

/// Regression: without requests and a refresher, nothing was fetched, refreshed or expired.
#[tokio::test(start_paused = true)]
async fn handle_alone_keeps_list_fresh() {
    let shared = SharedList::new(["a"]);
    let source = ScriptedSource::shared(&shared);
    let layer = lab(&source).build().unwrap();
    let cache = layer.cache();
    assert_eq!(cache.snapshot().len(), 0, "reading does not wait");
    settle().await;
    assert!(cache.snapshot().get("lab/a").is_some());
    shared.set_ids(["b"]);
    sleep(400 * SECOND).await;
    cache.snapshot(); // starts the fetch
    settle().await;
    assert!(cache.snapshot().get("lab/b").is_some());
    assert_eq!(source.calls(), 2);
    shared.set(Err(ListErrorKind::Timeout));
    for _ in 0..30 {
        sleep(HOUR).await;
        cache.snapshot();
        settle().await;
    }
    assert!(cache.snapshot().is_empty(), "older than `max_stale`");
}

#[test]
fn handle_is_readable_outside_runtime() {
    let layer = lab(&ScriptedSource::always(["a"])).build().unwrap();
    assert!(layer.cache().snapshot().is_empty());
    assert_eq!(layer.cache().status().models, 0);
    assert!(!layer.cache().is_ready(Readiness::Attempted));
}

/// `Attempted` is for health probes: it does not take every replica out of service at once.
#[tokio::test(start_paused = true)]
async fn attempted_stays_true_after_list_expires() {
    for mode in MODES {
        let shared = SharedList::new(["a"]);
        let (layer, _refresher) = mode.start(lab(&ScriptedSource::shared(&shared)));
        let cache = layer.cache();
        assert!(!cache.is_ready(Readiness::Attempted));
        assert!(cache.ready(Readiness::AnyProvider).await);
        shared.set(Err(ListErrorKind::Timeout));
        sleep(25 * HOUR).await;
        cache.snapshot();
        settle().await;
        assert!(cache.is_ready(Readiness::Attempted), "{mode:?}");
        assert!(!cache.is_ready(Readiness::AnyProvider), "{mode:?}");
        let new = Provider::source("new", ScriptedSource::hung());
        cache.set_providers([new]).await.unwrap();
        assert!(cache.is_ready(Readiness::Attempted), "{mode:?}");
        let fixed = Provider::fixed("house", [Model::new("x")]);
        cache.set_providers([fixed]).await.unwrap();
        assert!(cache.is_ready(Readiness::AnyProvider), "{mode:?}");
    }
}
