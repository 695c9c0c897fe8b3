//! A declared list is the fallback of a provider that never had a list.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use tokio::time::sleep;
use tower_models_cache::{
    Model, ModelsCache, Provider, StaticModelsCacheLayer,
    error::{ListError, ListErrorKind},
    model::ModelList,
    status::ProviderStatus,
};

use crate::support::{MODES, ScriptedSource, SharedList, builder, list, models, settle};

const HOUR: Duration = Duration::from_secs(3600);

fn http(response: impl Fn() -> Response<Full<Bytes>> + Clone + Send + 'static) -> Provider {
    let service = tower::service_fn(move |_: Request<Empty<Bytes>>| {
        let response = response();
        async { Ok::<_, Infallible>(response) }
    });
    Provider::http("lab", service)
}

fn with_fallback(provider: Provider) -> StaticModelsCacheLayer {
    let provider = provider.fallback([Model::new("declared")]);
    builder([provider]).build().unwrap()
}

fn status(cache: &ModelsCache) -> ProviderStatus {
    cache.status().providers.remove(0)
}

fn error(status: u16) -> ListErrorKind {
    ListErrorKind::Status(status)
}

#[tokio::test(start_paused = true)]
async fn fallback_is_listed_for_provider_without_list() {
    for code in [404, 405, 501] {
        let code = StatusCode::from_u16(code).unwrap();
        let layer = with_fallback(http(move || {
            Response::builder().status(code).body("[]".into()).unwrap()
        }));
        assert!(layer.cache().refresh_provider("lab").await.unwrap());
        let status = status(&layer.cache());
        assert_eq!((status.declared, status.failures), (true, 0), "{code}");
        assert_eq!(list(&layer).await, ["lab/declared"]);
    }
}

/// Regression: with any failure but 404 no models were listed, although a fallback was declared.
#[tokio::test(start_paused = true)]
async fn fallback_covers_every_failure_kind() {
    for code in (300..600).filter(|code| ![404, 405, 501].contains(code)) {
        let Ok(code) = StatusCode::from_u16(code) else {
            continue;
        };
        let layer = with_fallback(http(move || {
            Response::builder().status(code).body("[]".into()).unwrap()
        }));
        let error = layer.cache().refresh_provider("lab").await.unwrap_err();
        assert_eq!(error.kind(), ListErrorKind::Status(code.as_u16()));
        let status = status(&layer.cache());
        assert_eq!((status.declared, status.failures), (true, 1), "{code}");
        assert_eq!(list(&layer).await, ["lab/declared"]);
    }
    for body in ["", "<html>", "{}", r#"{"error":"x"}"#, r#"{"data":[]}"#] {
        let layer = with_fallback(http(move || Response::new(body.into())));
        layer.cache().refresh().await.unwrap_err();
        assert_eq!(status(&layer.cache()).failures, 1, "{body}");
        assert_eq!(list(&layer).await, ["lab/declared"], "{body}");
    }
}

