//! A caller that sees nothing causes no fetch, does not wait, and learns nothing about the
//! providers. The same holds for a request that needs no list.

use std::{collections::BTreeSet, time::Duration};

use crate::support::dialects::{self, WITH_MODELS, with_all_dialects};
use crate::support::{
    ScriptedSource, Unreachable, builder, collect, get, models, send, settle, timed,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use tower::{Layer, ServiceExt};
use tower_models_cache::{Builder, Model, Provider, StaticModelsCacheLayer, View, error::BoxError};

/// Callers that may not even learn whether there is a list, with the status that each gets.
const CLOSED: [(&str, u16); 4] = [
    ("denied", 403),
    ("stranger", 401),
    ("error", 500),
    ("panic", 500),
];

fn hook(request: &http::request::Parts) -> Result<View, BoxError> {
    let caller = request.headers.get("x-caller");
    Ok(match caller.map(HeaderValue::as_bytes) {
        None => View::all(),
        Some(b"none") => View::none(),
        Some(b"denied") => View::denied(StatusCode::FORBIDDEN),
        Some(b"stranger") => View::denied(StatusCode::UNAUTHORIZED),
        Some(b"broken") => View::named("broken", |_| panic!("panic in the predicate")),
        Some(b"panic") => panic!("panic in the hook"),
        _ => return Err("error of the hook".into()),
    })
}

fn layer(builder: Builder) -> StaticModelsCacheLayer {
    with_all_dialects(builder).views(hook).build().unwrap()
}

fn by(caller: &'static str, mut request: Request<Empty<Bytes>>) -> Request<Empty<Bytes>> {
    let caller = HeaderValue::from_static(caller);
    request.headers_mut().insert("x-caller", caller);
    let now = HeaderValue::from_static("no-cache");
    request.headers_mut().insert("cache-control", now);
    request
}

/// Every request that the layer responds to.
fn requests(caller: &'static str) -> impl Iterator<Item = Request<Empty<Bytes>>> {
    let lists = dialects::ALL.into_iter().map(dialects::whole_list);
    let ids = ["lab/a", "lab/b"];
    let one = move |id| WITH_MODELS.map(|dialect| dialects::model(dialect, id));
    let gets = lists.chain(ids.into_iter().flat_map(one));
    let gets = gets
        .chain([get("/api/version")])
        .map(move |request| by(caller, request));
    gets.flat_map(|request| {
        let mut head = request.clone();
        *head.method_mut() = Method::HEAD;
        [request, head]
    })
}

async fn show(layer: &StaticModelsCacheLayer, caller: &'static str, body: &str) -> Response<Bytes> {
    let body = Full::<Bytes>::from(body.to_owned());
    let request = Request::post("/api/show").header("x-caller", caller);
    let service = layer.ollama_show().layer(Unreachable);
    let Ok(response) = service.oneshot(request.body(body).unwrap()).await;
    collect(response).await
}

/// All responses to a caller.
async fn responses(layer: &StaticModelsCacheLayer, caller: &'static str) -> Vec<Response<Bytes>> {
    let mut responses = Vec::new();
    for request in requests(caller) {
        responses.push(send(layer, request).await);
    }
    for body in [r#"{"model":"lab/a"}"#, r#"{"model":"lab/b"}"#, "{"] {
        responses.push(show(layer, caller, body).await);
    }
    responses
}

type Kind = (&'static str, fn(Builder) -> Builder);

/// Layers without a refresher, whose requests refresh the lists.
const KINDS: [Kind; 2] = [
    ("build", |builder| builder.allow_refresh(|_| true)),
    ("without_cache", Builder::without_cache),
];

#[tokio::test(start_paused = true)]
async fn denied_caller_causes_no_fetch() {
    for (kind, with) in KINDS {
        let source = ScriptedSource::always(["a"]);
        let layer = layer(with(builder([Provider::source("lab", source.clone())])));
        for (caller, status) in CLOSED {
            for response in responses(&layer, caller).await {
                assert_eq!(response.status(), status, "{kind} {caller}");
            }
        }
        responses(&layer, "none").await;
        settle().await;
        assert_eq!(source.calls(), 0, "{kind}: no first fetch");

        assert_eq!(send(&layer, get("/v1/models")).await.status(), 200);
        assert_eq!(
            source.calls(),
            1,
            "{kind}: one fetch for a caller that sees the provider"
        );
        tokio::time::sleep(Duration::from_secs(3600)).await;
        for (caller, _) in CLOSED {
            responses(&layer, caller).await;
        }
        responses(&layer, "none").await;
        settle().await;
        assert_eq!(source.calls(), 1, "{kind}: no fetch when the list is due");
    }
}

#[tokio::test(start_paused = true)]
async fn denied_caller_does_not_wait() {
    for (kind, with) in KINDS {
        let lab = Provider::source("lab", ScriptedSource::hung());
        let layer = layer(with(builder([lab])));
        // Another caller waits meanwhile.
        let other = tokio::spawn({
            let layer = layer.clone();
            async move { send(&layer, get("/v1/models")).await }
        });
        settle().await;
        for caller in CLOSED.map(|(caller, _)| caller).into_iter().chain(["none"]) {
            let (_, took) = timed(responses(&layer, caller)).await;
            assert_eq!(took, Duration::ZERO, "{kind} {caller}");
        }
        assert!(!other.is_finished());
        other.abort();
    }
}

/// A body that never ends; no byte of it is needed to refuse the request.
#[tokio::test(start_paused = true)]
async fn denied_caller_is_refused_before_body_is_read() {
    let layer = layer(builder([]));
    for (caller, status) in CLOSED {
        let body = axum::body::Body::from_stream(futures_util::stream::pending::<
            Result<Bytes, std::io::Error>,
        >());
        let request = Request::post("/api/show").header("x-caller", caller);
        let service = layer.ollama_show().layer(Unreachable);
        let response = service.oneshot(request.body(body).unwrap());
        let response = tokio::time::timeout(Duration::from_secs(60), response).await;
        let Ok(response) = response.expect("does not wait for the body");
        assert_eq!(response.status(), status, "{caller}");
    }
}

#[tokio::test(start_paused = true)]
async fn version_request_does_not_wait_or_fetch() {
    for (kind, with) in KINDS {
        let source = ScriptedSource::hung();
        let layer = layer(with(builder([Provider::source("lab", source.clone())])));
        for request in [get("/api/version"), get("/api/version?refresh=true")] {
            let (response, took) = timed(send(&layer, request)).await;
            assert_eq!(
                (response.status().as_u16(), took),
                (200, Duration::ZERO),
                "{kind}"
            );
            assert_eq!(
                response.headers()["cache-status"],
                "tower-models-cache; hit"
            );
        }
        settle().await;
        assert_eq!(source.calls(), 0, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_reveals_no_providers() {
    let flaky = |good: fn(usize) -> bool| {
        let response = move |call| async move {
            if good(call) {
                Ok(models(["a"]))
            } else {
                Err("down")
            }
        };
        Provider::source("lab", ScriptedSource::new(response))
    };
    let house = || Provider::fixed("house", [Model::new("small")]);
    let mut seen: Vec<Vec<(StatusCode, HeaderMap, Bytes)>> = Vec::new();
    for providers in [
        vec![house(), flaky(|_| true)],
        vec![house(), flaky(|call| call == 1)], // stale
        vec![house(), flaky(|_| false)],        // missing
        vec![flaky(|_| false)],                 // no list
    ] {
        let layer = layer(builder(providers).expose_incomplete(true));
        for _ in 0..2 {
            let _ = layer.cache().refresh().await;
        }
        let mut all = Vec::new();
        for (caller, _) in CLOSED {
            for response in responses(&layer, caller).await {
                let status = &response.headers()["cache-status"];
                let expected = match response.status().as_u16() {
                    500 => "tower-models-cache; detail=error",
                    _ => "tower-models-cache; detail=denied",
                };
                assert_eq!(status, expected, "{caller}");
                let (head, body) = response.into_parts();
                all.push((head.status, head.headers, body));
            }
        }
        seen.push(all);
    }
    for other in &seen[1..] {
        assert_eq!(*other, seen[0], "independent of the providers' health");
    }
}

/// A predicate that panics is a failed hook, also after a request has waited.
#[tokio::test(start_paused = true)]
async fn failed_predicate_is_error_not_hit() {
    let (held, gate) = ScriptedSource::held(["a"]);
    let layer = layer(builder([Provider::source("lab", held)]));
    gate.open(usize::MAX >> 4);
    let mut seen = BTreeSet::new();
    for dialect in WITH_MODELS {
        for request in [
            dialects::whole_list(dialect),
            dialects::model(dialect, "lab/a"),
        ] {
            let mut request = by("broken", request);
            request.headers_mut().remove("cache-control");
            let response = send(&layer, request).await;
            assert_eq!(response.status(), 500, "{dialect:?}");
            let status = response.headers()["cache-status"].to_str().unwrap();
            seen.insert(status.to_owned());
        }
    }
    let expected = [
        "tower-models-cache; detail=error",
        "tower-models-cache; fwd=miss; detail=error",
    ];
    assert_eq!(seen, BTreeSet::from(expected.map(str::to_owned)));
}
