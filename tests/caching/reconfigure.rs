//! `set_providers` replaces all providers atomically.

use crate::support;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{
    MODES, ScriptedSource, SharedList, builder, get, list, models, send, settle, timed,
};
use tokio::time::sleep;
use tower_models_cache::{
    Model, ModelsSnapshot, Provider, StaticModelsCacheLayer, error::ListErrorKind,
};

const SECOND: Duration = Duration::from_secs(1);

fn fetched(name: &str, source: &ScriptedSource) -> Provider {
    Provider::source(name, source.clone())
}

fn fixed<const N: usize>(name: &str, ids: [&str; N]) -> Provider {
    Provider::fixed(name, ids.map(Model::new))
}

/// Checks that every listed id routes to its provider, and that nothing else is routed.
fn agree(snapshot: &ModelsSnapshot) {
    let ids = support::ids(&snapshot.body());
    assert_eq!(ids.len(), snapshot.len());
    for (listed, id) in snapshot.iter().zip(&ids) {
        assert_eq!(listed.id(), *id);
        let found = snapshot.get(id).unwrap();
        assert_eq!(found.provider(), listed.provider());
        assert_eq!(found.upstream_id(), listed.upstream_id());
        assert_eq!(found.model(), listed.model());
    }
}

#[tokio::test(start_paused = true)]
async fn replaced_provider_drops_its_fetch() {
    for mode in MODES {
        let (old, gate) = ScriptedSource::held(["old"]);
        let new = ScriptedSource::always(["new"]);
        let (layer, _refresher) = mode.start(builder([fetched("lab", &old)]));
        let cache = layer.cache();
        let waiter = tokio::spawn({
            let cache = cache.clone();
            async move { cache.refresh_provider("lab").await }
        });
        settle().await;
        assert_eq!(old.alive(), 1);
        let replaced = cache.set_providers([fetched("lab", &new)]).await;
        replaced.unwrap();
        let (ended, took) = timed(waiter).await;
        let error = ended.unwrap().unwrap_err();
        assert_eq!(error.kind(), ListErrorKind::Cancelled);
        assert_eq!((old.alive(), took), (0, Duration::ZERO), "{mode:?}");
        gate.open(10);
        assert_eq!(list(&layer).await, ["lab/new"]);
        sleep(SECOND * 3600).await;
        list(&layer).await;
        assert_eq!((old.calls(), list(&layer).await.len()), (1, 1), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn removed_provider_is_unlisted_at_once() {
    for mode in MODES {
        let (one, hung) = (ScriptedSource::always(["a"]), ScriptedSource::hung());
        let (layer, _refresher) = mode.start(builder([
            fetched("one", &one),
            fetched("hung", &hung),
            fixed("two", ["b"]),
        ]));
        assert_eq!(list(&layer).await, ["one/a", "two/b"]);
        let cache = layer.cache();
        let providers = [fetched("hung", &hung), fixed("two", ["b"])];
        let (outcome, took) = timed(cache.set_providers(providers)).await;
        outcome.unwrap();
        assert_eq!(took, Duration::ZERO);
        assert!(cache.snapshot().get("one/a").is_none());
        assert_eq!(support::ids(&cache.snapshot().body()), ["two/b"]);
        assert_eq!(send(&layer, get("/v1/models/one/a")).await.status(), 404);
        let names: Vec<_> = cache
            .status()
            .providers
            .into_iter()
            .map(|p| p.name)
            .collect();
        assert_eq!(names, ["hung", "two"], "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn removing_hung_provider_wakes_requests() {
    for mode in MODES {
        let hung = ScriptedSource::hung();
        let (layer, _refresher) = mode.start(builder([fetched("hung", &hung), fixed("b", ["b"])]));
        let waiting = tokio::spawn({
            let layer = layer.clone();
            async move { timed(list(&layer)).await }
        });
        sleep(SECOND / 2).await;
        layer
            .cache()
            .set_providers([fixed("c", ["c"])])
            .await
            .unwrap();
        let (listed, took) = waiting.await.unwrap();
        assert_eq!(
            (listed, took),
            (vec!["c/c".to_owned()], SECOND / 2),
            "{mode:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn unchanged_provider_keeps_list_without_fetch() {
    for mode in MODES {
        let source = ScriptedSource::always(["a", "b"]);
        let provider = fetched("lab", &source).filter(|model| model.id() == "a");
        let (layer, _refresher) = mode.start(builder([provider.clone()]));
        assert_eq!(list(&layer).await, ["lab/a"]);
        let cache = layer.cache();
        let confirmed = cache.status().providers[0].confirmed;
        for (changed, expected) in [
            (provider.clone(), "lab/a"),
            (provider.clone().prefix(false), "a"),
            (provider.clone().display_name("The Lab"), "lab/a"),
            (provider.clone().timeout(SECOND), "lab/a"),
            (provider.clone().refresh_interval(SECOND * 900), "lab/a"),
        ] {
            let owner = changed.clone();
            let providers = [fixed("new", ["x"]), changed];
            cache.set_providers(providers).await.unwrap();
            assert_eq!(
                support::ids(&cache.snapshot().body()),
                ["new/x", expected],
                "{owner:?}"
            );
            agree(&cache.snapshot());
            assert_eq!(cache.status().providers[1].confirmed, confirmed);
        }
        assert_eq!(source.calls(), 1, "{mode:?}");

        let body = |layer: &StaticModelsCacheLayer| layer.cache().snapshot().body();
        let named = provider.clone().display_name("The Lab");
        cache.set_providers([named]).await.unwrap();
        let text = String::from_utf8(body(&layer).to_vec()).unwrap();
        assert!(text.contains(r#""owned_by":"The Lab""#), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn unchanged_provider_keeps_its_fetch_in_flight() {
    for mode in MODES {
        let (source, gate) = ScriptedSource::held(["a"]);
        let provider = fetched("lab", &source);
        let (layer, _refresher) = mode.start(builder([provider.clone()]));
        let waiting = tokio::spawn({
            let layer = layer.clone();
            async move { list(&layer).await }
        });
        settle().await;
        let bare = provider.prefix(false);
        layer.cache().set_providers([bare]).await.unwrap();
        gate.open(1);
        assert_eq!(waiting.await.unwrap(), ["a"]);
        assert_eq!(source.calls(), 1, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn changed_provider_starts_over() {
    let (source, other) = (ScriptedSource::always(["a"]), ScriptedSource::always(["b"]));
    let provider = fetched("lab", &source);
    for (changed, calls) in [(fetched("lab", &other), 0), (fetched("lab-2", &source), 1)] {
        let layer = builder([provider.clone()]).build().unwrap();
        list(&layer).await;
        let before = source.calls();
        layer.cache().set_providers([changed]).await.unwrap();
        assert_eq!(layer.cache().status().models, 0);
        // Requests wait for its first fetch again.
        assert_eq!(list(&layer).await.len(), 1);
        assert_eq!(source.calls() - before, calls);
    }
}

#[tokio::test(start_paused = true)]
async fn new_interval_applies_immediately() {
    let source = ScriptedSource::always(["a"]);
    let provider = fetched("lab", &source).refresh_interval(SECOND * 3600);
    let (layer, _refresher) = builder([provider.clone()]).spawn().unwrap();
    list(&layer).await;
    let provider = provider.refresh_interval(SECOND * 10);
    layer.cache().set_providers([provider]).await.unwrap();
    sleep(SECOND * 300).await;
    assert!((27..=35).contains(&source.calls()), "{}", source.calls());
}

#[tokio::test(start_paused = true)]
async fn refresher_fetches_new_providers_at_once() {
    let source = ScriptedSource::always(["a"]);
    let (layer, _refresher) = builder([]).spawn().unwrap();
    settle().await;
    layer
        .cache()
        .set_providers([fetched("lab", &source)])
        .await
        .unwrap();
    settle().await;
    assert_eq!(source.calls(), 1);
    assert_eq!(layer.cache().snapshot().len(), 1);
    layer.cache().set_providers([]).await.unwrap();
    assert!(list(&layer).await.is_empty());
    sleep(SECOND * 3600).await;
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn rejected_configuration_changes_nothing() {
    for mode in MODES {
        let (source, gate) = ScriptedSource::held(["a"]);
        let provider = fetched("lab", &source);
        let (layer, _refresher) = mode.start(builder([provider.clone(), fixed("house", ["x"])]));
        let cache = layer.cache();
        gate.open(1);
        list(&layer).await;
        let fetch = tokio::spawn({
            let cache = cache.clone();
            async move { cache.refresh().await }
        });
        settle().await;
        let mut updates = cache.subscribe();
        let before = format!("{:?}", cache.status());
        for (bad, field) in [
            (fixed("a/b", []), "providers.name"),
            (fixed("new", []), "providers.name"), // a duplicate
            (fixed("more", [""]), "providers.more.models"),
            (
                fixed("more", ["x"]).timeout(Duration::ZERO),
                "providers.more.timeout",
            ),
        ] {
            let providers = [
                fixed("new", ["y"]),
                fetched("other", &ScriptedSource::hung()),
                bad,
            ];
            let error = cache.set_providers(providers).await.unwrap_err();
            assert_eq!(error.field(), field);
        }
        assert_eq!(format!("{:?}", cache.status()), before);
        assert_eq!(cache.snapshot().len(), 2);
        gate.open(1);
        fetch.await.unwrap().unwrap();
        let nothing = tokio::time::timeout(SECOND, updates.next()).await;
        assert!(nothing.is_err(), "{mode:?}");
    }
}

/// The filter of a declared list is user code as well.
#[tokio::test(start_paused = true)]
async fn filter_may_panic_or_use_the_cache() {
    let layer = builder([fixed("house", ["x"])]).build().unwrap();
    let cache = layer.cache();
    let looking = fixed("house", ["y"]).filter({
        let cache = cache.clone();
        move |_| cache.status().models > 0
    });
    cache.set_providers([looking]).await.unwrap();
    assert_eq!(list(&layer).await, ["house/y"]);

    let panicking = fixed("house", ["z"]).filter(|_| panic!("panic in the filter"));
    let error = cache.set_providers([panicking.clone()]).await.unwrap_err();
    assert_eq!(error.field(), "providers.house.filter");
    assert_eq!(list(&layer).await, ["house/y"]);
    let error = builder([panicking]).build().unwrap_err();
    assert_eq!(error.field(), "providers.house.filter");
}

#[tokio::test(start_paused = true)]
async fn reconfiguration_is_one_update() {
    for mode in MODES {
        let (layer, _refresher) = mode.start(builder([fixed("a", ["x"]), fixed("b", ["y"])]));
        let cache = layer.cache();
        let mut updates = cache.subscribe();
        let providers = [fixed("c", ["1"]), fixed("d", ["2"]), fixed("b", ["y"])];
        cache.set_providers(providers).await.unwrap();
        let seen = updates.next().await.unwrap();
        assert_eq!(support::ids(&seen.body()), ["c/1", "d/2", "b/y"]);
        let nothing = tokio::time::timeout(SECOND, updates.next()).await;
        assert!(nothing.is_err());
    }
}

/// Two configurations without a common model, and one reader per worker that must never see
/// models of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn readers_never_see_mixed_configurations() {
    const ROUNDS: usize = 200;
    let generation = |name: &'static str| -> Vec<Provider> {
        (0..4)
            .map(|index| fixed(&format!("{name}-{index}"), ["a", "b", "c"]))
            .collect()
    };
    let (odd, even) = (generation("odd"), generation("even"));
    let layer = builder(odd.clone()).build().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (layer, done, seen) = (layer.clone(), Arc::clone(&done), Arc::clone(&seen));
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    let ids = list(&layer).await;
                    assert_eq!(ids.len(), 12);
                    let odds = ids.iter().filter(|id| id.starts_with("odd-")).count();
                    assert!(odds == 0 || odds == 12, "{ids:?}");
                    agree(&layer.cache().snapshot());
                    seen.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 0..ROUNDS {
        let next = if round % 2 == 0 { &even } else { &odd };
        layer.cache().set_providers(next.clone()).await.unwrap();
        let first = layer
            .cache()
            .snapshot()
            .iter()
            .next()
            .unwrap()
            .id()
            .into_owned();
        assert_eq!(
            first,
            if round % 2 == 0 {
                "even-0/a"
            } else {
                "odd-0/a"
            }
        );
    }
    while seen.load(Ordering::SeqCst) < 10 {
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}

/// All operations at once, on several threads: in every snapshot the list and the routes agree,
/// and the last configuration is in effect at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn listing_and_routing_agree_under_concurrency() {
    let shared = SharedList::new(["a"]);
    let changing = ScriptedSource::shared(&shared);
    let failing = ScriptedSource::new(|call| async move {
        tokio::task::yield_now().await;
        if call % 3 == 0 {
            Err("down")
        } else {
            Ok(models(["f", "changing/a"]))
        }
    });
    let providers = [
        fetched("failing", &failing).prefix(false),
        fetched("changing", &changing),
        fixed("house", ["x"]),
    ];
    let [first, second, third] = providers;
    let (layer, refresher) = builder([first.clone(), second.clone(), third.clone()])
        .spawn()
        .unwrap();
    let cache = layer.cache();
    let set = [
        vec![first.clone(), second.clone(), third.clone()],
        vec![second.clone(), first.clone().prefix(true)],
        vec![third.clone(), second.clone().prefix(false), first.clone()],
        vec![],
    ];
    let refreshing = tokio::spawn({
        let (cache, shared) = (cache.clone(), shared.clone());
        async move {
            for round in 0..300 {
                match round % 3 {
                    0 => shared.set_ids(["a"]),
                    1 => shared.set_ids(["a", "b", "f"]),
                    _ => shared.set(Err(ListErrorKind::Timeout)),
                }
                let _ = cache.refresh().await;
                cache.invalidate("changing");
            }
        }
    });
    let reading = tokio::spawn({
        let layer = layer.clone();
        async move {
            for _ in 0..300 {
                agree(&layer.cache().snapshot());
                let response = send(&layer, get("/v1/models")).await;
                assert!([200, 503].contains(&response.status().as_u16()));
                tokio::task::yield_now().await;
            }
        }
    });
    for round in 0..200 {
        cache
            .set_providers(set[round % set.len()].clone())
            .await
            .unwrap();
        let names: Vec<_> = cache
            .status()
            .providers
            .into_iter()
            .map(|p| p.name)
            .collect();
        assert_eq!(names.len(), set[round % set.len()].len());
        agree(&cache.snapshot());
    }
    refreshing.await.unwrap();
    reading.await.unwrap();
    shared.set_ids(["z"]);
    cache.set_providers(set[0].clone()).await.unwrap();
    while cache.refresh().await.is_err() {}
    let expected = ["changing/a", "f", "changing/z", "house/x"];
    assert_eq!(support::ids(&cache.snapshot().body()), expected);
    refresher.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn change_after_shutdown_publishes_without_fetch() {
    let source = ScriptedSource::always(["a"]);
    let (layer, refresher) = builder([fixed("house", ["x"])]).spawn().unwrap();
    refresher.shutdown().await;
    let providers = [fetched("lab", &source), fixed("house", ["y"])];
    layer.cache().set_providers(providers).await.unwrap();
    assert_eq!(list(&layer).await, ["house/y"]);
    layer.cache().refresh().await.unwrap_err();
    assert_eq!(source.calls(), 0);
}
