//! A fetched list is stored, and nothing is fetched again before it is due.

use crate::support;
use std::time::Duration;

use crate::support::{MODES, ScriptedSource, SharedList, builder, get, list, send, settle, timed};
use tokio::time::sleep;
use tower_models_cache::{Provider, error::ListErrorKind};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn no_fetch_until_refresh_is_due() {
    for mode in MODES {
        let source = ScriptedSource::always(["a"]);
        let provider = Provider::source("lab", source.clone());
        let (layer, _refresher) = mode.start(builder([provider]));
        let miss = send(&layer, get("/v1/models")).await;
        assert_eq!(
            miss.headers()["cache-status"],
            "tower-models-cache; fwd=miss; stored"
        );
        // The interval minus its jitter.
        for _ in 0..269 {
            let hit = send(&layer, get("/v1/models")).await;
            assert_eq!(hit.headers()["cache-status"], "tower-models-cache; hit");
            assert_eq!(hit.body(), miss.body());
            assert_eq!(send(&layer, get("/v1/models/lab/a")).await.status(), 200);
            assert_eq!(send(&layer, get("/v1/models/lab/b")).await.status(), 404);
            sleep(SECOND).await;
        }
        assert_eq!(source.calls(), 1, "{mode:?}");
        // The interval plus its jitter.
        sleep(SECOND * 62).await;
        list(&layer).await;
        settle().await;
        assert_eq!(source.calls(), 2, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn due_list_is_served_while_refreshed() {
    let shared = SharedList::new(["old"]);
    let (held, gate) = {
        let gate = support::Gate::default();
        let (shared, opened) = (shared.clone(), gate.clone());
        let source = ScriptedSource::new(move |_| {
            let (response, opened) = (shared.read(), opened.clone());
            async move {
                opened.passed().await;
                response.map_err(tower_models_cache::error::ListError::from)
            }
        });
        (source, gate)
    };
    let layer = builder([Provider::source("lab", held.clone())])
        .build()
        .unwrap();
    gate.open(1);
    assert_eq!(list(&layer).await, ["lab/old"]);

    shared.set_ids(["new"]);
    sleep(SECOND * 3600).await;
    assert_eq!(held.calls(), 1, "no refresh without requests");
    for _ in 0..100 {
        let (listed, took) = timed(list(&layer)).await;
        assert_eq!((listed, took), (vec!["lab/old".to_owned()], Duration::ZERO));
    }
    settle().await;
    assert_eq!((held.calls(), held.alive()), (2, 1));
    gate.open(1);
    settle().await;
    assert_eq!(list(&layer).await, ["lab/new"]);
    assert_eq!(held.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn failed_on_demand_refresh_keeps_list() {
    let shared = SharedList::new(["a"]);
    let source = ScriptedSource::shared(&shared);
    let layer = builder([Provider::source("lab", source.clone())])
        .build()
        .unwrap();
    list(&layer).await;
    shared.set(Err(ListErrorKind::Transport));
    for _ in 0..100 {
        sleep(SECOND * 400).await;
        let (listed, took) = timed(list(&layer)).await;
        assert_eq!((listed, took), (vec!["lab/a".to_owned()], Duration::ZERO));
    }
    settle().await;
    assert_eq!(source.calls(), 101);
}

#[tokio::test(start_paused = true)]
async fn request_waits_when_no_list_exists() {
    for mode in MODES {
        let source = ScriptedSource::new(|_| async {
            sleep(SECOND).await;
            Ok::<_, std::convert::Infallible>(support::models(["a"]))
        });
        let (layer, _refresher) = mode.start(builder([Provider::source("lab", source)]));
        for path in ["/v1/models", "/v1/models/lab/a"] {
            let (response, took) = timed(send(&layer, get(path))).await;
            assert_eq!(response.status(), 200, "{mode:?}");
            let first = path == "/v1/models";
            assert_eq!(took, if first { SECOND } else { Duration::ZERO });
        }
    }
}

/// Regression: without background tasks, such as in a wasm module, a list that only a refresher
/// could fetch stayed empty forever.
#[tokio::test(start_paused = true)]
async fn requests_refresh_lists_without_refresher() {
    let sources = [["a"], ["b"], ["c"]].map(ScriptedSource::always);
    let names = ["one", "two", "three"];
    let providers = names
        .into_iter()
        .zip(&sources)
        .map(|(name, source)| Provider::source(name, source.clone()));
    let layer = builder(providers).build().unwrap();
    for day in 1..=5 {
        assert_eq!(list(&layer).await, ["one/a", "two/b", "three/c"]);
        settle().await;
        assert_eq!(sources.each_ref().map(ScriptedSource::calls), [day; 3]);
        sleep(SECOND * 3600 * 20).await;
    }
}

/// A new runtime does not wait for work that ended with the previous one.
#[test]
fn refresh_lost_with_runtime_is_restarted() {
    let source = ScriptedSource::new(|call| async move {
        if call == 2 {
            std::future::pending::<()>().await;
        }
        Ok::<_, std::convert::Infallible>(support::models(["a"]))
    });
    let layer = builder([Provider::source("lab", source.clone())])
        .refresh_interval(Duration::from_millis(1))
        .build()
        .unwrap();
    for call in 1..=3 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            // Each runtime is later than the one before by its own clock, so the list is due.
            tokio::time::advance(SECOND * u32::try_from(call).unwrap()).await;
            assert_eq!(list(&layer).await, ["lab/a"]);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(source.calls(), call);
    }
}
