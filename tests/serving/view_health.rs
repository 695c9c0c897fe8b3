//! Response headers in a view report only the providers of which the view has a model.

use crate::support::dialects::{self, WITH_MODELS, with_all_dialects};
use crate::support::transports::only;
use crate::support::{ScriptedSource, builder, models, send};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Empty;
use tower_models_cache::{Builder, Model, Provider, StaticModelsCacheLayer, View};

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

fn stale(name: &str) -> Provider {
    flaky(name, |call| call == 1)
}

fn house() -> Provider {
    Provider::fixed("house", [Model::new("small")])
}

fn layer(builder: Builder) -> StaticModelsCacheLayer {
    let builder = with_all_dialects(builder)
        .alias("best", "a/x")
        .expose_incomplete(true);
    let hook = |request: &http::request::Parts| {
        let caller = request.headers.get("x-caller");
        Ok(match caller.map(|caller| caller.to_str().unwrap()) {
            None => View::all(),
            Some("none") => View::none(),
            Some(name) => {
                let of = name.to_owned();
                View::named(name, move |model| model.provider() == of)
            }
        })
    };
    builder.views(hook).build().unwrap()
}

fn by(caller: Option<&'static str>, mut request: Request<Empty<Bytes>>) -> Request<Empty<Bytes>> {
    if let Some(caller) = caller {
        let caller = HeaderValue::from_static(caller);
        request.headers_mut().insert("x-caller", caller);
    }
    request
}

/// What a response reports of the providers: their names, and the detail of `Cache-Status`.
fn reported(response: &Response<Bytes>) -> (Option<&str>, &str) {
    let named = response.headers().contains_key("x-models-incomplete");
    let status = only(response.headers(), "cache-status");
    (
        named.then(|| only(response.headers(), "x-models-incomplete")),
        status.strip_prefix("tower-models-cache; ").unwrap(),
    )
}

/// Checks that every response for lists and models reports the same to a caller, in every
/// dialect.
async fn check(
    layer: &StaticModelsCacheLayer,
    caller: Option<&'static str>,
    ids: &[&str],
    expected: (Option<&str>, &str),
) {
    let mut requests = Vec::new();
    for dialect in dialects::ALL {
        requests.push(dialects::whole_list(dialect));
        requests.push(dialects::list(dialect, &dialects::limit(dialect, 1)));
    }
    for dialect in WITH_MODELS {
        requests.extend(ids.iter().map(|id| dialects::model(dialect, id)));
    }
    for request in requests {
        for method in [Method::GET, Method::HEAD] {
            for condition in [None, Some("*")] {
                let mut request = by(caller, request.clone());
                *request.method_mut() = method.clone();
                if let Some(condition) = condition {
                    let condition = HeaderValue::from_static(condition);
                    request.headers_mut().insert("if-none-match", condition);
                }
                let uri = request.uri().clone();
                let response = send(layer, request).await;
                assert!(
                    matches!(response.status().as_u16(), 200 | 304),
                    "{caller:?} {uri}"
                );
                assert_eq!(reported(&response), expected, "{caller:?} {method} {uri}");
            }
        }
    }
}

/// Regression: responses in a view named every stale or missing provider.
#[tokio::test(start_paused = true)]
async fn view_reports_only_visible_stale_providers() {
    for asked_before in [false, true] {
        let layer = layer(builder([stale("a"), house(), stale("b")]));
        layer.cache().refresh().await.unwrap();
        if asked_before {
            // Its lists are then carried over to the next publication.
            for caller in [None, Some("a"), Some("b"), Some("house"), Some("none")] {
                check(&layer, caller, &[], (None, "hit")).await;
            }
        }
        layer.cache().refresh().await.unwrap_err();
        let all = r#""a";stale, "b";stale"#;
        let stale = "hit; detail=stale";
        check(
            &layer,
            None,
            &["a/x", "best", "house/small"],
            (Some(all), stale),
        )
        .await;
        check(
            &layer,
            Some("a"),
            &["a/x", "best"],
            (Some(r#""a";stale"#), stale),
        )
        .await;
        check(&layer, Some("b"), &["b/x"], (Some(r#""b";stale"#), stale)).await;
        check(&layer, Some("house"), &["house/small"], (None, "hit")).await;
        check(&layer, Some("none"), &[], (None, "hit")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn missing_provider_is_never_named_in_view() {
    for asked_before in [false, true] {
        let lost = flaky("lost", |_| false);
        let layer = layer(builder([stale("a"), house(), lost]));
        layer.cache().refresh().await.unwrap_err();
        if asked_before {
            check(&layer, Some("a"), &["a/x"], (None, "hit; detail=partial")).await;
            check(&layer, Some("house"), &[], (None, "hit; detail=partial")).await;
        }
        layer.cache().refresh().await.unwrap_err();
        let all = r#""a";stale, "lost";missing"#;
        let partial = "hit; detail=partial";
        check(&layer, None, &["a/x", "house/small"], (Some(all), partial)).await;
        check(
            &layer,
            Some("a"),
            &["a/x", "best"],
            (Some(r#""a";stale"#), partial),
        )
        .await;
        check(&layer, Some("house"), &["house/small"], (None, partial)).await;
        // Nothing is missing in it.
        check(&layer, Some("none"), &[], (None, "hit")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn error_in_view_names_no_provider() {
    let lost = flaky("lost", |_| false);
    let layer = layer(builder([stale("a"), house(), lost]));
    layer.cache().refresh().await.unwrap_err();
    layer.cache().refresh().await.unwrap_err();
    for dialect in WITH_MODELS {
        for id in ["a/x", "best", "none"] {
            let response = send(&layer, by(Some("house"), dialects::model(dialect, id))).await;
            assert_eq!(response.status(), 404);
            assert_eq!(
                reported(&response),
                (None, "hit; detail=partial"),
                "{dialect:?} {id}"
            );
        }
    }
    layer
        .cache()
        .set_providers([stale("a"), house()])
        .await
        .unwrap();
    for _ in 0..2 {
        let _ = layer.cache().refresh().await;
    }
    let unknown = send(
        &layer,
        by(Some("house"), dialects::model(WITH_MODELS[0], "none")),
    )
    .await;
    assert_eq!(
        reported(&unknown),
        (None, "hit"),
        "staleness of another provider is not reported"
    );
}
