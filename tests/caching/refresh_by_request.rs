//! A client can trigger a fetch only where the operator allows it.

use std::time::Duration;

use crate::support::{
    Gate, MODES, ScriptedSource, SharedList, builder, get, ids, send, settle, timed,
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::time::sleep;
use tower_models_cache::{Builder, Provider, StaticModelsCacheLayer, View, error::ListErrorKind};

const SECOND: Duration = Duration::from_secs(1);

/// Requests with this header may trigger a fetch.
const OPERATOR: &str = "x-operator";

fn allowing(builder: Builder) -> Builder {
    builder.allow_refresh(|request| request.headers.contains_key(OPERATOR))
}

fn with(uri: &str, headers: &[(&'static str, &'static str)]) -> Request<Empty<Bytes>> {
    let mut request = get(uri);
    for &(name, value) in headers {
        let value = http::HeaderValue::from_static(value);
        request.headers_mut().append(name, value);
    }
    request
}

fn cache_status(response: &Response<Bytes>) -> &str {
    let status = response.headers()["cache-status"].to_str().unwrap();
    status.strip_prefix("tower-models-cache; ").unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_cache_is_ignored_without_permission() {
    let source = ScriptedSource::always(["a"]);
    let provider = || Provider::source("lab", source.clone());
    let (closed, _refresher) = MODES[0].start(builder([provider()]));
    let (open, _other) = MODES[0].start(allowing(builder([provider()])));
    for layer in [&closed, &open] {
        send(layer, get("/v1/models")).await;
    }
    let before = source.calls();
    for (layer, headers) in [
        (
            &closed,
            &[(OPERATOR, "1"), ("cache-control", "no-cache")][..],
        ),
        (&open, &[("cache-control", "no-cache")]),
        (&open, &[("cache-control", "max-age=0"), (OPERATOR, "1")]),
        (&open, &[("cache-control", "x-no-cache"), (OPERATOR, "1")]),
        (&open, &[("pragma", "no-cache"), (OPERATOR, "1")]),
        (&open, &[(OPERATOR, "1")]),
    ] {
        for uri in ["/v1/models", "/v1/models/lab/a", "/v1/models?refresh=1"] {
            let response = send(layer, with(uri, headers)).await;
            assert_eq!(cache_status(&response), "hit", "{uri} {headers:?}");
        }
    }
    settle().await;
    assert_eq!(source.calls(), before);
}

#[tokio::test(start_paused = true)]
async fn no_cache_fetches_with_permission() {
    for mode in MODES {
        for (uri, headers) in [
            ("/v1/models?a=b&refresh=true", &[(OPERATOR, "1")][..]),
            (
                "/v1/models",
                &[(OPERATOR, "1"), ("cache-control", "max-age=0, No-Cache")],
            ),
        ] {
            let shared = SharedList::new(["old"]);
            let source = ScriptedSource::shared(&shared);
            let provider = Provider::source("lab", source.clone());
            let (layer, _refresher) = mode.start(allowing(builder([provider])));
            send(&layer, get("/v1/models")).await;
            shared.set_ids(["new"]);
            sleep(SECOND).await;

            let response = send(&layer, with(uri, headers)).await;
            assert_eq!(ids(response.body()), ["lab/new"], "{mode:?} {uri}");
            assert_eq!(cache_status(&response), "fwd=request; stored");
            assert_eq!(source.calls(), 2);
            let one = with("/v1/models/lab/new", headers);
            assert_eq!(send(&layer, one).await.status(), 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_cache_requests_share_one_fetch() {
    let (held, gate): (ScriptedSource, Gate) = ScriptedSource::held(["a"]);
    gate.open(1);
    let provider = Provider::source("lab", held.clone());
    let fast = ScriptedSource::always(["b"]);
    let other = Provider::source("other", fast.clone());
    let (layer, _refresher) = MODES[0].start(allowing(builder([provider, other])));
    send(&layer, get("/v1/models")).await;
    assert_eq!((held.calls(), fast.calls()), (1, 1));

    let headers = &[(OPERATOR, "1"), ("cache-control", "no-cache")];
    let all = (0..100).map(|_| send(&layer, with("/v1/models", headers)));
    let (responses, took) = timed(join_all(all)).await;
    for response in responses {
        assert_eq!(ids(response.body()), ["lab/a", "other/b"]);
    }
    assert_eq!(took, Duration::from_millis(1500), "the miss timeout");
    assert_eq!(held.calls(), 2);
    // Other requests are served meanwhile.
    let (_, took) = timed(send(&layer, get("/v1/models"))).await;
    assert_eq!(took, Duration::ZERO);
    gate.open(1);
}

#[tokio::test(start_paused = true)]
async fn no_cache_respects_backoff() {
    let shared = SharedList::new(["a"]);
    let source = ScriptedSource::shared(&shared);
    let provider = Provider::source("lab", source.clone());
    let (layer, _refresher) = MODES[0].start(allowing(builder([provider])));
    send(&layer, get("/v1/models")).await;
    shared.set(Err(ListErrorKind::Status(503)));
    let headers = &[(OPERATOR, "1"), ("cache-control", "no-cache")];
    for _ in 0..10 {
        let response = send(&layer, with("/v1/models", headers)).await;
        assert_eq!(ids(response.body()), ["lab/a"]);
    }
    assert_eq!(source.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_cache_is_ignored_for_denied_callers() {
    let source = ScriptedSource::always(["a"]);
    let provider = || Provider::source("lab", source.clone());
    let panics = builder([provider()]).allow_refresh(|_| panic!("panic in the hook"));
    let closed =
        allowing(builder([provider()])).views(|_| Ok(View::denied(http::StatusCode::FORBIDDEN)));
    let layers: [StaticModelsCacheLayer; 2] =
        [panics, closed].map(|builder| builder.build().unwrap());
    for layer in &layers {
        layer.cache().refresh().await.unwrap();
    }
    let headers = &[(OPERATOR, "1"), ("cache-control", "no-cache")];
    let statuses = layers
        .iter()
        .map(|layer| send(layer, with("/v1/models", headers)));
    let responses = join_all(statuses).await;
    assert_eq!(responses[0].status(), 200);
    assert_eq!(responses[1].status(), 403);
    settle().await;
    assert_eq!(source.calls(), 2);
}