/// Regression: a 404 during a deployment of the provider replaced its list by the fallback.
#[tokio::test(start_paused = true)]
async fn fetched_list_is_not_replaced_by_fallback() {
    for kind in [
        error(404),
        error(405),
        error(501),
        error(500),
        ListErrorKind::Timeout,
    ] {
        for mode in MODES {
            let shared = SharedList::new(["a", "b"]);
            let provider = Provider::source("lab", ScriptedSource::shared(&shared));
            let provider = provider.fallback([Model::new("declared")]);
            let (layer, _refresher) = mode.start(builder([provider]));
            assert_eq!(list(&layer).await.len(), 2);
            shared.set(Err(kind));
            layer.cache().refresh().await.unwrap_err();
            assert_eq!(list(&layer).await, ["lab/a", "lab/b"], "{mode:?} {kind:?}");
            // The fallback is not used after the list expires either.
            sleep(25 * HOUR).await;
            layer.cache().refresh().await.unwrap_err();
            assert_eq!(layer.cache().status().models, 0, "{mode:?} {kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fetched_list_replaces_fallback_permanently() {
    let shared = SharedList::new([]);
    shared.set(Err(error(404)));
    let provider = Provider::source("lab", ScriptedSource::shared(&shared));
    let layer = builder([provider.fallback([Model::new("declared")])])
        .build()
        .unwrap();
    assert_eq!(list(&layer).await, ["lab/declared"]);
    shared.set_ids(["own"]);
    layer.cache().refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["lab/own"]);
    shared.set(Err(error(404)));
    layer.cache().refresh().await.unwrap_err();
    assert_eq!(list(&layer).await, ["lab/own"]);
}

/// Regression: an empty 200 hid the fallback, and no error was reported.
#[tokio::test(start_paused = true)]
async fn empty_list_does_not_hide_fallback() {
    for accepts in [false, true] {
        let shared = SharedList::new([]);
        let provider = Provider::source("lab", ScriptedSource::shared(&shared));
        let provider = provider.fallback([Model::new("declared")]);
        let layer = builder([provider]).accept_empty(accepts).build().unwrap();
        let error = layer.cache().refresh_provider("lab").await.unwrap_err();
        assert_eq!(error.kind(), ListErrorKind::Empty);
        assert_eq!(list(&layer).await, ["lab/declared"]);
    }
}

/// Regression: once `max_stale` had dropped a list, an empty one was accepted.
#[tokio::test(start_paused = true)]
async fn empty_list_is_refused_after_max_stale() {
    for mode in MODES {
        let shared = SharedList::new(["a"]);
        let provider = Provider::source("lab", ScriptedSource::shared(&shared));
        let (layer, _refresher) = mode.start(builder([provider]));
        assert_eq!(list(&layer).await.len(), 1);
        shared.set(Err(ListErrorKind::Timeout));
        sleep(25 * HOUR).await;
        layer.cache().refresh().await.unwrap_err();
        assert_eq!(layer.cache().status().models, 0);
        shared.set_ids([]);
        let error = layer.cache().refresh_provider("lab").await.unwrap_err();
        assert_eq!(error.kind(), ListErrorKind::Empty, "{mode:?}");
        shared.set_ids(["b"]);
        layer.cache().refresh().await.unwrap();
        assert_eq!(list(&layer).await, ["lab/b"]);
    }
}

/// Whether the provider had models is decided before the filter.
#[tokio::test(start_paused = true)]
async fn empty_list_is_refused_after_filter_kept_none() {
    let shared = SharedList::new(["a"]);
    let provider = Provider::source("lab", ScriptedSource::shared(&shared)).filter(|_| false);
    let layer = builder([provider]).build().unwrap();
    assert!(list(&layer).await.is_empty());
    shared.set_ids([]);
    let error = layer.cache().refresh_provider("lab").await.unwrap_err();
    assert_eq!(error.kind(), ListErrorKind::Empty);
}

// ===== Shrunken lists =====

fn many(count: usize) -> ModelList {
    (0..count).map(|n| Model::new(format!("m{n:03}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn shrunken_list_is_accepted_on_second_fetch() {
    for mode in MODES {
        for (before, after, refused) in [
            (100, 20, false), // exactly four fifths are removed
            (100, 19, true),
            (100, 1, true),
            (20, 3, true),
            (19, 1, false), // too few models for the check
            (100, 100, false),
        ] {
            let shared = SharedList::new([]);
            shared.set(Ok(many(before)));
            let source = ScriptedSource::shared(&shared);
            let provider = Provider::source("lab", source.clone());
            let (layer, _refresher) = mode.start(builder([provider]));
            assert_eq!(list(&layer).await.len(), before);
            shared.set(Ok(many(after)));
            let first = layer.cache().refresh_provider("lab").await;
            let case = format!("{mode:?} {before} to {after}");
            if !refused {
                assert!(first.unwrap(), "{case}");
                assert_eq!(list(&layer).await.len(), after, "{case}");
                continue;
            }
            assert_eq!(first.unwrap_err().kind(), ListErrorKind::Shrunk, "{case}");
            assert_eq!(list(&layer).await.len(), before, "{case}");
            // The second fetch happens after the backoff, not only after the interval.
            sleep(Duration::from_secs(2)).await;
            list(&layer).await;
            settle().await;
            assert_eq!(source.calls(), 3, "{case}");
            assert_eq!(list(&layer).await.len(), after, "{case}");
            assert_eq!(status(&layer.cache()).failures, 0, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn briefly_shrunken_list_changes_nothing() {
    let shared = SharedList::new([]);
    shared.set(Ok(many(100)));
    let layer = builder([Provider::source("lab", ScriptedSource::shared(&shared))])
        .build()
        .unwrap();
    list(&layer).await;
    for _ in 0..3 {
        shared.set(Ok(many(2)));
        layer.cache().refresh().await.unwrap_err();
        shared.set(Ok(many(100)));
        layer.cache().refresh().await.unwrap();
        assert_eq!(list(&layer).await.len(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn failure_does_not_confirm_shrunken_list() {
    let shared = SharedList::new([]);
    shared.set(Ok(many(100)));
    let layer = builder([Provider::source("lab", ScriptedSource::shared(&shared))])
        .build()
        .unwrap();
    list(&layer).await;
    shared.set(Ok(many(2)));
    layer.cache().refresh().await.unwrap_err();
    shared.set(Err(ListErrorKind::Timeout));
    layer.cache().refresh().await.unwrap_err();
    assert_eq!(list(&layer).await.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn shrink_check_is_configurable() {
    for (share, accepted) in [(Some(0.98), true), (None, true), (Some(0.1), false)] {
        let shared = SharedList::new([]);
        shared.set(Ok(many(100)));
        let provider = Provider::source("lab", ScriptedSource::shared(&shared));
        let layer = builder([provider]).max_shrink(share).build().unwrap();
        list(&layer).await;
        shared.set(Ok(many(5)));
        let refreshed = layer.cache().refresh().await;
        assert_eq!(refreshed.is_ok(), accepted, "{share:?}");
    }
    for bad in [-0.1, 1.0, f64::NAN] {
        let error = builder([]).max_shrink(bad).build().unwrap_err();
        assert_eq!(error.field(), "max_shrink");
    }
}

/// The first list after failures is accepted at any length.
#[tokio::test(start_paused = true)]
async fn first_list_may_have_any_length() {
    let source = ScriptedSource::new(|call| async move {
        match call {
            1 => Err(ListError::new(ListErrorKind::Timeout)),
            _ => Ok(models(["a"])),
        }
    });
    let layer = builder([Provider::source("lab", source)]).build().unwrap();
    layer.cache().refresh().await.unwrap_err();
    layer.cache().refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["lab/a"]);
}
