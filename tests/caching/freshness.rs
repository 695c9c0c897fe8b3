//! How responses report age and missing providers: `Cache-Status` (RFC 9211), `Cache-Control`,
//! `x-models-incomplete` and `Retry-After`.
//!
//! Time is paused: it advances only where a test advances it, or while all tasks wait for it.

use crate::support;
use std::{convert::Infallible, time::Duration};

use crate::support::transports::{error_code, only, request};
use crate::support::{ScriptedSource, ids, models};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Empty;
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, advance, sleep};
use tower_models_cache::{
    Builder, Model, Provider, StaticModelsCacheLayer,
    error::{ListError, ListErrorKind},
};

const SECOND: Duration = Duration::from_secs(1);

fn builder(providers: impl IntoIterator<Item = Provider>) -> Builder {
    StaticModelsCacheLayer::builder()
        .providers(providers)
        .jitter_seed(7)
}

fn house() -> Provider {
    Provider::fixed("house", [Model::new("small")])
}

/// A provider that succeeds on the calls that `good` selects and fails on the others.
fn flaky(name: &str, good: fn(usize) -> bool) -> Provider {
    let response = move |call| async move {
        if good(call) {
            Ok(models(["x"]))
        } else {
            Err("down")
        }
    };
    Provider::source(name, ScriptedSource::new(response))
}

/// A provider that responds after `delay`.
fn slow(name: &str, delay: Duration) -> Provider {
    let response = move |_| async move {
        sleep(delay).await;
        Ok::<_, Infallible>(models(["x"]))
    };
    Provider::source(name, ScriptedSource::new(response))
}

async fn send(layer: &StaticModelsCacheLayer, path: &str) -> Response<Bytes> {
    send_with(layer, Method::GET, path, &[]).await
}

async fn send_with(
    layer: &StaticModelsCacheLayer,
    method: Method,
    path: &str,
    headers: &[(&str, &[u8])],
) -> Response<Bytes> {
    let request = request(method, path, headers);
    support::send(layer, request.map(|()| Empty::new())).await
}

/// The part of `Cache-Status` after the name of the cache.
fn status(response: &Response<Bytes>) -> &str {
    let status = only(response.headers(), "cache-status");
    status.strip_prefix("tower-models-cache; ").unwrap()
}

async fn list_status(layer: &StaticModelsCacheLayer) -> String {
    let response = send(layer, "/v1/models").await;
    assert_eq!(response.status(), StatusCode::OK);
    status(&response).to_owned()
}

// ===== Cache-Status =====

#[tokio::test(start_paused = true)]
async fn response_is_hit_unless_request_waited() {
    let layer = builder([slow("lab", SECOND / 10)]).build().unwrap();
    let begun = Instant::now();
    assert_eq!(list_status(&layer).await, "fwd=miss; stored");
    assert_eq!(begun.elapsed(), SECOND / 10);
    assert_eq!(list_status(&layer).await, "hit");
    assert_eq!(begun.elapsed(), SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn hung_provider_makes_list_partial() {
    let layer = builder([house(), Provider::source("lab", ScriptedSource::hung())])
        .build()
        .unwrap();
    let begun = Instant::now();
    assert_eq!(list_status(&layer).await, "fwd=miss; detail=partial");
    assert_eq!(begun.elapsed(), SECOND * 3 / 2);
    for _ in 0..3 {
        assert_eq!(list_status(&layer).await, "hit; detail=partial");
    }
    assert_eq!(begun.elapsed(), SECOND * 3 / 2);
}

#[tokio::test(start_paused = true)]
async fn list_is_stale_between_failure_and_success() {
    let layer = builder([flaky("lab", |call| call != 2 && call != 3)])
        .build()
        .unwrap();
    let cache = layer.cache();
    assert_eq!(list_status(&layer).await, "fwd=miss; stored");
    for expected in ["hit; detail=stale", "hit; detail=stale", "hit", "hit"] {
        let good = cache.refresh().await.is_ok();
        assert_eq!(good, expected == "hit");
        assert_eq!(list_status(&layer).await, expected);
        assert_eq!(ids(send(&layer, "/v1/models").await.body()), ["lab/x"]);
    }
}

#[tokio::test(start_paused = true)]
async fn partial_takes_precedence_over_stale() {
    let layer = builder([
        flaky("stale", |call| call == 1),
        flaky("missing", |_| false),
        house(),
    ])
    .build()
    .unwrap();
    assert_eq!(list_status(&layer).await, "fwd=miss; detail=partial");
    assert!(layer.cache().refresh().await.is_err());
    assert_eq!(list_status(&layer).await, "hit; detail=partial");
    let cache = layer.cache();
    let without = [flaky("stale", |call| call == 1), house()];
    cache.set_providers(without).await.unwrap();
    cache.refresh().await.unwrap();
    assert!(cache.refresh().await.is_err());
    assert_eq!(list_status(&layer).await, "hit; detail=stale");
}

#[tokio::test(start_paused = true)]
async fn list_older_than_max_stale_is_partial() {
    let layer = builder([house(), flaky("lab", |call| call == 1)])
        .max_stale(SECOND * 1000)
        .build()
        .unwrap();
    assert_eq!(list_status(&layer).await, "fwd=miss; stored");
    assert!(layer.cache().refresh().await.is_err());
    assert_eq!(list_status(&layer).await, "hit; detail=stale");
    advance(SECOND * 1000).await;
    // This request detects the expiry: it may still see the previous list.
    list_status(&layer).await;
    sleep(SECOND / 100).await;
    assert_eq!(list_status(&layer).await, "hit; detail=partial");
    assert_eq!(
        ids(send(&layer, "/v1/models").await.body()),
        ["house/small"]
    );
}

#[tokio::test(start_paused = true)]
async fn uncached_responses_are_misses_until_backoff() {
    let layer = builder([flaky("lab", |call| call < 3)])
        .without_cache()
        .build()
        .unwrap();
    assert_eq!(list_status(&layer).await, "fwd=miss; stored");
    assert_eq!(list_status(&layer).await, "fwd=miss; stored");
    assert_eq!(list_status(&layer).await, "fwd=miss; detail=stale");
    assert_eq!(list_status(&layer).await, "hit; detail=stale");
}

#[tokio::test(start_paused = true)]
async fn every_response_reports_stale_list() {
    let layer = builder([house(), flaky("lab", |call| call == 1)])
        .build()
        .unwrap();
    let etag = only(send(&layer, "/v1/models").await.headers(), "etag").to_owned();
    assert!(layer.cache().refresh().await.is_err());
    let tag = [("if-none-match", etag.as_bytes())];
    let any = [("if-none-match", &b"*"[..])];
    for method in [Method::GET, Method::HEAD] {
        for (path, headers, expected) in [
            ("/v1/models", &[][..], StatusCode::OK),
            ("/v1/models", &tag[..], StatusCode::NOT_MODIFIED),
            ("/v1/models/lab/x", &[], StatusCode::OK),
            ("/v1/models/lab/x", &any, StatusCode::NOT_MODIFIED),
        ] {
            let response = send_with(&layer, method.clone(), path, headers).await;
            assert_eq!(response.status(), expected, "{path}");
            assert_eq!(status(&response), "hit; detail=stale", "{path}");
        }
    }
    let missing = send(&layer, "/v1/models/lab/y").await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(status(&missing), "hit; detail=stale");
}

#[tokio::test(start_paused = true)]
async fn known_model_is_hit_while_provider_is_pending() {
    let layer = builder([house(), slow("lab", SECOND)]).build().unwrap();
    let begun = Instant::now();
    let there = send(&layer, "/v1/models/house/small").await;
    assert_eq!(status(&there), "hit; detail=partial");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let awaited = send(&layer, "/v1/models/lab/x").await;
    assert_eq!(status(&awaited), "fwd=miss; stored");
    assert_eq!(begun.elapsed(), SECOND);
}

// ===== Cache-Control =====

#[tokio::test(start_paused = true)]
async fn cache_control_is_set_except_on_errors() {
    let value = HeaderValue::from_static("public, max-age=60, stale-if-error=86400");
    let layer = builder([house()])
        .cache_control(value.clone())
        .build()
        .unwrap();
    let any = [("if-none-match", &b"*"[..])];
    for path in ["/v1/models", "/v1/models/house/small"] {
        for headers in [&[][..], &any] {
            let response = send_with(&layer, Method::GET, path, headers).await;
            assert_eq!(response.headers()["cache-control"], value, "{path}");
        }
    }
    let missing = send(&layer, "/v1/models/nothing").await;
    assert_eq!(missing.headers()["cache-control"], "no-store");

    let layer = builder([flaky("lab", |_| false)])
        .cache_control(value)
        .build()
        .unwrap();
    let unavailable = send(&layer, "/v1/models").await;
    assert_eq!(unavailable.headers()["cache-control"], "no-store");
}

// ===== x-models-incomplete =====

fn incomplete(headers: &HeaderMap) -> Option<&str> {
    let present = headers.contains_key("x-models-incomplete");
    present.then(|| only(headers, "x-models-incomplete"))
}

#[tokio::test(start_paused = true)]
async fn incomplete_providers_are_named_on_opt_in() {
    let providers = || [flaky("lab", |_| false), house()];
    for (named, expected) in [(false, None), (true, Some(r#""lab";missing"#))] {
        let layer = builder(providers())
            .expose_incomplete(named)
            .build()
            .unwrap();
        let response = send(&layer, "/v1/models").await;
        assert_eq!(incomplete(response.headers()), expected);
    }
    let layer = builder(providers()).build().unwrap();
    let response = send(&layer, "/v1/models").await;
    let said: Vec<_> = response.headers().values().collect();
    assert!(!format!("{said:?}").contains("lab"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn incomplete_providers_are_named_in_list_order() {
    let layer = builder([
        flaky("z", |call| call == 1),
        house(),
        Provider::source("hung", ScriptedSource::hung()),
        flaky("fine", |_| true),
        flaky("a", |_| false),
    ])
    .expose_incomplete(true)
    .fetch_timeout(SECOND * 3)
    .build()
    .unwrap();
    let expected = r#""hung";missing, "a";missing"#;
    let response = send(&layer, "/v1/models").await;
    assert_eq!(incomplete(response.headers()), Some(expected));
    assert!(layer.cache().refresh().await.is_err());
    let expected = r#""z";stale, "hung";missing, "a";missing"#;
    let any = [("if-none-match", &b"*"[..])];
    for method in [Method::GET, Method::HEAD] {
        for path in ["/v1/models", "/v1/models/house/small"] {
            for headers in [&[][..], &any] {
                let response = send_with(&layer, method.clone(), path, headers).await;
                assert_eq!(incomplete(response.headers()), Some(expected), "{path}");
            }
        }
    }
    let cache = layer.cache();
    cache.set_providers([house()]).await.unwrap();
    let response = send(&layer, "/v1/models").await;
    assert_eq!(
        incomplete(response.headers()),
        None,
        "no provider is missing"
    );
}

/// Parses a list of strings with parameters, as RFC 8941, section 4.2.1, defines it.
fn structured_list(text: &str) -> Vec<(String, String)> {
    let mut members = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let inner = rest.strip_prefix('"').unwrap();
        let (name, after) = inner.split_once('"').unwrap();
        assert!(name.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        assert!(!name.contains('\\'), "a backslash needs its own escape");
        let (parameter, next) = after.split_once(',').unwrap_or((after, ""));
        let parameter = parameter.strip_prefix(';').unwrap();
        members.push((name.to_owned(), parameter.to_owned()));
        rest = next.trim_start();
    }
    members
}

#[tokio::test(start_paused = true)]
async fn incomplete_header_encodes_unusual_names() {
    let names = [
        "a, \"b\";missing",
        "back\\slash\\",
        "größe",
        "模型 🦙",
        "100%",
        "%41",
        "\"",
        "a b",
        "~",
        "x\u{a0}\u{2028}x",
    ];
    let layer = builder(names.map(|name| flaky(name, |_| false)))
        .provider(house())
        .expose_incomplete(true)
        .build()
        .unwrap();
    let response = send(&layer, "/v1/models").await;
    let named = structured_list(incomplete(response.headers()).unwrap());
    assert_eq!(named.len(), names.len());
    for ((encoded, parameter), name) in named.iter().zip(names) {
        let decoded = percent_decode_str(encoded).decode_utf8().unwrap();
        assert_eq!((&*decoded, &**parameter), (name, "missing"));
    }
}

// ===== 503 =====

/// Checks a 503 and returns its `Retry-After`.
fn unavailable(response: &Response<Bytes>) -> Duration {
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let status = status(response);
    let status = status.strip_prefix("fwd=miss; ").unwrap_or(status); // when the request waited
    assert_eq!(status, "detail=unavailable");
    if !response.body().is_empty() {
        assert_eq!(error_code(response), "models_unavailable");
    }
    let seconds: u64 = only(response.headers(), "retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_503_covers_next_attempt() {
    for left_alone in [0, 1, 7, 30, 58] {
        let pause = Duration::from_secs(left_alone);
        let source = ScriptedSource::new(move |call| async move {
            match call {
                1 => Err(ListError::new(ListErrorKind::Status(429)).with_retry_after(pause)),
                _ => Ok(models(["x"])),
            }
        });
        let (layer, _refresher) = builder([Provider::source("lab", source.clone())])
            .spawn()
            .unwrap();
        for path in ["/v1/models", "/v1/models/lab/x"] {
            let wait = unavailable(&send(&layer, path).await);
            assert!(wait >= pause && wait <= pause + SECOND * 2, "{wait:?}");
            let head = send_with(&layer, Method::HEAD, path, &[]).await;
            assert_eq!(unavailable(&head), wait);
        }
        let wait = unavailable(&send(&layer, "/v1/models").await);
        sleep(wait).await;
        assert_eq!(list_status(&layer).await, "hit");
        assert_eq!(source.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_503_is_1_to_60_seconds() {
    let down = || ListError::new(ListErrorKind::Status(503)).with_retry_after(SECOND * 3000);
    let source = ScriptedSource::new(move |_| async move { Err(down()) });
    let layer = builder([Provider::source("lab", source)]).build().unwrap();
    assert_eq!(unavailable(&send(&layer, "/v1/models").await), SECOND * 60);

    let layer = builder([Provider::source("lab", ScriptedSource::hung())])
        .build()
        .unwrap();
    let begun = Instant::now();
    let awaited = send(&layer, "/v1/models").await;
    assert_eq!(unavailable(&awaited), SECOND);
    assert_eq!(status(&awaited), "fwd=miss; detail=unavailable");
    assert_eq!(begun.elapsed(), SECOND * 3 / 2);
    let at_once = send(&layer, "/v1/models").await;
    assert_eq!(unavailable(&at_once), SECOND);
    assert_eq!(status(&at_once), "detail=unavailable");
    assert_eq!(
        begun.elapsed(),
        SECOND * 3 / 2,
        "later requests do not wait"
    );
}

#[tokio::test(start_paused = true)]
async fn partial_list_is_503_when_partial_is_off() {
    let layer = builder([house(), slow("lab", SECOND * 3)])
        .serve_partial(false)
        .expose_incomplete(true)
        .build()
        .unwrap();
    for _ in 0..3 {
        let response = send(&layer, "/v1/models").await;
        unavailable(&response);
        let head = send_with(&layer, Method::HEAD, "/v1/models", &[]).await;
        unavailable(&head);
        let any = [("if-none-match", &b"*"[..])];
        unavailable(&send_with(&layer, Method::GET, "/v1/models", &any).await);
    }
    // A known model is served; any other model may still exist.
    let known = send(&layer, "/v1/models/house/small").await;
    assert_eq!(known.status(), StatusCode::OK);
    unavailable(&send(&layer, "/v1/models/lab/x").await);
    sleep(SECOND * 3).await;
    let whole = send(&layer, "/v1/models").await;
    assert_eq!(ids(whole.body()), ["house/small", "lab/x"]);
    assert_eq!(status(&whole), "hit");
    let unknown = send(&layer, "/v1/models/lab/y").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn stale_list_is_not_partial() {
    let layer = builder([flaky("lab", |call| call == 1)])
        .serve_partial(false)
        .build()
        .unwrap();
    assert_eq!(list_status(&layer).await, "fwd=miss; stored");
    assert!(layer.cache().refresh().await.is_err());
    assert_eq!(list_status(&layer).await, "hit; detail=stale");
}
